"""A flow that starts as the best mixture of Gaussians, and leaves it only as far as held-out rows support."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from pushforward.bijections import AbstractMap, Identity
from pushforward.clustering import Gaussians, choose_gaussians
from pushforward.clustering.shrunk import SURE, standard_errors
from pushforward.data.columns import Columns, FloatArray, as_float
from pushforward.distributions import GaussianMixture, Pushforward
from pushforward.distributions.base import AbstractDistribution
from pushforward.estimators.build import FlowSpec, build_flow
from pushforward.estimators.preparing import Table
from pushforward.estimators.scoring import SCORE_ROWS, in_batches, log_prob_of
from pushforward.estimators.starting import as_base, data_side, start_flow, table_whitening, whitened
from pushforward.processes import jit_once
from pushforward.training import Checkpoint, Fit, TrainingError, named_phase
from pushforward.trees import Frozen

EASING = 100.0  # times the usual prior that holds the flow to its start at first
MANY = 4_000  # rows, beside which a prior counts for little
FEWEST = 30  # held-out rows, below which no flow could be judged
Train = Callable[..., Fit[Pushforward]]  # of a model, a checkpoint or None, and settings by name


def fit_supported(
    spec: FlowSpec,
    columns: Columns,
    every: Table,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    seed: int,
    n_init: int,
    train: Train,
    checkpoint: Checkpoint | None,
    *,
    patience: int,
    eases: bool,
) -> tuple[Fit[Pushforward], bool]:
    """Fit Gaussians, then flows that start as they are, and keep what held-out rows support.

    Where a single Gaussian is as good as several, nothing else is to be seen, and nothing trains. Else two flows are
    tried on them: one whose base does not train, held to the identity by a strong prior that eases; and one whose base
    trains as well, with no stronger prior than usual, by the same compiled program. Of many rows, where the first of
    them is slow to leave, it is left out; and where the second does not gain for sure, a flow on a single Gaussian is
    tried. The best epoch of all on held-out rows is the model. Where its gain on the Gaussians is less than twice its
    standard error, or there are too few rows to judge by, the Gaussians alone are, fitted to all rows.

    Arguments:
        spec: the recipe.
        columns: of the table.
        every: all rows, in standard units.
        split: numbers of rows to train on and to validate on.
        seed: of everything random.
        n_init: restarts.
        train: what trains a model.
        checkpoint: where to keep the state of training, or None.
        patience: epochs without a better loss on held-out rows after which flows on Gaussians stop: they start well.
        eases: whether a strong prior holds the flow at first.

    Returns:
        The fit, and whether its model is the Gaussians alone.
    """
    white = table_whitening(columns, every)
    seen, rows = whitened(columns, white, every), every.take(split[0])
    judged, weight = seen[split[1]], None if every.weight is None else every.weight[split[1]]
    few = len(judged) < FEWEST
    with named_phase("starting"):
        chosen = choose_gaussians(*((seen, every.weight) if few else (seen[split[0]], rows.weight)), seed)
    if few or chosen.sizes == (1,):
        alone = chosen.fit(seen, every.weight, seed)
        return _untrained(spec, columns, white, alone, seen, every.weight), True
    gaussians = chosen.fit(seen[split[0]], rows.weight, seed)
    start, many = partial(start_flow, spec, columns, rows, every, seed=seed, n_init=n_init), len(rows.x) >= MANY
    flow = start(gaussians=gaussians)

    def held(checkpoint: Checkpoint | None) -> Fit[Pushforward]:
        return settled(train(movable(flow, 0.0), checkpoint, easing=EASING if eases else 1.0, patience=patience))

    def freed(checkpoint: Checkpoint | None) -> Fit[Pushforward]:
        return settled(train(movable(flow, 1.0), checkpoint, most_epochs=None, patience=patience))

    def plain(checkpoint: Checkpoint | None) -> Fit[Pushforward]:
        return train(start(), checkpoint)

    def gained(flow: Pushforward) -> float:
        if len(seen) > SCORE_ROWS:
            return standard_errors(_gains(columns, white, flow, gaussians, judged), weight)
        # so many rows a user scores next, by the same compiled program
        return standard_errors(_gains(columns, white, flow, gaussians, seen)[split[1]], weight)

    fit = freed(checkpoint) if many else held(checkpoint)
    errors = gained(fit.model)
    if not fit.interrupted and not (many and errors > SURE):
        first, fit = fit, _better(fit, plain if many else freed)
        errors = errors if fit.model is first.model else gained(fit.model)
    if errors > SURE:
        return fit, False
    interrupted = fit.interrupted
    try:
        with named_phase("refining"):
            gaussians = chosen.fit(seen, every.weight, seed)
    except KeyboardInterrupt:  # those of the training rows are a model, too
        interrupted = True
    model = _alone(spec, columns, white, gaussians)
    return dataclasses.replace(fit, model=model, best_epoch=0, unfinished=False, interrupted=interrupted), True


def _better(best: Fit[Pushforward], train: Callable[[Checkpoint | None], Fit[Pushforward]]) -> Fit[Pushforward]:
    """The better fit of one and another, which is none where it diverges.

    The other keeps no state: what resumes the first training makes it anew.
    """
    try:
        fit = train(None)
    except TrainingError:
        return best
    return dataclasses.replace(fit if fit.best_loss < best.best_loss else best, interrupted=fit.interrupted)


class Movable(AbstractDistribution):
    """Gaussians that train, or stay where they are, by a number: both are one program.

    A prior on what trains holds them to where they started: one towards zero would pull in the widest, which far rows
    rest on.

    Arguments:
        start: the Gaussians.
        moves: one if they train and zero if not.
    """

    start: Frozen[GaussianMixture]
    moves: Frozen[Array]
    offsets: GaussianMixture
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, start: GaussianMixture, moves: Array):
        self.start, self.moves = Frozen(start), Frozen(moves)
        self.offsets = jax.tree.map(jnp.zeros_like, start)
        self.shape, self.cond_shape = start.shape, None

    @property
    def settled(self) -> GaussianMixture:
        """The Gaussians where they are now."""
        start, moves = self.start.value, self.moves.value
        now: GaussianMixture = jax.tree.map(lambda at, by: at + moves * by, start, self.offsets)
        return now

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self.settled._log_prob(x)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        return self.settled._sample(key)


def movable(flow: Pushforward, moves: float) -> Pushforward:
    """A flow whose base, Gaussians, trains or not; with a restart axis if the flow has one."""
    base: Any = flow.base
    n_restarts = base.raw_weights.shape[:-1]
    made: Pushforward = eqx.tree_at(lambda flow: flow.base, flow, Movable(base, jnp.full(n_restarts, moves)))
    return made


def settled(fit: Fit[Pushforward]) -> Fit[Pushforward]:
    """A fit with the base of its flow as it is, to be saved; of all restarts."""
    one, several = fit.model, fit.restarts is not fit.model
    model = _with_settled_base(one, _settled)
    return dataclasses.replace(
        fit,
        model=model,
        restarts=_with_settled_base(fit.restarts, eqx.filter_vmap(_settled)) if several else model,
    )


def _with_settled_base(flow: Pushforward, settle: Callable[[Any], GaussianMixture]) -> Pushforward:
    found: Pushforward = eqx.tree_at(lambda flow: flow.base, flow, settle(flow.base))
    return found


@jit_once
def _settled(base: Movable) -> GaussianMixture:
    return base.settled


def _alone(spec: FlowSpec, columns: Columns, white: Any, gaussians: Gaussians) -> Pushforward:
    """The Gaussians as a model of rows in standard units; of a single one, noise is standard normal."""
    below = data_side(columns, white)
    if len(gaussians.weights) > 1:
        return Pushforward(as_base(gaussians), Identity((columns.n,)) if below is None else below)
    at, by = as_float(gaussians.means[0]), as_float(gaussians.factors[0])
    flow = build_flow(jax.random.key(0), spec._replace(n_layers=0), at, by)
    return flow if below is None else flow.then(below)


def _untrained(
    spec: FlowSpec, columns: Columns, white: Any, gaussians: Gaussians, seen: FloatArray, weight: FloatArray | None
) -> Fit[Pushforward]:
    """The fit of what needs no training."""
    model = _alone(spec, columns, white, gaussians)
    loss = -float(np.average(gaussians.log_prob(seen), weights=weight))
    return Fit(model, [], 0, loss, 0, False, False, 0, [loss], model, 0.0)


def _gains(columns: Columns, white: Any, flow: Pushforward, gaussians: Gaussians, rows: FloatArray) -> FloatArray:
    """By how much the log-density of each of some whitened rows is higher under a flow than under Gaussians."""
    below = data_side(columns, white)
    s, log_det = (rows, 0.0) if below is None else in_batches(partial(_forward, below), rows)
    (values,) = in_batches(partial(log_prob_of, flow), s)
    gains: FloatArray = values + log_det - gaussians.log_prob(rows)
    return gains


@eqx.filter_jit
def _forward(below: AbstractMap, z: Array, given: None) -> tuple[Array, Array]:
    return below.forward_batch(z, None, given)
