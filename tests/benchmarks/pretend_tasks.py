"""Tasks that take no time, to test how tasks are run; workers import this module by name."""

import time

from benchmarks.task import Side, Task, Work


def _stamp(units: int):
    def side(quick: bool) -> Work:
        print("what a library prints must not reach the driver")
        return Work(lambda i: {"began": time.monotonic(), "index": i, "quick": float(quick)}, units)

    return side


def _fail(quick: bool) -> Work:
    raise ValueError("no such model in this side")


ALTERNATING = Task(
    name="alternating",
    title="Alternation",
    about="Nothing is done.",
    unit="step",
    sides=(
        Side("ours", _stamp(1), peer=False),
        Side("other", _stamp(4), peer=False, target=2.0),
        Side("slow", _stamp(1), peer=False, rounds=1),
    ),
    rounds=3,
)
ONCE = Task("once", "One block", "Cold.", "fit", (Side("ours", _stamp(2), peer=False),), rounds=0)
FAILING = Task("failing", "Failure", "Fails.", "step", (Side("ours", _stamp(1), peer=False), Side("bad", _fail, False)))
TASKS = (ALTERNATING, ONCE, FAILING)
