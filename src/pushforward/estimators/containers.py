"""Tables in the containers that users have, made ready to become numbers: missing is missing in all of them."""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np

NUMERIC = ("int", "float", "uint", "bool", "decimal", "double", "halffloat", "sparse[", "null")
DATES = (datetime.date, datetime.time, datetime.timedelta)  # a datetime is a date; so are those of pandas
MISSING = {"NAType", "NaTType"}  # of pandas, which need not be there


@runtime_checkable
class Frame(Protocol):
    """A table of pandas or polars."""

    columns: Any
    dtypes: Any


@runtime_checkable
class Series(Protocol):
    """A column of pandas or polars."""

    dtype: Any
    to_frame: Any


@runtime_checkable
class PandasFrame(Protocol):
    """A table of pandas."""

    dtypes: Any
    notna: Any
    where: Any


@runtime_checkable
class ArrowTable(Protocol):
    """A table of Arrow, whose `columns` are arrays."""

    column_names: Any
    schema: Any


def column_names(table: Any) -> tuple[str, ...] | None:
    """The names of a table's columns, or None if it has none."""
    if isinstance(table, ArrowTable):
        return tuple(str(name) for name in table.column_names)
    return tuple(str(name) for name in table.columns) if isinstance(table, Frame) else None


def as_missing(table: Any) -> Any:
    """A table whose missing cells are all NaN; as it was, names and all, where it has none that scikit-learn misreads.

    Masked cells, NaT and pandas' NA are missing. Dates of an array are the whole numbers that it stores.

    Arguments:
        table: an array, a list of rows, or a table of pandas, polars or Arrow.

    Raises:
        ValueError: an array of objects holds dates, which count from nowhere and in no unit.
    """
    if isinstance(table, PandasFrame):
        objects = any(str(dtype) == "object" for dtype in np.atleast_1d(np.asarray(table.dtypes, dtype=object)))
        return table.where(table.notna(), np.nan) if objects else table
    if not isinstance(table, np.ndarray | list | tuple):
        return table
    array = table if isinstance(table, np.ndarray) else np.asarray(table)
    masked = np.ma.getmaskarray(array) if isinstance(array, np.ma.MaskedArray) else None
    plain = np.asarray(array)
    if plain.dtype.kind in "mM":
        plain = np.where(np.isnat(plain), np.nan, plain.astype(np.int64).astype(np.float64))
    elif plain.dtype.kind == "O":
        plain = _without_objects(plain)
    elif masked is None:
        return table
    return plain if masked is None else np.where(masked, np.nan, plain)


def _without_objects(array: np.ndarray) -> np.ndarray:
    """An array of objects with NaN in the place of those that say a cell is missing."""
    missing = np.frompyfunc(_is_missing, 1, 1)(array).astype(bool)
    dates = np.frompyfunc(_is_date, 1, 1)(array).astype(bool) & ~missing
    if dates.any():
        example = array[dates].flat[0]
        raise ValueError(
            f"columns that are not numbers: {int(dates.sum())} cells hold dates or times, such as {str(example)!r}; "
            "turn them into numbers first, days since a day of your choice for example"
        )
    return np.where(missing, np.nan, array)


def _is_missing(value: object) -> bool:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return value is None or value is np.ma.masked or type(value).__name__ in MISSING


def _is_date(value: object) -> bool:
    return isinstance(value, (*DATES, np.datetime64, np.timedelta64))


def refuse_text(table: Any, instead: str = "") -> None:
    """Refuse text, categories and dates in a table whose columns have types, or in one column.

    Arguments:
        table: of any kind.
        instead: what else to do with them, for the message.

    Raises:
        ValueError: there are some; the message says in which columns, and what to do with them.
    """
    table = table.to_frame() if isinstance(table, Series) else table
    arrow = isinstance(table, ArrowTable)
    if not arrow and not isinstance(table, Frame):
        return
    names: list[Any] = list(table.column_names if arrow else table.columns)
    dtypes: Iterable[Any] = table.schema.types if arrow else list(table.dtypes)
    kinds = [str(dtype) for dtype in dtypes]
    refused = [
        f"{name!r} ({kind})"
        for name, kind in zip(names, kinds, strict=True)
        if not kind.lower().startswith(NUMERIC) and kind != "object"
    ]
    for name in (name for name, kind in zip(names, kinds, strict=True) if kind == "object"):
        what = next((found for found in map(_what, table[name]) if found), None)
        refused += [f"{name!r} ({what})"] if what else []
    if refused:
        raise ValueError(
            f"columns that are not numbers: {', '.join(refused)}; leave them out, encode them as numbers, "
            f"or {instead or 'pass them encoded through condition='}"
        )


def _what(value: object) -> str | None:
    """What a cell that is no number holds."""
    if isinstance(value, str):
        return "text"
    return "dates or times" if _is_date(value) and not _is_missing(value) else None
