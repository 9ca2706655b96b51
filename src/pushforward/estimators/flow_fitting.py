"""How one flow is fitted to a table of numbers, and what it says of rows."""

from __future__ import annotations

import dataclasses
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward.checks import check_choice, check_whole
from pushforward.clustering.whitening import THIN
from pushforward.data.columns import FloatArray, as_float
from pushforward.distributions import GaussianMixture, Pushforward
from pushforward.estimators.build import FlowSpec, flow_text
from pushforward.estimators.copies import few_repeated
from pushforward.estimators.defaults import starts_dense
from pushforward.estimators.dequantising import SAMPLES, dequantised, log_bounds, parted, with_spread
from pushforward.estimators.preparing import (
    FEWEST_TO_VALIDATE,
    SETTINGS,
    Table,
    as_feed,
    bind,
    host_float,
    standard,
    training_settings,
)
from pushforward.estimators.scoring import ESTIMATE_DRAWS, in_batches, log_mean_of_cells, log_prob_of
from pushforward.estimators.starting import start_flow
from pushforward.estimators.supported import Train, fit_supported, movable, settled
from pushforward.estimators.validation import check_whole_columns
from pushforward.objectives import NegativeLogLikelihood
from pushforward.training import Checkpoint, Fit, train

if TYPE_CHECKING:
    from pushforward.estimators.density import FlowDensity

BASES = ("auto", "normal")
DEQUANTISATIONS = ("uniform", "variational")
PATIENT, LEAST_PATIENCE = 20, 10  # share of the epochs in which a flow on Gaussians has to get better, and fewest
FEW_DRAWS = 2  # effective draws below which a score is one draw's


def cond_dim(table: Table) -> int | None:
    """Conditioning columns, or None."""
    return None if table.condition is None else table.condition.shape[1]


def fit_flow(
    estimator: FlowDensity,
    spec: FlowSpec,
    table: Table,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    start: Pushforward | None,
    defaults: dict[str, Any],
    seed: int,
    checkpoint: Checkpoint | None,
    thin: float = THIN,
) -> Fit[Pushforward]:
    """Train one flow on some rows of a table.

    Arguments:
        estimator: whose parameters say how, and whose columns the table has.
        spec: the recipe of the flow.
        table: in the data's units.
        split: numbers of rows to train on and to validate on.
        start: the flow to go on from; None for a new one.
        defaults: training settings where the user says nothing.
        seed: of everything random.
        checkpoint: where to keep the state of training, or None.
        thin: variance, of columns that have one each, of directions that rows are whitened for.

    Returns:
        The fit of the flow; what goes with it where its dequantisation is variational is the estimator's `spread_`.
    """
    columns, variational = estimator.columns_, is_variational(estimator)
    rows = standard(table, columns, estimator.condition_columns_)
    n_init = 1 if start is not None else check_whole("n_init", estimator.n_init, 1)
    if start is not None and isinstance(start.base, GaussianMixture):
        trained = _trainer(estimator, table, rows, split, defaults, seed, n_init)
        return settled(trained(movable(start, 1.0), checkpoint))
    spread = None if start is None else estimator.spread_
    if start is None:
        start = start_flow(spec, columns, rows.take(split[0]), rows, thin, seed=seed, n_init=n_init)
    if variational:
        rows = rows._replace(x=host_float(table.x))  # whole numbers, exact in the data's units
        start = with_spread(start, columns, estimator.image_shape_, seed, n_init, spread)
    fit = _trainer(estimator, table, rows, split, defaults, seed, n_init)(start, checkpoint)
    estimator.spread_ = None
    if variational:
        flow, estimator.spread_ = parted(fit.model)
        fit = dataclasses.replace(fit, model=flow)
    return fit


def is_variational(estimator: FlowDensity) -> bool:
    """Whether a flow draws where in their cells pixels lie.

    Raises:
        ValueError: there is no such dequantisation, or it asks for images of whole numbers, and there are others; or
            the flow is of levels, which lie nowhere within cells.
    """
    if check_choice("dequantise", estimator.dequantise, DEQUANTISATIONS) == "uniform":
        return False
    if estimator.image_shape_ is None or not estimator.columns_.integer.all():
        raise ValueError('dequantise="variational" is of images whose pixels are whole numbers; leave it at "uniform"')
    if estimator.columns_.flat:
        raise ValueError(
            f'dequantise="variational" is of flows with a map; {flow_text(estimator.flow)} takes whole numbers as they '
            'are: leave it at "uniform"'
        )
    return True


