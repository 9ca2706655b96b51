"""`python -m benchmarks.against CHECKOUT [--only NAME]`: this package's times beside those of another checkout of it.

Blocks alternate, each checkout in a process of its own: what changed between two commits, on a machine that is never
quite quiet. Both use this environment; the checkout needs none of its own.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

from benchmarks.report import seconds
from benchmarks.runner import SETTLE_S, Worker
from benchmarks.task import Task, all_tasks

FITS = ("pinwheel_fit", "maf_fit", "large_k")  # whose times are of training, besides the tasks named after a step


def paired_times(module: str, task: Task, other: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds a unit of this tree's blocks and the other's, the cold ones left out."""
    python, side = Path(sys.executable), task.sides[0]
    with Worker(module, task, side, python, False) as ours, Worker(module, task, side, python, False, other) as theirs:
        times: tuple[list[float], list[float]] = ([], [])
        for i in range(rounds + 1):
            for worker, kept in ((ours, times[0]), (theirs, times[1]))[:: 1 if i % 2 else -1]:
                time.sleep(SETTLE_S)
                took = worker.block()["seconds"] / worker.ready["units"]
                if i:
                    kept.append(took)
    return times


def main(arguments: list[str] | None = None) -> None:
    """Print a row a task: times, and the median ratio of blocks that stood side by side."""
    tasks = all_tasks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other checkout of this repository")
    parser.add_argument("--only", action="append", metavar="NAME", help="a task; may repeat; default: all that train")
    parser.add_argument("--rounds", type=int, default=9, help="blocks of each after the cold one")
    options = parser.parse_args(arguments)
    steps = [name for name in tasks if name in FITS or "step" in name.split("_")]
    print(f"{'task':28}{'this tree':>12}{'the other':>12}   this / other (median of pairs, range)")
    for name in options.only or steps:
        module, task = tasks[name]
        if task.skip is not None:
            print(f"{name:28}skipped: {task.skip}")
            continue
        ours, theirs = paired_times(module, task, options.checkout.resolve(), options.rounds)
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        middle = [seconds(statistics.median(times)) for times in (ours, theirs)]
        span = f"{statistics.median(ratios):.3f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"{name:28}{middle[0]:>12}{middle[1]:>12}   {span}", flush=True)


if __name__ == "__main__":
    main()
