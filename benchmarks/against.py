"""`python -m benchmarks.against CHECKOUT [--only NAME]`: this package's times beside those of another checkout of it.

Blocks alternate, each checkout in a process of its own: what changed between two commits, on a machine that is never
quite quiet. Both use this environment; the checkout needs none of its own. `--programs` compares what they compile to
instead, instructions by kind and shape, which no other work on the machine disturbs: the same program takes the same
time.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from benchmarks.report import seconds
from benchmarks.runner import ROOT, SETTLE_S, Worker
from benchmarks.task import Task, all_tasks

SMALLEST = 400  # instructions of a program that is looked at
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


def programs(module: str, task: Task, root: Path) -> list[tuple[str, dict[str, int]]]:
    """The larger programs that a checkout compiles for a task, with instructions counted by kind and shape."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        variables = {"XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} --xla_dump_to={folder} --xla_dump_hlo_as_text"}
        with Worker(module, task, task.sides[0], Path(sys.executable), True, root, variables) as worker:
            worker.block()
        for file in Path(folder).glob("*.cpu_after_optimizations.txt"):
            kinds = Counter(" ".join(found) for found in re.findall(r" = (.*?) ([a-z-]+)\(", file.read_text()))
            if kinds.total() >= SMALLEST:
                found.append((file.name.split(".")[1], dict(sorted(kinds.items()))))
    return sorted(found, key=lambda program: (program[0], sum(program[1].values())))


def compare_programs(name: str, module: str, task: Task, other: Path) -> None:
    """Print whether both checkouts compile a task to the same instructions, and where not."""
    ours, theirs = programs(module, task, ROOT), programs(module, task, other)
    if not ours or not theirs:
        print(f"{name:28}nothing to compare: no program was compiled on a CPU", flush=True)
        return
    sizes = ", ".join(f"{program} {sum(kinds.values()):,}" for program, kinds in ours)
    print(f"{name:28}{'the same' if ours == theirs else 'DIFFERENT'}   {sizes}", flush=True)
    if [program for program, _ in ours] != [program for program, _ in theirs]:
        print(f"{'':28}the other compiles {', '.join(program for program, _ in theirs)}", flush=True)
        return
    for (program, a), (_, b) in zip(ours, theirs, strict=True):
        changed = [f"{kind} {b.get(kind, 0)} → {a.get(kind, 0)}" for kind in a | b if a.get(kind) != b.get(kind)]
        if changed:
            print(f"{'':28}{program}: {', '.join(changed)}", flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print a row a task: times, and the median ratio of blocks that stood side by side."""
    tasks = all_tasks()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.against", description=__doc__)
    parser.add_argument("checkout", type=Path, help="the other checkout of this repository")
    parser.add_argument("--only", action="append", metavar="NAME", help="a task; may repeat; default: all that train")
    parser.add_argument("--rounds", type=int, default=9, help="blocks of each after the cold one")
    parser.add_argument("--programs", action="store_true", help="compare compiled programs, and no times")
    options = parser.parse_args(arguments)
    steps = [name for name in tasks if name in FITS or "step" in name.split("_")]
    if not options.programs:
        print(f"{'task':28}{'this tree':>12}{'the other':>12}   this / other (median of pairs, range)")
    for name in options.only or steps:
        module, task = tasks[name]
        if task.skip is not None:
            print(f"{name:28}skipped: {task.skip}")
            continue
        if options.programs:
            compare_programs(name, module, task, options.checkout.resolve())
            continue
        ours, theirs = paired_times(module, task, options.checkout.resolve(), options.rounds)
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        middle = [seconds(statistics.median(times)) for times in (ours, theirs)]
        span = f"{statistics.median(ratios):.3f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"{name:28}{middle[0]:>12}{middle[1]:>12}   {span}", flush=True)


if __name__ == "__main__":
    main()
