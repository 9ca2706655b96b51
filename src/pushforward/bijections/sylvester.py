"""Sylvester maps: planar maps along M directions at once."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections._linalg import random_orthogonal
from pushforward.bijections.base import AbstractBijection
from pushforward.bijections.householder import Householder, Orthogonal, has_orthonormal_columns, orthonormal
from pushforward.bijections.permute import Permute
from pushforward.bijections.planar import inverse_softplus, shifted_tanh_root, tanh_and_slope
from pushforward.checks import floating, require, require_shape


class OrthonormalColumns(eqx.Module):
    """M orthonormal columns in D dimensions, kept so by Gram–Schmidt.

    Arguments:
        matrix: floating, shape (D, M), M ≤ D, with orthonormal columns.

    Raises:
        ValueError: the columns are not orthonormal, or there are more than D.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import OrthonormalColumns
        >>> OrthonormalColumns(jnp.eye(3)[:, :2]).inverse(jnp.array([1.0, 2.0, 3.0])).tolist()
        [1.0, 2.0]
    """

    raw: Array

    def __init__(self, matrix: Any):
        matrix = floating("matrix", matrix)
        if matrix.ndim != 2 or not 0 < matrix.shape[1] <= matrix.shape[0]:
            raise ValueError(f"matrix must have shape (D, M) with M ≤ D; got shape {matrix.shape}")
        require("matrix", matrix, has_orthonormal_columns, "of orthonormal columns, matrixᵀ matrix = I")
        self.raw = matrix

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int, n_columns: int) -> OrthonormalColumns:
        """Draw columns uniformly."""
        return cls(random_orthogonal(key, dim)[:, :n_columns])

    @property
    def shape(self) -> tuple[int, ...]:
        """(D,), as of a map."""
        return self.raw.shape[:1]

    def forward(self, h: Array) -> Array:
        """Q h, shape (D,)."""
        return orthonormal(self.raw) @ h

    def inverse(self, z: Array) -> Array:
        """Qᵀ z, shape (M,)."""
        return orthonormal(self.raw).T @ z


Basis = OrthonormalColumns | Householder | Orthogonal | Permute


def _n_columns(basis: Basis) -> int:
    """M."""
    return basis.raw.shape[1] if isinstance(basis, OrthonormalColumns) else basis.shape[0]


class Sylvester(AbstractBijection):
    """x = z + Q R tanh(S Qᵀ z + b) with orthonormal Q and upper triangular R and S (van den Berg et al. 2018).

    Forward in closed form, O(DM). The inverse substitutes backwards through M increasing scalar equations, each solved
    to the dtype's precision. The diagonal of S trains as a positive number and R's so that each product stays above −1.

    Arguments:
        basis: Q: `OrthonormalColumns` for M ≤ D; or a `Householder`, `Orthogonal` or `Permute` map, M = D. The three
            published forms, orthogonal, Householder and triangular, take the first, the second and the last.
        r: R, floating, upper triangular, shape (M, M).
        s: S, floating, upper triangular with no zero on its diagonal, shape (M, M). Units where it is negative are
            turned around, which gives the same map.
        b: floating, shape (M,).

    Raises:
        ValueError: r_ii s_ii ≤ −1 somewhere, where the map is not known to be invertible; an entry below a diagonal;
            or a value, shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Permute, Sylvester
        >>> sylvester = Sylvester(Permute([1, 0]), jnp.eye(2), jnp.eye(2), jnp.zeros(2))
        >>> x, log_det = sylvester.forward_and_log_det(jnp.zeros(2))
        >>> x.tolist(), round(float(jnp.exp(log_det)), 3)
        ([0.0, 0.0], 4.0)
    """

    basis: Basis
    upper_r: Array
    upper_s: Array
    raw_product: Array
    log_s: Array
    b: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, basis: Basis, r: Any, s: Any, b: Any):
        m = _n_columns(basis)
        r, s, b = floating("r", r), floating("s", s), floating("b", b)
        for name, value, shape in (("r", r, (m, m)), ("s", s, (m, m)), ("b", b, (m,))):
            require_shape(name, value, shape)
            require(name, value, np.isfinite, "finite")
        for name, value in (("r", r), ("s", s)):
            require(name, value, lambda t: np.tril(t, -1) == 0, "upper triangular")
        diagonal = jnp.diagonal(s)
        require("the diagonal of s", diagonal, lambda d: d != 0, "nonzero")
        product = diagonal * jnp.diagonal(r)
        require("r_ii s_ii", product, lambda p: p > -1, "above −1, or the map need not be invertible")
        sign = jnp.sign(diagonal)  # tanh is odd: a unit whose input and output change sign is the same unit
        r, s, self.b = r * sign, s * sign[:, None], b * sign
        above = np.triu_indices(m, 1)
        self.basis, self.upper_r, self.upper_s = basis, r[above], s[above]
        self.raw_product, self.log_s = inverse_softplus(product + 1), jnp.log(jnp.abs(diagonal))
        self.shape = basis.shape
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, basis: Basis) -> Sylvester:
        """Draw a map near the identity to train."""
        key_r, key_s = jax.random.split(key)
        m = _n_columns(basis)
        r = jnp.triu(0.1 * jax.random.normal(key_r, (m, m)) / m**0.5)
        s = jnp.triu(jax.random.normal(key_s, (m, m)) / m**0.5, 1) + jnp.eye(m)
        return cls(basis, r.at[np.diag_indices(m)].set(jnp.clip(jnp.diagonal(r), -0.5, 0.5)), s, jnp.zeros(m))

    def _factors(self) -> tuple[Array, Array, Array]:
        """R, S and the products r_ii s_ii."""
        product = jax.nn.softplus(self.raw_product) - 1
        above, scale = np.triu_indices(len(product), 1), jnp.exp(self.log_s)
        r = jnp.diag(product / scale).at[above].set(self.upper_r)
        return r, jnp.diag(scale).at[above].set(self.upper_s), product

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        r, s, product = self._factors()
        height, slope = tanh_and_slope(s @ self.basis.inverse(z) + self.b)
        return z + self.basis.forward(r @ height), jnp.log1p(product * slope).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        r, s, product = self._factors()
        mixed = s @ r  # upper triangular, with the products on its diagonal

        def unit(heights: Array, i: Array) -> tuple[Array, Array]:
            """v_i + (S R tanh(v + b))_i = y_i, once the units after i are known; theirs are zero before."""
            right = y[i] - mixed[i] @ heights
            a = shifted_tanh_root(right, product[i], self.b[i]) + self.b[i]
            return heights.at[i].set(jnp.tanh(a)), a

        y = s @ self.basis.inverse(x)
        heights, a = lax.scan(unit, jnp.zeros_like(y), jnp.arange(len(y)), reverse=True)
        return x - self.basis.forward(r @ heights), -jnp.log1p(product * tanh_and_slope(a)[1]).sum()
