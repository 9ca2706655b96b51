"""What a decoder's output says of the data: independent coordinates given the latent point."""

from __future__ import annotations

import abc
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

MIN_SCALE = 1e-3  # of a Gaussian: a column that never varies would drive its scale to zero and its density to infinity


class AbstractLikelihood(eqx.Module):
    """p(x|z) for a decoder that gives D numbers, one for each coordinate of x.

    A subclass guarantees the methods on one point.
    """

    dim: eqx.AbstractVar[int]

    @abc.abstractmethod
    def log_prob(self, output: Array, x: Array) -> Array:
        """log p(x|z), a scalar, of one point given the decoder's output, both of shape (D,)."""

    @abc.abstractmethod
    def mean(self, output: Array) -> Array:
        """The mean of x given the decoder's output; entry by entry, any shape."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray, output: Array) -> Array:
        """Draws of x given the decoder's output, of its shape."""

    @abc.abstractmethod
    def observe(self, key: PRNGKeyArray, x: Array) -> Array:
        """Rows as the likelihood takes them, drawn anew where they say how likely each value is."""

    @abc.abstractmethod
    def check(self, x: Any, observed: bool) -> None:
        """Refuse values that cannot be (before `observe`, or after it).

        Raises:
            ValueError: what is wrong, and where.
        """


class BernoulliLikelihood(AbstractLikelihood):
    """Coordinates that are 0 or 1; the decoder gives their logits.

    Grey values between are chances of a 1: `observe` draws them, anew for every batch of a training run (dynamic
    binarisation, Salakhutdinov & Murray 2008).

    Arguments:
        dim: D.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import BernoulliLikelihood
        >>> round(BernoulliLikelihood(2).log_prob(jnp.zeros(2), jnp.array([0.0, 1.0])).item(), 4)
        -1.3863
    """

    dim: int = eqx.field(static=True)

    def log_prob(self, output: Array, x: Array) -> Array:
        return (x * output - jax.nn.softplus(output)).sum()

    def mean(self, output: Array) -> Array:
        return jax.nn.sigmoid(output)

    def sample(self, key: PRNGKeyArray, output: Array) -> Array:
        return self.observe(key, jax.nn.sigmoid(output))

    def observe(self, key: PRNGKeyArray, x: Array) -> Array:
        return (jax.random.uniform(key, x.shape, x.dtype) < x).astype(x.dtype)

    def check(self, x: Any, observed: bool) -> None:
        values = np.asarray(x)
        if observed and not ((values == 0) | (values == 1)).all():
            strange = values[(values != 0) & (values != 1)]
            raise ValueError(
                f"a Bernoulli likelihood is of zeros and ones; got {strange[0]:g}: draw them from grey values with "
                "model.likelihood.observe(key, x)"
            )
        if not ((values >= 0) & (values <= 1)).all():
            strange = values[~((values >= 0) & (values <= 1))]
            raise ValueError(
                f"values of a Bernoulli likelihood are in [0, 1]; got {strange[0]:g}: divide by the largest possible "
                "value, or choose likelihood='gaussian'"
            )


class GaussianLikelihood(AbstractLikelihood):
    """Real coordinates around what the decoder gives, their scale learned.

    Arguments:
        scale: standard deviation, floating, above 0.001, where it stays; shape () for one of the model, or (D,).
        dim: D.

    Raises:
        ValueError: a scale is too small or not finite, or its shape does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.distributions import GaussianLikelihood
        >>> round(GaussianLikelihood(jnp.ones(()), 2).log_prob(jnp.zeros(2), jnp.zeros(2)).item(), 4)
        -1.8379
    """

    raw_scale: Array
    dim: int = eqx.field(static=True)

    def __init__(self, scale: Any, dim: int):
        scale = jnp.asarray(scale, jnp.result_type(float))
        if scale.shape not in ((), (dim,)):
            raise ValueError(f"scale must have shape () or ({dim},); got shape {scale.shape}")
        if not bool(jnp.all((scale > MIN_SCALE) & jnp.isfinite(scale))):
            raise ValueError(f"scale must be finite and above {MIN_SCALE}; got {scale}")
        self.raw_scale, self.dim = jnp.log(scale - MIN_SCALE), dim

    @property
    def scale(self) -> Array:
        """Standard deviation, shape () or (D,)."""
        return MIN_SCALE + jnp.exp(self.raw_scale)

    def log_prob(self, output: Array, x: Array) -> Array:
        error = (x - output) / self.scale
        return -(error**2 / 2 + jnp.log(self.scale) + math.log(2 * math.pi) / 2).sum()

    def mean(self, output: Array) -> Array:
        return output

    def sample(self, key: PRNGKeyArray, output: Array) -> Array:
        return output + self.scale * jax.random.normal(key, output.shape, output.dtype)

    def observe(self, key: PRNGKeyArray, x: Array) -> Array:
        return x

    def check(self, x: Any, observed: bool) -> None:
        if not np.isfinite(np.asarray(x)).all():
            raise ValueError("values of a Gaussian likelihood must be finite; drop or fill what is missing")
