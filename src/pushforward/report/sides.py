"""Tables that are compared, as numbers: their columns aligned, categories as codes, gaps as NaN."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray, as_levels
from pushforward.data.fields import Field, values_of
from pushforward.data.looking import learn_fields
from pushforward.data.sources import DataError, listing

if TYPE_CHECKING:
    import pyarrow as pa

LEAST_ROWS = 20


class Sides(NamedTuple):
    """Tables of the same columns.

    Arguments:
        fields: what the columns of the first table are, those that are compared.
        values: of each table its cells, shape (n, D): numbers, dates in seconds, categories as codes 0, 1, …, the
            same ones in all tables; NaN for gaps.
        left_out: of columns that are not compared, why.
    """

    fields: tuple[Field, ...]
    values: dict[str, FloatArray]
    left_out: dict[str, str]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return tuple(field.name for field in self.fields)

    @property
    def numeric(self) -> NDArray[np.bool_]:
        """Which columns are numbers or dates, shape (D,)."""
        return np.array([field.is_number for field in self.fields])


def sides(tables: Mapping[str, pa.Table]) -> Sides:
    """Align tables to the first of them.

    Arguments:
        tables: by what messages call them; the first one says what the columns are.

    Raises:
        DataError: a table has too few rows, lacks a column, has one without any value or with values of another kind
            or infinite ones; or no column can be compared.
    """
    first, real = next(iter(tables.items()))
    for name, table in tables.items():
        if len(table) < LEAST_ROWS:
            raise DataError(f"{name}: {len(table)} rows; expected at least {LEAST_ROWS} to compare")
    looked = learn_fields(real)
    left_out = {field.name: field.why or "" for field in looked.all if field.kind == "left out"}
    for name, table in tables.items():
        left_out |= {column: f"{name} lacks it" for column in real.column_names if column not in table.column_names}
    fields = tuple(field for field in looked.all if field.name not in left_out)
    if not fields:
        why = [f"{name!r} ({reason})" for name, reason in left_out.items()]
        raise DataError(f"{first}: no column can be compared: {listing(why)}")
    for name, table in tables.items():
        _check_columns(name, table)
        further = [c for c in table.column_names if c not in real.column_names]
        left_out |= dict.fromkeys(further, f"{name} alone has it")
    columns = [_column(field, tables) for field in fields]
    values = {name: np.stack([column[name] for column in columns], axis=1) for name in tables}
    return Sides(fields, values, left_out)


def _check_columns(name: str, table: pa.Table) -> None:
    twice = sorted({c for c in table.column_names if table.column_names.count(c) > 1})
    if twice:
        raise DataError(f"{name}: two columns are named {twice[0]!r}; give every column its own name")


def _column(field: Field, tables: Mapping[str, pa.Table]) -> dict[str, FloatArray]:
    """A column of every table, shape (n,)."""
    codes: dict[Any, int] = {level: i for i, level in enumerate(field.levels)}
    found = {}
    for name, table in tables.items():
        try:
            values = values_of(table.column(field.name), field)
        except DataError as error:
            raise DataError(f"{name}: {error}") from error
        numbers = np.asarray(values, dtype=np.float64) if field.is_number else _coded(values, field, codes)
        if np.isinf(numbers).any():
            raise DataError(f"{name}: column {field.name!r} has infinite values; make them gaps, or leave them out")
        if np.isnan(numbers).all():
            raise DataError(f"{name}: column {field.name!r} has no value; leave it out of all tables, or fill it in")
        found[name] = numbers
    return found


def _coded(values: list[Any], field: Field, codes: dict[Any, int]) -> FloatArray:
    """Codes of levels; those not met before get the next ones."""
    levels = as_levels(values, field.levels)
    return np.array([np.nan if v is None else codes.setdefault(v, len(codes)) for v in levels], dtype=np.float64)
