"""One side of a task in a process of its own: `python -m benchmarks.worker MODULE TASK SIDE QUICK`.

Speaks JSON lines: says once that it is built, then does a block for each line it reads and answers with its time.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import resource
import sys
import time
from typing import Any

from benchmarks.task import tasks_of

PACKAGES = (
    "pushforward",
    "jax",
    "torch",
    "zuko",
    "nflows",
    "flowjax",
    "normflows",
    "torchflows",
    "scikit-learn",
    "numpy",
)


def versions() -> dict[str, str]:
    """Versions of the packages that this process has imported."""
    names = {"scikit-learn": "sklearn"}
    loaded = [p for p in PACKAGES if names.get(p, p) in sys.modules]
    return {package: importlib.metadata.version(package) for package in loaded}


def peak_mb() -> float:
    """The most memory this process has held, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def main(module: str, task_name: str, side_name: str, quick: str) -> None:
    """Build the side and serve blocks until standard input closes."""
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with the answers

    def answer(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=channel, flush=True)

    start = time.perf_counter()
    task = next(t for t in tasks_of(module) if t.name == task_name)
    side = next(s for s in task.sides if s.name == side_name)
    work = side.make(quick == "quick")
    answer({"start_s": time.perf_counter() - start, "units": work.units, "versions": versions()})
    for i, _ in enumerate(sys.stdin):
        start = time.perf_counter()
        figures = work.block(i)
        seconds = time.perf_counter() - start
        answer({"seconds": seconds, "figures": figures or {}, "peak_mb": peak_mb()})


if __name__ == "__main__":
    main(*sys.argv[1:])
