"""The distribution of f(z) for z from a base."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap
from pushforward.bijections.compose import Chain
from pushforward.checks import check_whole
from pushforward.distributions.base import AbstractDistribution, weigher
from pushforward.distributions.estimates import check_key, mean_log_weight


class Pushforward(AbstractDistribution):
    """A normalizing flow: the distribution of x = f(z), z drawn from a base (Rezende & Mohamed 2015).

    `log p(x) = log p_base(f⁻¹(x)) + log|det Df⁻¹(x)|`. A map that draws numbers of its own, or whose log-determinant is
    an estimate, gives estimates of it: `elbo` and `log_prob_estimate`.

    Arguments:
        base: distribution of z.
        bijection: the map f, or a layer like one, of the base's event shape.

    Raises:
        ValueError: the event shapes differ, or the base has no exact density.

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

    def __init__(self, base: AbstractDistribution, bijection: AbstractMap):
        if base.shape != bijection.shape:
            raise ValueError(f"base has event shape {base.shape}, bijection {bijection.shape}; they must agree")
        if base.inexactness:
            raise ValueError(
                f"the density of the base is known through estimates ({base.exactness}); give an exact one"
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
        return self.bijection.inexactness

    def log_weight(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        for_base, for_map = self._parts(condition)
        z, log_weight = self.bijection.inverse_and_log_weight(x, key, for_map)
        return self.base._log_prob(z, for_base) + log_weight

    def sample_and_log_weight(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        for_base, for_map = self._parts(condition)
        key_map = None
        if self.inexactness:
            key, key_map = jax.random.split(key)
        z, log_prob = self.base._sample_and_log_prob(key, for_base)
        x, log_weight = self.bijection.forward_and_log_weight(z, key_map, for_map)
        return x, log_prob - log_weight

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        self._require_exact()
        return self.log_weight(x, None, condition)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        return self.sample_and_log_weight(key, condition)[0]  # compiled, what is not used is not computed

    def _sample_and_log_prob(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        self._require_exact()
        return self.sample_and_log_weight(key, condition)

    def elbo(self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 1) -> Array:
        """Estimates of a lower bound on log p(x), unbiased for the bound; log p(x) itself where the map is exact.

        Arguments:
            x: shape (*batch, *shape).
            condition: shape (*batch, *cond_shape), or None.
            key: a JAX random key.
            n_samples: draws that the estimate of each point averages.

        Returns:
            Shape (*batch,), nats per unit volume of x.

        Raises:
            ValueError: a shape does not fit, there is no key, or `n_samples` is below 1.
        """
        rows, batch = self._flat(x, condition)
        return _elbos(self, rows, check_key(key), check_whole("n_samples", n_samples, 1)).reshape(batch)

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Pushforward, Array]:
        """Calibrate the map on a batch; see `AbstractMap.calibrate`.

        Returns:
            The calibrated distribution and `log_weight` of the batch under it, shape (n,).
        """
        for_base, for_map = self._parts(condition)
        bijection, z, log_det = self.bijection.calibrate(x, for_map, weights, key)
        axes = (0, None if for_base is None else 0)
        log_prob = jax.vmap(self.base._log_prob, in_axes=axes)(z, for_base)
        return eqx.tree_at(lambda p: p.bijection, self, bijection), log_prob + log_det

    @property
    def reads_data(self) -> bool:
        """Whether a part of the map reads parameters off data."""
        return self.bijection.reads_data

    def then(self, bijection: AbstractMap) -> Pushforward:
        """This flow followed by one more map on the data side."""
        return Pushforward(self.base, Chain([self.bijection, bijection]))


@eqx.filter_jit
def _elbos(flow: Pushforward, rows: tuple[Array, Array | None], key: PRNGKeyArray, n_samples: int) -> Array:
    return mean_log_weight(weigher(flow), rows, key, n_samples)
