"""What the experiments share: their command line, and the JSON that docs/experiments.md is made from."""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from threadpoolctl import threadpool_limits

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
ONE_THREAD = {"OMP_NUM_THREADS": "1", "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"}
PICTURES = HERE.parent / "docs" / "images" / "experiments"


def commit() -> str:
    """The commit the numbers come from, marked where the code differs from it."""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=HERE, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no", "--", "../src", "*.py")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


COMMIT = commit()  # when the run starts: others may follow while it lasts


def arguments(description: str, settings: list[str], seeds: int, tables: list[str] | None = None) -> argparse.Namespace:
    """Parse what every experiment takes, and which of its tables, where it has some."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--settings", choices=settings, action="append", help="which settings to run (default: all)")
    parser.add_argument("--seeds", type=int, default=seeds, help=f"how many seeds, from 0 (default: {seeds})")
    parser.add_argument(
        "--epochs", type=int, default=None, help="fewer epochs, for a quick look; not written to results"
    )
    if tables is not None:
        parser.add_argument(
            "--tables", choices=tables, action="append", help="others keep their results (default: all)"
        )
    chosen = parser.parse_args()
    chosen.settings = chosen.settings or settings
    if tables is not None:
        chosen.tables = chosen.tables or tables
    return chosen


def other_rows(name: str, settings: str, tables: list[str]) -> list[list[Any]]:
    """Rows of a result that are there by now, of tables that are not run now; a row's first cell names its table."""
    path = RESULTS / f"{name}-{settings}.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    return [row for row in rows if row[0] not in tables]


def data_folder() -> Path:
    """Where the real data lie: PUSHFORWARD_DATA, or shared/data beside the project."""
    folder = Path(os.environ.get("PUSHFORWARD_DATA", HERE.parents[1] / "shared" / "data"))
    if not folder.is_dir():
        raise SystemExit(f"the data are not at {folder}; point PUSHFORWARD_DATA at them")
    return folder


def digits(part: str, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """MNIST images (n, 784) in 0..255 and labels of the first so many digits; part is "train" or "t10k"."""
    folder = data_folder() / "mnist"
    with gzip.open(folder / f"{part}-images-idx3-ubyte.gz") as file:
        images = np.frombuffer(file.read(), np.uint8, offset=16).reshape(-1, 784)
    with gzip.open(folder / f"{part}-labels-idx1-ubyte.gz") as file:
        labels = np.frombuffer(file.read(), np.uint8, offset=8)
    chosen = labels < classes
    return images[chosen].astype(np.float64), labels[chosen].astype(int)


def silhouettes() -> np.ndarray:
    """Caltech silhouettes (n, 784) of zeros and ones."""
    file = data_folder() / "caltech101_silhouettes" / "caltech101_silhouettes_28.mat"
    images = scipy.io.loadmat(file)["X"].reshape(-1, 28, 28).transpose(0, 2, 1)  # stored column by column
    found: np.ndarray = images.reshape(len(images), -1)
    return found


def timed(seeds: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each seed with a row to fill; its wall time is added."""
    for seed in range(seeds):
        row: dict[str, Any] = {"seed": seed}
        began = time.monotonic()
        with threadpool_limits(1):  # scikit-learn's small matrices: more threads only wait for each other
            yield seed, row
        row.setdefault("seconds", round(time.monotonic() - began, 2))
        print(
            "  " + "  ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()), flush=True
        )


def summary(rows: list[dict[str, Any]], higher_is_better: dict[str, bool]) -> dict[str, Any]:
    """Median and worst of each metric over seeds."""
    return {
        name: {
            "median": float(np.median([row[name] for row in rows])),
            "worst": float((min if better else max)(row[name] for row in rows)),
        }
        for name, better in higher_is_better.items()
    }


def write(name: str, settings: str, estimator: Any, rows: list[dict[str, Any]], **more: Any) -> None:
    """Write the metrics of one experiment under one set of settings; those of an estimator, or as they are."""
    RESULTS.mkdir(exist_ok=True)
    given = estimator if isinstance(estimator, dict) else estimator.get_params()
    params = {k: v for k, v in given.items() if k not in ("random_state", "verbose")}
    report = {
        "experiment": name,
        "settings": settings,
        "parameters": params,
        "seeds": list(dict.fromkeys(row["seed"] for row in rows)),
        "rows": rows,
        "commit": COMMIT,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        **more,
    }
    path = RESULTS / f"{name}-{settings}.json"
    path.write_text(json.dumps(report, indent=1, default=str) + "\n")
    print(f"wrote {path.relative_to(HERE.parent)}")


def write_table(
    name: str,
    head: list[str],
    rows: list[list[Any]],
    seconds: float,
    seeds: int = 1,
    pictures: list[str] | None = None,
    settings: str | None = None,
    notes: list[str] | None = None,
    **more: Any,
) -> None:
    """Write the result of an experiment that is one table, with its pictures, and what else is worth keeping."""
    RESULTS.mkdir(exist_ok=True)
    report = {
        "experiment": name,
        "settings": settings or "",
        "head": head,
        "rows": rows,
        "seeds": list(range(seeds)),
        "commit": COMMIT,
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds": seconds,
        "pictures": pictures or [],
        "notes": notes or [],
        **more,
    }
    path = RESULTS / f"{name}{f'-{settings}' if settings else ''}.json"
    path.write_text(json.dumps(report, indent=1) + "\n")
    print(f"wrote {path.relative_to(HERE.parent)}")


def picture(figure: Any, name: str) -> str:
    """Save a figure for the docs; its path from docs/."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURES / f"{name}.png", dpi=110)
    return f"images/experiments/{name}.png"


def clustering_accuracy(classes: Any, components: Any, k: int) -> float:
    """Share of rows in the right cluster under the best one-to-one match of clusters to classes."""
    from scipy.optimize import linear_sum_assignment

    table = np.zeros((k, k))
    np.add.at(table, (np.asarray(classes), np.asarray(components)), 1)
    rows, columns = linear_sum_assignment(-table)
    return float(table[rows, columns].sum() / table.sum())
