"""Unit lower triangular maps, which keep volume, and convex combinations of them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections._linalg import solve_lower
from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, require, require_shape, square_matrix


def _is_unit_lower(matrices: Any) -> bool:
    diagonal = np.diagonal(matrices, axis1=-2, axis2=-1)
    return bool(np.isfinite(matrices).all() and (np.triu(matrices, 1) == 0).all() and (diagonal == 1).all())


def _unit_lower(packed: Array, dim: int) -> Array:
    """The matrix whose entries below a diagonal of ones are `packed`, row by row."""
    return jnp.eye(dim, dtype=packed.dtype).at[np.tril_indices(dim, -1)].set(packed)


class LinearIAF(AbstractBijection):
    """x = L z with L lower triangular, its diagonal one (Tomczak & Welling 2017).

    Volume preserving; both directions cost O(D²), the inverse by substitution.

    Arguments:
        matrix: L, floating, shape (D, D), zero above the diagonal and one on it.

    Raises:
        ValueError: the matrix is not of that form, or its shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import LinearIAF
        >>> LinearIAF(jnp.array([[1.0, 0.0], [3.0, 1.0]])).forward(jnp.ones(2)).tolist()
        [1.0, 4.0]
    """

    lower: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, matrix: Any):
        matrix = square_matrix("matrix", matrix)
        require("matrix", matrix, _is_unit_lower, "finite, zero above the diagonal and one on it")
        self.shape = matrix.shape[:1]
        self.lower = matrix[np.tril_indices(len(matrix), -1)]
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> LinearIAF:
        """Draw small entries below the diagonal."""
        return cls(jnp.tril(0.1 * jax.random.normal(key, (dim, dim)) / dim**0.5, -1) + jnp.eye(dim))

    @property
    def matrix(self) -> Array:
        """L, shape (D, D)."""
        return _unit_lower(self.lower, *self.shape)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.matrix @ z, jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return solve_lower(self.matrix, x), jnp.zeros((), x.dtype)


class ConvexCombination(AbstractBijection):
    """x = (Σ_k y_k L_k) z with y = softmax(logits) and every L_k as in `LinearIAF` (Tomczak & Welling 2017).

    Volume preserving; both directions cost O(D²) a point, the inverse by substitution, and O(KD²) a batch.

    Arguments:
        logits: floating, shape (K,); shifting all of them changes nothing.
        matrices: L_k, floating, shape (K, D, D), zero above the diagonals and one on them.

    Raises:
        ValueError: a matrix is not of that form, or a value, shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import ConvexCombination
        >>> matrices = jnp.array([[[1.0, 0.0], [2.0, 1.0]], [[1.0, 0.0], [4.0, 1.0]]])
        >>> ConvexCombination(jnp.zeros(2), matrices).forward(jnp.ones(2)).tolist()
        [1.0, 4.0]
    """

    logits: Array
    lowers: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, logits: Any, matrices: Any):
        logits, matrices = floating("logits", logits), floating("matrices", matrices)
        if matrices.ndim != 3 or not matrices.size or matrices.shape[1] != matrices.shape[2]:
            raise ValueError(f"matrices must have shape (K, D, D); got shape {matrices.shape}")
        require_shape("logits", logits, matrices.shape[:1])
        require("logits", logits, np.isfinite, "finite")
        require("matrices", matrices, _is_unit_lower, "finite, zero above their diagonals and one on them")
        rows, columns = np.tril_indices(matrices.shape[1], -1)
        self.logits, self.lowers = logits, matrices[:, rows, columns]
        self.shape = matrices.shape[1:2]
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int, n_matrices: int) -> ConvexCombination:
        """Draw small entries below the diagonals, equal weights."""
        below = 0.1 * jax.random.normal(key, (n_matrices, dim, dim)) / dim**0.5
        return cls(jnp.zeros(n_matrices), jnp.tril(below, -1) + jnp.eye(dim))

    @property
    def matrix(self) -> Array:
        """Σ_k y_k L_k, shape (D, D): unit lower triangular again."""
        return _unit_lower(jax.nn.softmax(self.logits) @ self.lowers, *self.shape)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.matrix @ z, jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return solve_lower(self.matrix, x), jnp.zeros((), x.dtype)
