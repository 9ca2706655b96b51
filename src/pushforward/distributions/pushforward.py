"""The distribution of f(z) for z from a base."""

from __future__ import annotations

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractBijection, Chain
from pushforward.distributions.base import AbstractDistribution


class Pushforward(AbstractDistribution):
    """A normalizing flow: the distribution of x = f(z), z drawn from a base (Rezende & Mohamed 2015).

    `log p(x) = log p_base(f⁻¹(x)) + log|det Df⁻¹(x)|`.

    Arguments:
        base: distribution of z.
        bijection: the map f, of the base's event shape.

    Raises:
        ValueError: the event shapes differ.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Exp
        >>> from pushforward.distributions import Normal, Pushforward
        >>> log_normal = Pushforward(Normal.standard(()), Exp(()))
        >>> round(log_normal.log_prob(jnp.array(1.0)).item(), 4)
        -0.9189
    """

    base: AbstractDistribution
    bijection: AbstractBijection

    def __init__(self, base: AbstractDistribution, bijection: AbstractBijection):
        if base.shape != bijection.shape:
            raise ValueError(f"base has event shape {base.shape}, bijection {bijection.shape}; they must agree")
        self.base = base
        self.bijection = bijection

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape if self.base.cond_shape is None else self.base.cond_shape

    def _parts(self, condition: Array | None) -> tuple[Array | None, Array | None]:
        """The condition as the base and as the bijection take it."""
        return (
            None if self.base.cond_shape is None else condition,
            None if self.bijection.cond_shape is None else condition,
        )

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        for_base, for_map = self._parts(condition)
        z, log_det = self.bijection.inverse_and_log_det(x, for_map)
        return self.base._log_prob(z, for_base) + log_det

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        for_base, for_map = self._parts(condition)
        return self.bijection.forward(self.base._sample(key, for_base), for_map)

    def _sample_and_log_prob(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        for_base, for_map = self._parts(condition)
        z, log_prob = self.base._sample_and_log_prob(key, for_base)
        x, log_det = self.bijection.forward_and_log_det(z, for_map)
        return x, log_prob - log_det

    def calibrate(
        self, x: Array, condition: Array | None = None, weights: Array | None = None
    ) -> tuple[Pushforward, Array]:
        """Calibrate the map on a batch; see `AbstractBijection.calibrate`.

        Returns:
            The calibrated distribution and the log-densities of the batch under it, shape (n,).
        """
        for_base, for_map = self._parts(condition)
        bijection, z, log_det = self.bijection.calibrate(x, for_map, weights)
        axes = (0, None if for_base is None else 0)
        log_prob = jax.vmap(self.base._log_prob, in_axes=axes)(z, for_base)
        return eqx.tree_at(lambda p: p.bijection, self, bijection), log_prob + log_det

    @property
    def reads_data(self) -> bool:
        """Whether a part of the map reads parameters off data."""
        return self.bijection.reads_data

    def then(self, bijection: AbstractBijection) -> Pushforward:
        """This flow followed by one more map on the data side."""
        return Pushforward(self.base, Chain([self.bijection, bijection]))
