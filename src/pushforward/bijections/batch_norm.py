"""Batch normalisation as a layer of a density."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractDataMap
from pushforward.checks import check_shape, floating, require, require_shape
from pushforward.trees import Frozen


class BatchNorm(AbstractDataMap):
    """z = (x − μ) / √(σ² + ε) on the way from data to noise (Ioffe & Szegedy 2015; Dinh et al. 2017).

    Statistics do not train; `calibrate` takes them from a batch, with gradients flowing through them in its outputs.
    A fitted density keeps those of its training rows. For a learned scale and shift, chain an `Affine`
    before it. In closed form both ways.

    Arguments:
        mean: μ, floating, event shape; or of its last axes alone, such as (C,), one for each channel of an image.
        variance: σ², floating, not negative, the same shape.
        epsilon: ε > 0, keeps the scale of constant columns finite.
        shape: the event shape; the shape of `mean` if None.

    Raises:
        ValueError: a parameter is not floating or out of its range, or the shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import BatchNorm
        >>> norm, z, log_det = BatchNorm.init(1).calibrate(jnp.array([[1.0], [3.0]]))
        >>> norm.mean.value.tolist(), z.round(3).tolist()
        ([2.0], [[-1.0], [1.0]])
    """

    mean: Frozen[Array]
    variance: Frozen[Array]
    epsilon: float = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, mean: Any, variance: Any, epsilon: float = 1e-5, shape: tuple[int, ...] | None = None):
        mean, variance = floating("mean", mean), floating("variance", variance)
        require_shape("variance", variance, mean.shape)
        require("mean", mean, np.isfinite, "finite")
        require("variance", variance, lambda v: np.isfinite(v) & (v >= 0), "finite and not negative")
        if not 0 < epsilon < np.inf:
            raise ValueError(f"epsilon must be positive and finite; got {epsilon}")
        self.mean, self.variance = Frozen(mean), Frozen(variance)
        self.epsilon = float(epsilon)
        self.shape = mean.shape if shape is None else check_shape("shape", shape)
        if self.shape[len(self.shape) - mean.ndim :] != mean.shape:
            raise ValueError(f"mean must have the last axes of the event shape {self.shape}; got shape {mean.shape}")
        self.cond_shape = None

    @classmethod
    def init(cls, shape: int | tuple[int, ...]) -> BatchNorm:
        """Mean 0 and variance 1, until a batch is seen; one for each entry of the last axis."""
        shape = shape if isinstance(shape, tuple) else (shape,)
        return cls(jnp.zeros(shape[-1:]), jnp.ones(shape[-1:]), shape=shape)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        spread = self.variance.value + self.epsilon
        return z * jnp.sqrt(spread) + self.mean.value, self._log_det(spread)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        spread = self.variance.value + self.epsilon
        return (x - self.mean.value) / jnp.sqrt(spread), -self._log_det(spread)

    def _log_det(self, spread: Array) -> Array:
        return jnp.log(spread).sum() / 2 * (math.prod(self.shape) // max(spread.size, 1))

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[BatchNorm, Array, Array]:
        """Take mean and variance from a batch; see `AbstractMap.calibrate`.

        A batch whose weights are all zero leaves mean 0 and variance 0.
        """
        mean, variance = weighted_moments(x, weights, n_kept=self.mean.value.ndim)
        calibrated = eqx.tree_at(lambda b: (b.mean.content, b.variance.content), self, (mean, variance))
        spread = variance + self.epsilon
        log_det = jnp.broadcast_to(-self._log_det(spread), x.shape[:1])
        return calibrated, (x - mean) / jnp.sqrt(spread), log_det


def weighted_moments(x: Array, weights: Array | None, n_kept: int) -> tuple[Array, Array]:
    """Mean and variance of a batch over all but its last `n_kept` axes.

    Arguments:
        x: shape (n, *event).
        weights: non-negative row weights, shape (n,), or None for equal ones.
        n_kept: how many of the last axes keep moments of their own.

    Returns:
        Both of the shape of the last `n_kept` axes; zero where every weight is.
    """
    weights = jnp.ones(x.shape[:1], x.dtype) if weights is None else weights.astype(x.dtype)
    total = weights.sum()
    weights = weights / jnp.where(total > 0, total, 1)
    pooled = tuple(range(x.ndim - 1 - n_kept))

    def average(values: Array) -> Array:
        return jnp.tensordot(weights, values, 1).mean(pooled)

    mean = average(x)
    return mean, average((x - mean) ** 2)
