"""The smallest thing the engine trains: a point that moves to where the rows are."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pushforward import trees
from pushforward.objectives import Batch, weighted_mean
from pushforward.training import AbstractFeed, Fit, Resident, Settings, train


class Point(eqx.Module):
    """A model of one trainable point."""

    at: jax.Array


class Distance(eqx.Module):
    """Half the mean squared distance to the rows; rows beyond `forbidden` make it not a number."""

    forbidden: float = eqx.field(static=True, default=np.inf)

    def __call__(self, model: Point, batch: Batch, key: Any) -> Any:
        broken = ((jnp.abs(batch.data) > self.forbidden).any(axis=1) & (batch.weight > 0)).any()
        loss = weighted_mean(((batch.data - model.at) ** 2).sum(axis=1) / 2, batch.weight)
        return jnp.where(broken, jnp.nan, loss)


def point(*at: float) -> Point:
    return Point(jnp.asarray(at))


def points(*many: Any) -> Point:
    return trees.stack([point(*at) for at in many])


def table(mean: Any, n: int = 80, seed: int = 0, spread: float = 1.0) -> Any:
    rng = np.random.default_rng(seed)
    return np.asarray(mean) + spread * rng.normal(size=(n, len(np.atleast_1d(mean))))


def rows(mean: Any = (1.0, -1.0), **options: Any) -> Resident:
    return Resident.of(table(mean, **options))


def run(
    model: Point, data: AbstractFeed, *, seed: int = 0, loss: Any = None, more: Any = None, **settings: Any
) -> Fit[Point]:
    """Train with `settings`; `more` goes to `train` itself."""
    options = {"max_epochs": 5, "batch_size": 16, "learning_rate": 0.1, **settings}
    return train(
        model, loss or Distance(), data, key=jax.random.key(seed), settings=Settings(**options), **(more or {})
    )
