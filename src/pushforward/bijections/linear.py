"""Linear maps x = A z + shift with matrices whose determinant and inverse are cheap, and dense ones."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from pushforward.bijections._linalg import inverse_and_log_det, lu, random_orthogonal, solve_lower
from pushforward.bijections.base import AbstractBijection
from pushforward.bijections.permute import checked_permutation, take
from pushforward.checks import floating, require, require_shape, square_matrix
from pushforward.trees import Frozen


def _vector(name: str, value: Any, dim: int) -> Array:
    vector = floating(name, value)
    require_shape(name, vector, (dim,))
    require(name, vector, np.isfinite, "finite")
    return vector


def _nonsingular(matrix: NDArray[Any]) -> bool:
    return bool(np.linalg.matrix_rank(matrix) == len(matrix))


def _pack(matrix: Array) -> Array:
    """The entries below the diagonal, row by row: only these train, and only these count as parameters."""
    return matrix[np.tril_indices(len(matrix), -1)]


def _unpack(packed: Array, diagonal: Array) -> Array:
    """The lower triangular matrix of both."""
    return jnp.diag(diagonal).at[np.tril_indices(len(diagonal), -1)].set(packed)


class Dense(AbstractBijection):
    """x = A z + shift with any nonsingular matrix.

    The forward direction costs O(D²) a point and its log-determinant O(D³) a batch, the inverse likewise.
    Training can reach a singular matrix in principle; `PLU` cannot.

    Arguments:
        matrix: A, floating, shape (D, D), nonsingular.
        shift: floating, shape (D,).

    Raises:
        ValueError: the matrix is singular to the precision of its dtype, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Dense
        >>> Dense(jnp.array([[0.0, 2.0], [1.0, 0.0]]), jnp.zeros(2)).forward(jnp.array([1.0, 3.0])).tolist()
        [6.0, 1.0]
    """

    matrix: Array
    shift: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, matrix: Any, shift: Any):
        self.matrix = square_matrix("matrix", matrix)
        require("matrix", self.matrix, _nonsingular, "nonsingular")
        self.shape = self.matrix.shape[:1]
        self.shift = _vector("shift", shift, *self.shape)
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> Dense:
        """Draw a random orthogonal matrix."""
        return cls(random_orthogonal(key, dim), jnp.zeros(dim))

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.matrix @ z + self.shift, inverse_and_log_det(self.matrix)[1]

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inverse, log_det = inverse_and_log_det(self.matrix)
        return inverse @ (x - self.shift), -log_det


class Triangular(AbstractBijection):
    """x = L z + shift with L lower triangular, its diagonal positive.

    Both directions cost O(D²), the inverse by substitution. What trains is the part below the diagonal, the
    logarithm of the diagonal, and the shift.

    Arguments:
        matrix: L, floating, shape (D, D), zero above the diagonal and positive on it.
        shift: floating, shape (D,).

    Raises:
        ValueError: the matrix is not of that form, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Triangular
        >>> Triangular(jnp.array([[1.0, 0.0], [3.0, 1.0]]), jnp.zeros(2)).forward(jnp.ones(2)).tolist()
        [1.0, 4.0]
    """

    lower: Array
    log_diagonal: Array
    shift: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, matrix: Any, shift: Any):
        matrix = square_matrix("matrix", matrix)
        require("matrix", matrix, lambda m: np.triu(m, 1) == 0, "lower triangular, zero above the diagonal")
        require("the diagonal of matrix", jnp.diag(matrix), lambda d: d > 0, "positive")
        self.lower = _pack(matrix)
        self.log_diagonal = jnp.log(jnp.diag(matrix))
        self.shape = matrix.shape[:1]
        self.shift = _vector("shift", shift, *self.shape)
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> Triangular:
        """Draw a unit diagonal and small entries below it."""
        below = 0.1 * jax.random.normal(key, (dim, dim)) / dim**0.5
        return cls(jnp.tril(below, -1) + jnp.eye(dim), jnp.zeros(dim))

    @property
    def matrix(self) -> Array:
        """L, shape (D, D)."""
        return _unpack(self.lower, jnp.exp(self.log_diagonal))

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.matrix @ z + self.shift, self.log_diagonal.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return solve_lower(self.matrix, x - self.shift), -self.log_diagonal.sum()


class PLU(AbstractBijection):
    """x = P L (U + diag(s)) z + shift: any nonsingular matrix, its determinant in O(D) (Kingma & Dhariwal 2018).

    Both directions cost O(D²), the inverse by two substitutions. P and the signs of s stay; L, U, log|s| and
    the shift train, and no value of theirs is singular.

    Arguments:
        permutation: P as indices, `(P v)[i] = v[permutation[i]]`, integers of shape (D,).
        lower: L, floating, shape (D, D), lower triangular with unit diagonal.
        upper: U, floating, shape (D, D), zero on and below the diagonal.
        diagonal: s, floating, nonzero, shape (D,).
        shift: floating, shape (D,).

    Raises:
        ValueError: a parameter is not of that form, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import PLU
        >>> upper = jnp.array([[0.0, 5.0], [0.0, 0.0]])
        >>> PLU([1, 0], jnp.eye(2), upper, jnp.array([1.0, 2.0]), jnp.zeros(2)).forward(jnp.ones(2)).tolist()
        [2.0, 6.0]
    """

    permutation: Frozen[Array]
    inverse_permutation: Frozen[Array]
    lower: Array
    upper: Array
    log_diagonal: Array
    sign: Frozen[Array]
    shift: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, permutation: Any, lower: Any, upper: Any, diagonal: Any, shift: Any):
        lower, upper = square_matrix("lower", lower), square_matrix("upper", upper)
        dim = len(lower)
        require_shape("upper", upper, (dim, dim))
        require("lower", lower, lambda m: np.triu(m) == np.eye(dim), "lower triangular with unit diagonal")
        require("upper", upper, lambda m: np.tril(m) == 0, "zero on and below the diagonal")
        diagonal = _vector("diagonal", diagonal, dim)
        require("diagonal", diagonal, lambda s: s != 0, "nonzero")
        permutation, inverse = checked_permutation("permutation", permutation)
        require_shape("permutation", permutation, (dim,))
        self.permutation, self.inverse_permutation = Frozen(permutation), Frozen(inverse)
        self.lower, self.upper = _pack(lower), _pack(upper.T)
        self.log_diagonal, self.sign = jnp.log(jnp.abs(diagonal)), Frozen(jnp.sign(diagonal))
        self.shift = _vector("shift", shift, dim)
        self.shape = (dim,)
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> PLU:
        """Factor a random orthogonal matrix."""
        permutation, lower, upper = lu(random_orthogonal(key, dim))
        inverse = jnp.argsort(permutation)
        return cls(inverse, lower, jnp.triu(upper, 1), jnp.diag(upper), jnp.zeros(dim))

    def _factors(self) -> tuple[Array, Array]:
        """L and U + diag(s)."""
        diagonal = self.sign.value * jnp.exp(self.log_diagonal)
        return _unpack(self.lower, jnp.ones_like(diagonal)), _unpack(self.upper, diagonal).T

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        lower, upper = self._factors()
        x = take(lower @ (upper @ z), self.permutation.value, self.inverse_permutation.value)
        return x + self.shift, self.log_diagonal.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        lower, upper = self._factors()
        x = take(x - self.shift, self.inverse_permutation.value, self.permutation.value)
        z = solve_lower(upper[::-1, ::-1], solve_lower(lower, x)[::-1])[::-1]
        return z, -self.log_diagonal.sum()


class LowRank(AbstractBijection):
    """x = (T + V diag(d) Vᵀ) z + shift: a diagonal or triangular matrix plus one of rank M.

    By the matrix determinant lemma and the Woodbury identity both directions cost O(DM) a point and O(DM² + M³)
    a batch with T diagonal; a triangular T adds O(D²) a point and O(D²M) a batch. With T diagonal every trained
    value is invertible. With T triangular the sum can be singular: here that raises, but training is not kept from it.

    Arguments:
        base: T, floating and positive of shape (D,) for a diagonal; or of shape (D, D), lower triangular with a
            positive diagonal.
        vectors: V, floating, shape (D, M).
        weights: d, floating, positive, shape (M,).
        shift: floating, shape (D,).

    Raises:
        ValueError: the whole matrix is singular to the precision of its dtype, T or d is not of that form, or a
            shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import LowRank
        >>> LowRank(jnp.ones(2), jnp.ones((2, 1)), jnp.array([4.0]), jnp.zeros(2)).forward(jnp.ones(2)).tolist()
        [9.0, 9.0]
    """

    lower: Array | None
    log_diagonal: Array
    vectors: Array
    log_weights: Array
    shift: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, base: Any, vectors: Any, weights: Any, shift: Any):
        base, vectors = floating("base", base), floating("vectors", vectors)
        diagonal = base if base.ndim == 1 else jnp.diag(square_matrix("base", base))
        require("base", base, lambda t: np.isfinite(t) & ((t.ndim == 1) | (np.triu(t, 1) == 0)), "lower triangular")
        require("the diagonal of base", diagonal, lambda t: np.isfinite(t) & (t > 0), "positive")
        dim = len(diagonal)
        if vectors.ndim != 2 or len(vectors) != dim:
            raise ValueError(f"vectors must have shape ({dim}, M), one row for each coordinate; got {vectors.shape}")
        require("vectors", vectors, np.isfinite, "finite")
        weights = _vector("weights", weights, vectors.shape[1])
        require("weights", weights, lambda d: d > 0, "positive")
        if base.ndim == 2:
            matrix_sum = base + (vectors * weights) @ vectors.T
            require("base + vectors · diag(weights) · vectorsᵀ", matrix_sum, _nonsingular, "nonsingular")
        self.lower = _pack(base) if base.ndim == 2 else None
        self.log_diagonal = jnp.log(diagonal)
        self.vectors, self.log_weights = vectors, jnp.log(weights)
        self.shift = _vector("shift", shift, dim)
        self.shape = (dim,)
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int, rank: int) -> LowRank:
        """Draw a map near the identity with T diagonal."""
        vectors = jax.random.normal(key, (dim, rank)) / dim**0.5
        return cls(jnp.ones(dim), vectors, jnp.full(rank, 0.1), jnp.zeros(dim))

    def _solve_base(self, right: Array) -> Array:
        """T⁻¹ right, for a vector or the columns of a matrix."""
        diagonal = jnp.exp(self.log_diagonal)
        if self.lower is None:
            return (right.T / diagonal).T
        return solve_lower(_unpack(self.lower, diagonal), right)

    def _capacitance(self) -> tuple[Array, Array, Array, Array]:
        """W = V diag(√d), T⁻¹W, (I + Wᵀ T⁻¹ W)⁻¹, and log|det|; √d instead of 1/d lets d go to zero."""
        factor = self.vectors * jnp.exp(self.log_weights / 2)
        solved = self._solve_base(factor)
        small, log_det = inverse_and_log_det(jnp.eye(factor.shape[1], dtype=factor.dtype) + factor.T @ solved)
        return factor, solved, small, self.log_diagonal.sum() + log_det

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        factor, _, _, log_det = self._capacitance()
        diagonal = jnp.exp(self.log_diagonal)
        x = diagonal * z if self.lower is None else _unpack(self.lower, diagonal) @ z
        return x + factor @ (factor.T @ z) + self.shift, log_det

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        factor, solved, small, log_det = self._capacitance()
        y = self._solve_base(x - self.shift)
        return y - solved @ (small @ (factor.T @ y)), -log_det
