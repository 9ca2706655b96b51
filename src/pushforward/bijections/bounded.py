"""One elementwise map onto intervals, half-lines and lines, coordinate by coordinate."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import is_concrete, limits
from pushforward.trees import Frozen


class Bounded(AbstractBijection):
    """Map the line onto (low, high) in each coordinate, either end of which may be infinite.

    A coordinate with both ends goes through a sigmoid, with one end through a softplus, with none it stays.
    Both directions are in closed form. Outside its interval a point has log-determinant -inf; forward values
    are strictly inside, however far out the noise.

    Arguments:
        low: lower ends, -inf for none, event shape.
        high: upper ends, inf for none, the same shape.

    Raises:
        ValueError: the shapes differ, or an end is NaN or not below its partner.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Bounded
        >>> Bounded(jnp.array([0.0, -jnp.inf]), jnp.array([2.0, jnp.inf])).forward(jnp.zeros(2)).tolist()
        [1.0, 0.0]
    """

    low: Frozen[Array]
    high: Frozen[Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    def __init__(self, low: Any, high: Any):
        low, high = jnp.asarray(low), jnp.asarray(high)
        if low.shape != high.shape:
            raise ValueError(f"low has shape {low.shape}, high {high.shape}; they must agree")
        for name, end in (("low", low), ("high", high)):
            if not jnp.issubdtype(end.dtype, jnp.floating):
                raise ValueError(f"{name} must be floating; got dtype {end.dtype}")
        if is_concrete(low, high) and not bool((low < high).all()):
            raise ValueError(f"low must be below high in every coordinate; got low={low}, high={high}")
        self.low, self.high = Frozen(low), Frozen(high)
        self.shape = low.shape
        self.cond_shape = None

    @property
    def codomain(self) -> tuple[Array, Array]:
        return self.low.value, self.high.value

    def _ends(self, dtype: Any) -> tuple[Array, Array, Array, Array]:
        """Which ends are there, and both with zero and one in the place of infinite ones."""
        low, high = self.low.value.astype(dtype), self.high.value.astype(dtype)
        has_low, has_high = jnp.isfinite(low), jnp.isfinite(high)
        return has_low, has_high, jnp.where(has_low, low, 0), jnp.where(has_high, high, 1)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        has_low, has_high, low, high = self._ends(z.dtype)
        both, width = has_low & has_high, high - low
        # from the nearer end, so that points near either end keep their digits
        inside = jnp.where(z < 0, low + width * jax.nn.sigmoid(z), high - width * jax.nn.sigmoid(-z))
        half = jnp.where(has_low, low + jax.nn.softplus(z), high - jax.nn.softplus(-z))
        x = jnp.where(both, inside, jnp.where(has_low | has_high, half, z))
        x = jnp.maximum(x, jnp.where(has_low, _next(low, 1), -jnp.inf))
        x = jnp.minimum(x, jnp.where(has_high, _next(high, -1), jnp.inf))
        up, down = jax.nn.log_sigmoid(z), jax.nn.log_sigmoid(-z)
        slope = jnp.where(both, jnp.log(jnp.where(both, width, 1)) + up + down, jnp.where(has_low, up, down))
        return x, jnp.where(has_low | has_high, slope, 0).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        has_low, has_high, low, high = self._ends(x.dtype)
        both, either = has_low & has_high, has_low | has_high
        below, above = x - low, high - x
        outside = (has_low & (below <= 0)) | (has_high & (above <= 0))
        below = jnp.where(has_low & ~outside, below, 1)
        above = jnp.where(has_high & ~outside, above, 1)
        gap = jnp.where(has_low, below, above)
        # softplus⁻¹(g) = g + log(1 − e^{−g})
        root = gap + jnp.log(-jnp.expm1(-gap))
        half = jnp.where(has_low, root, -root)
        z = jnp.where(both, jnp.log(below) - jnp.log(above), jnp.where(either, half, x))
        slope_both = jnp.log(jnp.where(both, high - low, 1)) - jnp.log(below) - jnp.log(above)
        slope_half = -jnp.log(-jnp.expm1(-gap))
        slope = jnp.where(both, slope_both, jnp.where(either, slope_half, 0))
        return jnp.where(outside, 0, z), jnp.where(outside, -jnp.inf, slope).sum()


def _next(end: Array, sign: int) -> Array:
    """The next number above or below; past the subnormal ones, which devices flush to zero."""
    following = jnp.nextafter(end, jnp.full_like(end, sign * jnp.inf))
    tiny = sign * limits(end.dtype).tiny
    return jnp.where(jnp.abs(end) < jnp.abs(tiny), tiny, following)
