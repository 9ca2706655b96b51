"""Independent coordinates with closed-form densities: normal, logistic, uniform."""

from __future__ import annotations

import abc
import math
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.checks import floating, require
from pushforward.distributions.base import AbstractDistribution
from pushforward.trees import Frozen


class _LocationScale(AbstractDistribution):
    """Independent coordinates `loc + scale · noise`, whose noise a subclass defines."""

    raw_loc: Array | Frozen[Array]
    raw_scale: Array | Frozen[Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, loc: Any, scale: Any, *, trainable: bool = True):
        loc, scale = floating("loc", loc), floating("scale", scale)
        require("loc", loc, np.isfinite, "finite")
        require("scale", scale, lambda s: np.isfinite(s) & (s > 0), "positive and finite")
        loc, scale = jnp.broadcast_arrays(loc, scale)
        log_scale = jnp.log(scale)
        self.raw_loc = loc if trainable else Frozen(loc)
        self.raw_scale = log_scale if trainable else Frozen(log_scale)
        self.shape = loc.shape
        self.cond_shape = None

    @classmethod
    def standard(cls, shape: tuple[int, ...]) -> Self:
        """Location 0 and scale 1, neither of which trains."""
        return cls(jnp.zeros(shape), jnp.ones(shape), trainable=False)

    @property
    def loc(self) -> Array:
        """Event shape."""
        return self.raw_loc.value if isinstance(self.raw_loc, Frozen) else self.raw_loc

    @property
    def log_scale(self) -> Array:
        """Event shape."""
        return self.raw_scale.value if isinstance(self.raw_scale, Frozen) else self.raw_scale

    @abc.abstractmethod
    def _noise_log_prob(self, z: Array) -> Array:
        """Log-densities of the coordinates of noise."""

    @abc.abstractmethod
    def _noise(self, key: PRNGKeyArray, dtype: Any) -> Array:
        """One draw of noise."""

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        z = (x - self.loc) * jnp.exp(-self.log_scale)
        return (self._noise_log_prob(z) - self.log_scale).sum()

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        return self.loc + jnp.exp(self.log_scale) * self._noise(key, jnp.result_type(self.loc))


class Normal(_LocationScale):
    """Independent normal coordinates.

    Arguments:
        loc: means, floating, event shape, or broadcasting with `scale`.
        scale: standard deviations, floating, positive, event shape, or broadcasting with `loc`.
        trainable: whether both train; `Normal.standard(shape)` is a fixed standard normal.

    Raises:
        ValueError: a parameter is not floating or not finite, or a scale is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Normal
        >>> round(Normal.standard((2,)).log_prob(jnp.zeros(2)).item(), 4)
        -1.8379
    """

    def _noise_log_prob(self, z: Array) -> Array:
        return -(z**2) / 2 - math.log(2 * math.pi) / 2

    def _noise(self, key: PRNGKeyArray, dtype: Any) -> Array:
        return jax.random.normal(key, self.shape, dtype)


class Logistic(_LocationScale):
    """Independent logistic coordinates, the heavier-tailed prior of NICE (Dinh et al. 2015).

    Arguments:
        loc: means, floating, event shape, or broadcasting with `scale`.
        scale: scales s, floating, positive (the standard deviation is πs/√3), event shape, or broadcasting with `loc`.
        trainable: whether both train; `Logistic.standard(shape)` is a fixed standard logistic.

    Raises:
        ValueError: a parameter is not floating or not finite, or a scale is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Logistic
        >>> round(Logistic.standard(()).log_prob(0.0).item(), 4)
        -1.3863
    """

    def _noise_log_prob(self, z: Array) -> Array:
        return jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z)

    def _noise(self, key: PRNGKeyArray, dtype: Any) -> Array:
        return jax.random.logistic(key, self.shape, dtype)


class Uniform(AbstractDistribution):
    """Independent uniform coordinates on [low, high]; its ends never train.

    Arguments:
        low: floating, finite, event shape, or broadcasting with `high`.
        high: floating, finite, above `low`, event shape, or broadcasting with `low`.

    Raises:
        ValueError: an end is not floating or not finite, or low is not below high.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Uniform
        >>> Uniform(jnp.array(0.0), jnp.array(0.5)).log_prob(jnp.array([0.25, 2.0])).round(2).tolist()
        [0.6899999976158142, -inf]
    """

    low: Frozen[Array]
    high: Frozen[Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, low: Any, high: Any):
        low, high = jnp.broadcast_arrays(floating("low", low), floating("high", high))
        require("low", low, np.isfinite, "finite")
        require("high", high, np.isfinite, "finite")
        require("high - low", high - low, lambda width: np.isfinite(width) & (width > 0), "positive and finite")
        self.low, self.high = Frozen(low), Frozen(high)
        self.shape = low.shape
        self.cond_shape = None

    @classmethod
    def standard(cls, shape: tuple[int, ...]) -> Uniform:
        """On [0, 1] in each coordinate."""
        return cls(jnp.zeros(shape), jnp.ones(shape))

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        low, high = self.low.value, self.high.value
        return jnp.where((x >= low) & (x <= high), -jnp.log(high - low), -jnp.inf).sum()

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        low, high = self.low.value, self.high.value
        return jax.random.uniform(key, self.shape, low.dtype, low, high)
