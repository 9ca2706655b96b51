"""How mixtures of tables of numbers are fitted: components counted, started and trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from pushforward.checks import check_choice, check_number, check_sizes, check_whole
from pushforward.clustering import count_clusters
from pushforward.clustering.latent import class_partition, count_classes
from pushforward.data.columns import FloatArray, as_float
from pushforward.distributions import MixtureOfFlows
from pushforward.estimators.build import FlowSpec
from pushforward.estimators.defaults import (
    FAST,
    MOST_FAST,
    SLOW,
    default_consistency,
    default_longest,
    default_n_likely,
    default_settings,
    few_rows,
    mixture_precision,
)
from pushforward.estimators.preparing import (
    Table,
    as_feed,
    bind,
    draw_seed,
    split_rows,
    standard,
    training_settings,
    unbounded,
)
from pushforward.estimators.starting import INITS, Plan, find_neighbours, seen_rows, start_mixture
from pushforward.objectives import MixtureBound
from pushforward.training import Checkpoint, Fit, named_phase, train


def looks_for_classes(estimator: Any, table: Table) -> bool:
    """Whether rows may be parted by what is independent within a part."""
    plain = estimator.image_shape_ is None and table.condition is None and table.label is None
    return plain and estimator.init == "auto"


def with_classes(estimator: Any, table: Table, told: list[FloatArray] | None) -> Table:
    """The table, its rows labelled by their latent class where BIC says that there are K of these."""
    if told is None:
        return table
    part = class_partition(told, estimator.n_components_, table.weight, draw_seed(estimator.random_state))
    return table._replace(label=part)


def count_components(
    estimator: Any, table: Table, asked: int | None, classes: np.ndarray | None, told: list[FloatArray] | None
) -> tuple[int, np.ndarray | None]:
    """K, as asked for or counted, and the evidence of the count of clusters."""
    if asked is not None:
        return asked, None
    counted = None if told is None else count_classes(told, table.weight, draw_seed(estimator.random_state))
    if counted is not None:
        return counted, None
    z = unbounded(estimator.columns_, estimator.columns_.standardize(table.x, training=True))
    k, confusion = count_clusters(z, draw_seed(estimator.random_state))
    return (k if classes is None else max(k, int(classes.max()) + 1)), confusion


def train_mixture(
    estimator: Any,
    table: Table,
    recipe: Callable[[int, int | None, bool], FlowSpec],
    before: MixtureOfFlows | None,
    checkpoint: Checkpoint | None,
) -> Fit[MixtureOfFlows]:
    """Split, start and train, or go on from the mixture of before; sets `spec_`.

    Arguments:
        estimator: whose parameters say how.
        table: to fit to.
        recipe: of flows, from the number of columns, that of conditions, and whether rows are few.
        before: the mixture to go on from, or None.
        checkpoint: where to keep the state of training, or None.
    """
    going_on = before is not None
    seed = draw_seed(estimator.random_state)
    labelled = None if table.label is None or (table.label >= 0).mean() >= 0.5 else table.label >= 0
    train_index, held_index = split_rows(table.x, estimator.validation_fraction, seed, labelled)
    n_leading = 0
    if labelled is not None:  # where labels are few their rows lead: batches of them, then of the others
        train_index = train_index[np.argsort(~labelled[train_index], kind="stable")]
        n_leading = int(labelled.sum())
    every = standard(table, estimator.columns_, estimator.condition_columns_)
    rows, held_out = every.take(train_index), every.take(held_index)

    dim, n = estimator.columns_.n, len(rows.x)
    rate = SLOW if dim > MOST_FAST else FAST
    by_class = table.label is not None and estimator.classes_ is None  # whose parts are settled, at their price
    precision, longest = mixture_precision(n, dim), 1 if by_class else default_longest(dim)
    defaults = default_settings(n, learning_rate=rate, precision=precision, longest=longest)
    max_epochs = training_settings(estimator, defaults).max_epochs
    start_epochs = 0 if going_on else _start_epochs(estimator, max_epochs, table.label)
    plan = _plan(estimator, recipe, rows, seed, going_on, max_epochs, start_epochs)  # checks all before any work
    leading_epochs = start_epochs if plan.init == "random" and n_leading else 0
    settings = training_settings(estimator, defaults, start_epochs=start_epochs, leading_epochs=leading_epochs)
    loss = _loss(estimator, plan, max_epochs, start_epochs)

    with named_phase("starting"):
        seen = seen_rows(plan, rows)
        neighbours = find_neighbours(plan, seen)
        model, starts = (before, None) if before is not None else start_mixture(plan, rows, seen, neighbours)
    fit: Fit[MixtureOfFlows] = train(
        model,
        loss,
        as_feed(rows, n_leading, starts, neighbours),
        key=jax.random.key(seed),
        settings=settings,
        validation=as_feed(held_out) if len(held_out.x) else None,
        n_restarts=plan.n_init,
        checkpoint=bind(checkpoint, estimator, table),
        show_progress=bool(estimator.verbose),
    )
    return fit


def _plan(
    estimator: Any,
    recipe: Callable[[int, int | None, bool], FlowSpec],
    rows: Table,
    seed: int,
    going_on: bool,
    max_epochs: int,
    start_epochs: int,
) -> Plan:
    """What the start follows from."""
    n, dim, k = len(rows.x), estimator.columns_.n, estimator.n_components_
    if not going_on:
        given = None if rows.condition is None else rows.condition.shape[1]
        few = estimator.shared_layers == 0 and few_rows(n, dim, k)
        estimator.spec_ = recipe(dim, given, few)
    shared, spec = (None, estimator.spec_) if going_on else estimator.spec_.split(estimator.shared_layers)
    chosen = default_consistency(dim) if estimator.consistency is None else estimator.consistency
    return Plan(
        spec=spec,
        shared=shared,
        columns=estimator.columns_,
        n_rows=n,
        n_components=k,
        init=check_choice("init", estimator.init, INITS),
        image_shape=estimator.image_shape_,
        posterior_hidden_sizes=check_sizes("posterior_hidden_sizes", estimator.posterior_hidden_sizes),
        learn_weights=bool(estimator.learn_weights),
        consistency=check_number("consistency", chosen, "finite and at least 0", lambda v: 0 <= v < math.inf),
        n_init=1 if going_on else check_whole("n_init", estimator.n_init, 1),
        max_epochs=max_epochs,
        start_epochs=start_epochs,
        seed=seed,
    )


def _start_epochs(estimator: Any, max_epochs: int, label: np.ndarray | None) -> int:
    if estimator.start_epochs is not None:
        return min(check_whole("start_epochs", estimator.start_epochs, 0), max_epochs - 1)
    return max_epochs // 10 if estimator.init != "random" or label is not None else 0


def _loss(estimator: Any, plan: Plan, max_epochs: int, start_epochs: int) -> MixtureBound:
    temperature = check_number(
        "temperature", estimator.temperature, "finite and at least 1", lambda v: 1 <= v < math.inf
    )
    balance = check_number("balance", estimator.balance, "at least 0 and at most 1", lambda v: 0 <= v <= 1)
    if estimator.n_likely is None:
        n_likely = default_n_likely(plan.columns.n, plan.n_components)
    else:
        n_likely = check_whole("n_likely", estimator.n_likely, 1)
    return MixtureBound(
        temperature=as_float(temperature),
        anneal_epochs=as_float((max_epochs - start_epochs) // 2),
        start_epochs=as_float(start_epochs),
        noise=plan.noise,
        n_likely=n_likely,
        consistency=as_float(plan.consistency * plan.columns.n) if plan.consistency > 0 else None,
        views=plan.views,
        balance=as_float(balance),
    )
