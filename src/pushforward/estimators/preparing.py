"""From what `fit` is given to rows in standard units, a split of them, and settings: one preamble of all fits."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state

from pushforward.checks import check_number
from pushforward.clustering import paired
from pushforward.data import content_hash
from pushforward.data.columns import Columns, FloatArray, as_float, learn_columns
from pushforward.estimators.build import flow_text, of_levels
from pushforward.estimators.containers import column_names
from pushforward.estimators.frames import container_of
from pushforward.estimators.images import as_images, check_image, image_bounds, image_rows
from pushforward.estimators.repeats import refuse_repeats
from pushforward.estimators.validation import (
    check_condition,
    check_known_condition,
    check_like_before,
    check_rows,
    check_weights,
    numbered,
    row_names,
)
from pushforward.objectives import Rows
from pushforward.training import Checkpoint, Resident, Settings

FEWEST_TO_VALIDATE = 50  # below, every row trains
FAR_OUT = 5.0  # widths of the middle 98 % of a column beyond which a row is not held out
SETTINGS = ("max_epochs", "batch_size", "learning_rate", "weight_decay", "patience")
# parameters that shape the model, so that a warm start may not change them
SHAPING = {"flow", "n_layers", "hidden_sizes", "shared_layers", "posterior_hidden_sizes", "bounds", "discrete"}
SHAPING |= {"image_shape", "flow_options", "base", "dequantise"}


class Table(NamedTuple):
    """Rows of a table on the host.

    Arguments:
        x: shape (n, D).
        condition: shape (n, C), or None.
        label: component of labelled rows, -1 elsewhere, shape (n,); or None.
        weight: shape (n,), or None for equal ones.
    """

    x: NDArray[Any]
    condition: NDArray[Any] | None = None
    label: np.ndarray | None = None
    weight: FloatArray | None = None

    def take(self, which: np.ndarray) -> Table:
        """Some of the rows, by number or by a mask."""
        return Table(*(None if part is None else part[which] for part in self))  # type: ignore[arg-type]

    def weighing(self) -> Table:
        """The rows whose weight is not zero."""
        return self if self.weight is None else self.take(self.weight > 0)


def read_table(estimator: Any, X: Any, sample_weight: Any, condition: Any, going_on: bool) -> Table:
    """Checked rows, in the data's units; the estimator remembers what kind of table they came in.

    Arguments:
        estimator: that is fitted.
        X, sample_weight, condition: as `fit` takes them; images become rows, and set their shape.
        going_on: whether a warm start goes on from the last fit, so that columns must be the same.

    Raises:
        ValueError: one of them is not what it should be.
    """
    X = as_images(X)
    rows, image_shape = image_rows(X, estimator.image_shape)
    x = check_rows(estimator, rows, fitting=not going_on)
    estimator.image_shape_ = None if image_shape is None else check_image(image_shape, x.shape[1])
    vars(estimator).pop("filler_", None)  # of a table of more than numbers, before this one
    estimator.container_ = container_of(X)
    if going_on:
        table = check_known_condition(condition, estimator.condition_columns_, len(x))
    else:
        table = check_condition(condition, len(x))
    return Table(x, table, None, check_weights(sample_weight, x))


def learn_table(estimator: Any, table: Table, condition: Any, going_on: bool) -> None:
    """Set the attributes that describe the columns; in a warm start, check that they are as they were.

    Pixels are columns alike, which keep to 0 to 255 or 0 to 1 where nobody says.

    Arguments:
        estimator: that is fitted.
        table: checked rows.
        condition: as `fit` takes it, whose columns may have names.
        going_on: whether a warm start goes on from the last fit.

    Raises:
        ValueError: rows that have no density, or are unlike those of the last fit.
    """
    x = table.x
    if going_on:
        check_like_before(x, estimator.columns_, shaping(estimator), estimator.settings_)
        if (
            not isinstance(estimator.flow, str) and estimator.flow is not estimator.spec_.flow
        ):  # which texts do not tell
            raise ValueError(
                f"a warm start goes on with the flow of the last fit; flow={flow_text(estimator.flow)} is another one; "
                "give the same object, or warm_start=False"
            )
        return
    if (x == x[0]).all():
        raise ValueError(f"all {len(x)} rows are the same, and one point has no density; give rows that differ")
    estimator.settings_ = shaping(estimator)
    image = estimator.image_shape_ is not None
    bounds = image_bounds(x) if image and estimator.bounds is None else estimator.bounds
    names = row_names(estimator, x.shape[1])
    columns = learn_columns(x, names, bounds=bounds, discrete=estimator.discrete, alike=image)
    if not image:
        refuse_repeats(x, columns)
    mean = np.average(x, axis=0, weights=table.weight)  # copies of rows are weights
    columns = dataclasses.replace(columns, mean=mean)
    estimator.columns_ = columns.of_levels(x) if image and of_levels(estimator.flow) else columns
    estimator.condition_columns_ = None
    if table.condition is not None:
        estimator.condition_columns_ = _condition_columns(table.condition, column_names(condition))


def parameters(estimator: BaseEstimator) -> dict[str, str]:
    """The parameters of an estimator, in words."""
    given = estimator.get_params(deep=False)
    return {name: flow_text(value) if name == "flow" else str(value) for name, value in given.items()}


def shaping(estimator: BaseEstimator) -> dict[str, str]:
    """What shapes the model, in words."""
    return {name: text for name, text in parameters(estimator).items() if name in SHAPING}


def standard(table: Table, columns: Columns, condition_columns: Columns | None) -> Table:
    """Rows to train on, in standard units and JAX's floating dtype, on the host."""
    x = host_float(columns.standardize(table.x, training=True))
    return table._replace(x=x, condition=standard_condition(table.condition, condition_columns))


