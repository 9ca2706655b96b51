"""Maximum likelihood."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections import shuffle_orders
from pushforward.checks import check_whole
from pushforward.distributions import AbstractDistribution, Pushforward
from pushforward.distributions.base import log_mean_exp, weigher
from pushforward.objectives.batch import AbstractLoss, Batch, with_noise


def weighted_mean(values: Array, weight: Array) -> Array:
    """Mean of `values` over rows of positive weight; a row of weight zero may hold anything."""
    total = jnp.where(weight > 0, values, 0) @ weight
    return total / jnp.where((weight > 0).any(), weight.sum(), 1)


class NegativeLogLikelihood(AbstractLoss):
    """The mean of −log p(x) over a batch; of a flow without an exact density, of a bound on it.

    Arguments:
        noise: width of uniform noise on each column, shape (D,), or None.
        n_samples: draws of its own numbers that a map without an exact density makes for each row; with more than one,
            the bound is importance weighted (Burda et al. 2016), the tighter the more, at so many times the cost in
            time and memory.

    Raises:
        ValueError: `n_samples` is no whole number of at least 1.
        InexactError: several draws of a flow whose log-determinants are estimates, which would bias weights upward.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward import flows
        >>> from pushforward.objectives import Batch, NegativeLogLikelihood, Rows
        >>> x = jnp.zeros((4, 2))
        >>> batch = Batch(Rows(x), jnp.ones(4))
        >>> NegativeLogLikelihood()(flows.maf(jax.random.key(0), 2), batch, jax.random.key(1)).shape
        ()
    """

    noise: Array | None = None
    n_samples: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        check_whole("n_samples", self.n_samples, 1)

    def __call__(self, model: AbstractDistribution, batch: Batch, key: PRNGKeyArray) -> Array:
        batch = with_noise(batch, self.noise, key)
        key_map = jax.random.fold_in(key, 1) if model.inexactness else None
        if key_map is None or self.n_samples == 1:
            bounds = model.calibrate(batch.rows.x, batch.rows.condition, batch.weight, key_map)[1]
        else:
            bounds = _importance_weighted(model, batch, key_map, self.n_samples)
        return weighted_mean(-bounds, batch.weight)

    def calibrate(self, model: Any, batch: Batch, key: PRNGKeyArray) -> Any:
        """As of every loss, read off rows with noise as in training."""
        return super().calibrate(model, with_noise(batch, self.noise, jax.random.fold_in(key, 1)), key)


def _importance_weighted(model: AbstractDistribution, batch: Batch, key: PRNGKeyArray, n_samples: int) -> Array:
    """The log of the mean weight of several draws for each row, shape (n,), with its whole gradient.

    In a logarithm the score of q(u|x), which a bound of one draw leaves out, has a part to play.
    """
    model.require_weights("train on one draw")
    n = len(batch.rows.x)
    keys = jax.random.split(key, n * n_samples + 1)
    if model.reads_data:
        model = model.calibrate(batch.rows.x, batch.rows.condition, batch.weight, keys[-1])[0]

    def row(x: Array, condition: Array | None, keys: Array) -> Array:
        return log_mean_exp(weigher(model)((x, condition))(keys))

    axes = (0, None if batch.rows.condition is None else 0, 0)
    result: Array = jax.vmap(row, in_axes=axes)(batch.rows.x, batch.rows.condition, keys[:-1].reshape(n, n_samples))
    return result


class OrderAgnosticLikelihood(AbstractLoss):
    """The mean of −log p(x) with every masked autoregressive layer in a random order, drawn anew for each batch.

    A flow trained on it is a good density in any order of its coordinates (Germain et al. 2015, section 4.1).

    Arguments:
        noise: width of uniform noise on each column, shape (D,), or None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward import flows
        >>> from pushforward.objectives import Batch, OrderAgnosticLikelihood, Rows
        >>> batch = Batch(Rows(jnp.zeros((4, 2))), jnp.ones(4))
        >>> OrderAgnosticLikelihood()(flows.maf(jax.random.key(0), 2), batch, jax.random.key(1)).shape
        ()
    """

    noise: Array | None = None

    def __call__(self, model: Pushforward, batch: Batch, key: PRNGKeyArray) -> Array:
        key_orders, key_noise = jax.random.split(key)
        return NegativeLogLikelihood(self.noise)(shuffle_orders(model, key_orders), batch, key_noise)
