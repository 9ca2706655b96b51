"""Eleven real posteriors: `fit_posterior` beside NumPyro's guides and NUTS, and the least each needs.

The ten posteriors of `posteriordb` (eight schools both ways), every method with one setting for all. A posterior is
met where every parameter's mean is within 0.1 standard deviations of the reference draws', every standard deviation
within 10 %, and Pareto k̂ below 0.7 (NUTS has none). *accuracy*: `fit_posterior` with its defaults, guides with 5,000
steps of Adam at 0.005 with 4 particles, NUTS with one chain of 2,000 draws after as many of warm-up; seed 0, cold in a
fresh process and warm, again in the same one with another seed; each process with one core and one thread, as many side
by side as there are cores. *ladder*: the lowest level that meets the posterior with 5 of 5 seeds, and its time, cold in
a fresh process, the median of three: `effort=` 1 to 4 for `fit_posterior`; 250, 500, 1,000, … 16,000 draws for NUTS; a
level ends at its first seed that does not meet the posterior, and processes run one after the other. Times hold
everything from building the log-density or sampler to draws in hand, compilation included, and not imports.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from common import HERE, ONE_THREAD, arguments, data_folder, write_table
from posterior_models import models

METHODS = ["fit_posterior", "AutoNormal", "AutoMultivariateNormal", "AutoIAFNormal", "AutoBNAFNormal", "NUTS"]
LADDERS = {"fit_posterior": [1, 2, 3, 4], "NUTS": [250 * 2**i for i in range(7)]}
TABLED = {"fit_posterior": 2, "NUTS": 2000}
LIMIT = 900  # seconds of one process
WORKER = threading.local()  # the cores of each worker of the pool


def workers(cores: list[str]) -> ThreadPoolExecutor:
    """A pool whose every worker runs its processes on cores of its own, named as `taskset` takes them."""
    free: queue.Queue[str] = queue.Queue()
    for core in cores:
        free.put(core)
    return ThreadPoolExecutor(len(cores), initializer=lambda: setattr(WORKER, "cores", free.get()))


def run(method: str, name: str, level: int, seeds: list[int], until_failure: bool = False) -> list[dict[str, Any]]:
    """The rows of one process on its worker's cores; fewer than seeds where it failed or took too long."""
    asked = {"method": method, "name": name, "level": level, "seeds": seeds, "until_failure": until_failure}
    command = ["taskset", "-c", WORKER.cores, sys.executable, str(HERE / "posterior_methods.py"), json.dumps(asked)]
    environment = {**os.environ, **({} if "," in WORKER.cores else ONE_THREAD)}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False, env=environment)
        out = done.stdout
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1:], flush=True)
    except subprocess.TimeoutExpired as error:
        out = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else (error.stdout or "")
    return [json.loads(line) for line in out.splitlines()]


def tabled(name: str, method: str) -> list[Any]:
    """The row of a posterior and a method."""
    found = run(method, name, TABLED.get(method, 0), [0, 1])
    cold, warm = ([*found, {}, {}])[:2]
    sd = f"{cold['least_ratio']:.3g} – {cold['largest_ratio']:.3g}" if cold else "failed"
    verdict = ("yes" if cold["passed"] else "no") if cold else "no"
    numbers = [cold.get("error"), sd, cold.get("k_hat"), cold.get("elbo")]
    row = [name, method, verdict, *numbers, cold.get("seconds"), warm.get("seconds")]
    print(row, flush=True)
    return row


def accuracy(names: list[str], pool: ThreadPoolExecutor) -> list[list[Any]]:
    """One row for each posterior and method."""
    waiting = [pool.submit(tabled, name, method) for name in names for method in METHODS]
    return [future.result() for future in waiting]


def lowest(method: str, name: str, seeds: int) -> tuple[int | None, float | None]:
    """The lowest level that meets a posterior with every seed, and its time in a fresh process."""
    for level in LADDERS[method]:
        found = run(method, name, level, list(range(seeds)), until_failure=True)
        if len(found) == seeds and all(row["passed"] for row in found):
            again = [row["seconds"] for seed in (1, 2) for row in run(method, name, level, [seed])]
            return level, float(np.median([found[0]["seconds"], *again]))
        print(f"  {method} {name} {level}: {[(round(row['error'], 3), row['k_hat']) for row in found]}", flush=True)
    return None, None


def ladder(names: list[str], seeds: int, pool: ThreadPoolExecutor) -> list[list[Any]]:
    """One row for each posterior: both methods' lowest level, their times and the ratio."""
    waiting = [[pool.submit(lowest, method, name, seeds) for method in LADDERS] for name in names]
    rows = []
    for name, pair in zip(names, waiting, strict=True):
        ours, theirs = (future.result() for future in pair)
        ratio = None if ours[1] is None or theirs[1] is None else ours[1] / theirs[1]
        rows.append([name, *ours, *theirs, ratio])
        print(rows[-1], flush=True)
    return rows


def verdict(rows: list[list[Any]]) -> str:
    """The median ratio; a posterior that one method alone meets is won by it."""
    ratios = [(0.0 if row[1] is not None else np.inf) if row[5] is None else row[5] for row in rows]
    both = sum(row[5] is not None for row in rows)
    only = [sum(row[i] is not None and row[j] is None for row in rows) for i, j in ((1, 3), (3, 1))]
    return (
        f"Median ratio {np.median(ratios):.2f}; {both} of {len(rows)} are met by both, {only[0]} by `fit_posterior` "
        f"alone (ratio 0 in the median), {only[1]} by NUTS alone (ratio ∞)."
    )


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", ["accuracy", "ladder"], seeds=5)
    names = list(models(data_folder() / "posteriordb"))[: asked.epochs]  # a quick look is at the first few
    every = [str(core) for core in sorted(os.sched_getaffinity(0))]
    for settings in asked.settings:
        began = time.monotonic()
        cores = every if settings == "accuracy" else [",".join(every)]
        with workers(cores) as pool:
            if settings == "accuracy":
                rows = accuracy(names, pool)
                met = {method: sum(row[2] == "yes" for row in rows if row[1] == method) for method in METHODS}
                head = ["posterior", "method", "met", "worst mean, sd", "sd ratios", "k̂", "ELBO", "s, cold", "s, warm"]
                notes = ["Met: " + ", ".join(f"{method} {n} of {len(names)}" for method, n in met.items()) + "."]
            else:
                rows = ladder(names, asked.seeds, pool)
                head = ["posterior", "effort", "s", "draws of NUTS", "s, NUTS", "ratio"]
                notes = [verdict(rows)]
        if asked.epochs is None:
            seconds = time.monotonic() - began
            write_table("posteriors", head, rows, seconds, asked.seeds, settings=settings, notes=notes)


if __name__ == "__main__":
    main()
