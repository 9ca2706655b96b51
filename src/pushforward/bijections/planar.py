"""Planar and radial maps: a point moves along one direction, or towards and away from one centre."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections._roots import increasing_root
from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, require, require_shape


def inverse_softplus(y: Array) -> Array:
    """log(eʸ − 1) for y > 0, without overflow."""
    return y + jnp.log(-jnp.expm1(-y))


def _bend(a: Array) -> Array:
    """m(a) = log(1 + (e − 1) eᵃ) − 1: increasing, above −1, and 0 at 0.

    The paper's m is log 2 − 1 at 0, which divided by the length of w moves a map of small w by a lot.
    """
    near = a < 1
    share = -math.expm1(-1)
    return jnp.where(
        near, jnp.log1p(share * jnp.expm1(jnp.where(near, a, 0))), jax.nn.softplus(a + math.log(math.expm1(1))) - 1
    )


def _unbend(m: Array) -> Array:
    """The inverse of `_bend`, for m > −1."""
    near = m < 1
    share = -math.expm1(-1)
    far = inverse_softplus(jnp.where(near, 1, m) + 1) - math.log(math.expm1(1))
    return jnp.where(near, jnp.log1p(jnp.expm1(jnp.where(near, m, 0)) / share), far)


def tanh_and_slope(a: Array) -> tuple[Array, Array]:
    """tanh(a), and its derivative without cancellation far out."""
    return jnp.tanh(a), 4 * jax.nn.sigmoid(2 * a) * jax.nn.sigmoid(-2 * a)


def shifted_tanh_root(y: Array, factor: Array, bias: Array) -> Array:
    """The a with a + factor · tanh(a + bias) = y, entry by entry, for factor > −1."""
    reach = jnp.abs(factor)
    return increasing_root(lambda a: a + factor * jnp.tanh(a + bias), y, y - reach, y + reach)


class Planar(AbstractBijection):
    """x = z + u tanh(wᵀz + b) (Rezende & Mohamed 2015).

    Forward in closed form, O(D). The inverse solves one increasing scalar equation to the dtype's precision. What
    trains is w, b and an unconstrained vector whose part along w is bent so that wᵀu stays above −1.

    Arguments:
        w: floating, shape (D,).
        u: floating, shape (D,), with wᵀu > −1.
        b: floating scalar.

    Raises:
        ValueError: wᵀu ≤ −1, where the map folds; or a value, shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Planar
        >>> planar = Planar(jnp.array([5.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array(0.0))
        >>> x, log_det = planar.forward_and_log_det(jnp.zeros(2))
        >>> x.tolist(), round(float(jnp.exp(log_det)), 3)
        ([0.0, 0.0], 6.0)
    """

    w: Array
    raw_u: Array
    b: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, w: Any, u: Any, b: Any):
        w, u, b = floating("w", w), floating("u", u), floating("b", b)
        if w.ndim != 1 or not w.size:
            raise ValueError(f"w must have shape (D,); got shape {w.shape}")
        require_shape("u", u, w.shape)
        require_shape("b", b, ())
        for name, value in (("w", w), ("u", u), ("b", b)):
            require(name, value, np.isfinite, "finite")
        along = w @ u
        require("wᵀu", along, lambda t: t > -1, "above −1, or the map is not invertible")
        self.w, self.b = w, b
        self.raw_u = u + (_unbend(along) - along) * _over_square(w)
        self.shape = w.shape
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> Planar:
        """Draw a map near the identity to train."""
        key_w, key_u = jax.random.split(key)
        w = jax.random.normal(key_w, (dim,)) / dim**0.5
        u = 0.1 * jax.random.normal(key_u, (dim,))
        return cls(w, u - jnp.minimum(w @ u + 0.5, 0) * _over_square(w), jnp.zeros(()))

    @property
    def u(self) -> Array:
        """The direction of the shift, shape (D,)."""
        along = self.w @ self.raw_u
        return self.raw_u + (_bend(along) - along) * _over_square(self.w)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        u = self.u
        height, slope = tanh_and_slope(self.w @ z + self.b)
        return z + u * height, jnp.log1p(self.w @ u * slope)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        u = self.u
        along = self.w @ u
        height, slope = tanh_and_slope(shifted_tanh_root(self.w @ x, along, self.b) + self.b)
        return x - u * height, -jnp.log1p(along * slope)


def _over_square(w: Array) -> Array:
    """w / ‖w‖², and zero for w = 0, where the map is a shift and nothing constrains u."""
    square = w @ w
    return w / jnp.where(square > 0, square, 1)


class Radial(AbstractBijection):
    """x = z + β (z − c) / (α + ‖z − c‖) (Rezende & Mohamed 2015).

    In closed form both ways, O(D): the inverse is the positive root of a quadratic.

    Arguments:
        centre: c, floating, shape (D,).
        alpha: floating, positive scalar.
        beta: floating scalar above −alpha.

    Raises:
        ValueError: alpha ≤ 0 or beta ≤ −alpha, where the map folds; or a value, shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Radial
        >>> radial = Radial(jnp.array([1.0, 0.0]), jnp.array(2.0), jnp.array(5.0))
        >>> radial.forward(jnp.array([4.0, 0.0])).tolist()
        [7.0, 0.0]
    """

    centre: Array
    log_alpha: Array
    raw_beta: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, centre: Any, alpha: Any, beta: Any):
        centre, alpha, beta = floating("centre", centre), floating("alpha", alpha), floating("beta", beta)
        if centre.ndim != 1 or not centre.size:
            raise ValueError(f"centre must have shape (D,); got shape {centre.shape}")
        require_shape("alpha", alpha, ())
        require_shape("beta", beta, ())
        require("centre", centre, np.isfinite, "finite")
        require("alpha", alpha, lambda a: np.isfinite(a) & (a > 0), "positive and finite")
        require("alpha + beta", alpha + beta, lambda s: np.isfinite(s) & (s > 0), "positive, beta > −alpha")
        self.centre, self.log_alpha = centre, jnp.log(alpha)
        self.raw_beta = inverse_softplus(alpha + beta)
        self.shape = centre.shape
        self.cond_shape = None

    @classmethod
    def init(cls, key: PRNGKeyArray, dim: int) -> Radial:
        """Draw a map near the identity to train."""
        key_c, key_b = jax.random.split(key)
        beta = 0.1 * jax.random.normal(key_b, ())
        return cls(jax.random.normal(key_c, (dim,)), jnp.ones(()), jnp.maximum(beta, -0.5))

    def _log_det(self, r: Array) -> Array:
        """At a distance from the centre; sums of positive terms alone, so nothing cancels."""
        alpha, total = jnp.exp(self.log_alpha), jax.nn.softplus(self.raw_beta)  # total = α + β
        across = jnp.log(total + r) - jnp.log(alpha + r)
        outward = jnp.log(alpha * total + r * (2 * alpha + r)) - 2 * jnp.log(alpha + r)
        return (self.shape[0] - 1) * across + outward

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        alpha, total = jnp.exp(self.log_alpha), jax.nn.softplus(self.raw_beta)
        r = _norm(z - self.centre)
        return z + (total - alpha) * (z - self.centre) / (alpha + r), self._log_det(r)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        alpha, total = jnp.exp(self.log_alpha), jax.nn.softplus(self.raw_beta)
        distance = _norm(x - self.centre)
        half = (total - distance) / 2
        root = jnp.sqrt(half**2 + alpha * distance)
        # r² + 2 half r − α distance = 0, by the form of the root that does not cancel
        near = half > 0
        r = jnp.where(near, alpha * distance / jnp.where(near, half + root, 1), root - half)
        return self.centre + (x - self.centre) * (alpha + r) / (total + r), -self._log_det(r)


def _norm(v: Array) -> Array:
    """‖v‖, with gradient zero at zero."""
    square = v @ v
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
