"""What the columns of a table as people have it are: numbers, categories, dates, and gaps in any of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import (
    DAY,
    TEXTS,
    FloatArray,
    arrow_type,
    as_levels,
    categories,
    is_numeric,
    is_text,
    numbers_as,
    numbers_of,
    plain,
    seconds_of,
    text_numbers,
    texts_of,
)
from pushforward.data.rules import Rule, as_objects, gaps
from pushforward.data.settling import Demand, settled
from pushforward.data.sources import DataError

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("real", "positive", "whole", "date", "boolean", "category", "ordered", "left out")
NUMBERS = ("real", "positive", "whole", "date")
FAR = 1e4  # what stands for an infinite edge of a cell, in standard units


class Encoded(NamedTuple):
    """Rows as models of mixed tables take them.

    Arguments:
        x: of every column its code, the lower and the upper edge of its number's cell and how wide that is, shape
            (n, D, 4); NaN where there is a gap. A category's code is the number of its level, a number's that of its
            mass, counted from 1, or 0; -1 is a value that has no code. A point has no width. Of a level that shares
            its code, the edges are its number.
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
        declared: all levels of a column of categories, in the order that it has them.
        step: width of the cells that numbers fill, zero for points.
        lowest: the smallest value that can be; -inf for none. Its cell has no lower end.
        logarithmic: whether standard units are of the logarithm.
        shift, scale: of standard units.
        reach: how far out samples may lie, (lowest, highest), in the data's units.
        missing: the share of gaps.
        why: for what reason it was left out, or None.
        local: whether dates are told by the clocks of the zone that its type names.
        rule: how it follows from other columns, so that it is not modelled but rebuilt; or None.
    """

    name: str
    kind: str
    dtype: str
    levels: tuple[Any, ...] = ()
    rare: tuple[int, ...] = ()
    unseen: float = 0.0
    declared: tuple[Any, ...] = ()
    step: float = 0.0
    lowest: float = -math.inf
    logarithmic: bool = False
    shift: float = 0.0
    scale: float = 1.0
    reach: tuple[float, float] = (-math.inf, math.inf)
    missing: float = 0.0
    why: str | None = None
    local: bool = False
    rule: Rule | None = None

    @property
    def zone(self) -> str:
        """Whose clocks tell its dates; empty for universal time."""
        return self.dtype.partition("tz=")[2].removesuffix("]") if self.local else ""

    @property
    def is_modelled(self) -> bool:
        """Whether the model has it: it is neither left out nor does it follow from other columns."""
        return self.kind != "left out" and self.rule is None

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers or dates."""
        return self.kind in NUMBERS

    @property
    def rounding(self) -> float:
        """The share of a number that rounding leaves open, as its type has it and sums of a few; dates are counted."""
        return 1e-12 if self.kind == "date" else 1e-6 if self.dtype in ("float", "halffloat") else 1e-9

    @property
    def follows(self) -> str:
        """How it follows from other columns, for people; empty where it does not."""
        if self.rule is None:
            return ""
        return self.rule.told(DAY, " days") if self.kind == "date" else self.rule.told()

    @property
    def n_codes(self) -> int:
        """How many codes its values have: levels, or masses and one for all other numbers."""
        if self.is_number:
            return 1 + len(self.levels)
        return len(self.levels) - len(self.rare) + bool(self.rare)

    @property
    def masses(self) -> FloatArray:
        """Where its masses are, in standard units, if it is on a grid, zero for its other codes."""
        at = np.zeros(self.n_codes)
        if self.is_number and self.step and self.levels:
            low, high = self._edges(np.asarray(self.levels))
            at[1:] = np.where(low <= -FAR, high, np.where(high >= FAR, low, (low + high) / 2))
        return at

    def plain(self, values: Any) -> Any:
        """Values of this column as it knows them: numbers on its grid, levels of their types."""
        if self.is_number:
            return self._on_grid(np.asarray(values, dtype=np.float64))
        return as_objects(as_levels(values, self.levels))

    def _on_grid(self, v: FloatArray) -> FloatArray:
        """Numbers on the grid, if there is one: 0.1 · 3 is not quite 0.3."""
        return np.round(np.round(v / self.step) * self.step, 6) if self.step else v

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
        values = as_levels(values, self.levels)
        place = np.array([nothing if v is None else places.get(v, -1) for v in values], dtype=float)
        last = self.n_codes - 1
        code = np.where(place > last, last, place)
        with np.errstate(divide="ignore"):
            extra = np.where(place < 0, np.log(self.unseen), np.log1p(-self.unseen))
        if self.rare:
            shares = np.log(np.array(self.rare) / sum(self.rare))
            shared = place >= last
            extra[shared] += shares[place[shared].astype(int) - last]
            x[shared, 1:3] = place[shared, None]
        x[:, 0] = code
        x[np.isnan(place)] = np.nan
        return Encoded(x, np.where(np.isnan(place), 0, extra))

    def _encode_numbers(self, values: FloatArray) -> Encoded:
        v = np.asarray(values, dtype=np.float64)
        gap, endless = np.isnan(v), np.isinf(v)
        v = self._on_grid(np.where(endless, 0, v))
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
            slope = (
                math.log(DAY if self.kind == "date" else 1.0)
                - np.log(self.scale)
                - (np.log(np.maximum(v, 1e-300)) if self.logarithmic else 0.0)
            )
            extra = np.where(code > 0, 0.0, slope)
            if self.logarithmic:
                extra = np.where((code == 0) & (v <= 0), -np.inf, extra)
        beyond = endless | ((v < self.lowest) & (code == 0))
        extra = np.where(beyond, -np.inf, extra)
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

    def decode(
        self, codes: NDArray[Any], units: FloatArray, rng: np.random.Generator, within_reach: bool = True
    ) -> NDArray[Any]:
        """Values of codes and numbers in standard units: float64 with NaN for gaps, or objects with None for gaps.

        Arguments:
            codes, units: shape (n,).
            rng: chooses among the rare levels, where units do not tell which.
            within_reach: whether numbers further out than `reach` are moved there.
        """
        gap = np.isnan(codes)
        code = np.where(gap, 0, codes).astype(int)
        if not self.is_number:
            place = code.copy()
            if self.rare:
                shared, told = code == self.n_codes - 1, np.round(np.nan_to_num(units)).astype(int)
                share = np.array(self.rare) / sum(self.rare)
                place[shared] += rng.choice(len(self.rare), size=int(shared.sum()), p=share)
                place = np.where(shared & (told > 0), np.minimum(told, len(self.levels) - 1), place)
            levels = np.empty(len(self.levels), dtype=object)
            levels[:] = self.levels
            found: NDArray[Any] = levels[place]
            found[gap] = None
            return found
        v = self._of_units(units)
        v = np.clip(v, *self.reach) if within_reach else v
        if self.levels:
            v = np.where(code > 0, np.asarray(self.levels)[np.maximum(code - 1, 0)], v)
        return np.where(gap, np.nan, v)

    def beyond(self, codes: NDArray[Any], units: FloatArray) -> NDArray[np.bool_]:
        """Which numbers, but for masses, are further out than `reach`, shape (n,); none of a category.

        Arguments:
            codes, units: shape (n,).
        """
        if not self.is_number:
            return np.zeros(len(codes), dtype=bool)
        v = self._of_units(units)
        return np.asarray((codes == 0) & ((v < self.reach[0]) | (v > self.reach[1])), dtype=bool)

    def _of_units(self, units: FloatArray) -> FloatArray:
        """Numbers of standard units, none below the lowest."""
        g = np.asarray(units, dtype=np.float64) * self.scale + self.shift
        with np.errstate(over="ignore"):
            v: FloatArray = np.maximum(self._on_grid(np.exp(g) if self.logarithmic else g), self.lowest)
        return v


