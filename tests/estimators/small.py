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
