"""Columns that follow exactly from others: how they are rebuilt, and what they tell of the others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, MutableMapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a column follows from others. Values are float64 with NaN for gaps, or objects with None for gaps.

    Arguments:
        of: the columns that it follows from; one, of a copy.
        pairs: of a copy, every value of the other column and the one that stands beside it.
        factors: of a sum, what each of the other columns is multiplied by; none of a copy.
        constant: what is added to a sum.
        exceptions: the share of rows that may break it, for all that was seen.
    """

    of: tuple[str, ...]
    pairs: tuple[tuple[Any, Any], ...] = ()
    factors: tuple[float, ...] = ()
    constant: float = 0.0
    exceptions: float = 0.0

    def told(self, unit: float = 1.0, called: str = "") -> str:
        """For people; a constant is counted in a unit, which is called something."""
        if self.pairs:
            return f"a copy of {self.of[0]!r}" if self._inverse() else f"told by {self.of[0]!r}"
        terms = [f"{'+' if c > 0 else '-'} {'' if abs(c) == 1 else f'{abs(c):g} '}{name!r}" for c, name in self._terms]
        constant = (
            f" {'+' if self.constant > 0 else '-'} {abs(self.constant) / unit:g}{called}" if self.constant else ""
        )
        return f"{' '.join(terms).removeprefix('+ ')}{constant}"

    @property
    def _terms(self) -> list[tuple[float, str]]:
        return sorted(zip(self.factors, self.of, strict=True), key=lambda term: term[0] < 0)

    def _inverse(self) -> tuple[tuple[Any, Any], ...]:
        """The pairs of the other direction; none where two values have one copy."""
        back = {copy: value for value, copy in self.pairs}
        return tuple(back.items()) if len(back) == len(self.pairs) else ()

    def apply(self, values: Mapping[str, Any], is_number: bool, nearest: bool = False) -> Any:
        """The column as the others have it, gaps where they have gaps, or a value that the rule does not know.

        Arguments:
            values: of the other columns.
            is_number: whether the column holds numbers.
            nearest: whether numbers that the rule does not know are taken as the nearest that it does.
        """
        if self.factors:
            return self.constant + sum(c * np.asarray(values[name]) for c, name in self._terms)
        source = values[self.of[0]]
        if nearest and isinstance(source, np.ndarray) and source.dtype.kind == "f":
            known = np.sort(np.array([value for value, _ in self.pairs], dtype=np.float64))
            middles = (known[1:] + known[:-1]) / 2
            source = np.where(np.isnan(source), np.nan, known[np.searchsorted(middles, source)])
        return looked_up(self.pairs, source, is_number)

    def complete(self, values: MutableMapping[str, Any], own: Any) -> None:
        """Fill gaps of the other columns in where this one tells what was there: of one-to-one copies, and of sums
        of which one term is missing.

        Arguments:
            values: of the other columns, changed in place.
            own: values of this column.
        """
        if self.pairs:
            (name,), back = self.of, self._inverse()
            source = values[name]
            is_number = isinstance(source, np.ndarray) and source.dtype.kind == "f"
            if back and (gap := gaps(source)).any():
                found = looked_up(back, own, is_number)
                values[name] = np.where(gap, found, source if is_number else as_objects(source))
            return
        missing = np.array([gaps(values[name]) for name in self.of])
        alone = missing.sum(axis=0) == 1
        for i, name in enumerate(self.of):
            if (missing[i] & alone).any():
                values[name] = np.where(missing[i] & alone, self.solved(name, values, own), values[name])

    def solved(self, name: str, values: Mapping[str, Any], own: Any) -> FloatArray:
        """A term of a sum, as the sum and its other terms have it."""
        rest = self.constant + sum(c * np.asarray(values[other]) for c, other in self._terms if other != name)
        solved: FloatArray = (own - rest) / self.factors[self.of.index(name)]
        return solved


def tolerance(rule: Rule, values: Mapping[str, Any], step: float, share: float) -> FloatArray:
    """How far a sum may be from what stands in the table: half a cell, or, of points, a share of its terms' size.

    Arguments:
        rule: of a sum.
        values: of the other columns.
        step: width of the cells of this column, zero for points.
        share: what rounding leaves open.
    """
    size = abs(rule.constant) + sum(abs(c * np.asarray(values[n])) for c, n in zip(rule.factors, rule.of, strict=True))
    return np.full(np.shape(size), step * (0.5 + 1e-6)) if step else share * np.asarray(size, dtype=np.float64)


def looked_up(pairs: tuple[tuple[Any, Any], ...], values: Any, is_number: bool) -> Any:
    """What stands beside values, gaps where that is not known."""
    known = dict(pairs)
    found = [
        None if v is None else known.get(v) for v in (values.tolist() if isinstance(values, np.ndarray) else values)
    ]
    if is_number:
        return np.array([np.nan if v is None else v for v in found], dtype=np.float64)
    return as_objects(found)


def as_objects(values: Any) -> NDArray[Any]:
    """Values of any kind as an array of objects."""
    objects = np.empty(len(values), dtype=object)
    objects[:] = list(values)
    return objects


def gaps(values: Any) -> NDArray[np.bool_]:
    """Which values are gaps."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return np.asarray(np.isnan(values), dtype=bool)
    return np.array([v is None for v in values], dtype=bool)
