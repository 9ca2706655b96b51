"""Cells of Arrow columns as numbers, seconds or plain values, with gaps told from values; and back."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.sources import DataError
from pushforward.data.tables import NUMBER, WORDS

if TYPE_CHECKING:
    import pyarrow as pa

FloatArray = NDArray[np.float64]
MARKS = ("", "?", "NA", "N/A", "n/a", "NULL", "null", "None", "NaN", "nan")  # of gaps, among texts
TEXTS = ("string", "large_string", "string_view")  # what Arrow calls types of texts
DAY = 86_400.0  # seconds
PER_SECOND = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}


def is_text(column: Any) -> bool:
    """Whether an Arrow column holds texts."""
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_numeric(column: Any) -> bool:
    """Whether an Arrow column holds numbers, truth values among them, or nothing."""
    import pyarrow as pa

    types, kind = pa.types, column.type
    tests = (types.is_integer, types.is_floating, types.is_decimal, types.is_duration, types.is_boolean, types.is_null)
    return any(test(kind) for test in tests)


def gaps_of(column: Any) -> NDArray[np.bool_]:
    """Which cells of an Arrow column are gaps: null, NaN, and the marks for one among texts."""
    if is_text(column):
        return np.array([value is None for value in plain(column)], dtype=bool)
    return np.asarray(column.is_null(nan_is_null=True).to_numpy(zero_copy_only=False), dtype=bool)


def numbers_of(column: Any) -> FloatArray:
    """An Arrow column of numbers as float64, NaN for gaps; durations in seconds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_duration(column.type):
        return numbers_of(column.cast(pa.int64())) / PER_SECOND[column.type.unit]
    values = pc.cast(column, pa.float64(), safe=False)
    numbers: FloatArray = np.array(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    return numbers


def text_numbers(column: Any, padded: bool = False) -> FloatArray | None:
    """An Arrow column of texts as float64, NaN for gaps; None where one of them is no number.

    Arguments:
        column: of texts.
        padded: whether numbers may begin with zeros, as codes do.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pa.chunked_array([pa.array(plain(column), pa.string())])
    if padded:
        column = pc.replace_substring_regex(column, pattern="^([+-]?)0+([0-9])", replacement="\\1\\2")
    if not pc.all(pc.match_substring_regex(column, NUMBER), min_count=0).as_py():
        return None
    return numbers_of(pc.cast(pc.utf8_ltrim(column, "+"), pa.float64()))


def seconds_of(column: Any, name: str, zone: str = "") -> FloatArray:
    """An Arrow column of dates, as such or as texts such as 2024-01-31, in seconds since 1970, NaN for gaps.

    Arguments:
        column: of the table.
        name: of the column, for messages.
        zone: whose clocks tell the time, of a column that knows when it was; universal time if empty.

    Raises:
        DataError: it holds something else.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_date(kind):
        return numbers_of(column.cast(pa.date32()).cast(pa.int32())) * DAY
    if pa.types.is_timestamp(kind):
        if zone and kind.tz:
            column = pc.local_timestamp(column.cast(pa.timestamp(kind.unit, tz=zone)))
        return numbers_of(column.cast(pa.int64())) / PER_SECOND[kind.unit]
    if is_text(column):
        try:
            days = [np.datetime64("NaT") if v is None else np.datetime64(v) for v in plain(column)]
        except ValueError:
            days = None
        if days is not None:
            ticks = np.array(days, dtype="datetime64[us]")
            return np.where(np.isnat(ticks), np.nan, ticks.astype(np.int64) / 1e6)
    raise DataError(f"column {name!r} holds {kind}, where dates are expected")


def plain(column: Any) -> list[Any]:
    """The values of an Arrow column, text without blanks at its ends, None for gaps."""
    return [_plain(value) for value in column.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        return None if text in MARKS else text
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def as_levels(values: Any, levels: Sequence[Any]) -> list[Any]:
    """Plain values as those of the levels that they are of: a file may be read as another type than the one before."""
    known = {None, *levels}
    if all(value in known for value in values):
        return list(values)
    kinds = {type(level) for level in levels if level is not None}
    others = {(type(value), value) for value in values if value not in known}
    meant = {other: _as_kind(other[1], kinds, known) for other in others}
    return [value if value in known else meant[type(value), value] for value in values]


def _as_kind(value: Any, kinds: set[type], known: set[Any]) -> Any:
    if kinds == {str} and not isinstance(value, str):
        texts = [form for form in known if form is not None]
        if isinstance(value, bool):  # as files and pandas tell yes and no, whatever they are called
            words = [(WORDS[form.lower()], form) for form in texts if form.lower() in WORDS]
            if sorted(true for true, _ in words) == [False, True]:
                return dict(words)[value]
        text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
        forms = [form for form in (text, text.lower(), text.upper()) if form in known]
        if not forms and not isinstance(value, bool):  # 00123, where it was read as a number
            forms = [form for form in texts if form.isdecimal() and int(form) == value]
        return forms[0] if len(set(forms)) == 1 else text
    if kinds == {bool}:
        return WORDS.get(str(value).lower(), value)
    if kinds <= {int, float} and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def arrow_type(name: str) -> Any:
    """A type of Arrow by the name that it gives it; None for one that has other parts than these."""
    import pyarrow as pa

    if found := re.fullmatch(r"dictionary<values=(.*), indices=(\w+), ordered=([01])>", name):
        values, indices = arrow_type(found[1]), arrow_type(found[2])
        return None if values is None else pa.dictionary(indices, values, found[3] == "1")
    if found := re.fullmatch(r"timestamp\[(\w+), tz=(.*)\]", name):
        return pa.timestamp(found[1], tz=found[2])
    if found := re.fullmatch(r"decimal(\d+)\((\d+), (-?\d+)\)", name):
        bits = {"32": pa.decimal32, "64": pa.decimal64, "128": pa.decimal128, "256": pa.decimal256}
        return bits[found[1]](int(found[2]), int(found[3]))
    try:
        return pa.type_for_alias(name)
    except ValueError:
        return None


def categories(values: NDArray[Any], dtype: str, declared: Sequence[Any], ordered: bool) -> pa.Array:
    """Levels as an Arrow array of a type by its name, dictionaries with the levels that were declared, in order."""
    import pyarrow as pa

    kind: Any = arrow_type(dtype)
    if not dtype.startswith("dictionary"):
        return _as_type(pa.array(list(values)), kind)
    places = {level: i for i, level in enumerate(declared)}
    index_type, value_type = (pa.int32(), None) if kind is None else (kind.index_type, kind.value_type)
    indices = pa.array([None if v is None else places[v] for v in values], index_type)
    return pa.DictionaryArray.from_arrays(indices, _as_type(pa.array(list(declared)), value_type), ordered=ordered)


def _as_type(array: Any, kind: Any) -> Any:
    """An array of levels in the type that they had, where it is known: dates are levels by their texts."""
    return array if kind is None or array.type == kind else array.cast(kind)


def texts_of(values: FloatArray, is_date: bool) -> list[str | None]:
    """Numbers, or seconds, written plainly, None for gaps."""
    if is_date:
        known = np.where(np.isnan(values), 0, values)
        unit = "D" if (known % DAY == 0).all() else "s"
        written = [str(tick) for tick in np.round(known).astype("datetime64[s]").astype(f"datetime64[{unit}]")]
    else:
        written = [str(int(v)) if v.is_integer() and abs(v) < 2**53 else f"{v:.15g}" for v in values.tolist()]
    return [None if v != v else text for v, text in zip(values.tolist(), written, strict=True)]


def numbers_as(values: FloatArray, dtype: str, local: bool = False) -> pa.Array:
    """Numbers, or seconds, as an Arrow array of a type by its name, NaN as gaps; the nearest that the type can hold.

    Arguments:
        values: shape (n,).
        dtype: Arrow's name of the type.
        local: whether seconds are those of clocks in the zone of the type.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    gap = np.isnan(values)
    kind: Any = arrow_type(dtype)
    filled = np.where(gap, 0, values)
    if dtype.startswith("date"):
        return pa.array(np.floor(filled / DAY).astype(np.int32), pa.int32(), mask=gap).cast(pa.date32()).cast(kind)
    if dtype.startswith(("timestamp", "duration")):
        end = np.nextafter(2.0**63, 0)
        ticks = pa.array(np.clip(np.round(filled * PER_SECOND[kind.unit]), -end, end).astype(np.int64), mask=gap)
        if local:
            clock = ticks.cast(pa.timestamp(kind.unit))
            return pc.assume_timezone(clock, kind.tz, ambiguous="earliest", nonexistent="latest")
        return ticks.cast(kind)
    if dtype.startswith(("int", "uint")):
        ends = np.iinfo(dtype)
        top = ends.max if ends.bits < 64 else np.nextafter(float(ends.max), 0)
        return pa.array(np.clip(np.round(filled), ends.min, top).astype(dtype), mask=gap)
    if dtype == "bool":
        return pa.array(filled >= 0.5, mask=gap)
    if dtype.startswith("decimal"):
        end = 10.0 ** (kind.precision - kind.scale) - 10.0**-kind.scale
        filled = np.clip(filled, -end, end)
    array = pa.array(filled, pa.float64(), mask=gap)
    return array.cast(kind, safe=False) if dtype in ("float", "halffloat") or dtype.startswith("decimal") else array
