"""Three tables with a label, and folders of synthetic rows: what `synthetic.py` and its peers share.

Both interpreters read this file: that of this package, and that of the peers, which has another pandas.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import ONE_THREAD, data_folder

ADULT = [
    "age",
    "workclass",
    "fnlwgt",
    "education",
    "education_num",
    "marital_status",
    "occupation",
    "relationship",
    "race",
    "sex",
    "capital_gain",
    "capital_loss",
    "hours_per_week",
    "native_country",
    "income",
]
LABELS = {"german-credit": "class", "telco-churn": "Churn", "adult": "income"}
SEEDS = 5

Method = Callable[[pd.DataFrame, int], pd.DataFrame]  # training rows and a seed to as many synthetic rows


def read(name: str, names: list[str] | None = None) -> pd.DataFrame:
    """A file of `mixed/`: `?` and blanks are gaps, spaces before values go."""
    return pd.read_csv(
        data_folder() / "mixed" / f"{name}.csv.gz",
        header="infer" if names is None else None,
        names=names,
        na_values=["?"],
        skipinitialspace=True,
    )


def table(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Training and test rows; the label is a text. Adult has files of its own, of the others a fifth is held out.

    Telco's customerID, which differs in every row, is left out for every method.
    """
    if name == "adult":
        train, test = read("adult-train", ADULT), read("adult-test", ADULT)
        test["income"] = test["income"].str.rstrip(".")
        return train, test
    if name == "german-credit":
        whole = read(name, [f"a{i}" for i in range(1, 21)] + ["class"])
        whole["class"] = whole["class"].map({1: "good", 2: "bad"})
    else:
        whole = read(name).drop(columns="customerID")
    order = np.random.default_rng(0).permutation(len(whole))
    held_out = len(whole) // 5
    return (
        whole.iloc[order[held_out:]].reset_index(drop=True),
        whole.iloc[order[:held_out]].reset_index(drop=True),
    )


def files(folder: Path, name: str, method: str, seed: int) -> tuple[Path, Path]:
    """Where synthetic rows and what they cost are kept."""
    stem = f"{name}-{method}-{seed}"
    return folder / f"{stem}.csv.gz", folder / f"{stem}.json"


def make(method: Method, name: str, seed: int, rows: Path) -> dict[str, Any]:
    """One fit, its rows written, and what it cost: in a process of its own, so that the memory is its own."""
    train, _ = table(name)
    began, began_cpu = time.perf_counter(), time.process_time()
    synthetic = method(train, seed)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - began_cpu
    part = rows.with_suffix(".part")
    synthetic[list(train.columns)].to_csv(part, index=False, compression="gzip")
    part.rename(rows)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu_seconds, 2),  # which other programs of a busy machine hardly change
        "peak_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
    }


def keep(method: Method, method_name: str, name: str, seed: int, folder: Path) -> None:
    """Make what is not there yet."""
    rows, costs = files(folder, name, method_name, seed)
    if costs.exists():
        return
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        cost = pool.submit(make, method, name, seed, rows).result()
    costs.write_text(json.dumps(cost) + "\n")
    print(f"  {name} {method_name} seed {seed}: {cost['cpu_seconds']:.0f} s, {cost['peak_mb']} MiB", flush=True)


def generate(methods: dict[str, Method], folder: Path, tables: list[str], seeds: int) -> None:
    """Make synthetic rows of tables, seed by seed; what is there is kept."""
    os.environ.update(ONE_THREAD, LOKY_MAX_CPU_COUNT="1")  # read by the processes that fit
    folder.mkdir(parents=True, exist_ok=True)
    for name in tables:
        for seed in range(seeds):
            for method in methods:
                keep(methods[method], method, name, seed, folder)
