"""Deep sigmoidal maps: monotone networks of one hidden layer in each coordinate."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from pushforward.bijections._roots import increasing_root
from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, limits, require, require_shape

MIN_WEIGHT = 1e-4  # so that no sigmoid's share vanishes beside the others, however far its logit trains


class DeepSigmoid(AbstractBijection):
    """x = logit(Σ_j w_j σ(a_j z + b_j)) in each coordinate (Huang et al. 2018, "Neural autoregressive flows").

    Onto the whole line, with linear tails of slope min_j a_j. Forward costs O(K); the inverse solves one increasing
    equation between known ends, to the precision of the dtype. What trains is b, logits of w and a raw slope whose
    squareplus is a.

    Arguments:
        slopes: a, positive, shape (*shape, K).
        offsets: b, floating, shape (*shape, K).
        weights: w, each above `MIN_WEIGHT`, shape (*shape, K), summing to one.

    Raises:
        ValueError: a parameter is out of its range, or a shape or dtype does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import DeepSigmoid
        >>> deep = DeepSigmoid(jnp.array([1.0, 2.0]), jnp.array([0.0, 0.0]), jnp.array([0.5, 0.5]))
        >>> deep.forward(jnp.array(0.0)).item(), deep.inverse(jnp.array(0.0)).item()
        (0.0, 0.0)
    """

    raw_slopes: Array
    offsets: Array
    raw_weights: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, slopes: Any, offsets: Any, weights: Any):
        slopes, offsets = floating("slopes", slopes), floating("offsets", offsets)
        weights = floating("weights", weights)
        if slopes.ndim < 1 or not 1 <= slopes.shape[-1] < 1 / MIN_WEIGHT:
            raise ValueError(
                f"slopes must have a last axis of at least one unit and fewer than {1 / MIN_WEIGHT:.0f}; "
                f"got shape {slopes.shape}"
            )
        require_shape("offsets", offsets, slopes.shape)
        require_shape("weights", weights, slopes.shape)
        require("slopes", slopes, lambda a: np.isfinite(a) & (a > 0), "positive and finite")
        require("offsets", offsets, np.isfinite, "finite")
        tolerance = 10 * float(limits(weights.dtype).eps) * weights.shape[-1]
        require("weights", weights, lambda w: w > MIN_WEIGHT, f"above {MIN_WEIGHT}")
        require("weights", weights, lambda w: abs(w.sum(-1) - 1) <= tolerance, "shares that sum to 1")
        self.raw_slopes = slopes - 1 / slopes
        self.offsets, self.raw_weights = offsets, jnp.log(weights - MIN_WEIGHT)
        self.shape = slopes.shape[:-1]
        self.cond_shape = None

    @classmethod
    def init(cls, shape: tuple[int, ...], n_units: int = 8) -> DeepSigmoid:
        """Close to the identity, units spread over where a standard normal lies."""
        ones = jnp.ones((*shape, n_units))
        return cls(ones, ones * jnp.linspace(-2, 2, n_units), ones / n_units)

    @property
    def slopes(self) -> Array:
        """a, shape (*shape, K)."""
        # squareplus (r + √(r² + 4)) / 2, from its larger root: positive however negative r is, and cheap
        root = jnp.sqrt(self.raw_slopes**2 + 4)
        positive = self.raw_slopes > 0
        far = (root + jnp.where(positive, self.raw_slopes, -self.raw_slopes)) / 2
        return jnp.where(positive, far, 1 / far)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x, log_slope = self._each(z)
        return x, log_slope.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        # σ(x) is a mean of σ(a_j z + b_j), so some a_j z + b_j are at most x and some at least x
        ends = lax.stop_gradient((x[..., None] - self.offsets) / self.slopes)
        slack = 1 + jnp.abs(ends).max(-1) * limits(x.dtype).eps ** 0.5
        z = increasing_root(lambda z: self._each(z)[0], x, ends.min(-1) - slack, ends.max(-1) + slack)
        return z, -self._each(z)[1].sum()

    def _each(self, z: Array) -> tuple[Array, Array]:
        """Values and log-slopes: logs of s = Σ w σ(c), of 1 − s = Σ w σ(−c) and of s' = Σ w a σ(c) σ(−c).

        One exponential a unit: each sum is scaled by its largest term, and all terms are powers of e^{−|c|}.
        """
        slopes = self.slopes
        n_units = self.raw_weights.shape[-1]
        weights = MIN_WEIGHT + (1 - MIN_WEIGHT * n_units) * jax.nn.softmax(self.raw_weights)
        c = slopes * z[..., None] + self.offsets
        below = c < 0
        size = jnp.where(below, -c, c)
        least = lax.stop_gradient(size.min(-1, keepdims=True))
        scaled = jnp.exp(least - size)  # the largest is 1
        small = scaled * jnp.exp(-least)  # e^{−|c|}, zero far out
        share = weights / (1 + small)
        all_below, all_above = below.all(-1, keepdims=True), (~below).all(-1, keepdims=True)
        up = (share * jnp.where(below, jnp.where(all_below, scaled, small), 1)).sum(-1)
        down = (share * jnp.where(below, 1, jnp.where(all_above, scaled, small))).sum(-1)
        change = (share * slopes * scaled / (1 + small)).sum(-1)
        least = least[..., 0]
        log_s = jnp.log(up) - jnp.where(all_below[..., 0], least, 0)
        log_rest = jnp.log(down) - jnp.where(all_above[..., 0], least, 0)
        return log_s - log_rest, jnp.log(change) - least - log_s - log_rest
