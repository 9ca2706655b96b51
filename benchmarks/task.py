"""What a benchmark is made of: a task, its sides, and the work a side does when asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

MODULES = (
    "pinwheel_fit",
    "mnist_step",
    "maf_fit",
    "maf_sample",
    "density",
    "families",
    "large_k",
    "vae_step",
    "images",
    "autoregressive",
    "beyond",
)  # in benchmarks/tasks


class Work(NamedTuple):
    """One side, imported and built.

    Arguments:
        block: `block(i)` does the i-th block of work to its end and returns figures beside its time (or None);
            i counts from 0, the cold block.
        units: how many units of the task (steps, epochs, fits) are in one block.
    """

    block: Callable[[int], dict[str, Any] | None]
    units: int


@dataclass(frozen=True)
class Side:
    """One way to do the work of a task.

    Arguments:
        name: how the report calls it.
        make: `make(quick)` imports the framework and builds the side; quick asks for small blocks.
        peer: whether it runs in the peers' environment.
        target: the ratio this side's time over ours must reach, or None.
        rounds: timed blocks at most, for sides too slow for the task's number; None: the task's.
    """

    name: str
    make: Callable[[bool], Work]
    peer: bool = True
    target: float | None = None
    rounds: int | None = None


@dataclass(frozen=True)
class Task:
    """A piece of work and the sides that do it, ours first.

    Arguments:
        name: what `--only` selects, and the name of its file of results.
        title: the heading in the report.
        about: what exactly is done, and what is the same on all sides; Markdown.
        unit: what one time is the time of.
        sides: ours first.
        rounds: timed blocks of each side, after the cold one; 0 where the cold one is the measurement.
        skip: why it cannot run here, or None.
    """

    name: str
    title: str
    about: str
    unit: str
    sides: tuple[Side, ...]
    rounds: int = 7
    skip: str | None = None


def tasks_of(module: str) -> tuple[Task, ...]:
    """The tasks that a module defines in `TASKS`."""
    tasks: tuple[Task, ...] = importlib.import_module(module).TASKS
    return tasks


def all_tasks() -> dict[str, tuple[str, Task]]:
    """Every task by name, with its module."""
    modules = [f"{__package__}.tasks.{name}" for name in MODULES]
    found = [(module, task) for module in modules for task in tasks_of(module)]
    names = [task.name for _, task in found]
    if len(set(names)) < len(names):
        raise ValueError(f"two tasks share a name: {sorted(n for n in set(names) if names.count(n) > 1)}")
    return {task.name: (module, task) for module, task in found}
