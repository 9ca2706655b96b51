"""Whole numbers as a density that is constant in the cell of each of them."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.distributions.autoregressive import Autoregressive
from pushforward.distributions.base import AbstractDistribution

ROOM = 1e-3  # of a cell at each of its ends where nothing is drawn, so that no rounding moves a draw to the next one


class Cells(AbstractDistribution):
    """Flat arrays of numbers y whose nearest whole numbers have the probabilities of an autoregressive model.

    `log p(y) = log P(round(y))`: the density is constant in the unit cell around each array of whole numbers, which
    therefore has that array's probability, exactly. So levels of pixels can be pushed through maps, and be components
    of mixtures, like any other rows.

    Arguments:
        model: of arrays of whole numbers, C order; a gap cannot be told from a number, so rows have none.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.distributions import Autoregressive, Bernoulli, Cells
        >>> from pushforward.networks import PixelCNN
        >>> sizes = {"channels": 2, "n_layers": 1}
        >>> cells = Cells(Autoregressive.init(jax.random.key(0), PixelCNN, (2, 2, 1), Bernoulli(), **sizes))
        >>> x = jnp.array([0.0, 1.0, 1.0, 0.0])
        >>> cells.shape, bool(cells.log_prob(x) == cells.log_prob(x + 0.3))
        ((4,), True)
    """

    model: Autoregressive

    @property
    def shape(self) -> tuple[int, ...]:
        return (math.prod(self.model.shape),)

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.model.cond_shape

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self.model._log_prob(jnp.round(x).reshape(self.model.shape), condition)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        key_levels, key_places = jax.random.split(key)
        levels = self.model._sample(key_levels, condition).reshape(self.shape)
        return levels + jax.random.uniform(key_places, self.shape, levels.dtype, ROOM - 0.5, 0.5 - ROOM)
