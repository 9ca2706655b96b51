"""Real tables: clusters beside the usual choices, and density beside the best Gaussian mixture.

"clusters": scikit-learn's wine, breast cancer and digits (8 × 8 pixels as plain columns) are clustered into as many
parts as they have classes, on all rows; columns that are constant are dropped, and every method sees standardised
columns. HDBSCAN chooses its own number, and rows it calls noise are a part of their own. "FlowGMM" is this package's
mixture with all layers shared: Gaussians under one flow (Izmailov et al. 2020).

"densities": a fifth of the rows is held out, the mean log-density of which counts. All columns are spread evenly over
their smallest recording step, for both sides alike, so that repeated values hold no likelihood. The Gaussian mixture
has full covariances on standardised columns; its size is chosen by BIC for each of five values of `reg_covar`, and that
one of them is taken which is best on a tenth of the training rows. The mixture of flows has the defaults and as many
components as the table has classes. The three tables of most cells have three seeds.
"""

from __future__ import annotations

import time
import warnings
from functools import partial
from typing import Any

import numpy as np
from common import arguments, data_folder, picture, summary, timed, write
from sklearn.cluster import HDBSCAN, KMeans, SpectralClustering
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from pushforward import FlowMixture, plots

LABELLED = {"wine": load_wine, "breast cancer": load_breast_cancer, "digits": load_digits}
CLASSES = {"wine": 3, "breast cancer": 2, "letter": 26, "digits": 10, "pendigits": 10, "satellite": 6}
LARGE, LARGE_SEEDS = ("digits", "pendigits", "satellite"), 3
SIZES = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40)
REGULARISATIONS = (1e-6, 1e-4, 1e-3, 1e-2, 1e-1)


def table(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows without constant columns, and classes if there are any."""
    if name in LABELLED:
        X, y = LABELLED[name](return_X_y=True)
    else:
        X, y = np.load(data_folder() / "adbench" / f"{name}.npz")["X"], None
    return X[:, np.ptp(X, axis=0) > 0].astype(np.float64), y


def standardised(X: np.ndarray) -> np.ndarray:
    """Columns of mean 0 and variance 1."""
    return (X - X.mean(axis=0)) / X.std(axis=0)


def clusterings(X: np.ndarray, k: int, seed: int) -> dict[str, np.ndarray]:
    """The parts that each method finds."""
    z = standardised(X)
    return {
        "k-means": KMeans(k, n_init=10, random_state=seed).fit_predict(z),
        "Gaussian mixture": GaussianMixture(k, n_init=3, reg_covar=1e-3, random_state=seed).fit_predict(z),
        "spectral": SpectralClustering(k, affinity="nearest_neighbors", random_state=seed).fit_predict(z),
        "HDBSCAN": HDBSCAN(min_cluster_size=max(5, len(X) // (10 * k)), copy=True).fit_predict(z),
        "FlowGMM": FlowMixture(k, shared_layers="all", consistency=0.0, init="spectral", random_state=seed)
        .fit(X)
        .labels_,
    }


def clusters(seed: int, row: dict[str, Any]) -> FlowMixture:
    """Adjusted Rand indices of every method on every labelled table."""
    found: dict[str, list[float]] = {}
    for name in LABELLED:
        X, y = table(name)
        mixture = FlowMixture(CLASSES[name], random_state=seed).fit(X)
        parts = {
            "this package": mixture.labels_,
            "this package, responsibilities": mixture.responsibilities(X).argmax(axis=1),
        } | clusterings(X, CLASSES[name], seed)
        for method, part in parts.items():
            found.setdefault(method, []).append(adjusted_rand_score(y, part))
            row[f"{name}: {method}"] = found[method][-1]
    row |= {f"mean: {method}": float(np.mean(values)) for method, values in found.items()}
    return mixture


def split(X: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows to fit and rows held out, spread over the recording step."""
    rng = np.random.default_rng(seed)
    step = np.array([np.diff(np.unique(column)).min() for column in X.T])
    rows = (X + step * rng.random(X.shape))[rng.permutation(len(X))]
    return rows[len(X) // 5 :], rows[: len(X) // 5]


def best_gaussians(train: np.ndarray, test: np.ndarray, seed: int) -> float:
    """The held-out log-density of the best Gaussian mixture."""
    centre, spread = train.mean(axis=0), train.std(axis=0)
    z, held_out = (train - centre) / spread, (test - centre) / spread
    n = len(z) // 10
    best: tuple[float, GaussianMixture | None] = (-np.inf, None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for regularisation in REGULARISATIONS:
            options = {"reg_covar": regularisation, "random_state": seed}
            fits = [GaussianMixture(k, **options).fit(z[n:]) for k in SIZES]
            chosen = min(fits, key=lambda mixture: mixture.bic(z[n:]))
            if chosen.score(z[:n]) > best[0]:
                again = GaussianMixture(chosen.n_components, **options).fit(z)
                best = (chosen.score(z[:n]), again)
    assert best[1] is not None
    return float(best[1].score(held_out) - np.log(spread).sum())


def densities(seed: int, row: dict[str, Any], large: bool = False) -> FlowMixture:
    """Held-out log-densities on the small or the large tables."""
    for name in (name for name in CLASSES if (name in LARGE) == large):
        k = CLASSES[name]
        train, test = split(table(name)[0], seed)
        began = time.monotonic()
        mixture = FlowMixture(k, random_state=seed).fit(train)
        row[f"{name}: this package"] = mixture.score(test)
        row[f"{name}: best Gaussian mixture"] = best_gaussians(train, test, seed)
        row[f"{name}: difference"] = row[f"{name}: this package"] - row[f"{name}: best Gaussian mixture"]
        print(f"    {name} {row[f'{name}: difference']:.3f} nats, {time.monotonic() - began:.0f} s", flush=True)
    return mixture


SETTINGS = {"clusters": clusters, "densities": densities, "densities-large": partial(densities, large=True)}


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(SETTINGS), seeds=10)
    for settings in asked.settings:
        print(settings)
        rows = []
        for seed, row in timed(min(asked.seeds, LARGE_SEEDS) if "large" in settings else asked.seeds):
            mixture = SETTINGS[settings](seed, row)
            rows.append(row)
        names = [name for name in rows[0] if name not in ("seed", "seconds")]
        drawn = []
        if settings == "clusters":  # the last table and seed
            X, y = table("digits")
            drawn = [picture(plots.component_map(X, mixture.labels_, classes=y), "tables-clusters-digits")]
        write("tables", settings, mixture, rows, summary=summary(rows, dict.fromkeys(names, True)), pictures=drawn)


if __name__ == "__main__":
    main()
