"""Looking what the columns of a table as people have it are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import DAY, FloatArray, is_numeric, is_text, numbers_of, plain, seconds_of, text_numbers
from pushforward.data.fields import KINDS, NUMBERS, Field, Fields, values_of
from pushforward.data.following import follow
from pushforward.data.masses import stand_out
from pushforward.data.sources import DataError, listing

if TYPE_CHECKING:
    import pyarrow as pa

MOST_LEVELS = 255  # of a category that are told apart; rarer ones share one level, by their frequencies
MOST_MASSES = 100  # values of a column of numbers that have a probability of their own
FEW_VALUES = 20  # of a column, each of which may be a mass
LEAST_COUNT = 10  # rows of a mass
EXCESS = 5.0  # times as many rows as the values around it let expect
MOST_PASSES = 10
AROUND = 8  # distinct values on each side that are compared with
STEPS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001)  # of values on a grid
TIME_STEPS = (DAY, 3600.0, 60.0, 1.0)  # seconds
YEARS = (-62_135_596_800.0, 253_402_214_400.0)  # the first and the last day of years of four digits, in seconds
MOST_SECONDS = 9.2e9  # seconds before and after 1970 that nanoseconds of 64 bits reach
SPREAD_OUT = 0.5  # share of values that are distinct, beyond which those on a fine grid are points
IDENTIFIERS = 0.9  # share of texts that are distinct, beyond which they are no categories
FREE_TEXT = 40  # letters that texts have on average, and more


def learn_fields(table: pa.Table, kinds: Mapping[Any, str] | None = None, gap_levels: bool = False) -> Fields:
    """Look what the columns of a table are.

    Arguments:
        table: an Arrow table, at least one row.
        kinds: of some columns, by name or number, where looking would be wrong: one of `KINDS`, "number", or
            "identifier" and "text", which are left out. A column whose kind is said is modelled even where it follows
            from others.
        gap_levels: whether a gap of a category is one of its levels.

    Raises:
        DataError: an unknown column or kind, a column that is not of the kind it is said to be, or infinite numbers.

    Example:
        >>> import pyarrow as pa
        >>> from pushforward.data import learn_fields
        >>> table = pa.table({"size": [1.5, 2.25, None, 3.125], "colour": ["red", "blue", "red", None]})
        >>> [field.kind for field in learn_fields(table).all]
        ['positive', 'category']
    """
    names = table.column_names
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"the table: two columns are named {twice[0]!r}; give every column its own name")
    numbered: dict[Any, str] = {i: name for i, name in enumerate(names) if i not in names}
    said = {str(numbered.get(name, name)): kind for name, kind in (kinds or {}).items()}
    unknown = [name for name in said if name not in names]
    if unknown:
        raise DataError(f"no column {unknown[0]!r} to be of a kind; the columns are {listing(names)}")
    wrong = [kind for kind in said.values() if kind not in (*KINDS, "identifier", "text", "number")]
    if wrong:
        raise DataError(f"no kind {wrong[0]!r} of column; choose one of number, {', '.join(KINDS)}")
    found = [_learn(name, table.column(name), said.get(name)) for name in table.column_names]
    used = [field for field in found if field.kind != "left out"]
    found = follow(found, {f.name: f.plain(values_of(table.column(f.name), f)) for f in used}, said)
    return Fields(tuple(_with_gap_level(field, len(table)) if gap_levels else field for field in found))


def _with_gap_level(field: Field, n: int) -> Field:
    """A category with a level for gaps, where it has any."""
    if field.kind == "left out" or field.is_number or not field.missing:
        return field
    if field.rare:
        return dataclasses.replace(field, levels=(*field.levels, None), rare=(*field.rare, round(field.missing * n)))
    return dataclasses.replace(field, levels=(*field.levels, None))


def _learn(name: str, column: pa.ChunkedArray, said: str | None) -> Field:
    import pyarrow as pa

    types, kind = pa.types, column.type
    if said in ("left out", "identifier", "text"):
        return _left_out(name, column, "as asked")
    if types.is_floating(kind):
        column = _without_nan(column)
    if column.null_count == len(column):
        return _left_out(name, column, "no row has a value")
    if types.is_dictionary(kind):
        if said in (*NUMBERS, "number", "boolean"):
            raise DataError(f"column {name!r} holds categories, which are no {said}; leave its kind out")
        return _levels(name, column, "ordered" if kind.ordered or said == "ordered" else "category")
    if said in ("category", "ordered", "boolean") or (said is None and types.is_boolean(kind)):
        return _levels(name, column, said or "boolean")
    if said == "date" or types.is_date(kind) or types.is_timestamp(kind):
        return _date(name, column)
    if is_text(column):
        return _text(name, column, said)
    if is_numeric(column):
        return _number(name, numbers_of(column), str(kind), said)
    return _left_out(name, column, f"it holds {kind}")


def _without_nan(column: Any) -> Any:
    """A column of floats with gaps in the place of NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.if_else(pc.is_nan(column), pa.scalar(None, column.type), column)


