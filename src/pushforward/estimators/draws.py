"""Draws from a fitted mixture, and its posterior network fitted to them."""

from __future__ import annotations

import dataclasses
import operator
from typing import Any

import jax
import numpy as np
from jaxtyping import Array

from pushforward.distributions import MixtureOfFlows
from pushforward.estimators.preparing import Table, as_feed, draw_seed
from pushforward.objectives import PosteriorFit
from pushforward.training import Fit, Settings, train
from pushforward.training.feeds import bucket

FEWEST_DRAWS, MOST_DRAWS = 2_000, 20_000
REFINING = Settings(max_epochs=40, batch_size=512, learning_rate=3e-3, schedule="cosine", patience=10)


def draw_key(random_state: Any, own: Any) -> Array:
    """A key to draw with: of the seed given, or else of the estimator's own."""
    return jax.random.key(draw_seed(own if random_state is None else random_state))


def draw_rows(
    mixture: MixtureOfFlows, key: Array, n: int, component: int | None = None, condition: Any = None
) -> tuple[np.ndarray, np.ndarray]:
    """Draws from a mixture or from one of its components.

    Arguments:
        mixture: with K components.
        key: a JAX random key.
        n: how many.
        component: the one to draw from; all by their weights if None.
        condition: one for each draw, shape (n, C), or None.

    Returns:
        Rows, shape (n, D), and their components, shape (n,).
    """
    k = mixture.n_components
    key_k, key_x = jax.random.split(key)
    if component is None:
        chosen = np.asarray(jax.random.categorical(key_k, mixture.log_weights, shape=(bucket(n),)))[:n]
    else:
        chosen = np.full(n, component)
    places = [np.flatnonzero(chosen == j) for j in range(k)]
    given = None if condition is None else [np.asarray(condition)[place] for place in places]
    rows = np.empty((n, *mixture.shape))
    draws = mixture.sample_by_component(key_x, [len(place) for place in places], given)
    for place, draw in zip(places, draws, strict=True):
        rows[place] = draw
    return rows, chosen


def refine_posterior(
    mixture: MixtureOfFlows, n_rows: int, condition: np.ndarray | None, seed: int, max_epochs: int | None = None
) -> Fit[MixtureOfFlows]:
    """The mixture with its posterior network fitted to the exact posterior on its own draws.

    Arguments:
        mixture: trained.
        n_rows: rows it was trained on; several times as many are drawn, within limits.
        condition: conditions to draw under, shape (n, C), or None.
        seed: of everything random.
        max_epochs: passes over the draws at most; None for as many as it takes.

    Returns:
        The fit of the same mixture with another posterior network.
    """
    n_epochs = min(REFINING.max_epochs, max_epochs or REFINING.max_epochs)
    n_samples = int(np.clip(8 * n_rows, FEWEST_DRAWS, MOST_DRAWS))
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    given = None if condition is None else condition[rng.integers(len(condition), size=n_samples)]
    x, _ = draw_rows(mixture, jax.random.fold_in(key, 1), n_samples, None, given)
    parts = [slice(None, -n_samples // 10), slice(-n_samples // 10, None)]
    rows, held_out = (as_feed(Table(x[part], None if given is None else given[part])) for part in parts)
    return train(
        mixture,
        PosteriorFit(),
        rows,
        key=key,
        settings=dataclasses.replace(REFINING, max_epochs=n_epochs),
        validation=held_out,
        where=operator.attrgetter("posterior"),
    )
