"""Draws from a fitted mixture, and its posterior network fitted to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray
from scipy.special import softmax

from pushforward.data.columns import Columns, FloatArray, as_float
from pushforward.data.fields import Fields
from pushforward.distributions import MixtureOfFlows
from pushforward.distributions.mixed import CODE
from pushforward.estimators.mixed import middle
from pushforward.estimators.preparing import draw_seed
from pushforward.estimators.scoring import in_batches, joint_and_logits_of, rows_of_width
from pushforward.estimators.validation import require_solved
from pushforward.objectives import PosteriorFit, Posteriors
from pushforward.processes import before_computing
from pushforward.training import Resident, Settings, train
from pushforward.training.feeds import bucket

FEWEST_DRAWS, MOST_DRAWS = 2_000, 20_000
REDRAWS = 3  # of rows too far out
REDRAWN_ROWS = 4096  # of rows of more than numbers, at once
REFINING = Settings(max_epochs=40, batch_size=512, learning_rate=3e-3, schedule="cosine", patience=10)


def draw_key(random_state: Any, own: Any) -> Array:
    """A key to draw with: of the seed given, or else of the estimator's own."""
    before_computing()
    return jax.random.key(draw_seed(own if random_state is None else random_state))


def within_reach(columns: Columns, key: Array, draw: Callable[[Array], np.ndarray]) -> FloatArray:
    """Rows in the data's units, none of them further out than the table's tails say.

    Far from all that it was trained on a flow is what its maps happen to be, and a stretched one throws a few draws
    in a thousand several times the table's range away. Such rows are drawn again, all rows at once, so that nothing is
    compiled for them; a cell that is too far out even then is moved to the end of the reach.

    Arguments:
        columns: of the table.
        key: a JAX random key.
        draw: from a key to rows in standard units, shape (..., D), the same shape each time.

    Raises:
        SolveError: there are rows that a map gave up on.
    """
    rows = _restored(columns, draw(key))
    for i in range(1, REDRAWS + 1):
        beyond = columns.beyond(rows)
        if not beyond.any():
            return rows
        rows[beyond] = _restored(columns, draw(jax.random.fold_in(key, i)))[beyond]
    return np.clip(rows, *columns.reach)


def mixed_within_reach(
    fields: Fields, key: Array, n: int, draw: Callable[[Array, NDArray[np.intp]], np.ndarray]
) -> FloatArray:
    """Encoded rows, shape (n, D, 4), none with a number further out than samples may lie, as `within_reach`.

    Of many rows only those that are too far out are drawn again, some thousands at once, so that one more shape is
    compiled at most. What is too far out even then is moved where rows are decoded.

    Arguments:
        fields: of the table.
        key: a JAX random key.
        n: how many rows.
        draw: from a key and numbers of rows to these rows, encoded.
    """
    every = np.arange(n)
    rows = np.array(draw(key, every), dtype=np.float64)
    for i in range(1, REDRAWS + 1):
        beyond = np.flatnonzero(fields.beyond(rows[:, :, CODE], middle(rows)).any(axis=1))
        if not len(beyond):
            break
        some = beyond[:REDRAWN_ROWS]
        again = draw(jax.random.fold_in(key, i), every if n <= REDRAWN_ROWS else np.resize(some, REDRAWN_ROWS))
        rows[some] = again[some] if n <= REDRAWN_ROWS else again[: len(some)]
    return rows


def _restored(columns: Columns, drawn: np.ndarray) -> FloatArray:
    require_solved(drawn)
    return columns.restore(drawn)


def draw_components(mixture: MixtureOfFlows, key: Array, n: int, component: int | None = None) -> np.ndarray:
    """The components of n draws, by their weights, or all of them one that is asked for, shape (n,)."""
    if component is not None:
        return np.full(n, component)
    return np.asarray(jax.random.categorical(key, mixture.log_weights, shape=(bucket(n),)))[:n]


def draw_of(mixture: MixtureOfFlows, key: Array, chosen: np.ndarray, condition: Any = None) -> np.ndarray:
    """Draws in standard units from components of a mixture.

    Arguments:
        mixture: with K components.
        key: a JAX random key.
        chosen: the component of each draw, shape (n,).
        condition: one for each draw, shape (n, C), or None.

    Returns:
        Shape (n, D).
    """
    places = [np.flatnonzero(chosen == j) for j in range(mixture.n_components)]
    given = None if condition is None else [np.asarray(condition)[place] for place in places]
    rows = np.empty((len(chosen), *mixture.shape))
    draws = mixture.sample_by_component(key, [len(place) for place in places], given)
    for place, draw in zip(places, draws, strict=True):
        rows[place] = draw
    return rows


def refine_posterior(
    mixture: MixtureOfFlows, n_rows: int, condition: np.ndarray | None, seed: int, max_epochs: int | None = None
) -> tuple[MixtureOfFlows, bool]:
    """The mixture with its posterior network fitted to the exact posterior on its own draws.

    Arguments:
        mixture: trained.
        n_rows: rows it was trained on; several times as many are drawn, within limits.
        condition: conditions to draw under, shape (n, C), or None.
        seed: of everything random.
        max_epochs: passes over the draws at most; None for as many as it takes.

    Returns:
        The same mixture with another posterior network, and whether its training was ended by Ctrl-C.
    """
    n_epochs = min(REFINING.max_epochs, max_epochs or REFINING.max_epochs)
    n_samples = int(np.clip(8 * n_rows, FEWEST_DRAWS, MOST_DRAWS))
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    given = None if condition is None else condition[rng.integers(len(condition), size=n_samples)]
    key_k, key_x = jax.random.split(jax.random.fold_in(key, 1))
    x = draw_of(mixture, key_x, draw_components(mixture, key_k, n_samples), given)
    at_once = min(
        bucket(n_rows), rows_of_width(x.shape[1])
    )  # as many as a user scores next, by the same compiled program
    joint, _ = in_batches(partial(joint_and_logits_of, mixture), x, given, at_once)
    (seen,) = in_batches(partial(_network_input, mixture), x, given, at_once)
    places = np.flatnonzero(np.isfinite(joint).any(axis=1))
    parts = np.split(places, [-(len(places) // 10)])
    rows, held_out = (
        Resident.of(Posteriors(as_float(seen[part]), as_float(softmax(joint[part], axis=1)))) for part in parts
    )
    fit = train(
        mixture.posterior,
        PosteriorFit(),
        rows,
        key=key,
        settings=dataclasses.replace(REFINING, max_epochs=n_epochs),
        validation=held_out,
    )
    return eqx.tree_at(lambda mixture: mixture.posterior, mixture, fit.model), fit.interrupted


@eqx.filter_jit
def _network_input(mixture: MixtureOfFlows, s: Array, c: Array | None) -> Array:
    """What the posterior network is given of rows and conditions in standard units."""
    axes = (0, None if c is None else 0)
    return jax.vmap(lambda s, c: mixture.network_input(mixture.seen(s, c), c), in_axes=axes)(s, c)
