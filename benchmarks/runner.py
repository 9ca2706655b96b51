"""Run the sides of a task in alternation: A B C, A B C, ..., one computing at a time."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any

from benchmarks.task import Side, Task

ROOT = Path(__file__).resolve().parent.parent
SETTLE_S = 0.3  # thread pools spin for a moment after their work; let them sleep before another side is timed


def commit() -> str:
    """The commit that ran, marked where files other than results differ from it."""

    def git(*command: str) -> str:
        return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True).stdout.strip()

    results = [":!benchmarks/results", ":!benchmarks/RESULTS.md"]
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", *results)
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("-dirty" if changed else "")


class WorkerError(RuntimeError):
    """A side's process ended before it answered."""


class Worker:
    """One side in its own process.

    Arguments:
        module: the module that holds the task.
        task: the task.
        side: which of its sides.
        python: the interpreter of the side's environment.
        quick: small blocks.
        root: the checkout whose package and benchmarks run.
        variables: of its environment, besides those of this process.
    """

    def __init__(
        self,
        module: str,
        task: Task,
        side: Side,
        python: Path,
        quick: bool,
        root: Path = ROOT,
        variables: Mapping[str, str] = MappingProxyType({}),
    ):
        self.name = f"{task.name}/{side.name}"
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - open as long as the process
        command = [str(python), "-m", "benchmarks.worker", module, task.name, side.name, "quick" if quick else "full"]
        self._process = subprocess.Popen(
            command,
            cwd=root,
            env={**os.environ, **variables, "PYTHONPATH": str(root / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self.ready = self._read()

    def block(self) -> dict[str, Any]:
        """Have one block done, and wait for it."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self._errors.seek(0)
            raise WorkerError(f"{self.name} ended without an answer:\n{self._errors.read()[-2000:]}")
        message: dict[str, Any] = json.loads(line)
        return message

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if error is not None:
            self._process.kill()
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()


def run_task(module: str, task: Task, peers_python: Path, quick: bool = False) -> list[dict[str, Any]]:
    """Time every side of a task, blocks in alternation.

    Returns:
        One record for each side, in the task's order.

    Raises:
        WorkerError: a side failed; the message carries the end of what it printed.
    """
    workers: list[Worker] = []
    try:
        for side in task.sides:
            python = peers_python if side.peer else Path(sys.executable)
            workers.append(Worker(module, task, side, python, quick))
        return _alternate(task, workers, quick)
    finally:
        error = sys.exc_info()
        for worker in workers:
            worker.__exit__(*error)


def _alternate(task: Task, workers: list[Worker], quick: bool) -> list[dict[str, Any]]:
    blocks: list[list[dict[str, Any]]] = [[] for _ in workers]
    rounds = min(1, task.rounds) if quick else task.rounds
    for i in range(1 + rounds):  # the first round is cold
        for side, worker, done in zip(task.sides, workers, blocks, strict=True):
            if i > (rounds if side.rounds is None else min(side.rounds, rounds)):
                continue
            time.sleep(SETTLE_S)
            done.append(worker.block())
    return [_record(s, w, b) for s, w, b in zip(task.sides, workers, blocks, strict=True)]


def _record(side: Side, worker: Worker, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    cold, timed = blocks[0], blocks[1:] or blocks
    units = worker.ready["units"]
    seconds = [block["seconds"] / units for block in timed]
    figures = {name: statistics.median(block["figures"][name] for block in timed) for name in timed[-1]["figures"]}
    return {
        "side": side.name,
        "target": side.target,
        "units": units,
        "seconds": seconds,
        "median_s": statistics.median(seconds),
        "cold_block_s": cold["seconds"],
        "start_s": worker.ready["start_s"],
        "peak_mb": timed[-1]["peak_mb"],
        "figures": figures,
        "versions": worker.ready["versions"],
    }
