"""Mixtures of Gaussians with full covariances."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections import Triangular
from pushforward.checks import floating, limits, require, require_shape
from pushforward.distributions.base import AbstractDistribution, safe_logsumexp


class GaussianMixture(AbstractDistribution):
    """A mixture of K Gaussians with full covariances, as a base (FlowGMM, Izmailov et al. 2020) or on its own.

    Each component is a standard normal under a `Triangular` map, the Cholesky factor of its covariance.

    Arguments:
        weights: floating, positive, summing to 1, shape (K,).
        means: floating, shape (K, D).
        covariances: floating, symmetric positive definite, shape (K, D, D); or None, where `factors` are given.
        factors: the Cholesky factors of covariances that are too flat to be told positive definite, shape (K, D, D).

    Raises:
        ValueError: a parameter is not of that form, or a shape or dtype does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions import GaussianMixture
        >>> mixture = GaussianMixture(jnp.full(2, 0.5), jnp.array([[-3.0], [3.0]]), jnp.ones((2, 1, 1)))
        >>> mixture.sample(jax.random.key(0), (5,)).shape
        (5, 1)
    """

    raw_weights: Array
    components: Triangular
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, weights: Any, means: Any, covariances: Any = None, *, factors: Any = None):
        weights, means = floating("weights", weights), floating("means", means)
        if means.ndim != 2:
            raise ValueError(f"means must have shape (K, D); got shape {means.shape}")
        n, dim = means.shape
        require_shape("weights", weights, (n,))
        eps = float(limits(weights.dtype).eps)
        require("weights", weights, lambda w: np.isfinite(w) & (w > 0), "positive; leave out components of weight zero")
        require("weights", weights, lambda w: abs(w.sum() - 1) <= 10 * n * eps, "weights that sum to 1")
        require("means", means, np.isfinite, "finite")
        if (covariances is None) == (factors is None):
            raise ValueError("give covariances or their factors, and not both")
        if factors is None:
            factors = _factored(covariances, (n, dim, dim))
        else:
            factors = floating("factors", factors)
            require_shape("factors", factors, (n, dim, dim))
            require("factors", factors, np.isfinite, "finite")
            require("factors", factors, lambda f: np.triu(f, 1) == 0, "lower triangular, zero above the diagonal")
            require("factors", factors, lambda f: np.diagonal(f, axis1=1, axis2=2) > 0, "positive on the diagonal")
        self.raw_weights = jnp.log(weights)
        self.components = eqx.filter_vmap(Triangular)(factors, means)
        self.shape = (dim,)
        self.cond_shape = None

    @property
    def log_weights(self) -> Array:
        """Normalised, shape (K,)."""
        return jax.nn.log_softmax(self.raw_weights)

    @property
    def weights(self) -> Array:
        """Shape (K,)."""
        return jnp.exp(self.log_weights)

    @property
    def means(self) -> Array:
        """Shape (K, D)."""
        return self.components.shift

    @property
    def covariances(self) -> Array:
        """Shape (K, D, D)."""
        return self._factors @ jnp.swapaxes(self._factors, -1, -2)

    @property
    def _factors(self) -> Array:
        factors: Array = eqx.filter_vmap(lambda component: component.matrix)(self.components)
        return factors

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        # inverted once for all rows of a batch, which then take one matrix product, and no substitution each
        factors = self._factors
        identity = jnp.broadcast_to(jnp.eye(self.shape[0], dtype=factors.dtype), factors.shape)
        inverses = solve_triangular(factors, identity, lower=True)
        z = jnp.einsum("kij,kj->ki", inverses, x - self.means)
        log_dets = jnp.log(jnp.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
        total: Array = safe_logsumexp(self.log_weights + log_dets - (z**2 + math.log(2 * math.pi)).sum(axis=1) / 2)
        return total

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        which, noise = jax.random.split(key)
        component = trees.unstack(self.components, jax.random.categorical(which, self.log_weights))
        x: Array = component.forward(jax.random.normal(noise, self.shape, self.means.dtype))
        return x


def _factored(covariances: Any, shape: tuple[int, ...]) -> Array:
    covariances = floating("covariances", covariances)
    require_shape("covariances", covariances, shape)
    require("covariances", covariances, _symmetric, "symmetric")
    require("covariances", covariances, lambda c: np.linalg.eigvalsh(c) > 0, "positive definite")
    factors: Array = jnp.linalg.cholesky(covariances)
    return factors


def _symmetric(matrices: np.ndarray) -> bool:
    scale = np.abs(matrices).max(initial=0)
    gap = np.abs(matrices - np.swapaxes(matrices, -1, -2)).max(initial=0)
    return bool(gap <= 1e3 * float(limits(matrices.dtype).eps) * scale)
