"""What fills gaps learns by hiding cells that are known."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.distributions import GapFiller
from pushforward.objectives.batch import AbstractLoss, Batch
from pushforward.objectives.likelihood import weighted_mean


class HiddenCells(AbstractLoss):
    """The mean of −log q(hidden | seen) over the cells that are hidden at random from each row of a batch.

    Of every row a share is hidden that is itself drawn at random, so that all patterns of gaps are learned
    (Uria et al. 2014, "A deep and tractable density estimator").
    """

    def __call__(self, model: GapFiller, batch: Batch, key: PRNGKeyArray) -> Array:
        x = batch.rows.x

        def row(x: Array, key: PRNGKeyArray) -> Array:
            key_share, key_cells = jax.random.split(key)
            known = ~jnp.isnan(x[:, 0])
            drawn = jax.random.uniform(key_cells, known.shape)
            hidden = known & (drawn < jax.random.uniform(key_share))
            first = known & (drawn == jnp.where(known, drawn, jnp.inf).min())  # one at least
            hidden = hidden | first
            said = model.columnwise(jnp.where(hidden[:, None], jnp.nan, x)).log_probs(x)
            return -jnp.where(hidden, said, 0).sum() * known.sum() / jnp.maximum(hidden.sum(), 1)

        losses = jax.vmap(row)(x, jax.random.split(key, len(x)))
        return weighted_mean(losses, batch.weight)