def fit_on_gaussians(
    estimator: FlowDensity,
    spec: FlowSpec,
    table: Table,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    defaults: dict[str, Any],
    seed: int,
    checkpoint: Checkpoint | None,
) -> tuple[Fit[Pushforward], bool]:
    """What starts from Gaussians is fitted by: `fit_supported`, as the user says; arguments as of `fit_flow`."""
    training_settings(estimator, defaults)  # checked also where nothing trains, and
    is_variational(estimator)  # where no column has cells
    estimator.spread_ = None
    rows = standard(table, estimator.columns_, None)
    n_init = check_whole("n_init", estimator.n_init, 1)
    given = set(estimator.training or {}) | {name for name in SETTINGS if getattr(estimator, name) is not None}
    return fit_supported(
        spec,
        estimator.columns_,
        rows,
        split,
        seed,
        n_init,
        _trainer(estimator, table, rows, split, defaults, seed, n_init),
        checkpoint,
        patience=max(LEAST_PATIENCE, defaults["max_epochs"] // PATIENT),
        eases="weight_decay" not in given,
    )


def starts_from_gaussians(estimator: FlowDensity, table: Table) -> bool:
    """Whether the base is of Gaussians.

    Raises:
        ValueError: there is no such base.
    """
    if check_choice("base", estimator.base, BASES) == "normal":
        return False
    own = estimator.n_layers is not None or estimator.hidden_sizes is not None or bool(estimator.flow_options)
    own = own or estimator.image_shape_ is not None
    chosen = isinstance(estimator.flow, str) and estimator.flow == "auto" and not own
    fits = chosen and table.condition is None and starts_dense(estimator.columns_.n)
    return fits and not few_repeated(table.x)  # which Gaussians would be as thin as


def holds_out(split: tuple[NDArray[np.intp], NDArray[np.intp]]) -> bool:
    """Whether rows are held out, or too few to hold any out; not where the user holds out none."""
    return len(split[1]) > 0 or len(split[0]) < FEWEST_TO_VALIDATE


def _trainer(
    estimator: FlowDensity,
    table: Table,
    rows: Table,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    defaults: dict[str, Any],
    seed: int,
    n_init: int,
) -> Train:
    """What trains a model, or several with a restart axis, on some rows in standard units and judges it by others."""
    columns = estimator.columns_
    noise = None if columns.noise is None or is_variational(estimator) else as_float(columns.noise)
    training, held_out = (rows.take(part) for part in split)

    def trained(model: Any, checkpoint: Checkpoint | None, **more: Any) -> Fit[Pushforward]:
        return train(
            model,
            NegativeLogLikelihood(noise),
            as_feed(training),
            key=jax.random.key(seed),
            settings=training_settings(estimator, {**defaults, **more}),
            validation=as_feed(held_out) if len(held_out.x) else None,
            n_restarts=n_init,
            checkpoint=bind(checkpoint, estimator, table),
            show_progress=bool(estimator.verbose),
        )

    return trained


def log_density(
    estimator: FlowDensity, flow: Pushforward, x: FloatArray, c: Any, n_samples: int | None = None
) -> FloatArray:
    """Log-density of every row, in nats per unit volume of the data's units, float64.

    Arguments:
        estimator: fitted to numbers.
        flow: its own, in standard units.
        x: checked rows in the data's units, shape (n, D).
        c: their conditions in standard units, shape (n, C), or None.
        n_samples: draws within cells; None for as many as `Columns.draws` chooses.
    """
    columns = estimator.columns_
    if estimator.spread_ is not None:
        check_whole_columns(x, columns)
        n = SAMPLES if n_samples is None else check_whole("n_samples", n_samples, 1)
        model = dequantised(flow, columns, estimator.spread_)
        return in_batches(partial(log_bounds, model, n), x, c)[0]
    values, draws = log_mean_of_cells(partial(log_prob_of, flow), columns, x, c, n_samples)
    if len(draws[0]) > 1:
        _warn_of_few_draws(values, np.max([draw[1] for draw in draws], axis=0))
    return values


def placed_in_cells(estimator: FlowDensity, x: FloatArray, key: Array) -> FloatArray:
    """Rows in standard units, each value somewhere in its cell: as variational dequantisation has it, or anywhere.

    Arguments:
        estimator: fitted to numbers.
        x: checked rows in the data's units, shape (n, D).
        key: a JAX random key.
    """
    columns = estimator.columns_
    if estimator.spread_ is not None:
        noise = jax.random.normal(key, x.shape)
        u = np.asarray(jax.vmap(estimator.spread_.forward)(noise, as_float(x)), dtype=np.float64)
        placed: FloatArray = (x + u - columns.shift) / columns.scale
        return placed
    share = np.asarray(jax.random.uniform(key, x.shape), dtype=np.float64)
    placed = columns.standardize(x) + columns.places(share)
    return placed


def _warn_of_few_draws(values: FloatArray, effective_draws: FloatArray) -> None:
    few = int((np.isfinite(values) & (effective_draws < FEW_DRAWS)).sum())
    if few:
        warnings.warn(
            f"log-densities of {few} of {len(values)} rows rest on less than {FEW_DRAWS} effective draws of "
            f"{ESTIMATE_DRAWS}, so they may be far too low; rows far from all that the model has seen are such",
            stacklevel=5,
        )
