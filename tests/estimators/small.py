"""Small models and tables, so that fits compile in seconds."""

from typing import Any

import numpy as np

import pushforward as pf

SMALL: dict[str, Any] = {
    "flow": "real_nvp",
    "n_layers": 2,
    "hidden_sizes": (4,),
    "max_epochs": 3,
    "validation_fraction": 0.0,
    "random_state": 0,
}
CENTRES = np.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 6.0]])


def density(**options: Any) -> pf.FlowDensity:
    return pf.FlowDensity(**{**SMALL, **options})


def mixture(n_components: int | str = 3, **options: Any) -> pf.FlowMixture:
    small = {**SMALL, "posterior_hidden_sizes": (8,), "refine_posterior": False}
    return pf.FlowMixture(n_components, **{**small, **options})


def blobs(n: int = 90, seed: int = 0) -> tuple[Any, Any]:
    """Three clusters far from each other, and which row is of which."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 3
    return CENTRES[y] + 0.5 * rng.normal(size=(n, 2)), y


def shoppers(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of three segments, shape (n, 4), and which each is of: age, a skewed income, visits and a share with masses.

    Within a segment the columns are independent.
    """
    rng = np.random.default_rng(seed)
    segment = rng.integers(3, size=n)
    u, share = rng.random(n), rng.beta(np.array([6, 4, 2])[segment], np.array([2, 4, 6])[segment])
    columns = [
        np.round(rng.normal(np.array([25, 45, 66])[segment], 7)),
        np.round(rng.lognormal(np.array([9.9, 11.1, 10.4])[segment], 0.35), 2),
        np.where(rng.random(n) < np.array([0.7, 0.15, 0.4])[segment], 0, rng.poisson(np.array([4, 11, 6])[segment])),
        np.where(
            u < np.array([0.03, 0.1, 0.5])[segment], 0, np.where(u > np.array([0.6, 0.9, 0.98])[segment], 1, share)
        ),
    ]
    return np.stack(columns, axis=1).astype(float), segment
