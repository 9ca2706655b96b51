"""Density with defaults, beside the best Gaussian mixture and the kernel density.

A fifth of the rows is held out, the mean log-density of which counts, in nats. Rows that are there twice are taken
once, and all columns are spread evenly over their smallest recording step, for every side alike, so that repeated
values hold no likelihood. The Gaussian mixture has full covariances on standardised columns; its size (1 to 40) and
`reg_covar` are those that are best on a tenth of the training rows, and it is fitted to all of them; of generated rows,
sizes that are worse twice in a row are the last. The kernel density is a sum of Gaussian kernels on whitened rows (at
most 10,000 of them), its width chosen on the same tenth. "normal" is the same flow on a single Gaussian, what the
default was before. Medians over the seeds; "least" is the smallest of the differences to the best rival.

"chosen": tables that the defaults were chosen on; "reported": tables that nothing was chosen on. "gaussians": rows of
one Gaussian with correlated columns.
"""

from __future__ import annotations

import gzip
import time
import warnings
from typing import Any

import numpy as np
from common import arguments, data_folder, timed, write_table
from scipy.special import logsumexp
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics.pairwise import euclidean_distances
from sklearn.mixture import GaussianMixture

from pushforward import FlowDensity

TABLES = {
    "chosen": ["protein", "white wine", "breastw", "cardio", "letter", "pendigits", "vowels"],
    "reported": ["power plant", "red wine", "parkinsons", "mammography", "satellite", "shuttle", "thyroid", "wine"],
    "gaussians": [f"{dim} × {n}" for dim in (2, 3, 10, 20, 40, 100) for n in (200, 2000, 20_000)],
}
SIZES = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40)
REGULARISATIONS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)
WIDTHS = np.geomspace(0.05, 1.5, 12)
MOST_KERNELS, FRESH, AT_ONCE = 10_000, 4000, 500
LEAST_STEP = 1e-6  # of a column's range: smaller gaps are rounding errors


def table(name: str) -> np.ndarray:
    """Distinct rows, without constant columns."""
    uci = data_folder() / "uci"
    if name in ("protein", "power plant"):
        file = {"protein": "protein-tertiary-structure", "power plant": "power-plant"}[name]
        with gzip.open(uci / f"{file}.txt.gz", "rt") as lines:
            X = np.loadtxt(lines)
    elif name in ("white wine", "red wine"):
        X = np.loadtxt(uci / f"winequality-{name.split()[0]}.csv", delimiter=",")
    elif name == "parkinsons":
        X = np.loadtxt(uci / "parkinsons_updrs.data", skiprows=1)[:, 3:]
    else:
        X = np.load(data_folder() / "adbench" / f"{name}.npz")["X"].astype(float)
    return np.unique(X[:, np.ptp(X, axis=0) > 0], axis=0)


def split(name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows held out."""
    rng = np.random.default_rng(seed)
    if "×" in name:
        dim, n = map(int, name.split(" × "))
        mixing = np.random.default_rng(dim).normal(size=(dim, dim)) / np.sqrt(dim) + np.eye(dim)
        rows = rng.normal(size=(n + FRESH, dim)) @ mixing
        return rows[:n], rows[n:]
    X = table(name)
    gaps = [np.diff(np.unique(column)) for column in X.T]
    step = np.array([gap[gap > LEAST_STEP * np.ptp(column)].min() for gap, column in zip(gaps, X.T, strict=True)])
    rows = (X + step * rng.random(X.shape))[rng.permutation(len(X))]
    return rows[len(X) // 5 :], rows[: len(X) // 5]


def best_mixture(train: np.ndarray, test: np.ndarray, seed: int, generated: bool) -> float:
    """The held-out log-density of the best Gaussian mixture by validation."""
    centre, spread = train.mean(axis=0), train.std(axis=0)
    z, held_out = (train - centre) / spread, (test - centre) / spread
    n, best = len(z) // 10, (-np.inf, 1, 1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for regularisation in REGULARISATIONS:
            worse, last = 0, -np.inf
            for k in SIZES:
                if k > len(z) // 3 or (generated and worse == 2):
                    break
                score = GaussianMixture(k, reg_covar=regularisation, random_state=seed).fit(z[n:]).score(z[:n])
                worse, last = (0, score) if score > last else (worse + 1, last)
                best = max(best, (score, k, regularisation))
        fit = GaussianMixture(best[1], reg_covar=best[2], random_state=seed).fit(z)
    return float(fit.score(held_out) - np.log(spread).sum())


def kernels(train: np.ndarray, test: np.ndarray) -> float:
    """The held-out log-density of the kernel density."""
    factor = np.linalg.cholesky(np.cov(train.T) + 1e-9 * np.diag(train.var(axis=0)))
    centre = train.mean(axis=0)
    z, held_out = (np.linalg.solve(factor, (rows - centre).T).T for rows in (train[:MOST_KERNELS], test))
    n = len(z) // 10
    width = max(WIDTHS, key=lambda width: kernel_score(z[n:], z[:n], width))
    return kernel_score(z, held_out, width) - float(np.log(np.diagonal(factor)).sum())


def kernel_score(rows: np.ndarray, held_out: np.ndarray, width: float) -> float:
    """The mean log-density of Gaussian kernels; exact, which scikit-learn's trees are not in a hundred columns."""
    parts = np.array_split(held_out, -(-len(held_out) // AT_ONCE))
    exponents = (-euclidean_distances(part, rows, squared=True) / (2 * width**2) for part in parts)
    values = np.concatenate([logsumexp(exponent, axis=1) for exponent in exponents])
    return float(values.mean() - np.log(len(rows)) - 0.5 * rows.shape[1] * np.log(2 * np.pi * width**2))


def compare(name: str, seeds: int) -> list[Any]:
    """A row of the table: medians over seeds."""
    found: dict[str, list[float]] = {}
    for seed, row in timed(seeds):
        train, test = split(name, seed)
        for side, base in (("this", "auto"), ("normal", "normal")):
            began = time.monotonic()
            row[side] = FlowDensity(base=base, random_state=seed).fit(train).score(test)
            row[f"{side}, seconds"] = time.monotonic() - began
        row["mixture"] = best_mixture(train, test, seed, "×" in name)
        row["kernels"] = kernels(train, test)
        row["difference"] = row["this"] - max(row["mixture"], row["kernels"])
        for key, value in row.items():
            found.setdefault(key, []).append(value)
    middle = {key: float(np.median(values)) for key, values in found.items()}
    densities = [f"{middle[side]:.3f}" for side in ("this", "normal", "mixture", "kernels", "difference")]
    times = [f"{middle[f'{side}, seconds']:.0f}" for side in ("this", "normal")]
    return [name, " × ".join(map(str, train.shape)), *densities, f"{min(found['difference']):.3f}", *times]


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(TABLES), seeds=3)
    warnings.simplefilter("ignore")
    for settings in asked.settings:
        began, rows = time.monotonic(), []
        for name in TABLES[settings]:
            print(f"{settings}: {name}", flush=True)
            rows.append(compare(name, asked.seeds))
        head = [
            "table",
            "rows",
            "default",
            "normal",
            "Gaussian mixture",
            "kernels",
            "default − best",
            "least",
            "s",
            "s, normal",
        ]
        write_table("defaults", head, rows, round(time.monotonic() - began), asked.seeds, settings=settings)


if __name__ == "__main__":
    main()
