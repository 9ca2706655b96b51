"""The tables of the autoencoders, made from the rows of their results."""

from __future__ import annotations

from typing import Any

import numpy as np

PUBLISHED = {"no flow": 86.55, "planar 10": 86.06, "IAF": 84.20, "Sylvester": 83.32}
# what the lectures say of flows: a richer family, or a longer flow, has the better bound
PAIRS = (
    ("no flow", "planar 10"),
    ("planar 10", "IAF"),
    ("planar 10", "Sylvester"),
    ("no flow", "IAF"),
    ("no flow", "Sylvester"),
    ("planar 10", "planar 40"),
)
FIGURES = {"elbo": "negative ELBO", "log_likelihood": "negative log-likelihood"}
CLEAR = 2.0  # standard errors


def markdown(head: list[str], rows: list[list[str]]) -> list[str]:
    return ["", *(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])]


def section(report: dict[str, Any]) -> list[str]:
    """Everything of one set of settings."""
    by_model: dict[str, list[dict[str, Any]]] = {}
    for row in report["rows"]:
        by_model.setdefault(row["model"], []).append(row)
    lines = ["", f"### {report['settings']}", *levels(by_model, report["settings"].startswith("mnist"))]
    lines += differences(by_model)
    seeds = len(report["seeds"])
    error = max((row.get("monte_carlo_error", 0.0) for row in report["rows"]), default=0.0)
    lines += [
        "",
        f"Nats, mean over {seeds} seed{'s' if seeds > 1 else ''}"
        + (" ± standard error over seeds" if seeds > 1 else "")
        + f"; log-likelihoods of {report['n_weighted']} rows, their Monte Carlo error at most {error:.3f}. "
        f"{report['machine']}, fits side by side on one thread each, {report['wall_seconds']:.0f} s in all, "
        f"commit `{report['commit']}`.",
    ]
    for picture in report["pictures"]:
        lines += ["", f"![{picture.rsplit('/', 1)[-1].removesuffix('.png')}]({picture})"]
    return lines


def levels(by_model: dict[str, list[dict[str, Any]]], published: bool) -> list[str]:
    """A line for each model."""
    head = ["posterior", *FIGURES.values(), "updates", "seconds of a fit", "numbers that train"]
    table = []
    for name, rows in by_model.items():
        line = [name]
        line += [mean_and_error([-row[k] for row in rows]) if k in rows[0] else "none" for k in FIGURES]
        line += [f"{rows[0]['updates']:,}", f"{np.median([row['seconds'] for row in rows]):.0f}"]
        line += [f"{rows[0]['parameters']:,}"]
        table.append(line + ([f"{PUBLISHED[name]:.2f}" if name in PUBLISHED else ""] if published else []))
    lines = markdown(head + (["published negative ELBO"] if published else []), table)
    if published:
        lines += ["", "The published runs (van den Berg et al. 2018) are far longer, on statically binarised images."]
    return lines


def mean_and_error(values: list[float]) -> str:
    """Mean ± its standard error, which one value has not."""
    mean = f"{np.mean(values):.2f}"
    return mean if len(values) < 2 else f"{mean} ± {np.std(values, ddof=1) / len(values) ** 0.5:.2f}"


def differences(by_model: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What each flow gains, seed by seed, and where that is no more than chance."""
    pairs = [(a, b) for a, b in PAIRS if a in by_model and b in by_model]
    if not pairs or len(by_model[pairs[0][0]]) < 2:
        return []
    table, unclear = [], []
    for a, b in pairs:
        line = [f"{a} → {b}"]
        for key, name in FIGURES.items():
            mean, error = paired(by_model[a], by_model[b], key)
            line.append(f"{mean:+.2f} ± {error:.2f}")
            if abs(mean) < CLEAR * error:
                unclear.append(f"{a} → {b} ({name})")
            elif mean < 0:
                unclear.append(f"{a} → {b} ({name}), which is worse")
        table.append(line)
    lines = markdown(["paired by seed", "gain in ELBO", "gain in log-likelihood"], table)
    if not unclear:
        return [*lines, "", f"Every gain is above {CLEAR:.0f} standard errors."]
    return [*lines, "", f"Not a gain of {CLEAR:.0f} standard errors at this many updates: {'; '.join(unclear)}."]


def paired(a: list[dict[str, Any]], b: list[dict[str, Any]], key: str) -> tuple[float, float]:
    """Mean and standard error of the gain from a to b over the seeds that both have."""
    first, second = ({row["seed"]: row[key] for row in rows} for rows in (a, b))
    gains = [second[seed] - first[seed] for seed in first if seed in second]
    return float(np.mean(gains)), float(np.std(gains, ddof=1) / len(gains) ** 0.5)
