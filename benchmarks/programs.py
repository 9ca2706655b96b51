"""`python -m benchmarks.programs [CASE ...]`: what the first use of each part compiles, and what that costs.

Every case runs in fresh processes without a cache. One is timed: what it takes in all, and what each compiled program
takes from Python to machine code. A second one, slower for being watched, tells each program's size in instructions
after XLA's passes, how often it runs and for how long. Writes `PROGRAMS.md`.
"""

from __future__ import annotations

import argparse
import collections
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.report import seconds
from benchmarks.runner import ROOT, commit

BEGAN = time.monotonic()
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
    import jax
    import jax.numpy as jnp

    import pushforward as pf

    X = _table(100, 4)
    y = X @ [1.0, -1.0, 0.5, 0.0] + 0.5 * _table(100, 1)[:, 0]

    def log_density(theta: Any) -> Any:
        scale = jnp.exp(theta[4])
        return -0.5 * (((y - X @ theta[:4]) / scale) ** 2).sum() - 100 * theta[4] - 0.5 * (theta**2).sum()

    pf.fit_posterior(log_density, 5, key=jax.random.key(0))


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
    from pushforward.cli import app

    app(args=list(arguments), standalone_mode=False)


CASES: dict[str, Callable[[], None]] = {
    function.__name__: function for function in (density, pinwheel, mixture, outliers, posterior, demo, command)
}


def timed(case: Callable[[], None]) -> dict[str, Any]:
    """Run a case in this process: wall time, and seconds of each stage of compilation by program."""
    import jax

    took: dict[str, dict[str, float]] = collections.defaultdict(lambda: dict.fromkeys(STAGES.values(), 0.0))

    def listen(event: str, duration: float, **about: Any) -> None:
        if event in STAGES:
            took[_plain(str(about.get("fun_name", "?")))][STAGES[event]] += duration

    jax.monitoring.register_event_duration_secs_listener(listen)
    case()
    return {"seconds": time.monotonic() - BEGAN, "programs": took}


def counted(case: Callable[[], None]) -> dict[str, Any]:
    """Run a case in this process, slowly: runs of each program, their seconds, and its instructions."""
    import jax
    from jax._src import pjit
    from jax._src.interpreters import pxla  # nothing public sees every run

    found: dict[str, dict[str, float]] = collections.defaultdict(lambda: {"runs": 0, "ran": 0.0, "instructions": 0})
    seen: set[int] = set()
    run = pxla.ExecuteReplicated.__call__

    def watched(self: Any, *arguments: Any) -> Any:
        began = time.monotonic()
        result = jax.block_until_ready(run(self, *arguments))
        program = found[_plain(self.name)]
        program["ran"] += time.monotonic() - began
        program["runs"] += 1
        if id(self.xla_executable) not in seen:
            seen.add(id(self.xla_executable))
            text = "".join(module.to_string() for module in self.xla_executable.hlo_modules())
            program["instructions"] += len(re.findall(r"^ +(?:ROOT )?%?[\w.-]+ = ", text, re.MULTILINE))
        return result

    pxla.ExecuteReplicated.__call__ = watched  # type: ignore[method-assign]
    pjit._get_fastpath_data = lambda *_, **__: None  # type: ignore[assignment]
    case()
    return {"programs": found}


def _plain(name: str) -> str:
    """A program's name without what JAX puts around it."""
    return re.sub(r"^jit[_(]|\)$", "", name)


def measured(name: str, how: str) -> dict[str, Any]:
    """What a case tells in a fresh process without a cache."""
    command = [sys.executable, "-m", "benchmarks.programs", name, "--here", how]
    variables = {**os.environ, "PUSHFORWARD_CACHE": "", "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def section(name: str, rounds: int) -> str:
    """The table of one case, of the process of the middle wall time."""
    runs = sorted((measured(name, "timed") for _ in range(rounds)), key=lambda run: float(run["seconds"]))
    middle, more = runs[len(runs) // 2], measured(name, "counted")["programs"]
    span = f" ({seconds(runs[0]['seconds'])}–{seconds(runs[-1]['seconds'])})" if rounds > 1 else ""
    rows = sorted(middle["programs"].items(), key=lambda item: -sum(item[1].values()))
    large = [row for row in rows if sum(row[1].values()) >= SMALLEST_S]
    rest = [took for row, took in rows if sum(took.values()) < SMALLEST_S]
    small = {stage: sum(took[stage] for took in rest) for stage in STAGES.values()}
    lines = [
        "| program | traced | lowered | compiled | instructions | runs | running |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for program, took in large:
        known = more.get(program, {"runs": 0, "ran": 0.0, "instructions": 0})
        stages = " | ".join(seconds(took[stage]) for stage in STAGES.values())
        tail = f"{known['instructions']:,} | {known['runs']} | {seconds(known['ran'])}"
        lines.append(f"| {program} | {stages} | {tail} |")
    stages = " | ".join(seconds(small[stage]) for stage in STAGES.values())
    lines.append(f"| {len(rest)} others | {stages} | | | |")
    title = (CASES[name].__doc__ or "").strip()
    return f"## {name}\n\n{title} In all {seconds(middle['seconds'])}{span}.\n\n" + "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the page; or one case in this process."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.programs", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(CASES)} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of each (default: 5)")
    parser.add_argument("--here", choices=["timed", "counted"], help="run one case in this process and print JSON")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.cases) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}; choose of {', '.join(CASES)}")
    if asked.here:
        (name,) = asked.cases
        print("\n" + json.dumps({"timed": timed, "counted": counted}[asked.here](CASES[name])))
        return
    about = (
        f"{datetime.now(UTC).date()}, commit {commit()}, {os.cpu_count()} cores; medians of {asked.rounds} fresh "
        "processes without a cache, interpreter and imports included. Instructions, runs and their time are of one "
        "more process, which waits for every program."
    )
    sections = [section(name, asked.rounds) for name in asked.cases or CASES]
    head = "# What is compiled\n\nGenerated by `python -m benchmarks.programs`; do not edit.\n\n"
    PAGE.write_text(head + f"<sub>{about}</sub>\n\n" + "\n".join(sections))
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
