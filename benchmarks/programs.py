"""`python -m benchmarks.programs [CASE ...]`: what the first use of each part compiles, and what that costs.

Every case runs in fresh processes without a cache. One is timed: what it takes in all, and what each compiled program
takes from Python to machine code. A second one, slower for being watched, tells each program's size in instructions
after XLA's passes, how often it runs and for how long. Writes `PROGRAMS.md`.
"""

from __future__ import annotations

import collections
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).resolve().parent / "PROGRAMS.md"
SMALLEST_S = 0.1  # programs that take less to compile are shown as one
STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "traced",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lowered",
    "/jax/core/compile/backend_compile_duration": "compiled",
}


def _table(n: int = 1000, dim: int = 5) -> Any:
    import numpy as np

    return np.random.default_rng(0).normal(size=(n, dim))


def density() -> None:
    """`FlowDensity` of 1,000 × 5 normal rows, and its first score."""
    import pushforward as pf

    X = _table()
    pf.FlowDensity(random_state=0).fit(X).score_samples(X)


def pinwheel() -> None:
    """`FlowDensity` of the pinwheel, and its first score."""
    import pushforward as pf
    from pushforward.data import toy

    X = toy.pinwheel(1000, seed=0)[0]
    pf.FlowDensity(random_state=0).fit(X).score_samples(X)


def mixture() -> None:
    """`FlowMixture(5)` of the pinwheel."""
    import pushforward as pf
    from pushforward.data import toy

    pf.FlowMixture(5, random_state=0).fit(toy.pinwheel(1000, seed=0)[0])


def outliers() -> None:
    """`FlowOutlierDetector` of 1,000 × 5 normal rows, and its first score."""
    import pushforward as pf

    X = _table()
    pf.FlowOutlierDetector(random_state=0).fit(X).score_samples(X)


def posterior() -> None:
    """`fit_posterior` of a linear regression on 100 rows, five parameters."""
    import jax.numpy as jnp

    import pushforward as pf

    X = _table(100, 4)
    y = X @ [1.0, -1.0, 0.5, 0.0] + 0.5 * _table(100, 1)[:, 0]

    def log_density(theta: Any) -> Any:
        scale = jnp.exp(theta[4])
        return -0.5 * (((y - X @ theta[:4]) / scale) ** 2).sum() - 100 * theta[4] - 0.5 * (theta**2).sum()

    pf.fit_posterior(log_density, 5, random_state=0)


def demo() -> None:
    """`pushforward demo`."""
    with tempfile.TemporaryDirectory() as folder:
        _command("demo", "--out", str(Path(folder) / "demo"))


def command() -> None:
    """`pushforward fit` of a CSV file of 1,000 × 5 normal rows."""
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.csv"
        np.savetxt(file, _table(), delimiter=",", header="a,b,c,d,e", comments="")
        _command("fit", str(file), "--out", str(Path(folder) / "model"))


def _command(*arguments: str) -> None:
    from pushforward.cli import main

    main(list(arguments))


CASES: dict[str, Callable[[], None]] = {
    function.__name__: function for function in (density, pinwheel, mixture, outliers, posterior, demo, command)
}


def watched(case: Callable[[], None]) -> dict[str, Any]:
    """Run a case in this process: wall time, and seconds of each stage by program."""
    import jax

    took: dict[str, dict[str, float]] = collections.defaultdict(lambda: dict.fromkeys(STAGES.values(), 0.0))

    def listen(event: str, duration: float, **about: Any) -> None:
        if event in STAGES:
            name = re.sub(r"^jit[_(]|\)$", "", str(about.get("fun_name", "?")))
            took[name][STAGES[event]] += duration

    jax.monitoring.register_event_duration_secs_listener(listen)
    began = time.monotonic()
    case()
    return {"seconds": time.monotonic() - began, "programs": took}