@dataclasses.dataclass(frozen=True)
class Fields:
    """The columns of a table as people have it.

    Arguments:
        all: every column, those that are left out as well.
    """

    all: tuple[Field, ...]

    @property
    def modelled(self) -> tuple[Field, ...]:
        """Those that the model has, categories before numbers, so that numbers are given them."""
        return tuple(sorted((f for f in self.all if f.is_modelled), key=lambda field: field.is_number))

    @property
    def following(self) -> tuple[Field, ...]:
        """Those that follow from others, copies before sums."""
        rules = self.rules
        return tuple(sorted((f for f in self.all if f.name in rules), key=lambda f: bool(rules[f.name].factors)))

    @property
    def rules(self) -> dict[str, Rule]:
        """How columns follow from others, by their names."""
        return {f.name: f.rule for f in self.all if f.rule is not None}

    @property
    def names(self) -> tuple[str, ...]:
        """Of the modelled columns, in the order of the table."""
        return tuple(field.name for field in self.all if field.is_modelled)

    @property
    def drawn(self) -> tuple[str, ...]:
        """Of all columns that samples have, in the order of the table."""
        return tuple(field.name for field in self.all if field.kind != "left out")

    @property
    def masses(self) -> FloatArray:
        """Where masses of numbers on a grid are, in standard units, zero for all other codes, shape (S,)."""
        return np.concatenate([field.masses for field in self.modelled])

    def facts(self) -> tuple[tuple[Any, ...], ...]:
        """Of each column its name, kind, bounds, mean, unit, and what that counts; None for what is not there."""
        lowest = ((f, None if math.isinf(f.lowest) else f.lowest) for f in self.all)
        kinds = {f.name: f.kind if f.rule is None else f"{f.kind}, {f.follows}" for f in self.all}
        counts = {f.name: "logarithm" if f.logarithmic else "seconds" if f.kind == "date" else "" for f in self.all}
        return tuple((f.name, kinds[f.name], low, None, None, f.scale, counts[f.name]) for f, low in lowest)

    def read(self, table: pa.Table) -> dict[str, Any]:
        """Values of the columns of a table with these names, by name, those that follow where they are there.

        Gaps are filled in that columns which follow tell.

        Raises:
            DataError: a column holds something else than its field does.
        """
        here = [f for f in self.all if f.is_modelled or (f.rule is not None and f.name in table.column_names)]
        values = {f.name: f.plain(values_of(table.column(f.name), f)) for f in here}
        for field in self.following:
            if field.name in values:
                self.rules[field.name].complete(values, values[field.name])
        return values

    def encode(self, table: pa.Table, completing: bool = False) -> Encoded:
        """The modelled columns of a table with these names, in the order of `modelled`; see `read`, `encode_values`."""
        return self.encode_values(self.read(table), completing)

    def encode_values(self, values: Mapping[str, Any], completing: bool = False) -> Encoded:
        """Values as `read` gives them, encoded.

        Rows in which a column does not follow from others have 0.5 / (n + 1) of the probability after n rows in which
        it did, spread evenly over its levels or its range; of rows that are to be completed, none.

        Arguments:
            values: by column.
            completing: whether gaps are to be filled in, so that what is known is taken as following.
        """
        kept = {name: np.zeros(len(values[name])) for name in self.names}
        for field in self.following:
            if field.name in values:
                rule = self.rules[field.name]
                kept[rule.of[0]] += settled(field, rule, values, completing)
        parts = [field.encode(values[field.name]) for field in self.modelled]
        log_extra = np.stack([p.log_extra + kept[f.name] for f, p in zip(self.modelled, parts, strict=True)], axis=1)
        return Encoded(np.stack([p.x for p in parts], axis=1), log_extra)

    def demands(self, values: Mapping[str, Any], absent: Collection[str] = ()) -> list[Demand]:
        """What known columns ask of gaps that they do not tell.

        Arguments:
            values: by column, as `read` gives them.
            absent: columns that are not there, whose gaps are no levels.
        """
        open_ = {f.name: gaps(values[f.name]) & (None not in f.levels or f.name in absent) for f in self.modelled}
        found = []
        for field in self.following:
            if field.name in values:
                rule, own = self.rules[field.name], values[field.name]
                rows = ~gaps(own) & np.any([open_[name] for name in rule.of], axis=0)
                found += [Demand(field, rule, own, rows)] if rows.any() else []
        return found

    def decode(self, codes: FloatArray, units: FloatArray, seed: int) -> pa.Table:
        """A table of all columns but those that are left out, in their order and with their types.

        Arguments:
            codes: shape (n, D), NaN for gaps.
            units: numbers in standard units, shape (n, D).
            seed: of which of the rare levels.
        """
        import pyarrow as pa

        rng = np.random.default_rng(seed)
        made = {f.name: f.decode(codes[:, j], units[:, j], rng) for j, f in enumerate(self.modelled)}
        for field in self.following:
            made[field.name] = field.plain(self.rules[field.name].apply(made, field.is_number, nearest=True))
        return pa.table({f.name: to_arrow(made[f.name], f) for f in self.all if f.name in made})

    def beyond(self, codes: FloatArray, units: FloatArray) -> NDArray[np.bool_]:
        """Which cells hold numbers further out than samples may lie, shape (n, D); arguments as of `decode`."""
        return np.stack([f.beyond(codes[:, j], units[:, j]) for j, f in enumerate(self.modelled)], axis=1)

    def encode_again(self, codes: FloatArray, units: FloatArray, seed: int) -> FloatArray:
        """Codes and numbers in standard units as rows of values that there can be, shape (n, D, 4)."""
        rng = np.random.default_rng(seed)
        decoded = [f.decode(codes[:, j], units[:, j], rng, within_reach=False) for j, f in enumerate(self.modelled)]
        return np.stack([f.encode(v).x for f, v in zip(self.modelled, decoded, strict=True)], axis=1)

    def to_state(self) -> dict[str, Any]:
        """For a model file."""
        return {"all": tuple(dataclasses.asdict(field) for field in self.all)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Fields:
        """The inverse of `to_state`."""
        rules = [entry.get("rule") for entry in state["all"]]
        entries = [
            {**entry, "rule": None if rule is None else Rule(**rule)}
            for entry, rule in zip(state["all"], rules, strict=True)
        ]
        return cls(tuple(Field(**entry) for entry in entries))


def values_of(column: Any, field: Field) -> Any:
    """Values of an Arrow column as its field encodes them.

    Raises:
        DataError: it holds something else than the field does.
    """
    if not field.is_number:
        return plain(column)
    if field.kind == "date":
        return seconds_of(column, field.name, field.zone)
    if is_text(column):
        numbers = text_numbers(column, padded=True)
    else:
        numbers = numbers_of(column) if is_numeric(column) else None
    if numbers is None:
        raise DataError(f"column {field.name!r} holds {column.type}, where numbers are expected")
    return numbers


def to_arrow(values: NDArray[Any], field: Field) -> pa.Array:
    """Values of a column in Arrow's type of it."""
    import pyarrow as pa

    if field.is_number:
        if field.dtype in TEXTS:
            return pa.array(texts_of(values, field.kind == "date"), arrow_type(field.dtype))
        return numbers_as(values, field.dtype, field.local)
    levels = field.declared or tuple(level for level in field.levels if level is not None)
    return categories(values, field.dtype, levels, field.kind == "ordered")
