"""What the columns of a table as people have it are: numbers, categories, dates, and gaps in any of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.sources import DataError, listing
from pushforward.data.tables import NUMBER

if TYPE_CHECKING:
    import pyarrow as pa

FloatArray = NDArray[np.float64]
KINDS = ("real", "positive", "whole", "date", "boolean", "category", "ordered", "left out")
NUMBERS = ("real", "positive", "whole", "date")
MOST_LEVELS = 255  # of a category that are told apart; rarer ones share one level, by their frequencies
MOST_MASSES = 100  # values of a column of numbers that have a probability of their own
FEW_VALUES = 20  # of a column, each of which may be a mass
LEAST_COUNT = 10  # rows of a mass
EXCESS = 5.0  # times as many rows as the values around it let expect
AROUND = 8  # distinct values on each side that are compared with
STEPS = (1.0, 0.5, 0.25, 0.1, 0.05, 0.01, 0.001)  # of values on a grid
DAY = 86_400.0  # seconds
TIME_STEPS = (DAY, 3600.0, 60.0, 1.0)
SPREAD_OUT = 0.5  # share of values that are distinct, beyond which those on a fine grid are points
IDENTIFIERS = 0.9  # share of texts that are distinct, beyond which they are no categories
FREE_TEXT = 40  # letters that texts have on average, and more
MARKS = ("", "?", "NA", "N/A", "n/a", "NULL", "null", "NaN", "nan")  # of gaps, among texts
FAR = 1e4  # what stands for an infinite edge of a cell, in standard units


class Encoded(NamedTuple):
    """Rows as models of mixed tables take them.

    Arguments:
        x: of every column its code, the lower and the upper edge of its number's cell and how wide that is, shape
            (n, D, 4); NaN where there is a gap. A category's code is the number of its level, a number's that of its
            mass, counted from 1, or 0; -1 is a value that has no code. A point has no width.
        log_extra: what is to be added to log-probabilities of `x` for log-densities of the values, shape (n, D): of
            a number what makes it a density in its own units (of dates, days), of a category the share of a rare
            level, or what is left for unseen ones; zero where there is a gap, and of masses among points.
    """

    x: FloatArray
    log_extra: FloatArray


@dataclasses.dataclass(frozen=True)
class Field:
    """A column: what it is, and how its values go to codes and standard units and back.

    Arguments:
        name: of the column.
        kind: one of `KINDS`.
        dtype: Arrow's name of its type, which samples have.
        levels: of a category, in order, those in `rare` last; values of masses of a number.
        rare: how many rows each of the rare levels has, which share a code.
        unseen: probability that is left for levels that were not seen.
        step: width of the cells that numbers fill, zero for points.
        lowest: the smallest value that can be; -inf for none. Its cell has no lower end.
        logarithmic: whether standard units are of the logarithm.
        shift, scale: of standard units.
        reach: how far out samples may lie, (lowest, highest), in the data's units.
        missing: the share of gaps.
        why: for what reason it was left out, or None.
    """

    name: str
    kind: str
    dtype: str
    levels: tuple[Any, ...] = ()
    rare: tuple[int, ...] = ()
    unseen: float = 0.0
    step: float = 0.0
    lowest: float = -math.inf
    logarithmic: bool = False
    shift: float = 0.0
    scale: float = 1.0
    reach: tuple[float, float] = (-math.inf, math.inf)
    missing: float = 0.0
    why: str | None = None

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers or dates."""
        return self.kind in NUMBERS

    @property
    def n_codes(self) -> int:
        """How many codes its values have: levels, or masses and one for all other numbers."""
        if self.is_number:
            return 1 + len(self.levels)
        return len(self.levels) - len(self.rare) + bool(self.rare)

    def encode(self, values: Any) -> Encoded:
        """Values of this column, numbers in float64 with NaN for gaps, others as objects with None for gaps.

        Returns:
            `Encoded` of shapes (n, 4) and (n,).
        """
        return self._encode_numbers(values) if self.is_number else self._encode_levels(values)

    def _encode_levels(self, values: Any) -> Encoded:
        x = np.zeros((len(values), 4))
        places = {level: i for i, level in enumerate(self.levels)}
        nothing = places.get(None, math.nan)  # a gap may be a level of its own
        place = np.array([nothing if v is None else places.get(v, -1) for v in values], dtype=float)
        last = self.n_codes - 1
        code = np.where(place > last, last, place)
        with np.errstate(divide="ignore"):
            extra = np.where(place < 0, np.log(self.unseen), np.log1p(-self.unseen))
        if self.rare:
            shares = np.log(np.array(self.rare) / sum(self.rare))
            shared = place >= last
            extra[shared] += shares[place[shared].astype(int) - last]
        x[:, 0] = code
        x[np.isnan(place)] = np.nan
        return Encoded(x, np.where(np.isnan(place), 0, extra))

    def _encode_numbers(self, values: FloatArray) -> Encoded:
        v = np.asarray(values, dtype=np.float64)
        gap = np.isnan(v)
        code = np.zeros(len(v))
        if self.levels:
            order = np.argsort(self.levels)
            masses = np.asarray(self.levels)[order]
            place = np.minimum(np.searchsorted(masses, v), len(masses) - 1)
            code = np.where(masses[place] == v, order[place] + 1.0, 0.0)
        extra = np.zeros(len(v))
        if self.step:  # a density, the mean over the cell
            low, high = self._edges(v)
            extra = np.full(len(v), -math.log(self.step / (DAY if self.kind == "date" else 1.0)))
        else:
            low = high = np.where(code > 0, 0.0, self._to_units(v))
            slope = -np.log(self.scale) - (np.log(np.maximum(v, 1e-300)) if self.logarithmic else 0.0)
            extra = np.where(code > 0, 0.0, slope)
            if self.logarithmic:
                extra = np.where((code == 0) & (v <= 0), -np.inf, extra)
        beyond = v < self.lowest
        extra = np.where(beyond & (code == 0), -np.inf, extra)
        x = np.stack([code, low, high, np.where(low < high, high - low, 0)], axis=1)
        x[gap] = np.nan
        return Encoded(x, np.where(gap, 0, extra))

    def _edges(self, v: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The edges of the cells of values, in standard units."""
        middle = np.round(v / self.step) * self.step
        low, high = middle - self.step / 2, middle + self.step / 2
        bottom = np.where(middle <= self.lowest + self.step / 4, -FAR, self._to_units(low))
        return np.clip(bottom, -FAR, FAR), np.clip(self._to_units(high), -FAR, FAR)

    def _to_units(self, v: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore", divide="ignore"):
            g = np.log(np.maximum(v, 1e-300)) if self.logarithmic else v
            units: FloatArray = np.clip((g - self.shift) / self.scale, -FAR, FAR)
        return units

    def decode(self, codes: NDArray[Any], units: FloatArray, rng: np.random.Generator) -> NDArray[Any]:
        """Values of codes and numbers in standard units: float64 with NaN for gaps, or objects with None for gaps."""
        gap = np.isnan(codes)
        code = np.where(gap, 0, codes).astype(int)
        if not self.is_number:
            place = code.copy()
            if self.rare:
                shared = code == self.n_codes - 1
                share = np.array(self.rare) / sum(self.rare)
                place[shared] += rng.choice(len(self.rare), size=int(shared.sum()), p=share)
            levels = np.empty(len(self.levels), dtype=object)
            levels[:] = self.levels
            found: NDArray[Any] = levels[place]
            found[gap] = None
            return found
        g = np.asarray(units, dtype=np.float64) * self.scale + self.shift
        with np.errstate(over="ignore"):
            v = np.exp(g) if self.logarithmic else g
        if self.step:
            v = np.round(np.round(v / self.step) * self.step, 6)  # 0.1 · 3 is not quite 0.3
        v = np.clip(v, max(self.lowest, self.reach[0]), self.reach[1])
        if self.levels:
            v = np.where(code > 0, np.asarray(self.levels)[np.maximum(code - 1, 0)], v)
        return np.where(gap, np.nan, v)


@dataclasses.dataclass(frozen=True)
class Fields:
    """The columns of a table as people have it.

    Arguments:
        all: every column, those that are left out as well.
    """

    all: tuple[Field, ...]

    @property
    def modelled(self) -> tuple[Field, ...]:
        """Those that are not left out, categories before numbers, so that numbers are given them."""
        used = [field for field in self.all if field.kind != "left out"]
        return tuple(sorted(used, key=lambda field: field.is_number))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the modelled columns, in the order of the table."""
        return tuple(field.name for field in self.all if field.kind != "left out")

    def facts(self) -> tuple[tuple[Any, ...], ...]:
        """Of each column its name, kind, bounds, mean and unit; None for what is not there."""
        lowest = ((f, None if math.isinf(f.lowest) else f.lowest) for f in self.all)
        return tuple((f.name, f.kind, low, None, None, f.scale) for f, low in lowest)

    def encode(self, table: pa.Table) -> Encoded:
        """The modelled columns of a table with these names, in the order of `modelled`."""
        parts = [field.encode(values_of(table.column(field.name), field)) for field in self.modelled]
        return Encoded(np.stack([p.x for p in parts], axis=1), np.stack([p.log_extra for p in parts], axis=1))

    def decode(self, codes: FloatArray, units: FloatArray, seed: int) -> pa.Table:
        """A table of the modelled columns, in their order and with their types.

        Arguments:
            codes: shape (n, D), NaN for gaps.
            units: numbers in standard units, shape (n, D).
            seed: of which of the rare levels.
        """
        import pyarrow as pa

        rng, made = np.random.default_rng(seed), {}
        for j, field in enumerate(self.modelled):
            made[field.name] = to_arrow(field.decode(codes[:, j], units[:, j], rng), field)
        return pa.table({name: made[name] for name in self.names})

    def encode_again(self, codes: FloatArray, units: FloatArray, seed: int) -> FloatArray:
        """Codes and numbers in standard units as rows of values that there can be, shape (n, D, 4)."""
        rng = np.random.default_rng(seed)
        decoded = [f.decode(codes[:, j], units[:, j], rng) for j, f in enumerate(self.modelled)]
        return np.stack([f.encode(v).x for f, v in zip(self.modelled, decoded, strict=True)], axis=1)

    def to_state(self) -> dict[str, Any]:
        """For a model file."""
        return {"all": tuple(dataclasses.asdict(field) for field in self.all)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Fields:
        """The inverse of `to_state`."""
        return cls(tuple(Field(**entry) for entry in state["all"]))


def learn_fields(table: pa.Table, kinds: Mapping[str, str] | None = None, gap_levels: bool = False) -> Fields:
    """Look what the columns of a table are.

    Arguments:
        table: an Arrow table, at least one row.
        kinds: of some columns, by name, where looking would be wrong: one of `KINDS`, or "identifier" and "text", which
            are left out.
        gap_levels: whether a gap of a category is one of its levels.

    Raises:
        DataError: an unknown column or kind, a column that is not of the kind it is said to be, or infinite numbers.

    Example:
        >>> import pyarrow as pa
        >>> from pushforward.data.fields import learn_fields
        >>> table = pa.table({"size": [1.5, 2.25, None, 3.125], "colour": ["red", "blue", "red", None]})
        >>> [field.kind for field in learn_fields(table).all]
        ['positive', 'category']
    """
    said = dict(kinds or {})
    unknown = [name for name in said if name not in table.column_names]
    if unknown:
        raise DataError(f"no column {unknown[0]!r} to be of a kind; the columns are {listing(table.column_names)}")
    wrong = [kind for kind in said.values() if kind not in (*KINDS, "identifier", "text", "number")]
    if wrong:
        raise DataError(f"no kind {wrong[0]!r} of column; choose one of number, {', '.join(KINDS)}")
    found = [_learn(name, table.column(name), said.get(name)) for name in table.column_names]
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

    types, dtype = pa.types, str(column.type)
    if said in ("left out", "identifier", "text"):
        return _left_out(name, column, "as asked")
    if column.null_count == len(column):
        return _left_out(name, column, "no row has a value")
    kind = column.type
    if types.is_dictionary(kind):
        return _levels(name, column, "ordered" if kind.ordered or said == "ordered" else "category")
    if types.is_boolean(kind):
        return _levels(name, column, "boolean" if said is None else said)
    if said in ("category", "ordered", "boolean"):
        return _levels(name, column, said)
    if types.is_date(kind) or types.is_timestamp(kind):
        return _number(name, seconds_of(column), dtype, "date")
    if is_text(column):
        return _text(name, column, said)
    if any(is_kind(kind) for is_kind in _numeric()):
        return _number(name, numbers_of(column), dtype, said)
    return _left_out(name, column, f"it holds {kind}")


def _left_out(name: str, column: Any, why: str) -> Field:
    return Field(name, "left out", str(column.type), missing=column.null_count / max(len(column), 1), why=why)


def _text(name: str, column: Any, said: str | None) -> Field:
    """A column of texts: numbers all of them, or a category, or too many of them to be one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = plain(column)
    column = pa.chunked_array([pa.array(values, pa.string())])
    if column.null_count == len(column):
        return _left_out(name, column, "no row has a value")
    numbers = text_numbers(column)
    if numbers is not None:
        return _number(name, numbers, "double", said)
    if said in NUMBERS or said == "number":
        raise DataError(f"column {name!r} holds texts, which are no numbers; leave its kind out, or mend the cells")
    n = len(column) - column.null_count
    distinct = pc.count_distinct(column).as_py()
    if distinct > IDENTIFIERS * n and n > FEW_VALUES:
        return _left_out(name, column, f"nearly every row has a text of its own ({distinct:,} in {n:,} rows)")
    if (pc.mean(pc.utf8_length(column)).as_py() or 0) > FREE_TEXT and distinct >= n / 2:
        return _left_out(name, column, "it holds free text")
    return _levels(name, column, "category")


def _levels(name: str, column: Any, kind: str) -> Field:
    """A category: what it is, how often each level is, and what is left for those that are not seen."""
    import pyarrow as pa

    values = plain(column)
    seen: dict[Any, int] = {}
    for value in values:
        if value is not None:
            seen[value] = seen.get(value, 0) + 1
    if pa.types.is_dictionary(column.type) and kind == "ordered":
        declared = [v for v in column.chunk(0).dictionary.to_pylist() if v is not None]
    elif kind == "ordered":
        declared = sorted(seen)
    else:
        declared = sorted(seen, key=lambda level: (-seen[level], str(level)))
    levels = [*declared, *(level for level in seen if level not in set(declared))]
    levels = [level for level in levels if level in seen]
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
        missing=column.null_count / max(len(column), 1),
    )


def _number(name: str, values: FloatArray, dtype: str, said: str | None) -> Field:
    """A column of numbers: its grid, its masses, and its standard units."""
    known = values[~np.isnan(values)]
    if np.isinf(known).any():
        raise DataError(
            f"column {name!r} has {int(np.isinf(known).sum())} infinite values; leave these rows out, or give a number"
        )
    date = said == "date"
    distinct, counts = np.unique(known, return_counts=True)
    step = _grid(distinct, len(known), TIME_STEPS if date else STEPS)
    masses = _masses(distinct, counts, step)
    others = known[~np.isin(known, masses)]
    lowest = 0.0 if distinct[0] >= 0 and not date else -math.inf
    base = others if len(others) > 1 else known
    logarithmic = _wants_logarithm(base, step) if said in (None, "positive", "number", "whole") and not date else False
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
        reach=_reach(known),
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
    enough = counts >= LEAST_COUNT
    if len(distinct) <= FEW_VALUES:
        chosen = enough
    else:
        total = np.concatenate([[0], np.cumsum(counts)])
        i = np.arange(len(distinct))
        first, last = np.maximum(i - AROUND, 0), np.minimum(i + AROUND, len(distinct) - 1)
        others = total[last + 1] - total[first] - counts
        room = (distinct[last] - distinct[first]) / step if step else np.maximum(last - first, 1.0)
        chosen = enough & (counts > EXCESS * np.maximum(others / np.maximum(room, 1.0), 1.0 if step == 0 else 0.0))
    order = np.argsort(-counts[chosen], kind="stable")
    found: FloatArray = distinct[chosen][order][:MOST_MASSES]
    return found


def _wants_logarithm(values: FloatArray, step: float) -> bool:
    """Whether a Gaussian fits the logarithms of values better than the values."""
    low = step / 2 if step else 0.0
    if values.min() < 0 or (values.min() <= 0 and not step) or len(values) < 3:
        return False
    g = np.log(np.maximum(values, low)) if step else np.log(values)
    if g.std() == 0 or values.std() == 0:
        return False
    return bool(-np.log(g.std()) - g.mean() > -np.log(values.std()) + 0.05)


def _reach(known: FloatArray) -> tuple[float, float]:
    low, high = float(known.min()), float(known.max())
    room = 0.1 * (high - low)
    return low - room, high + room


def values_of(column: Any, field: Field) -> Any:
    """Values of an Arrow column as its field encodes them.

    Raises:
        DataError: it holds something else than the field does.
    """
    import pyarrow as pa

    if not field.is_number:
        return plain(column)
    kind = column.type
    if field.kind == "date":
        if not (pa.types.is_date(kind) or pa.types.is_timestamp(kind) or pa.types.is_null(kind)):
            raise DataError(f"column {field.name!r} holds {kind}, where dates are expected as in the table fitted on")
        return seconds_of(column)
    numbers = None
    if is_text(column):
        numbers = text_numbers(pa.chunked_array([pa.array(plain(column), pa.string())]))
    elif any(is_kind(kind) for is_kind in _numeric()):
        numbers = numbers_of(column)
    if numbers is None:
        raise DataError(f"column {field.name!r} holds {kind}, where numbers are expected as in the table fitted on")
    return numbers


def _numeric() -> tuple[Any, ...]:
    """Tests for Arrow's types that hold numbers, and for the one of columns without a value."""
    import pyarrow as pa

    types = pa.types
    return types.is_integer, types.is_floating, types.is_decimal, types.is_duration, types.is_boolean, types.is_null


def numbers_of(column: Any) -> FloatArray:
    """An Arrow column of numbers as float64, NaN for gaps."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_duration(column.type):
        column = column.cast(pa.int64())
    values = pc.cast(column, pa.float64(), safe=False)
    numbers: FloatArray = np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.float64)
    return numbers


def is_text(column: Any) -> bool:
    """Whether an Arrow column holds texts."""
    import pyarrow as pa

    kind = column.type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def text_numbers(column: Any) -> FloatArray | None:
    """An Arrow column of texts as float64, NaN for gaps; None where one of them is no number."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = pc.utf8_trim_whitespace(column.cast(pa.string()))
    if not pc.all(pc.match_substring_regex(column, NUMBER), min_count=0).as_py():
        return None
    return numbers_of(pc.cast(pc.utf8_ltrim(column, "+"), pa.float64()))


def seconds_of(column: Any) -> FloatArray:
    """An Arrow column of dates as seconds since 1970, NaN for gaps."""
    import pyarrow as pa

    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan)
    days = pa.types.is_date(column.type)
    ticks = column.cast(pa.date32()).cast(pa.int32()) if days else column.cast(pa.int64())
    per = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
    unit = 86_400.0 if days else 1 / per[column.type.unit]
    seconds: FloatArray = numbers_of(ticks) * unit
    return seconds


def plain(column: Any) -> list[Any]:
    """The values of an Arrow column, text without blanks at its ends, None for gaps."""
    return [_plain(value) for value in column.to_pylist()]


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        text = value.strip()
        return None if text in MARKS else text
    return value if value is None or isinstance(value, bool | int | float) else str(value)


def to_arrow(values: NDArray[Any], field: Field) -> pa.Array:
    """Values of a column in Arrow's type of it."""
    import pyarrow as pa

    if not field.is_number:
        if field.dtype.startswith("dictionary"):
            return pa.DictionaryArray.from_arrays(
                pa.array([None if v is None else field.levels.index(v) for v in values], pa.int32()),
                pa.array(list(field.levels)),
                ordered=field.kind == "ordered",
            )
        return pa.array(list(values))
    gap = np.isnan(values)
    if field.kind == "date":
        if field.dtype.startswith("date"):
            return pa.array(np.where(gap, 0, values / 86_400).astype(np.int32), pa.int32(), mask=gap).cast(pa.date32())
        unit, zone = field.dtype[len("timestamp[") : -1].partition(", tz=")[::2]
        per = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        ticks = pa.array((np.where(gap, 0, values) * per).astype(np.int64), pa.int64(), mask=gap)
        return ticks.cast(pa.timestamp(unit, tz=zone or None))
    array = pa.array(values, pa.float64(), mask=gap)
    if field.dtype.startswith(("int", "uint", "float", "halffloat", "double")) and field.dtype != "double":
        return array.cast(pa.type_for_alias(field.dtype), safe=False)
    return array
