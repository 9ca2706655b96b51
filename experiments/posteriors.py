"""Eleven real posteriors: `fit_posterior` beside NumPyro's guides and NUTS, and the least each needs.

The ten posteriors of `posteriordb` (eight schools both ways), every method with one setting for all. A posterior is
met where every parameter's mean is within 0.1 standard deviations of the reference draws', every standard deviation
within 10 %, and Pareto k̂ below 0.7 (NUTS has none). *accuracy*: `fit_posterior` with its defaults, guides with 5,000
steps of Adam at 0.005 with 4 particles, NUTS with one chain of 2,000 draws after as many of warm-up; seed 0, cold in a
fresh process and warm, again in the same one with another seed. *ladder*: the lowest level that meets the posterior
with 5 of 5 seeds, and its time, cold in a fresh process, the median of three: `effort=` 1 to 4 for `fit_posterior`;
250, 500, 1,000, … 16,000 draws for NUTS. Times hold everything from building the log-density or sampler to draws in
hand, compilation included, and not imports.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
from common import HERE, arguments, data_folder, write_table
from posterior_models import models

METHODS = ["fit_posterior", "AutoNormal", "AutoMultivariateNormal", "AutoIAFNormal", "AutoBNAFNormal", "NUTS"]
LADDERS = {"fit_posterior": [1, 2, 3, 4], "NUTS": [250 * 2**i for i in range(7)]}
TABLED = {"fit_posterior": 2, "NUTS": 2000}
LIMIT = 600  # seconds of one process


def run(method: str, name: str, level: int, seeds: list[int]) -> list[dict[str, Any]]:
    """The rows of one process; fewer than seeds where it failed or took too long."""
    asked = json.dumps({"method": method, "name": name, "level": level, "seeds": seeds})
    command = [sys.executable, str(HERE / "posterior_methods.py"), asked]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        out = done.stdout
        if done.returncode:
            print(done.stderr.strip().splitlines()[-1:], flush=True)
    except subprocess.TimeoutExpired as error:
        out = (error.stdout or b"").decode() if isinstance(error.stdout, bytes) else (error.stdout or "")
    return [json.loads(line) for line in out.splitlines()]


def accuracy(names: list[str]) -> list[list[Any]]:
    """One row for each posterior and method."""
    rows = []
    for name in names:
        for method in METHODS:
            found = run(method, name, TABLED.get(method, 0), [0, 1])
            cold, warm = ([*found, {}, {}])[:2]
            sd = f"{cold['least_ratio']:.3g} – {cold['largest_ratio']:.3g}" if cold else "failed"
            verdict = ("yes" if cold["passed"] else "no") if cold else "no"
            numbers = [cold.get(k) for k in ("error",)] + [sd, cold.get("k_hat"), cold.get("elbo")]
            rows.append([name, method, verdict, *numbers, cold.get("seconds"), warm.get("seconds")])
            print(rows[-1], flush=True)
    return rows


def lowest(method: str, name: str, seeds: int) -> tuple[int | None, float | None]:
    """The lowest level that meets a posterior with every seed, and its time in a fresh process."""
    for level in LADDERS[method]:
        found = run(method, name, level, list(range(seeds)))
        if len(found) == seeds and all(row["passed"] for row in found):
            again = [run(method, name, level, [seed])[0]["seconds"] for seed in (1, 2)]
            return level, float(np.median([found[0]["seconds"], *again]))
        print(f"  {method} {name} {level}: {[round(row['error'], 3) for row in found]}", flush=True)
    return None, None


def ladder(names: list[str], seeds: int) -> list[list[Any]]:
    """One row for each posterior: both methods' lowest level, their times and the ratio."""
    rows = []
    for name in names:
        ours, theirs = (lowest(method, name, seeds) for method in LADDERS)
        ratio = None if ours[1] is None or theirs[1] is None else ours[1] / theirs[1]
        rows.append([name, ours[0], ours[1], theirs[0], theirs[1], ratio])
        print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", ["accuracy", "ladder"], seeds=5)
    names = list(models(data_folder() / "posteriordb"))[: asked.epochs]  # a quick look is at the first few
    for settings in asked.settings:
        began = time.monotonic()
        if settings == "accuracy":
            rows = accuracy(names)
            met = {method: sum(row[2] == "yes" for row in rows if row[1] == method) for method in METHODS}
            head = ["posterior", "method", "met", "worst mean, sd", "sd ratios", "k̂", "ELBO", "s, cold", "s, warm"]
            notes = ["Met: " + ", ".join(f"{method} {n} of {len(names)}" for method, n in met.items()) + "."]
        else:
            rows = ladder(names, asked.seeds)
            ratios = [row[5] for row in rows if row[5] is not None]
            head = ["posterior", "effort", "s", "draws of NUTS", "s, NUTS", "ratio"]
            notes = [f"Median ratio {np.median(ratios):.2f} over the {len(ratios)} that both meet."]
        if asked.epochs is None:
            seconds = time.monotonic() - began
            write_table("posteriors", head, rows, seconds, asked.seeds, settings=settings, notes=notes)


if __name__ == "__main__":
    main()
