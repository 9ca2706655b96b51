"""Elementary maps applied to each coordinate: exp, sigmoid, softplus, tanh, Gumbel, PReLU.

Where the image is not the whole line, forward values are kept strictly inside it, so that rounding in a far tail
never puts a sample on or beyond its end; a point outside has inverse log-determinant -inf, and no NaN in any gradient.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, limits, require


def _smallest(dtype: Any) -> Any:
    """The least positive normal number: subnormal ones are flushed to zero on some devices."""
    return limits(dtype).tiny


def _below_one(dtype: Any) -> Any:
    return 1 - limits(dtype).epsneg


def _supported(inside: Array, z: Array, log_slope: Array) -> tuple[Array, Array]:
    """Zero and -inf outside the support; `z` and `log_slope` must be computed from points moved inside."""
    return jnp.where(inside, z, 0), jnp.where(inside, log_slope, -jnp.inf).sum()


class Exp(AbstractBijection):
    """x = exp(z), onto (0, ∞); in closed form both ways.

    Arguments:
        shape: the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Exp
        >>> Exp(()).inverse_and_log_det(jnp.array(1.0))[0].item()
        0.0
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    @property
    def codomain(self) -> tuple[float, float]:
        return 0.0, math.inf

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        # the argument is clipped, not the result: an overflow beside a select still gives NaN gradients
        ends = limits(z.dtype)
        return jnp.exp(jnp.clip(z, math.log(ends.tiny) + 1, math.log(ends.max) - 1)), z.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = x > 0
        z = jnp.log(jnp.where(inside, x, 1))
        return _supported(inside, z, -z)


class Sigmoid(AbstractBijection):
    """x = 1 / (1 + exp(−z)), onto (0, 1), the logistic distribution function; its inverse is the logit.

    In closed form both ways.

    Arguments:
        shape: the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Sigmoid
        >>> Sigmoid(()).forward(jnp.array(0.0)).item()
        0.5
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    @property
    def codomain(self) -> tuple[float, float]:
        return 0.0, 1.0

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x = jnp.clip(jax.nn.sigmoid(z), _smallest(z.dtype), _below_one(z.dtype))
        return x, (jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (x > 0) & (x < 1)
        x = jnp.where(inside, x, 0.5)
        log_x, log_rest = jnp.log(x), jnp.log1p(-x)
        return _supported(inside, log_x - log_rest, -log_x - log_rest)


class Softplus(AbstractBijection):
    """x = log(1 + exp(z)), onto (0, ∞) and close to z where z is large; in closed form both ways.

    Arguments:
        shape: the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Softplus
        >>> round(Softplus(()).forward(jnp.array(0.0)).item(), 4)
        0.6931
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    @property
    def codomain(self) -> tuple[float, float]:
        return 0.0, math.inf

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return jnp.maximum(jax.nn.softplus(z), _smallest(z.dtype)), jax.nn.log_sigmoid(z).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = x > 0
        x = jnp.where(inside, x, 1)
        log_slope = -jnp.log(-jnp.expm1(-x))  # z = log(eˣ − 1) = x + log(1 − e⁻ˣ), which does not overflow
        return _supported(inside, x - log_slope, log_slope)


class Tanh(AbstractBijection):
    """x = tanh(z), onto (−1, 1); in closed form both ways.

    Arguments:
        shape: the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Tanh
        >>> Tanh(()).forward(jnp.array(0.0)).item()
        0.0
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    @property
    def codomain(self) -> tuple[float, float]:
        return -1.0, 1.0

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x = jnp.clip(jnp.tanh(z), -_below_one(z.dtype), _below_one(z.dtype))
        # 1 − tanh² = 4 σ(2z) σ(−2z)
        return x, (2 * math.log(2) + jax.nn.log_sigmoid(2 * z) + jax.nn.log_sigmoid(-2 * z)).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (x > -1) & (x < 1)
        x = jnp.where(inside, x, 0)
        up, down = jnp.log1p(x), jnp.log1p(-x)
        return _supported(inside, (up - down) / 2, -up - down)


class Gumbel(AbstractBijection):
    """x = exp(−exp(−z)), onto (0, 1), the Gumbel distribution function; in closed form both ways.

    Arguments:
        shape: the event shape.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Gumbel
        >>> round(Gumbel(()).forward(jnp.array(0.0)).item(), 4)
        0.3679
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    @property
    def codomain(self) -> tuple[float, float]:
        return 0.0, 1.0

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        minus_log_x = jnp.exp(jnp.minimum(-z, math.log(limits(z.dtype).max) - 1))
        x = jnp.clip(jnp.exp(-minus_log_x), _smallest(z.dtype), _below_one(z.dtype))
        return x, -(z + minus_log_x).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (x > 0) & (x < 1)
        log_x = jnp.log(jnp.where(inside, x, 0.5))
        z = -jnp.log(-log_x)
        return _supported(inside, z, z - log_x)


class PReLU(AbstractBijection):
    """x = z where z ≥ 0, else slope · z; in closed form both ways (He et al. 2015).

    What trains is log(slope).

    Arguments:
        slope: floating, positive; scalar for one that all coordinates share, or of the event shape.
        shape: the event shape.

    Raises:
        ValueError: the slope is not floating or not positive and finite, or its shape does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import PReLU
        >>> PReLU(jnp.array(0.5), (2,)).forward(jnp.array([-1.0, 1.0])).tolist()
        [-0.5, 1.0]
    """

    log_slope: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, slope: Any, shape: tuple[int, ...]):
        slope = floating("slope", slope)
        if slope.shape not in ((), tuple(shape)):
            raise ValueError(f"slope must be a scalar or have the event shape {tuple(shape)}; got shape {slope.shape}")
        require("slope", slope, lambda a: np.isfinite(a) & (a > 0), "positive and finite")
        self.log_slope = jnp.log(slope)
        self.shape = tuple(shape)
        self.cond_shape = None

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        log_slope = jnp.where(z >= 0, 0, self.log_slope)
        return z * jnp.exp(log_slope), log_slope.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        log_slope = jnp.where(x >= 0, 0, -self.log_slope)
        return x * jnp.exp(log_slope), log_slope.sum()
