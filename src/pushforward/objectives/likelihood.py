"""Maximum likelihood."""

from __future__ import annotations

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections import shuffle_orders
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

    def __call__(self, model: Pushforward, batch: Batch, key: PRNGKeyArray) -> Array:
        x = add_noise(batch.x, self.noise, key)
        key_map = jax.random.fold_in(key, 1) if model.inexactness else None
        return weighted_mean(-model.calibrate(x, batch.condition, batch.weight, key_map)[1], batch.weight)


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
