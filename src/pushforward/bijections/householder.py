"""Orthogonal maps: products of reflections, and any orthogonal matrix."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections._linalg import qr, random_orthogonal
from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, require, square_matrix


class Householder(AbstractBijection):
    """x = H_T … H_1 z with reflections H_t = I − 2 v_t v_tᵀ / ‖v_t‖² (Tomczak & Welling 2016).

    Volume preserving; both directions cost O(TD). A vector of zeros is the identity. At most D reflections give every
    orthogonal matrix; exactly D of them only those of determinant (−1)^D.

    Arguments:
        vectors: v_1 … v_T, floating and finite, shape (T, D).

    Raises:
        ValueError: the vectors are not floating, not finite or not of that shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Householder
        >>> Householder(jnp.array([[1.0, 1.0]])).forward(jnp.array([3.0, 0.0])).tolist()
        [0.0, -3.0]
    """

    vectors: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, vectors: Any):
        vectors = floating("vectors", vectors)
        if vectors.ndim != 2 or not vectors.size:
            raise ValueError(f"vectors must have shape (T, D), one row for each reflection; got shape {vectors.shape}")
        require("vectors", vectors, np.isfinite, "finite")
        self.vectors = vectors
        self.shape = vectors.shape[1:]
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int, n_reflections: int) -> Householder:
        """Draw random directions to train."""
        return cls(jax.random.normal(key, (n_reflections, dim)))

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return reflect(self.vectors, z), jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return reflect(self.vectors[::-1], x), jnp.zeros((), x.dtype)


def reflect(vectors: Array, z: Array) -> Array:
    """H_T … H_1 z.

    Arguments:
        vectors: shape (T, D).
        z: shape (D,).
    """

    def one(z: Array, v: Array) -> tuple[Array, None]:
        square = v @ v
        return z - v * (2 * (v @ z) / jnp.where(square > 0, square, 1)), None

    return lax.scan(one, z, vectors)[0]


class Orthogonal(AbstractBijection):
    """x = Q z with an orthogonal matrix Q.

    Volume preserving, in closed form both ways: O(D²) a point, and O(D³) a batch to keep Q orthogonal. What trains is a
    matrix whose Gram–Schmidt orthonormalisation is Q, so the sign of det Q stays.

    Arguments:
        matrix: Q, floating, shape (D, D), QᵀQ = I.

    Raises:
        ValueError: the matrix is not orthogonal to the precision of its dtype, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Orthogonal
        >>> Orthogonal(jnp.array([[0.0, -1.0], [1.0, 0.0]])).forward(jnp.array([2.0, 1.0])).tolist()
        [-1.0, 2.0]
    """

    raw: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, matrix: Any):
        matrix = square_matrix("matrix", matrix)
        require("matrix", matrix, has_orthonormal_columns, "orthogonal, matrixᵀ matrix = I")
        self.raw = matrix
        self.shape = matrix.shape[:1]
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> Orthogonal:
        """Draw an orthogonal matrix uniformly."""
        return cls(random_orthogonal(key, dim))

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return orthonormal(self.raw) @ z, jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return orthonormal(self.raw).T @ x, jnp.zeros((), x.dtype)


def has_orthonormal_columns(matrix: Any) -> bool:
    """Whether MᵀM = I to the precision of the dtype."""
    gram = matrix.T @ matrix
    return bool(np.allclose(gram, np.eye(len(gram)), atol=100 * len(gram) * np.finfo(matrix.dtype).eps))


def orthonormal(raw: Array) -> Array:
    """The columns of a matrix (D, M), orthonormalised from the first to the last, M ≤ D; orthonormal ones stay."""
    return qr(raw)[0]