def standard_condition(condition: NDArray[Any] | None, columns: Columns | None) -> NDArray[Any] | None:
    """Conditions in standard units and JAX's floating dtype, on the host; None where there are none."""
    return None if condition is None or columns is None else host_float(columns.standardize(condition))


def host_float(x: FloatArray) -> NDArray[Any]:
    """An array in JAX's floating dtype, on the host; what is beyond it is infinite."""
    with np.errstate(over="ignore"):
        return x.astype(jnp.result_type(float))


def unbounded(columns: Columns, s: np.ndarray) -> FloatArray:
    """Training rows in standard units, noise added and bounds mapped away, for looking at where they are."""
    s = np.asarray(s, dtype=np.float64)
    if columns.noise is not None:
        s = s + columns.noise * np.random.default_rng(0).uniform(size=s.shape)
    if not columns.bounded:
        return s
    return np.asarray(jax.vmap(columns.bounds_map().inverse)(as_float(s)), dtype=np.float64)


def draw_seed(random_state: Any) -> int:
    """A whole number that everything random of one fit follows from."""
    return int(check_random_state(random_state).randint(np.iinfo(np.int32).max))


def split_rows(
    x: FloatArray, fraction: Any, seed: int, keep: np.ndarray | None = None
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The numbers of rows to train on and of rows to validate on.

    Rows far outside of all others always train: a single one would decide the mean over the rows held out.

    Arguments:
        x: shape (n, D).
        fraction: share of the rows to validate on.
        seed: of the choice.
        keep: rows that train in any case, booleans of shape (n,).

    Raises:
        ValueError: the fraction is not in [0, 1).
    """
    share = check_number("validation_fraction", fraction, "in [0, 1)", lambda v: 0 <= v < 1)
    kept = _far_out(x)
    free = np.flatnonzero(~(kept if keep is None else kept | keep))
    n_validation = round(share * len(free)) if len(free) >= FEWEST_TO_VALIDATE else 0
    held_out = np.zeros(len(x), dtype=bool)
    held_out[np.random.default_rng(seed).permutation(free)[:n_validation]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def training_settings(estimator: Any, defaults: dict[str, Any], **more: Any) -> Settings:
    """The user's settings, and the defaults in place of those left None.

    Raises:
        ValueError: `training` has settings that there are not, or one is out of range.
    """
    params = estimator.get_params(deep=False)
    given = {name: params[name] for name in SETTINGS if params[name] is not None}
    own = {**given, **(params["training"] or {})}
    chosen = {**defaults, **own, **more}
    if "max_epochs" in own and "most_epochs" not in own:  # who says how many epochs means it
        del chosen["most_epochs"]
    unknown = sorted(set(chosen) - {field.name for field in dataclasses.fields(Settings)})
    if unknown:
        raise ValueError(f"training has unknown settings {unknown}; see pushforward.training.Settings")
    settings = Settings(**chosen)
    if "patience" in chosen:
        return settings
    return dataclasses.replace(settings, patience=max(20, settings.max_epochs // 3))


def as_feed(
    table: Table, n_leading: int = 0, starts: np.ndarray | None = None, neighbours: NDArray[np.int32] | None = None
) -> Resident:
    """Rows for the engine.

    Arguments:
        table: in standard units.
        n_leading: how many rows, at the front, are visited first in every epoch.
        starts: the component that each row starts, for each restart, shape (R, n); or None.
        neighbours: of each row, whose batches bring one of them as its partner, shape (n, m); or None.
    """
    label = None if table.label is None else table.label.astype(np.int32)
    rows = Rows(table.x, table.condition, label)
    own = None if starts is None else Rows(None, start=starts.astype(np.int32))
    if neighbours is None:
        return Resident.of(rows, table.weight, n_leading=n_leading, own=own)
    return paired(rows, neighbours, table.weight, n_leading=n_leading, own=own)


def bind(checkpoint: Checkpoint | None, estimator: BaseEstimator, table: Table) -> Checkpoint | None:
    """Tie a checkpoint to settings and data, so that resuming on others is refused."""
    if checkpoint is not None:
        params = {name: text for name, text in parameters(estimator).items() if name != "verbose"}
        data = content_hash(table.x, table.label, table.weight, table.condition)
        checkpoint.fingerprint = {**checkpoint.fingerprint, "the data": data, **params}
    return checkpoint


def _far_out(x: FloatArray) -> NDArray[np.bool_]:
    """Rows with a cell many times further from the bulk of its column than the bulk is wide, shape (n,)."""
    low, high = np.quantile(x, (0.01, 0.99), axis=0)
    room = FAR_OUT * (high - low)
    far: NDArray[np.bool_] = ((x < low - room) | (x > high + room)).any(axis=1)
    return far


def _condition_columns(table: FloatArray, names: tuple[str, ...] | None) -> Columns:
    """Conditions are only shifted and scaled; a constant one is harmless."""
    spread, zeros = table.std(axis=0), np.zeros(table.shape[1])
    return Columns(
        names=names or numbered(table.shape[1]),
        integer=zeros > 0,
        low=zeros - np.inf,
        high=zeros + np.inf,
        shift=table.mean(axis=0),
        scale=np.where(spread > 0, spread, 1.0),
        width=zeros,
        margin=zeros,
        inner_shift=zeros,
        inner_scale=zeros + 1,
        ties=np.zeros((0, 4)),
        stops=zeros > 0,
        reach=np.outer([-np.inf, np.inf], zeros + 1),
        mean=table.mean(axis=0),
        levels=np.zeros(0),
    )
