"""Normal distributions read off the output of a network."""

from __future__ import annotations

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

LOG_SCALE_BOUND = 5.0  # soft bound on every log-scale: e^±5


class Gaussian(eqx.Module):
    """Independent normal coordinates, read off a network's output: means, then raw log-scales.

    Arguments:
        output: shape (2D,).

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.networks import Gaussian
        >>> Gaussian(jnp.zeros(4)).at(jnp.ones(2)).tolist()
        [1.0, 1.0]
    """

    loc: Float[Array, " d"]
    log_scale: Float[Array, " d"]

    def __init__(self, output: Float[Array, " two_d"]):
        self.loc, raw = jnp.split(output, 2)
        self.log_scale = LOG_SCALE_BOUND * jnp.tanh(raw / LOG_SCALE_BOUND)

    def at(self, noise: Float[Array, " d"]) -> Float[Array, " d"]:
        """The value that standard normal noise becomes."""
        return self.loc + jnp.exp(self.log_scale) * noise

    def log_prob(self, x: Float[Array, " d"]) -> Float[Array, ""]:
        """Log-density, a scalar."""
        z = (x - self.loc) * jnp.exp(-self.log_scale)
        return -(0.5 * z**2 + self.log_scale + 0.5 * jnp.log(2 * jnp.pi)).sum()
