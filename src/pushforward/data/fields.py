"""What the columns of a table as people have it are: numbers, categories, dates, and gaps in any of them."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import (
    DAY,
    FloatArray,
    as_levels,
    categories,
    is_numeric,
    is_text,
    numbers_as,
    numbers_of,
    plain,
    seconds_of,
    text_numbers,
)
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
        declared: all levels of a column of categories, in the order that it has them.
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
    declared: tuple[Any, ...] = ()
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

    @property
    def masses(self) -> FloatArray:
        """Where its masses are, in standard units, if it is on a grid, zero for its other codes."""
        at = np.zeros(self.n_codes)
        if self.is_number and self.step and self.levels:
            low, high = self._edges(np.asarray(self.levels))
            at[1:] = np.where(low <= -FAR, high, np.where(high >= FAR, low, (low + high) / 2))
        return at

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
        x[:, 0] = code
        x[np.isnan(place)] = np.nan
        return Encoded(x, np.where(np.isnan(place), 0, extra))

    def _encode_numbers(self, values: FloatArray) -> Encoded:
        v = np.asarray(values, dtype=np.float64)
        gap, endless = np.isnan(v), np.isinf(v)
        v = np.where(endless, 0, np.round(np.round(v / self.step) * self.step, 6) if self.step else v)
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
            rng: chooses among the rare levels.
            within_reach: whether numbers further out than `reach` are moved there.
        """
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
        v = np.clip(v, max(self.lowest, self.reach[0]), self.reach[1]) if within_reach else np.maximum(v, self.lowest)
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

    @property
    def masses(self) -> FloatArray:
        """Where masses of numbers on a grid are, in standard units, zero for all other codes, shape (S,)."""
        return np.concatenate([field.masses for field in self.modelled])

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
        decoded = [f.decode(codes[:, j], units[:, j], rng, within_reach=False) for j, f in enumerate(self.modelled)]
        return np.stack([f.encode(v).x for f, v in zip(self.modelled, decoded, strict=True)], axis=1)

    def to_state(self) -> dict[str, Any]:
        """For a model file."""
        return {"all": tuple(dataclasses.asdict(field) for field in self.all)}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Fields:
        """The inverse of `to_state`."""
        return cls(tuple(Field(**entry) for entry in state["all"]))


def values_of(column: Any, field: Field) -> Any:
    """Values of an Arrow column as its field encodes them.

    Raises:
        DataError: it holds something else than the field does.
    """
    if not field.is_number:
        return plain(column)
    if field.kind == "date":
        return seconds_of(column, field.name)
    numbers = text_numbers(column) if is_text(column) else numbers_of(column) if is_numeric(column) else None
    if numbers is None:
        raise DataError(f"column {field.name!r} holds {column.type}, where numbers are expected")
    return numbers


def to_arrow(values: NDArray[Any], field: Field) -> pa.Array:
    """Values of a column in Arrow's type of it."""
    if field.is_number:
        return numbers_as(values, field.dtype)
    levels = field.declared or tuple(level for level in field.levels if level is not None)
    return categories(values, field.dtype, levels, field.kind == "ordered")
