"""A real number whose tails are heavy: a mixture of Student's t distributions."""

from __future__ import annotations

from math import lgamma, log, pi
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.checks import check_positive, check_whole, limits
from pushforward.distributions.values import AbstractValue, Real

NARROWEST = 0.1  # of the components that training starts with; the widest has scale 1


class Students(AbstractValue):
    """A real number: a mixture of Student's t distributions, whose heavy tails an outlier does not upset.

    p(x) = Σ π_i t_ν((x − μ_i)/s_i)/s_i. Raw numbers are logits of π, then μ, then scales, which start spread out.

    Arguments:
        n_components: of the mixture.
        df: ν, degrees of freedom: the lower, the heavier the tails; variance is finite above 2.
        least_scale: below which no scale can be, such as half a step of rounded values, so that repeated ones do not
            get a density without bound.

    Raises:
        ValueError: there is no component, or `df` or `least_scale` is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import Students
        >>> value = Students(1, df=1.0)  # of one component, a Cauchy distribution of scale 1
        >>> round(value.log_prob(jnp.zeros(3), jnp.array(0.0)).item(), 2)
        -1.15
    """

    n_components: int = eqx.field(static=True, default=3)
    df: float = eqx.field(static=True, default=5.0)
    least_scale: float = eqx.field(static=True, default=1e-3)

    def __check_init__(self) -> None:
        check_whole("n_components", self.n_components, 1)
        check_positive("df", self.df)
        check_positive("least_scale", self.least_scale)

    @property
    def n_params(self) -> int:
        return 3 * self.n_components

    @property
    def n_features(self) -> int:
        return 2

    def _mixture(self, params: Array) -> tuple[Array, Array, Array]:
        """Logits, places and scales."""
        logits, places, raw = jnp.split(params, 3)
        start = np.geomspace(1.0, NARROWEST, self.n_components)
        inverse = np.log(np.expm1(start)).astype(params.dtype)  # of softplus
        return logits, places, self.least_scale + jax.nn.softplus(raw + inverse)

    def log_prob(self, params: Array, x: Array) -> Array:
        finite = jnp.isfinite(x)
        logits, places, scales = self._mixture(params)
        z = (jnp.where(finite, x, 0) - places) / scales
        nu = self.df
        constant = lgamma((nu + 1) / 2) - lgamma(nu / 2) - log(nu * pi) / 2
        terms = constant - (nu + 1) / 2 * jnp.log1p(z * z / nu) - jnp.log(scales)
        total = jax.nn.logsumexp(jax.nn.log_softmax(logits) + terms)
        return jnp.where(finite, total, -jnp.inf)

    def noise(self, key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any) -> Array:
        which, u, v = jnp.moveaxis(jax.random.uniform(key, (*shape, 3), dtype, minval=float(limits(dtype).tiny)), -1, 0)
        # in closed form (Bailey 1994), as Box and Muller's of a normal
        t = jnp.sqrt(self.df * jnp.expm1(-2 / self.df * jnp.log(u))) * jnp.cos(2 * jnp.pi * v)
        return jnp.stack([which, t], axis=-1)

    def draw(self, params: Array, noise: Array) -> Array:
        logits, places, scales = self._mixture(params)
        below = jnp.cumsum(jax.nn.softmax(logits))
        chosen = jnp.arange(self.n_components) == jnp.minimum((below <= noise[0]).sum(), self.n_components - 1)
        place, scale = (jnp.where(chosen, a, 0).sum() for a in (places, scales))
        return place + scale * noise[1]

    def seen(self, x: Array) -> Array:
        return x[None]

    def check(self, x: Any) -> None:
        Real().check(x)
