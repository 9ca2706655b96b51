"""Tables as people have them, in and out of models: what is in them, and gaps filled where they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import categories, gaps_of, is_text, text_numbers
from pushforward.data.fields import Encoded, Fields, to_arrow, values_of
from pushforward.data.looking import learn_fields
from pushforward.data.rules import gaps
from pushforward.data.settling import Demand
from pushforward.data.sources import DataError, listing
from pushforward.estimators.containers import ArrowTable, Frame, PandasFrame

if TYPE_CHECKING:
    import pyarrow as pa


def is_mixed(X: Any, texts: bool = False) -> bool:
    """Whether a table has columns that are no numbers, or gaps.

    Arguments:
        X: of any kind.
        texts: whether texts that are all numbers are numbers, as they are in files.
    """
    import pyarrow as pa

    if isinstance(X, pa.RecordBatch | ArrowTable | Frame):
        return _is_mixed(as_table(X), texts)
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.ndim != 2 or not array.size:
        return False
    if array.dtype.kind == "f":
        return bool(np.isnan(array).any())
    return array.dtype.kind in "OU" and any(isinstance(v, str) or v is None for v in array.flat)


def as_table(X: Any) -> pa.Table:
    """A table in Arrow, its columns called x0, x1, … where they have no names.

    Raises:
        DataError: a column holds values of several types, or two have one name.
    """
    import pyarrow as pa

    if isinstance(X, pa.RecordBatch):
        return pa.Table.from_batches([X])
    if isinstance(X, pa.Table):
        return X
    if isinstance(X, Frame):
        return _of_frame(X)
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.ndim != 2 or not array.size:
        raise DataError(f"the table has shape {array.shape}; expected rows and columns, at least one of each")
    names = [f"x{i}" for i in range(array.shape[1])]
    return pa.table({name: _array(column, name) for name, column in zip(names, array.T, strict=True)})


def _of_frame(X: Any) -> pa.Table:
    import pyarrow as pa

    if not isinstance(X, PandasFrame):  # polars
        return X.to_arrow()
    frame: Any = X
    names = [str(name) for name in frame.columns]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"the table: two columns are named {twice[0]!r}; give every column its own name")
    columns = [frame.iloc[:, i] for i in range(len(names))]
    dense = [c.sparse.to_dense() if str(c.dtype).startswith("Sparse") else c for c in columns]
    return pa.table({name: _array(column, name) for name, column in zip(names, dense, strict=True)})


def _array(values: Any, name: str) -> pa.Array:
    import pyarrow as pa

    try:
        made = pa.array(values, from_pandas=True)
        if pa.types.is_dictionary(made.type) and isinstance(made.type.value_type, pa.BaseExtensionType):
            made = pa.array(values.cat.rename_categories(str), from_pandas=True)  # intervals, of pandas alone
        return made
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        found = sorted({type(v).__name__ for v in values if v is not None and v == v})
        several = f"values of several types ({listing(found)}); make them one, text for example"
        what = (
            several if len(found) > 1 else f"values of type {found[0]}, which are not supported; turn them into numbers"
        )
        raise DataError(f"column {name!r} holds {what}, or leave the column out") from error


def without_gaps(table: pa.Table) -> NDArray[np.bool_]:
    """Which rows have a value in every column, but for columns without any value, which nothing is learned of."""
    whole = np.ones(len(table), dtype=bool)
    for column in table.columns:
        gaps = gaps_of(column)
        whole &= ~gaps | gaps.all()
    return whole


def _is_mixed(table: pa.Table, texts: bool) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in table.columns:
        kind = column.type
        if pa.types.is_floating(kind):
            if column.null_count or pc.any(pc.is_nan(column)).as_py():
                return True
        elif is_text(column):
            if not texts or column.null_count or text_numbers(column) is None:
                return True
        elif column.null_count or not (
            pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
        ):
            return True
    return False


def learn_mixed(table: pa.Table, kinds: Mapping[Any, str] | None, missing: str) -> Fields:
    """What the columns are, with warnings that name those that are left out, and those that follow from others.

    Raises:
        DataError: no column is left.
    """
    fields = learn_fields(table, kinds, gap_levels=missing == "level")
    left = [
        f"{field.name!r} ({field.why})" for field in fields.all if field.kind == "left out" and field.why != "as asked"
    ]
    if not fields.names:
        raise DataError(f"no column can be modelled: {listing(left, 8)}")
    if left:
        warnings.warn(
            f"columns are left out: {listing(left, 8)}; columns={{name: 'category'}} takes one in",
            UserWarning,
            stacklevel=5,
        )
    if fields.following:
        told = [f"{field.name!r} ({field.follows})" for field in fields.following]
        warnings.warn(
            f"columns follow from others, and are rebuilt from these: {listing(told, 8)}; columns={{name: kind}} has "
            "one modelled all the same, of a kind such as 'category' or 'number'",
            UserWarning,
            stacklevel=5,
        )
    return fields


def over_gaps(known: pa.Table, filled: pa.Table) -> pa.Table:
    """A table with its gaps filled from another one of some of its columns, types and all else as they were."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for i, name in enumerate(known.column_names):
        if name in filled.column_names:
            was, now = known.column(name), filled.column(name)
            gap = gaps_of(was)
            if gap.all():
                known = known.set_column(i, name, now)
            elif gap.any() and pa.types.is_dictionary(was.type):
                cells = np.where(gap, np.array(now.to_pylist(), dtype=object), np.array(was.to_pylist(), dtype=object))
                levels = now.unify_dictionaries().chunk(0).dictionary.to_pylist()
                merged = categories(cells, "dictionary", levels, now.type.ordered)
                known = known.set_column(i, name, merged)
            elif gap.any():
                known = known.set_column(i, name, pc.if_else(pa.array(gap), now.cast(was.type, safe=False), was))
    return known


def encode_given(fields: Fields, known: pa.Table) -> tuple[Encoded, list[Demand]]:
    """Rows of some of the columns, encoded, the others gaps, whatever gaps stand for; and what is asked of these."""
    values = fields.read(widened(known, fields))
    rows, absent = fields.encode_values(values, completing=True), {*fields.names} - {*known.column_names}
    for j, field in enumerate(fields.modelled):
        if field.name in absent:
            untold = gaps(values[field.name])
            rows.x[untold, j], rows.log_extra[untold, j] = np.nan, 0.0
    return rows, fields.demands(values, absent)


def widened(known: pa.Table, fields: Fields) -> pa.Table:
    """A table with all columns of a model, those that it lacks empty, numbers and dates of their types.

    Raises:
        DataError: it has none of them, or no row.
    """
    import pyarrow as pa

    if not set(known.column_names) & set(fields.drawn) or not len(known):
        raise DataError(
            f"given= needs rows of some of the columns {listing(fields.drawn)}; got {listing(known.column_names)}"
        )
    columns = {}
    for field in (field for field in fields.all if field.name in fields.drawn):
        if field.name not in known.column_names:
            columns[field.name] = pa.nulls(len(known))
        elif field.is_number:
            columns[field.name] = to_arrow(values_of(known.column(field.name), field), field)
        else:
            columns[field.name] = known.column(field.name)
    return pa.table(columns)
