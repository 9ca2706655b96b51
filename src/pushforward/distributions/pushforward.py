"""The distribution of f(z) for z from a base."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap
from pushforward.bijections.compose import Chain
from pushforward.bijections.foreign import as_map, map_name
from pushforward.distributions.base import AbstractDistribution


class Pushforward(AbstractDistribution):
    """A normalizing flow: the distribution of x = f(z), z drawn from a base (Rezende & Mohamed 2015).

    `log p(x) = log p_base(f⁻¹(x)) + log|det Df⁻¹(x)|`. A map that draws numbers of its own, or whose log-determinant is
    an estimate, gives estimates of it: `elbo` and `log_prob_estimate`. So does a base without an exact density.

    Arguments:
        base: distribution of z.
        bijection: the map f, or a layer like one; its noise has the base's event shape.

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
    bijection: AbstractMap

    def __init__(self, base: AbstractDistribution, bijection: Any):
        bijection = as_map(bijection, base.shape)
        if base.shape != bijection.noise_shape:
            raise ValueError(
                f"base has event shape {base.shape}, noise of {map_name(bijection)} {bijection.noise_shape}; "
                "they must agree"
            )
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

    @property
    def inexactness(self) -> frozenset[str]:
        return self.base.inexactness | self.bijection.inexactness

    def _keys(self, key: PRNGKeyArray | None) -> tuple[PRNGKeyArray | None, PRNGKeyArray | None]:
        """Keys for the log-weights of the base and of the map; what is exact needs none."""
        if not self.base.inexactness:
            return None, key
        if key is None or not self.bijection.inexactness:
            return key, None
        for_base, for_map = jax.random.split(key)
        return for_base, for_map

    def _draw_keys(self, key: PRNGKeyArray) -> tuple[PRNGKeyArray, PRNGKeyArray | None]:
        """Keys for a draw of the base and for the map, which needs none if it is exact."""
        if not self.bijection.inexactness:
            return key, None
        for_base, for_map = jax.random.split(key)
        return for_base, for_map

    def log_weight(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        (key_base, key_map), (for_base, for_map) = self._keys(key), self._parts(condition)
        z, log_weight = self.bijection.inverse_and_log_weight(x, key_map, for_map)
        return self.base.log_weight(z, key_base, for_base) + log_weight

    def sample_and_log_weight(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        (key_base, key_map), (for_base, for_map) = self._draw_keys(key), self._parts(condition)
        z, of_base = self.base.sample_and_log_weight(key_base, for_base)
        x, log_weight = self.bijection.forward_and_log_weight(z, key_map, for_map)
        return x, of_base - log_weight

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        self._require_exact()
        return self.log_weight(x, None, condition)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        (key_base, key_map), (for_base, for_map) = self._draw_keys(key), self._parts(condition)
        z = self.base._sample(key_base, for_base)
        return self.bijection.forward_and_log_weight(z, key_map, for_map)[0]  # compiled, the weight is not computed

    def _sample_and_log_prob(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        self._require_exact()
        return self.sample_and_log_weight(key, condition)

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Pushforward, Array]:
        """Calibrate the map on a batch, then the base; see `AbstractDistribution.calibrate`."""
        (key_base, key_map), (for_base, for_map) = self._keys(key), self._parts(condition)
        bijection, z, log_det = self.bijection.calibrate(x, for_map, weights, key_map)
        base, log_weight = self.base.calibrate(z, for_base, weights, key_base)
        return eqx.tree_at(lambda p: (p.base, p.bijection), self, (base, bijection)), log_weight + log_det

    @property
    def reads_data(self) -> bool:
        """Whether a part of the base or of the map reads parameters off data."""
        return self.base.reads_data or self.bijection.reads_data

    def then(self, bijection: AbstractMap) -> Pushforward:
        """This flow followed by one more map on the data side."""
        return Pushforward(self.base, Chain([self.bijection, bijection]))
