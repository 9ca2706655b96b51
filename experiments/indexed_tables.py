"""Continuously-indexed MAFs on six real tables, beside MAFs of as many parameters.

A tenth of the rows is held out by each seed; of rows that are alike in all columns (a fifth of the white wines) one is
kept, since copies on both sides would reward learning rows by heart. Columns of whole numbers, and the steps that other
columns were recorded in, are spread evenly, for both flows alike, so that no column has an infinite density. Both train
on the same rows, as `FlowDensity` does by default. Whether the indexed flow has one index or one for each layer is the
choice of each seed's validation rows; that there are these two, and their sizes, was settled on some of these tables.
It is scored by importance weights of 64 draws, which are below the truth in the mean. Densities are in standard units.
The standard error is of the mean difference over the rows of all seeds. Kernel density estimation stands beside them: a
Gaussian at each of at most 10,000 rows, of the width that a tenth of them, held out, likes best.
"""

from __future__ import annotations

import gzip
import time
from typing import Any

import numpy as np
from common import arguments, data_folder, write_table
from scipy.special import logsumexp
from sklearn.neighbors import KernelDensity

from pushforward import FlowDensity, trees
from pushforward.data.columns import Columns
from pushforward.estimators.preparing import unbounded

OPTIONS: dict[str, dict[str, Any]] = {
    "maf": {"n_layers": 6, "hidden_sizes": (64, 64)},
    "indexed_maf": {"n_layers": 5, "hidden_sizes": (64, 64)},
}
FORMS: dict[str, tuple[dict[str, Any], ...]] = {"maf": ({},), "indexed_maf": ({"index": "flow"}, {"index": "layer"})}
MOST_KERNELS, WIDTHS = 10_000, np.geomspace(0.02, 1, 12)  # in standard units
LIKE = 0.98  # correlation above which one of two columns goes, as in the benchmark of Uria et al. (2013)


def wine(kind: str) -> np.ndarray:
    return np.loadtxt(data_folder() / "uci" / f"winequality-{kind}.csv", delimiter=",")


def text(name: str) -> np.ndarray:
    with gzip.open(data_folder() / "uci" / f"{name}.txt.gz", "rt") as file:
        return np.loadtxt(file)


TABLES = {
    "protein": lambda: text("protein-tertiary-structure"),
    "power-plant": lambda: text("power-plant"),
    "red-wine": lambda: wine("red"),
    "white-wine": lambda: wine("white"),
    # without the subject, whose rows are not independent, and its age and sex, which say who it is
    "parkinsons": lambda: np.loadtxt(data_folder() / "uci" / "parkinsons_updrs.data", skiprows=1)[:, 3:],
    "pendigits": lambda: np.load(data_folder() / "adbench" / "pendigits.npz")["X"],
}


def rows_of(name: str) -> np.ndarray:
    """Rows once each, and columns that vary, but for those that another one all but gives."""
    X = TABLES[name]().astype(np.float64)
    X = X[:, np.ptp(X, axis=0) > 0]
    kept: list[int] = []
    for column in range(X.shape[1]):
        if all(abs(np.corrcoef(X[:, column], X[:, other])[0, 1]) < LIKE for other in kept):
            kept.append(column)
    first = np.unique(X[:, kept], axis=0, return_index=True)[1]
    return X[np.sort(first)][:, kept]


def fitted(
    name: str, forms: tuple[dict[str, Any], ...], train: np.ndarray, whole: list[int], seed: int, epochs: int | None
) -> tuple[FlowDensity, dict[str, Any]]:
    """The best of some forms of a flow by its validation rows, trained as by default, and the form."""
    common = {"discrete": whole, "random_state": seed, "max_epochs": epochs, **OPTIONS[name]}
    fits = [(FlowDensity(name, flow_options=form, **common).fit(train), form) for form in forms]
    return min(fits, key=lambda fit: min(epoch["validation_loss"] for epoch in fit[0].history_))


def scored(density: FlowDensity, test: np.ndarray) -> np.ndarray:
    """Log-densities of held-out rows, in standard units."""
    values: np.ndarray = density.score_samples(test) + density.columns_.log_scale
    return values


def kernels(columns: Columns, train: np.ndarray, test: np.ndarray, seed: int) -> np.ndarray:
    """Log-densities of held-out rows by kernel density estimation."""
    rows = np.random.default_rng(seed).permutation(unbounded(columns, columns.standardize(train, training=True)))
    rows = rows[:MOST_KERNELS]
    held_out, rest = np.split(rows, [len(rows) // 10])
    best = max(WIDTHS, key=lambda width: KernelDensity(bandwidth=width).fit(rest).score(held_out))
    fit = KernelDensity(bandwidth=best).fit(rows)
    draws = [fit.score_samples(columns.standardize(test) + draw) for draw in columns.draws()]
    return logsumexp(draws, axis=0) - np.log(len(draws))


def compared(table: str, X: np.ndarray, seeds: int, epochs: int | None) -> list[Any]:
    """A row: both flows and kernel density on held-out rows of every seed."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in OPTIONS}
    sizes, chosen = dict.fromkeys(FORMS, 0), []
    classical: list[float] = []
    for seed in range(seeds):
        order = np.random.default_rng(seed).permutation(len(X))
        test, train = X[order[: len(X) // 10]], X[order[len(X) // 10 :]]
        # a column of whole numbers in every row but few must not be taken for one where the few are held out
        whole = [int(i) for i in np.flatnonzero((np.round(X) == X).all(0))]
        for name in OPTIONS:
            began = time.monotonic()
            density, best = fitted(name, FORMS[name], train, whole, seed, epochs)
            sizes[name] = max(sizes[name], trees.n_parameters(density._flow))
            chosen += best.values()
            found[name].append(scored(density, test))
            print(f"{table} {name} {found[name][-1].mean():.4f} in {time.monotonic() - began:.0f} s {best}", flush=True)
        classical.append(float(kernels(density.columns_, train, test, seed).mean()))
    gains = np.concatenate([a - b for a, b in zip(found["indexed_maf"], found["maf"], strict=True)])
    row: list[Any] = [table, X.shape[1], len(X)]
    for name in OPTIONS:
        row += [", ".join(chosen)] if name == "indexed_maf" else []
        row += [sizes[name], round(float(np.mean(np.concatenate(found[name]))), 4)]
    row += [round(float(gains.mean()), 4), round(float(gains.std() / len(gains) ** 0.5), 4)]
    row.append(sum(bool(a.mean() > b.mean()) for a, b in zip(found["indexed_maf"], found["maf"], strict=True)))
    return [*row, round(float(np.mean(classical)), 4)]


HEAD = ["table", "columns", "rows", "MAF: parameters", "log-density"]
HEAD += ["indexed MAF: one index for", "parameters", "log-density", "gain", "standard error", "seeds above"]
HEAD += ["kernel density"]


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(TABLES), seeds=3)
    for table in asked.settings:
        began = time.monotonic()
        row = compared(table, rows_of(table), asked.seeds, asked.epochs)
        if asked.epochs is None:
            write_table("indexed_tables", HEAD, [row], round(time.monotonic() - began, 1), asked.seeds, settings=table)
        else:
            print(row)


if __name__ == "__main__":
    main()
