"""Maximum likelihood."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections import shuffle_orders
from pushforward.bijections._checks import whole
from pushforward.distributions import Pushforward
from pushforward.objectives.batch import Batch, add_noise


def weighted_mean(values: Array, weight: Array) -> Array:
    """Mean of `values` over rows of positive weight; a row of weight zero may hold anything."""
    total = jnp.where(weight > 0, values, 0) @ weight
    return total / jnp.where((weight > 0).any(), weight.sum(), 1)


class NegativeLogLikelihood(eqx.Module):
    """The mean of −log p(x) over a batch; of a flow without an exact density, of a bound on it.

    Arguments:
        noise: width of uniform noise on each column, shape (D,), or None.
        n_draws: draws of its own numbers that a map without an exact density makes for each row, whose bounds are
            averaged: several leave less noise in the gradient.

    Raises:
        ValueError: `n_draws` is no whole number of at least 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward import flows
        >>> from pushforward.objectives import Batch, NegativeLogLikelihood
        >>> x = jnp.zeros((4, 2))
        >>> batch = Batch(x, None, None, None, jnp.ones(4), jnp.array(0.0))
        >>> NegativeLogLikelihood()(flows.maf(jax.random.key(0), 2), batch, jax.random.key(1)).shape
        ()
    """

    noise: Array | None = None
    n_draws: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        whole("n_draws", self.n_draws, 1)

    def __call__(self, model: Pushforward, batch: Batch, key: PRNGKeyArray) -> Array:
        x = add_noise(batch.x, self.noise, key)

        def bound(key: PRNGKeyArray | None) -> Array:
            return model.calibrate(x, batch.condition, batch.weight, key)[1]

        if not model.inexactness:
            return weighted_mean(-bound(None), batch.weight)
        key_map = jax.random.fold_in(key, 1)
        if self.n_draws == 1:
            return weighted_mean(-bound(key_map), batch.weight)
        return weighted_mean(-jax.vmap(bound)(jax.random.split(key_map, self.n_draws)).mean(axis=0), batch.weight)


class OrderAgnosticLikelihood(eqx.Module):
    """The mean of −log p(x) with every masked autoregressive layer in a random order, drawn anew for each batch.

    A flow trained on it is a good density in any order of its coordinates (Germain et al. 2015, section 4.1).

    Arguments:
        noise: width of uniform noise on each column, shape (D,), or None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward import flows
        >>> from pushforward.objectives import Batch, OrderAgnosticLikelihood
        >>> batch = Batch(jnp.zeros((4, 2)), None, None, None, jnp.ones(4), jnp.array(0.0))
        >>> OrderAgnosticLikelihood()(flows.maf(jax.random.key(0), 2), batch, jax.random.key(1)).shape
        ()
    """

    noise: Array | None = None

    def __call__(self, model: Pushforward, batch: Batch, key: PRNGKeyArray) -> Array:
        key_orders, key_noise = jax.random.split(key)
        return NegativeLogLikelihood(self.noise)(shuffle_orders(model, key_orders), batch, key_noise)