def _left_out(name: str, column: Any, why: str) -> Field:
    return Field(name, "left out", str(column.type), missing=column.null_count / max(len(column), 1), why=why)


def _text(name: str, column: Any, said: str | None) -> Field:
    """A column of texts: numbers all of them, or a category, or too many of them to be one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values, dtype = plain(column), str(column.type)
    column = pa.chunked_array([pa.array(values, pa.string())])
    if column.null_count == len(column):
        return _left_out(name, column, "no row has a value")
    numbers = text_numbers(column, padded=said in (*NUMBERS, "number"))
    if numbers is not None:
        return _number(name, numbers, dtype, said)
    if said in NUMBERS or said == "number":
        raise DataError(f"column {name!r} holds texts, which are no numbers; leave its kind out, or mend the cells")
    n = len(column) - column.null_count
    distinct = pc.count_distinct(column).as_py()
    if distinct > IDENTIFIERS * n and n > FEW_VALUES:
        return _left_out(name, column, f"nearly every row has a text of its own ({distinct:,} in {n:,} rows)")
    if (pc.mean(pc.utf8_length(column)).as_py() or 0) > FREE_TEXT and distinct >= n / 2:
        return _left_out(name, column, "it holds free text")
    return dataclasses.replace(_levels(name, column, "category"), dtype=dtype)


def _levels(name: str, column: Any, kind: str) -> Field:
    """A category: what it is, how often each level is, and what is left for those that are not seen."""
    values = plain(column)
    seen: dict[Any, int] = {}
    for value in values:
        if value is not None:
            seen[value] = seen.get(value, 0) + 1
    dictionary = _dictionary(column)
    if kind == "ordered":
        declared = list(dictionary) or sorted(seen)
    else:
        declared = sorted(seen, key=lambda level: (-seen[level], str(level)))
    levels = [level for level in [*declared, *seen] if level in seen]
    levels = list(dict.fromkeys(levels))
    n, rare = sum(seen.values()), []
    if len(levels) > MOST_LEVELS:
        levels = sorted(levels, key=lambda level: -seen[level])
        rare = [seen[level] for level in levels[MOST_LEVELS:]]
    once = sum(count == 1 for count in seen.values())  # as often as new ones are to come (Good 1953)
    unseen = 0.0 if kind == "boolean" and len(seen) == 2 else (once + 0.5) / (n + 1) if n else 0.5
    return Field(
        name,
        kind,
        str(column.type),
        levels=tuple(levels),
        rare=tuple(rare),
        unseen=min(unseen, 0.5),
        declared=tuple(dictionary),
        missing=sum(value is None for value in values) / max(len(values), 1),
    )


def _dictionary(column: Any) -> list[Any]:
    """The levels that a column of categories declares, in their order; none of another column."""
    import pyarrow as pa

    if not pa.types.is_dictionary(column.type):
        return []
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    return list(dict.fromkeys(v for chunk in chunks for v in plain(chunk.dictionary) if v is not None))


def _date(name: str, column: Any) -> Field:
    """A column of dates; of a zone, where they lie on a coarser grid by its clocks, as midnights do, by these."""
    dtype = str(column.type)
    field = _number(name, seconds_of(column, name), dtype, "date")
    zone = dataclasses.replace(field, local=True).zone
    if not zone or field.step == DAY:
        return field
    local = dataclasses.replace(_number(name, seconds_of(column, name, zone), dtype, "date"), local=True)
    return local if local.step > field.step else field


def _number(name: str, values: FloatArray, dtype: str, said: str | None) -> Field:
    """A column of numbers: its grid, its masses, and its standard units."""
    known = values[~np.isnan(values)]
    if np.isinf(known).any():
        raise DataError(
            f"column {name!r} has {int(np.isinf(known).sum())} infinite values; leave these rows out, or give a number"
        )
    date, timed = said == "date", dtype.startswith("duration")
    _check_said(name, known, said)
    distinct = np.unique(known)
    step = _grid(distinct, len(known), TIME_STEPS if date or timed else STEPS)
    known = np.round(np.round(known / step) * step, 6) if step else known  # 0.3 and 0.1 · 3 are one value
    distinct, counts = np.unique(known, return_counts=True)
    masses = _masses(distinct, counts, step)
    others = known[~np.isin(known, masses)]
    base = others if len(others) > 1 else known
    signed = date or said == "real"
    logarithmic = not signed and _wants_logarithm(base, step)
    lowest = 0.0 if distinct[0] >= 0 and not signed and (step or logarithmic) else -math.inf
    with np.errstate(divide="ignore"):
        g = np.log(np.maximum(base, step / 4 if step else 1e-300)) if logarithmic else base
    spread = float(g.std())
    kind = (
        said if said in NUMBERS else "whole" if step == 1.0 and not date else "positive" if distinct[0] > 0 else "real"
    )
    return Field(
        name,
        "date" if date else kind,
        dtype,
        levels=tuple(float(m) for m in masses),
        step=step,
        lowest=lowest,
        logarithmic=logarithmic,
        shift=float(g.mean()),
        scale=spread if spread > 0 else max(step, abs(float(g.mean())), 1.0),
        reach=_reach(known, step, dtype, date),
        missing=float(np.isnan(values).mean()),
    )


def _grid(distinct: FloatArray, n: int, steps: Sequence[float]) -> float:
    """The largest of some steps that all values are multiples of; zero for none, or where hardly any value repeats."""
    for step in steps:
        multiples = distinct / step
        near = np.abs(multiples - np.round(multiples)) < 1e-6
        if near.all() and np.abs(multiples).max() < 2**52:
            return step if step >= 1.0 or len(distinct) < SPREAD_OUT * n else 0.0
    return 0.0


def _masses(distinct: FloatArray, counts: NDArray[Any], step: float) -> FloatArray:
    """Values with far more rows than those around let expect, or of which there are few, the most frequent first."""
    if len(distinct) <= FEW_VALUES:
        chosen = counts >= LEAST_COUNT
    else:
        chosen = stand_out(distinct, counts, LEAST_COUNT, EXCESS, AROUND, step, MOST_PASSES)
    order = np.argsort(-counts[chosen], kind="stable")
    values: FloatArray = distinct[chosen][order][:MOST_MASSES]
    return values


def _wants_logarithm(values: FloatArray, step: float) -> bool:
    """Whether standard units are to be of logarithms: of points that are positive, which then stay so, and of numbers
    on a grid where a Gaussian fits the logarithms better."""
    if values.min() < 0 or (values.min() <= 0 and not step) or len(values) < 3:
        return False
    if not step:
        return True
    g = np.log(np.maximum(values, step / 2))
    if g.std() == 0 or values.std() == 0:
        return False
    return bool(-np.log(g.std()) - g.mean() > -np.log(values.std()) + 0.05)


def _check_said(name: str, known: FloatArray, said: str | None) -> None:
    """Refuse numbers that are not of the kind that they are said to be.

    Raises:
        DataError: they are not.
    """
    if said == "whole" and not (known == np.round(known)).all():
        raise DataError(
            f"column {name!r} is said to be of whole numbers, and has {known[known != np.round(known)][0]:g}"
        )
    if said == "positive" and not (known > 0).all():
        raise DataError(f"column {name!r} is said to be positive, and has {known[known <= 0][0]:g}")


def _reach(known: FloatArray, step: float, dtype: str, date: bool) -> tuple[float, float]:
    """How far out samples may lie: a tenth of the range beyond its ends, on the grid, and where the type ends."""
    low, high = float(known.min()), float(known.max())
    room = 0.1 * (high - low)
    room = np.floor(room / step) * step if step else room
    low, high = low - room, high + room
    if date:
        first, last = (-MOST_SECONDS, MOST_SECONDS) if dtype.startswith("timestamp[ns") else YEARS
        low, high = max(low, min(first, float(known.min()))), min(high, max(last, float(known.max())))
    if dtype.startswith(("int", "uint")):
        ends = np.iinfo(dtype)
        low, high = max(low, float(ends.min)), min(high, float(ends.max))
    return float(low), float(high)
