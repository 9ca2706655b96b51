"""Monotone rational-quadratic splines."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, limits, require, require_shape

MIN_BIN = 1e-3  # least width and height of a bin, as a share of the interval
MIN_DERIVATIVE = 1e-3
UNIT_DERIVATIVE = math.log(math.expm1(1 - MIN_DERIVATIVE))  # raw value whose derivative is 1


class RationalQuadraticSpline(AbstractBijection):
    """A monotone rational-quadratic spline of [-half_width, half_width] onto itself, in each coordinate.

    In closed form both ways, one cost (Durkan et al. 2019, "Neural spline flows"). Knots lie on the running sums of
    widths and heights. Raw leaves of zero are the identity.

    What lies at and beyond the ends is up to `ends`. "identity": slope 1 at both, the identity outside. "bounded": a
    slope for each end; points of data outside have log-determinant -inf, noise must lie inside. "circular": the same,
    but one slope that both ends share, for angles (Rezende et al. 2020); a `CircularShift` before it moves the seam.

    Arguments:
        widths: floating, shape (*shape, K), each above `MIN_BIN · 2 · half_width`, summing to `2 · half_width`.
        heights: the same for the images of the bins.
        derivatives: slopes at the knots, each above `MIN_DERIVATIVE`: of the K − 1 inner ones for "identity", of all
            K + 1 for "bounded", of all but the last for "circular"; floating, that number the last axis.
        half_width: half the length of the interval, positive.
        ends: "identity", "bounded" or "circular".

    Raises:
        ValueError: a parameter is out of its range, does not sum to `2 · half_width`, a shape or dtype does not fit, or
            `ends` is unknown.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import RationalQuadraticSpline
        >>> spline = RationalQuadraticSpline(jnp.array([1.0, 1.0]), jnp.array([0.5, 1.5]), jnp.array([1.0]), 1.0)
        >>> spline.forward(jnp.array(0.0)).round(4).item(), spline.forward(jnp.array(2.0)).item()
        (-0.5, 2.0)
    """

    raw_widths: Array
    raw_heights: Array
    raw_derivatives: Array
    half_width: float = eqx.field(static=True)
    ends: str = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, widths: Any, heights: Any, derivatives: Any, half_width: float, ends: str = "identity"):
        widths, heights = floating("widths", widths), floating("heights", heights)
        derivatives = floating("derivatives", derivatives)
        if not 0 < half_width < np.inf:
            raise ValueError(f"half_width must be positive and finite; got {half_width}")
        if widths.ndim < 1 or not 2 <= widths.shape[-1] < 1 / MIN_BIN:
            raise ValueError(
                f"widths must have a last axis of 2 to {1 / MIN_BIN - 1:.0f} bins; got shape {widths.shape}"
            )
        self.shape, n_bins = widths.shape[:-1], widths.shape[-1]
        require_shape("heights", heights, (*self.shape, n_bins))
        require_shape("derivatives", derivatives, (*self.shape, n_bins + _extra_slopes(ends)))
        require("derivatives", derivatives, lambda d: np.isfinite(d) & (d > MIN_DERIVATIVE), f"above {MIN_DERIVATIVE}")
        self.raw_widths = _raw_bins("widths", widths, half_width)
        self.raw_heights = _raw_bins("heights", heights, half_width)
        # softplus⁻¹
        steep = derivatives - MIN_DERIVATIVE
        self.raw_derivatives = steep + jnp.log(-jnp.expm1(-steep)) - UNIT_DERIVATIVE
        self.half_width, self.ends = float(half_width), ends
        self.cond_shape = None

    @classmethod
    def init(
        cls, shape: tuple[int, ...], n_bins: int = 8, half_width: float = 4.0, ends: str = "identity"
    ) -> RationalQuadraticSpline:
        """The identity, in equal bins, ready to train."""
        bins = jnp.full((*shape, n_bins), 2 * half_width / n_bins)
        return cls(bins, bins, jnp.ones((*shape, n_bins + _extra_slopes(ends))), half_width, ends)

    @property
    def domain(self) -> tuple[float, float]:
        return (-math.inf, math.inf) if self.ends == "identity" else (-self.half_width, self.half_width)

    @property
    def codomain(self) -> tuple[float, float]:
        return self.domain

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (z >= -self.half_width) & (z <= self.half_width)
        point = jnp.where(inside, z, 0)
        left, right, bottom, top, d0, d1 = self._bin(point, by_height=False)
        width, height = right - left, top - bottom
        xi, rest = (point - left) / width, (right - point) / width
        slope = height / width
        below = slope * (xi**2 + rest**2) + (d0 + d1) * xi * rest
        x = bottom + height * xi * (slope * xi + d0 * rest) / below
        return jnp.where(inside, x, z), jnp.where(inside, _log_slope(xi, rest, slope, d0, d1), 0).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (x >= -self.half_width) & (x <= self.half_width)
        point = jnp.where(inside, x, 0)
        left, right, bottom, top, d0, d1 = self._bin(point, by_height=True)
        width, height = right - left, top - bottom
        eta, rest = (point - bottom) / height, (top - point) / height
        slope = height / width
        xi, other = _solve_bin(eta, rest, slope, d0, d1)
        log_slope = -_log_slope(xi, other, slope, d0, d1)
        beyond, log_beyond = (x, 0.0) if self.ends == "identity" else (0.0, -jnp.inf)
        return jnp.where(inside, left + width * xi, beyond), jnp.where(inside, log_slope, log_beyond).sum()

    def _bin(self, point: Array, by_height: bool) -> tuple[Array, Array, Array, Array, Array, Array]:
        """Of the bin that holds each coordinate: left, right, bottom, top, slope left, slope right."""
        xs, ys = _knots(self.raw_widths, self.half_width), _knots(self.raw_heights, self.half_width)
        raw = self.raw_derivatives
        if self.ends == "identity":
            unit = jnp.zeros((*raw.shape[:-1], 1), raw.dtype)
            raw = jnp.concatenate([unit, raw, unit], -1)
        elif self.ends == "circular":
            raw = jnp.concatenate([raw, raw[..., :1]], -1)
        reached = point[..., None] >= (ys if by_height else xs)[..., 1:-1]
        always = jnp.ones_like(reached[..., :1])
        here = jnp.concatenate([always, reached], -1) & ~jnp.concatenate([reached, ~always], -1)
        ones = jnp.ones(here.shape[-1], xs.dtype)

        # XLA's gathers are slow on CPU, and so are its sums over a short last axis: select, then a matrix product
        def pick(values: Array) -> Array:
            return jnp.matmul(jnp.where(here, values, 0), ones, precision="highest")

        d0, d1 = (MIN_DERIVATIVE + jax.nn.softplus(pick(r) + UNIT_DERIVATIVE) for r in (raw[..., :-1], raw[..., 1:]))
        return pick(xs[..., :-1]), pick(xs[..., 1:]), pick(ys[..., :-1]), pick(ys[..., 1:]), d0, d1


def _extra_slopes(ends: str) -> int:
    """How many slopes there are beyond one for each bin."""
    extra = {"identity": -1, "bounded": 1, "circular": 0}
    if ends not in extra:
        raise ValueError(f"ends must be one of {sorted(extra)}; got {ends!r}")
    return extra[ends]


def _raw_bins(name: str, bins: Array, half_width: float) -> Array:
    """The logits whose bins these are."""
    share = bins / (2 * half_width)
    tolerance = 10 * bins.shape[-1] * float(limits(bins.dtype).eps)
    require(
        name,
        bins,
        lambda b: b > 2 * half_width * MIN_BIN,
        f"above {MIN_BIN} of the interval, {2 * half_width * MIN_BIN:g}",
    )
    require(
        name, bins, lambda b: abs(b.sum(-1) / (2 * half_width) - 1) <= tolerance, f"bins that sum to {2 * half_width:g}"
    )
    logits = jnp.log((share - MIN_BIN) / (1 - MIN_BIN * bins.shape[-1]))
    return logits - logits.mean(-1, keepdims=True)


def _knots(raw: Array, half_width: float) -> Array:
    """Edges of the bins, from exactly -half_width to exactly half_width, shape (*shape, K + 1)."""
    n_bins = raw.shape[-1]
    share = MIN_BIN + (1 - MIN_BIN * n_bins) * jax.nn.softmax(raw)
    sums = jnp.matmul(share[..., :-1], jnp.triu(jnp.ones((n_bins - 1, n_bins - 1), raw.dtype)), precision="highest")
    end = jnp.full((*raw.shape[:-1], 1), half_width, raw.dtype)
    return jnp.concatenate([-end, 2 * half_width * sums - half_width, end], -1)


def _log_slope(xi: Array, rest: Array, slope: Array, d0: Array, d1: Array) -> Array:
    """Logarithm of the derivative at the place ξ of a bin, rest = 1 − ξ."""
    above = d1 * xi**2 + 2 * slope * xi * rest + d0 * rest**2
    below = slope * (xi**2 + rest**2) + (d0 + d1) * xi * rest
    return jnp.log(slope**2 * above / below**2)


def _solve_bin(eta: Array, rest: Array, slope: Array, d0: Array, d1: Array) -> tuple[Array, Array]:
    """The place ξ of a bin whose image is η, and 1 − ξ; rest = 1 − η.

    The paper's ξ = 2c / (−b − √(b² − 4ac)), with b = −(p + 2sη) and p = d₀(1 − η) − d₁η. Its discriminant is
    p² + 4s²η(1 − η), a sum of what is not negative, so nothing cancels and ξ is exact at both edges.
    """
    p = d0 * rest - d1 * eta
    q = 4 * slope**2 * eta * rest
    positive = p >= 0
    # jnp.abs has slope 0 at 0, where the root's must be 1
    far = jnp.sqrt(p**2 + q) + jnp.where(positive, p, -p)
    near = jnp.where(positive, far, q / far)  # p + √(p² + q), without cancellation
    ahead = 2 * slope * eta
    return ahead / (near + ahead), near / (near + ahead)
