"""From a table and options to what an estimator fits or scores."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int

from pushforward.data.sources import DataError, Source, listing
from pushforward.data.tables import finite_rows, open_source, to_numbers

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Inputs:
    """A table made ready to fit.

    Arguments:
        source: what messages call the table.
        names: the modelled columns.
        x: float64, shape (n, D), finite.
        given: the conditioning columns, perhaps none.
        condition: shape (n, C), or None.
        label: numbers of the labels, -1 where unlabelled, shape (n,); None without a label column.
        label_names: what each number stands for.
        dropped: rows left out.
    """

    source: str
    names: tuple[str, ...]
    x: Float[np.ndarray, "n d"]
    given: tuple[str, ...]
    condition: Float[np.ndarray, "n c"] | None
    label: Int[np.ndarray, " n"] | None
    label_names: tuple[str, ...]
    dropped: int


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Column names from a comma-separated option; a name that holds a comma stands in double quotes."""
    if text is None:
        return None
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip())
    if not names:
        raise DataError("a list of columns is empty; write names separated by commas, such as --columns width,height")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} is listed twice; list each column once")
    return names


def read_inputs(
    data: str, columns: str | None, given: str | None, label_column: str | None, drop_missing: bool
) -> Inputs:
    """Read the table that `fit` fits.

    Raises:
        DataError: anything about the table that prevents fitting.
    """
    source = open_source(data)
    conditions = split_names(given) or ()
    beside = {*conditions, *([label_column] if label_column else [])}
    names = split_names(columns) or tuple(name for name in source.features if name not in beside)
    both = sorted(beside & set(names))
    if both:
        raise DataError(
            f"{source.name}: column {both[0]!r} is both modelled and conditioned on, or a label; choose one"
        )
    if not names:
        raise DataError(f"{source.name}: no column is left to model; its columns are {listing(source.names)}")
    table = source.read([*names, *conditions, *([label_column] if label_column else [])])
    numbers = to_numbers(table, [*names, *conditions], source.name)
    keep = finite_rows(numbers, [*names, *conditions], source.name, drop_missing)
    numbers = numbers[keep]
    _check_rows(numbers[:, : len(names)], source.name)
    label: np.ndarray | None = None
    label_names: tuple[str, ...] = ()
    if label_column:
        label, label_names = _labels(table.column(label_column), label_column, source)
        label = label[keep]
    condition = numbers[:, len(names) :] if conditions else None
    dropped = int((~keep).sum())
    return Inputs(source.name, names, numbers[:, : len(names)], conditions, condition, label, label_names, dropped)


def _check_rows(x: Float[np.ndarray, "n d"], name: str) -> None:
    """Refuse tables with nothing to learn from."""
    if len(x) < 2:
        raise DataError(f"{name}: has one row; a fit needs at least two, and some hundred to be of use")
    if (x == x[0]).all():
        raise DataError(f"{name}: all {len(x)} rows are the same; there is nothing to learn from duplicates only")


def as_frame(values: Float[np.ndarray, "n d"], names: Sequence[str] | None) -> Any:
    """Numbers with the names of their columns, as estimators take them; plain numbers where there are no names."""
    import pyarrow as pa

    if names is None:
        return values
    return pa.table({name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)})


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
        raise DataError(f"{source.name}: label column {column!r} has no labels; leave --label-column out")
    numbers = pc.fill_null(pc.index_in(text, pa.array(names)), -1)
    return np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=int), tuple(names)


@dataclass(frozen=True)
class Alignment:
    """Which columns of a table a fitted model reads.

    Arguments:
        columns: in the model's order.
        names: what the model calls them; None if it knows no names.
        given: the columns it is conditioned on.
    """

    columns: tuple[str, ...]
    names: tuple[str, ...] | None
    given: tuple[str, ...]

    def read(
        self, batch: pa.RecordBatch, source: str, start: int, drop_missing: bool
    ) -> tuple[pa.RecordBatch, Any, Float[np.ndarray, "n c"] | None]:
        """The batch (without dropped rows), what the model reads of it, and the condition.

        Arguments:
            source: what messages call the table.
            start: the batch's first row in it.

        Raises:
            DataError: text where numbers are needed, or missing cells.
        """
        import pyarrow as pa

        wanted = [*self.columns, *self.given]
        numbers = to_numbers(batch, wanted, source)
        keep = np.isfinite(numbers).all(axis=1)
        if not keep.all():
            if not drop_missing:
                finite_rows(numbers, wanted, f"{source}, rows {start + 1:,} to {start + len(numbers):,}")
            batch, numbers = batch.filter(pa.array(keep)), numbers[keep]
        d = len(self.columns)
        return batch, as_frame(numbers[:, :d], self.names), numbers[:, d:] if self.given else None


def align(estimator: Any, source: Source) -> Alignment:
    """Find a fitted model's columns in a table: by name, or by place in a table that has no names.

    Raises:
        DataError: a column is missing, or the width is wrong.
    """
    known = getattr(estimator, "feature_names_in_", None)
    names = None if known is None else tuple(str(name) for name in known)
    d = int(estimator.n_features_in_)
    columns = estimator.condition_columns_
    given = () if columns is None else columns.names
    fitted_on = f"the model was fitted on {listing(names) if names else f'{d} columns'}"
    by_place = names is None or (source.positional and not set(names) <= set(source.names))
    if by_place:
        places = tuple(name for name in source.features if name not in given)
        if len(places) != d:
            raise DataError(f"{source.name}: has {len(places)} columns, where {fitted_on}; choose them in a SQL query")
        source.check_columns(given)
        return Alignment(places, names, given)
    try:
        source.check_columns([*(names or ()), *given])
    except DataError as error:
        raise DataError(f"{error}; {fitted_on}{f' given {listing(given)}' if given else ''}") from None
    return Alignment(names or (), names, given)


def batch_rows(width: int) -> int:
    """Rows to hold at a time for a table of that many columns: some 64 MiB of numbers."""
    return int(np.clip(2**23 // max(width, 1) // 4096 * 4096, 4096, 65_536))


def batches(source: Source) -> Iterator[pa.RecordBatch]:
    """All columns of a table in batches; a table without rows is an error."""
    empty = True
    for batch in source.batches(batch_rows(len(source.names))):
        empty = False
        yield batch
    if empty:
        raise DataError(f"{source.name}: there are no rows; check the file or the query")
