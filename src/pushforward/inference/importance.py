"""Importance ratios with their largest ones smoothed."""

from __future__ import annotations

import warnings

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike


def smooth(log_ratios: ArrayLike) -> tuple[Float[np.ndarray, " n"], float]:
    """Pareto-smoothed normalised log-weights and k̂, the shape of their tail (Vehtari et al. 2024).

    Arguments:
        log_ratios: log p − log q of draws of q, shape (n,); -inf where p is zero.

    Returns:
        Log-weights whose exponentials sum to 1, and k̂; infinite where no ratio is finite or any is +inf or NaN.
    """
    ratios = np.asarray(log_ratios, dtype=np.float64)
    finite = np.isfinite(ratios)
    if not finite.any() or np.isnan(ratios).any() or (ratios == np.inf).any():
        return np.full(len(ratios), -np.log(len(ratios))), float("inf")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # announcements of its next version
        from arviz import psislw
    with np.errstate(over="ignore"):
        smoothed, k_hat = psislw(  # type: ignore[no-untyped-call]
            np.where(finite, ratios, ratios[finite].min() - 700.0)
        )
    return np.asarray(smoothed), float(k_hat)
