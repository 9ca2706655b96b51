"""From a table to a fitted model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from pushforward.checks import check_choice
from pushforward.data.sources import DataError, Source, listing
from pushforward.data.tables import check_filled, finite_rows, to_numbers
from pushforward.estimators.mixed_tables import is_mixed, without_gaps
from pushforward.service.aligning import as_frame
from pushforward.service.kinds import ESTIMATORS, Model, is_mixed_model
from pushforward.training import Checkpoint

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Inputs:
    """A table made ready to fit.

    Arguments:
        source: what messages call the table.
        names: the modelled columns.
        x: float64, shape (n, D), finite; or an Arrow table, where columns are not all numbers, or have gaps.
        given: the conditioning columns, perhaps none.
        condition: shape (n, C), or None.
        label_column: what the labels are called, or None.
        label: numbers of the labels, -1 where unlabelled, shape (n,); None without a label column.
        label_names: what each number stands for.
        dropped: rows left out.
    """

    source: str
    names: tuple[str, ...]
    x: Any
    given: tuple[str, ...]
    condition: Float[np.ndarray, "n c"] | None
    label_column: str | None
    label: Int[np.ndarray, " n"] | None
    label_names: tuple[str, ...]
    dropped: int

    def frames(self, most: int | None = None) -> tuple[Any, Any]:
        """X and condition as estimators take them, their columns named; the first rows alone where `most` is given."""
        condition = None if self.condition is None else as_frame(self.condition[:most], self.given)
        if not isinstance(self.x, np.ndarray):
            return self.x.slice(0, most), condition
        return as_frame(self.x[:most], self.names), condition


def read_inputs(
    source: Source,
    *,
    columns: Sequence[str] | None = None,
    given: Sequence[str] = (),
    label_column: str | None = None,
    drop_missing: bool = False,
) -> Inputs:
    """Read the table that a model is to be fitted to.

    Arguments:
        source: the table, as `pushforward.data.open_source` opens it.
        columns: to model; all that are not asked for otherwise if None.
        given: columns to condition on.
        label_column: column with the labels of some rows, text or numbers; empty cells (of arrays: negative numbers)
            are unlabelled.
        drop_missing: leave out rows with missing or infinite cells instead of raising.

    Raises:
        DataError: anything about the table that prevents fitting.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT range AS a, range % 2 = 1 AS odd FROM range(4)")
        >>> inputs = service.read_inputs(rows, label_column="odd")
        >>> inputs.names, inputs.label_names, inputs.label.tolist()
        (('a',), ('false', 'true'), [0, 1, 0, 1])
    """
    conditions, label_columns = tuple(given), [] if label_column is None else [label_column]
    beside = {*conditions, *label_columns}
    names = source.choose(columns, beside)
    _check_names(names, conditions, beside, source)
    table = source.read([*names, *conditions, *label_columns])
    kept = table.filter(without_gaps(table.select(names))) if drop_missing else table
    if not conditions and is_mixed(kept.select(names), texts=True):
        return _mixed_inputs(kept, names, label_column, source, len(table) - len(kept))
    numbers = to_numbers(table, [*names, *conditions], source.name, conditions)
    check_filled(numbers, [*names, *conditions], source.name, conditions)
    keep = finite_rows(numbers, [*names, *conditions], source.name, drop_missing)
    numbers = numbers[keep]
    x, condition = numbers[:, : len(names)], numbers[:, len(names) :] if conditions else None
    _check_rows(x, source.name)
    label: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    if label_column is not None:
        label, label_names = _labels(table.column(label_column), label_column, source)
        label = label[keep]
    dropped = int((~keep).sum())
    return Inputs(source.name, names, x, conditions, condition, label_column, label, label_names, dropped)


def _mixed_inputs(
    table: pa.Table, names: tuple[str, ...], label_column: str | None, source: Source, dropped: int
) -> Inputs:
    """A table whose columns are not all numbers, or have gaps, made ready to fit."""
    if not len(table):
        raise DataError(f"{source.name}: every row has a missing value; use fewer columns, or keep rows with gaps")
    label, label_names = (
        (None, ()) if label_column is None else _labels(table.column(label_column), label_column, source)
    )
    return Inputs(source.name, names, table.select(names), (), None, label_column, label, label_names, dropped)


def fit(inputs: Inputs, kind: str = "mixture", *, checkpoint: Checkpoint | None = None, **parameters: Any) -> Model:
    """Fit a model to a table; it knows the names of columns and labels.

    Arguments:
        inputs: what `read_inputs` read.
        kind: "mixture", "density" or "outliers".
        checkpoint: where and how often to keep the state of training.
        parameters: those of the estimator of that kind, by name. A mixture has a component for each label where
            `n_components` is None or absent.

    Returns:
        The fitted estimator, to be saved by `pushforward.save`.

    Raises:
        DataError: the estimator refuses the table or a parameter.
        ValueError: there is no such kind, or a model of it takes no labels or no such parameter.
        TrainingError: training diverged.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT sin(range) AS a, cos(range) AS b FROM range(60)")
        >>> detector = service.fit(service.read_inputs(rows), "outliers", contamination=0.1, max_epochs=1)
        >>> detector.contamination
        0.1
    """
    estimator = _estimator(inputs, kind, parameters)
    if checkpoint is not None:
        columns = {"the columns": inputs.names, "the conditions": inputs.given, "the labels": inputs.label_names}
        checkpoint = dataclasses.replace(checkpoint, fingerprint={**checkpoint.fingerprint, **columns})
    x, condition = inputs.frames()
    try:
        estimator.fit(x, inputs.label, condition=condition, checkpoint=checkpoint)
    except ValueError as error:
        raise DataError(f"{inputs.source}: {error}") from error
    if not is_mixed_model(estimator):
        estimator.container_ = None  # the rows came from a file, in no table of the user's
    if inputs.label_column is not None:
        estimator.label_column_, estimator.label_names_ = inputs.label_column, inputs.label_names
    return estimator


def _estimator(inputs: Inputs, kind: str, parameters: dict[str, Any]) -> Model:
    """An estimator ready to fit."""
    estimator = ESTIMATORS[check_choice("kind", kind, tuple(ESTIMATORS))]
    known = inspect.signature(estimator).parameters
    for name in parameters:
        if name not in known:
            having = [other for other in ESTIMATORS if name in inspect.signature(ESTIMATORS[other]).parameters]
            takes = f"needs kind {' or '.join(having)}" if having else f"is unknown; there are {', '.join(known)}"
            raise ValueError(f"{name}= with kind={kind!r}: {name} {takes}")
    if kind != "mixture":
        if inputs.label_column is not None:
            raise ValueError(f"label_column={inputs.label_column!r} with kind={kind!r}: labels need kind mixture")
        return estimator(**parameters)
    n_labels = len(inputs.label_names)
    if parameters.get("n_components") is None:
        given = {name: value for name, value in parameters.items() if name != "n_components"}
        parameters = {"n_components": n_labels, **given} if n_labels else given
    k = parameters.get("n_components")
    if isinstance(k, int) and k < n_labels:
        raise DataError(
            f"{inputs.source}: label column {inputs.label_column!r} has {n_labels} labels for "
            f"{k} components; give n_components={n_labels} or more"
        )
    return estimator(**parameters)


def _check_names(names: tuple[str, ...], conditions: tuple[str, ...], beside: set[str], source: Source) -> None:
    """Refuse columns that are asked for twice, and tables of none."""
    for listed in (names, conditions):
        twice = sorted({name for name in listed if listed.count(name) > 1})
        if twice:
            raise DataError(f"{source.name}: column {twice[0]!r} is listed twice; list each column once")
    both = sorted(beside & set(names))
    if both:
        raise DataError(
            f"{source.name}: column {both[0]!r} is both modelled and conditioned on, or a label; choose one"
        )
    if not names:
        raise DataError(f"{source.name}: no column is left to model; its columns are {listing(source.names)}")


def _check_rows(x: Float[np.ndarray, "n d"], name: str) -> None:
    """Refuse tables with nothing to learn from."""
    if len(x) < 2:
        raise DataError(f"{name}: has one row; a fit needs at least two, and some hundred to be of use")
    if (x == x[0]).all():
        raise DataError(f"{name}: all {len(x)} rows are the same; there is nothing to learn from duplicates only")


def _labels(values: pa.ChunkedArray, column: str, source: Source) -> tuple[np.ndarray, tuple[str, ...]]:
    """Labels of any kind as numbers, those of numeric labels in their order; empty cells are unlabelled."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type):
        values = pc.if_else(pc.is_finite(values), values, None)
        if pc.all(pc.equal(pc.round(values), values)).as_py():
            values = pc.cast(values, pa.int64())
    if pa.types.is_nested(values.type):
        raise DataError(f"{source.name}: label column {column!r} holds {values.type}; labels are text or numbers")
    if source.positional and pa.types.is_integer(values.type):  # arrays have no empty cells
        values = pc.if_else(pc.less(pc.cast(values, pa.int64()), 0), None, values)
    text = pc.utf8_trim_whitespace(pc.cast(values, pa.string()))
    text = pc.if_else(pc.equal(text, ""), None, text)
    order = pc.unique(values.drop_null()).to_pylist()
    ranks = {str(value).strip().lower(): i for i, value in enumerate(sorted(order))}
    names = sorted(pc.unique(text.drop_null()).to_pylist(), key=lambda name: (ranks.get(name.lower(), 0), name))
    if not names:
        raise DataError(f"{source.name}: label column {column!r} has no labels; leave label_column= out")
    numbers = pc.fill_null(pc.index_in(text, pa.array(names)), -1)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=int), tuple(names)
