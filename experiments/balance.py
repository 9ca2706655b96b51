"""What keeps every component in use, and each on a cluster of its own: starts, temperature, consistency, balance.

The adjusted Rand index of `predict` on the rows fitted, the median of three seeds. Each line changes what it says and
leaves the rest at the defaults. "Unequal" are two Gaussian clusters of 90 % and 10 % of 1,000 rows, four standard
deviations apart in two columns, eight in twelve.

Where components start decides the most: from a random start they take each other's rows, and a higher temperature does
not stop that. Much consistency makes a large cluster swallow a small one near it, as spectral parts of equal size do.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import arguments, write_table
from sklearn.datasets import load_wine
from sklearn.metrics import adjusted_rand_score
from threadpoolctl import threadpool_limits

from pushforward import FlowMixture
from pushforward.data.toy import pinwheel, two_circles

CHANGES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "random start": {"init": "random", "consistency": 0.0},
    "random start, temperature 10": {"init": "random", "consistency": 0.0, "temperature": 10.0},
    "spectral start": {"init": "spectral"},
    "no consistency": {"consistency": 0.0},
    "consistency 0.1": {"consistency": 0.1},
    "consistency 0.3": {"consistency": 0.3},
    "consistency 1": {"consistency": 1.0},
    "balance 0": {"balance": 0.0},
    "balance 1": {"balance": 1.0},
    "temperature 10": {"temperature": 10.0},
    "six layers": {"n_layers": 6},  # two where rows are few, else
}


def unequal(dim: int, apart: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two Gaussian clusters, one with a tenth of the rows."""
    rng = np.random.default_rng(seed)
    y = (rng.uniform(size=1000) < 0.1).astype(int)
    X = rng.normal(size=(1000, dim))
    X[:, 0] += apart * y
    return X, y


def tables(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray, int]]:
    """Name -> rows, classes, how many."""
    return {
        "pinwheel": (*pinwheel(2560, seed=seed), 5),
        "two circles": (*two_circles(1024, seed=seed), 2),
        "unequal, 2 columns": (*unequal(2, 4.0, seed), 2),
        "unequal, 12 columns": (*unequal(12, 8.0, seed), 2),
        "wine": (*load_wine(return_X_y=True), 3),
    }


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(CHANGES), seeds=3)
    began, rows = time.monotonic(), []
    with threadpool_limits(1):
        for change in asked.settings:
            found: dict[str, list[float]] = {}
            for seed in range(asked.seeds):
                for name, (X, y, k) in tables(seed).items():
                    mixture = FlowMixture(k, random_state=seed, max_epochs=asked.epochs, **CHANGES[change]).fit(X)
                    found.setdefault(name, []).append(adjusted_rand_score(y, mixture.labels_))
            rows.append([change, *(float(np.median(values)) for values in found.values())])
            print(rows[-1], flush=True)
    if asked.epochs is None and len(asked.settings) == len(CHANGES):  # part of the lines is no table
        write_table("balance", ["", *found], rows, round(time.monotonic() - began, 1), asked.seeds)


if __name__ == "__main__":
    main()
