"""What the columns of a table are, and how they go to standard units and back, in float64 on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward.bijections import AbstractMap, Affine, Bounded, Chain, Identity
from pushforward.data.ties import FINEST, find_ties, grid_levels, grid_step, round_to_levels, round_to_ties

FloatArray = NDArray[np.float64]
Bounds = Mapping[Any, Sequence[Any]] | Sequence[Any]  # (low, high) of some columns, or of all; None for an open end
N_DRAWS = 8  # fixed draws that score a row of a table with cells, at least, and
MORE_DRAWS = 64  # over the columns, two at least, where some stop
BELOW = 0.2  # standard units below a stop within which half of the draws are placed there
FARTHEST = 8.0  # standard units between the smallest and the largest value of a column, at most
THIN, THIN_SHARE = 0.1, 0.01  # values thin out towards their end if fewer than this share lies so near, in deviations
TAIL = 10  # rows of a tail, whose spread,
ROOM, LEAST_ROOM = 2.0, 0.1  # so many times, or this share of the column's range, draws may lie beyond the outermost
EDGE = 1e-6  # how far inside its bounds a value is kept, in standard deviations
GAP = 0.1  # or, if that is less, as a share of the smallest distance of a value from its bound


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table: names, kinds, bounds, location, scale, and the cells that their values fill.

    A value that repeats is no point, where density could grow without limit, but a cell of a stated width: training
    spreads it over its cell by noise, its score is the mean over the cell, and draws within are rounded to it. A whole
    number x fills [x, x + 1). A value of a continuous column in which some repeat lies in the middle of its cell, which
    may reach beyond a bound by half of its width.

    Arguments:
        names: of the columns.
        integer: which hold whole numbers, bool, shape (D,).
        low, high: bounds in the data's units, infinite for none, shape (D,).
        shift, scale: location and positive scale in the data's units, shape (D,).
        width: width of the training noise in the data's units, zero for none, shape (D,).
        margin: how far inside its bounds a value is kept, in the data's units, shape (D,).
        inner_shift, inner_scale: location and scale after the bounds are mapped away, shape (D,).
        ties: (column, value, from, to) of values that repeat in continuous columns, ascending: draws between these ends
            are rounded to the value, shape (T, 4). Models of before there were these have none, and score such values
            as points.
        stops: where `low` is not declared but read off whole numbers, which stop there: draws below become it, but
            nothing is mapped away, and a row below has a density; the score of a row there holds the mass below; bool,
            shape (D,).
        reach: how far out draws may lie, (lowest, highest), as far beyond the table as its tails say, shape (2, D).
        mean: of the values, shape (D,); NaN where a model of before does not tell.
        levels: of the grid that all values of the table lie on, ascending, shape (L,); none where there is no grid.
        flat: whether density is constant within cells, as of models of levels: one place in a cell then stands for all
            of it, without noise or draws, and no bound is mapped away.
    """

    names: tuple[str, ...]
    integer: NDArray[np.bool_]
    low: FloatArray
    high: FloatArray
    shift: FloatArray
    scale: FloatArray
    width: FloatArray
    margin: FloatArray
    inner_shift: FloatArray
    inner_scale: FloatArray
    ties: FloatArray
    stops: NDArray[np.bool_]
    reach: FloatArray
    mean: FloatArray
    levels: FloatArray
    flat: bool = False

    @property
    def n(self) -> int:
        """D."""
        return len(self.names)

    @property
    def lowest(self) -> FloatArray:
        """The declared lower bounds, below which there is no density, shape (D,)."""
        return np.where(self.stops, -np.inf, self.low)

    @property
    def bounded(self) -> bool:
        """Whether any column has a declared bound, which is mapped away."""
        return not self.flat and bool(np.isfinite(self.lowest).any() or np.isfinite(self.high).any())

    @property
    def kinds(self) -> list[str]:
        """In words, what each column is taken to be."""
        return [
            "whole number" if w else "bounded" if np.isfinite([lo, hi]).any() else "real"
            for w, lo, hi in zip(self.integer, self.low, self.high, strict=True)
        ]

    def facts(self) -> tuple[tuple[Any, ...], ...]:
        """Of each column its name, kind, bounds, mean and unit; None for what is not there."""
        each = zip(self.names, self.kinds, self.low, self.high, self.mean, self.scale, strict=True)
        return tuple((name, kind, *map(_finite, ends), float(unit)) for name, kind, *ends, unit in each)

    @property
    def noise(self) -> FloatArray | None:
        """Width of the training noise in standard units, or None if no column needs any."""
        return self.width / self.scale if self.width.any() and not self.flat else None

    @property
    def log_scale(self) -> float:
        """log|det| of standard units to the data's."""
        return float(np.log(self.scale).sum())

    @property
    def cell(self) -> FloatArray:
        """Width of the cell that a value stands for, in the data's units, zero for a point, shape (D,)."""
        repeats = np.isin(np.arange(self.n), self.ties[:, 0]) | (len(self.levels) > 0)
        return np.where(self.integer | repeats, self.width, 0)

    @property
    def _below(self) -> FloatArray:
        """How much of a value's cell lies below it, shape (D,)."""
        return np.where(self.integer, 0, self.cell / 2)

    @property
    def _ends(self) -> tuple[FloatArray, FloatArray]:
        """The bounds with the cells of the values on them, both of shape (D,)."""
        return self.lowest - self._below, self.high + self.cell - self._below

    def standardize(self, x: Any, training: bool = False) -> FloatArray:
        """Data's units to standard units, in float64.

        Arguments:
            x: shape (n, D).
            training: whether noise of width `noise` will be added; values of continuous columns are moved down by
                half of it, so that they stay centred. Where density is constant within cells, to their middles.
        """
        values: FloatArray = np.asarray(x, dtype=np.float64)
        if training and self.flat:
            return self.middles(values)
        if self.bounded:
            values = self._inside(values)
        if training:
            values = values - np.where(self.integer, 0, self.width / 2)
        if training and self.bounded:
            bottom, top = self._ends
            lowest = bottom + self.margin
            values = np.clip(values, lowest, np.maximum(top - self.margin - self.width, lowest))
        return (values - self.shift) / self.scale

    def middles(self, x: FloatArray) -> FloatArray:
        """The middles of the cells of values within bounds, or the values, in standard units.

        The cell of a value on a bound has its middle inside, and needs no margin.

        Arguments:
            x: shape (n, D).
        """
        middles = (x + np.where(self.integer, 0.5, 0) - self.shift) / self.scale
        return np.where(self.cell > 0, middles, self.standardize(x))

    def _inside(self, x: FloatArray) -> FloatArray:
        """Values on a bound moved inside; values beyond it stay beyond, with all of their cell, of density zero."""
        low, high = self.lowest, np.where(self.integer, np.inf, self.high)
        beyond = self.cell * ((x > self.high) * 1.0 - (x < low))
        x = np.where((x >= low) & (x < low + self.margin), low + self.margin, x)
        return np.where((x <= high) & (x > high - self.margin), high - self.margin, x) + beyond

    def restore(self, s: Any) -> FloatArray:
        """Standard units to the data's; what is in the cell of a whole number, repeated value or level becomes it.

        Arguments:
            s: shape (..., D).
        """
        x = np.asarray(s, dtype=np.float64) * self.scale + self.shift
        x = np.where(self.integer, np.floor(x), x)
        ends = np.searchsorted(self.ties[:, 0], np.arange(self.n + 1))
        for i in np.unique(self.ties[:, 0]).astype(int):
            x[..., i] = round_to_ties(x[..., i], self.ties[ends[i] : ends[i + 1], 1:])
        if len(self.levels):
            x = round_to_levels(x, self.levels)
        top = np.where(self.integer & np.isfinite(self.high), self.high, np.inf)
        return np.clip(x, self.low, np.minimum(self.high, top))

    def beyond(self, x: FloatArray) -> NDArray[np.bool_]:
        """Which rows in the data's units have a cell further out than draws may lie, shape (...)."""
        low, high = self.reach
        beyond: NDArray[np.bool_] = ((x < low) | (x > high)).any(axis=-1)
        return beyond

    def draws(self, n: int | None = None) -> FloatArray:
        """The fixed draws within a cell that score a row, in standard units, shape (M, D); M = 1 without cells.

        Arguments:
            n: M; None for as many as the columns need.
        """
        cell = self.cell
        if not cell.any():
            return np.zeros((1, self.n))
        if self.flat:
            return self.places(np.full((1, self.n), 0.5))
        if n is None:
            n = max(N_DRAWS, MORE_DRAWS // max(2, self.n)) if self.stops.any() else N_DRAWS
        return self.places(_evenly(np.random.default_rng(0), n, self.n))

    def places(self, share: FloatArray) -> FloatArray:
        """How far from its value a place in its cell lies, in standard units.

        Arguments:
            share: of the cell that lies below the place, shape (n, D).
        """
        return (share * self.cell - self._below) / self.scale

    def draws_below(self, x: FloatArray, n: int | None = None) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Fixed draws of rows that have values where whole numbers stop, with some of these values below.

        The mean over them of weight times density is the mass that draws of such values bring and cells do not hold.
        Of m such values, each is below in one of m draws, on average, and the others in their cells.

        Arguments:
            x: shape (n, D).
            n: how many; None for as many as the columns need.

        Yields:
            Rows in standard units, shape (n, D), and the logarithms of their weights, shape (n,).
        """
        at, s, draws = self.stops & (x == self.low), self.standardize(x), self.draws(n)
        share = 1 / np.maximum(at.sum(axis=1, keepdims=True), 1)
        rng = np.random.default_rng(1)
        most = FARTHEST / (FARTHEST + BELOW)
        which, far = _evenly(rng, len(draws), self.n), most * _evenly(rng, len(draws), self.n)
        for draw, u, v in zip(draws, which, far, strict=True):
            below = at & (u < share)
            # BELOW v / (1 − v) below with v uniform, of density (1 − v)² / (BELOW most), thick as far as FARTHEST
            beside = np.where(at & ~below, -np.log1p(-np.minimum(share, 0.5)), 0)  # a single one is always below
            weight = np.where(below, np.log(self.scale * BELOW * most / (1 - v) ** 2 / share), beside).sum(axis=1)
            yield s + np.where(below, -BELOW * v / (1 - v), draw), np.where(below.any(axis=1), weight, -np.inf)

    def bounds_map(self) -> AbstractMap:
        """From unbounded, standardised coordinates to standard units."""
        if not self.bounded:
            return Identity((self.n,))
        inner = Affine(jnp.asarray(self.inner_shift, dtype=float), jnp.asarray(self.inner_scale, dtype=float))
        return Chain([inner, self._bounds()])

    def _bounds(self) -> Bounded:
        low, high = ((end - self.shift) / self.scale for end in self._ends)
        return Bounded(jnp.asarray(low, dtype=float), jnp.asarray(high, dtype=float))

    @property
    def step(self) -> float:
        """What levels of all columns differ by, 0 where columns have none in common."""
        cell = self.cell
        return float(cell[0]) if (cell == cell[0]).all() and not len(self.ties) else 0.0

    @property
    def n_levels(self) -> int | None:
        """How many levels there are, of columns for a model of levels; else None."""
        return round((self.high[0] - self.low[0]) / self.step) + 1 if self.flat else None

    def of_levels(self, x: FloatArray) -> Columns:
        """The same columns for a model of levels, all from the lowest to the highest, by bounds or else by values.

        Arguments:
            x: rows that the columns were read off, shape (n, D).

        Raises:
            ValueError: values are not of levels that all columns have in common.
        """
        if self.step == 0:
            raise ValueError(
                "values lie on no grid that all columns share, and a model of levels needs some: give whole numbers, "
                "such as bytes, or numbers rounded to a common step"
            )
        low, high = (
            float(end if np.isfinite(end) else found)
            for end, found in ((self.low.min(), x.min()), (self.high.max(), x.max()))
        )
        levels = self.levels
        if len(levels):
            levels = grid_levels(x, self.step, low, high)
            low, high = levels[0], levels[-1]
        ends = np.tile([[low], [high]], self.n)
        return dataclasses.replace(self, low=ends[0], high=ends[1], reach=ends, levels=levels, flat=True)

    def units_map(self) -> Affine:
        """From standard units to the data's."""
        return Affine(jnp.asarray(self.shift, dtype=float), jnp.asarray(self.scale, dtype=float))

    def to_state(self) -> dict[str, Any]:
        """Names and arrays, for a model file."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Columns:
        """The inverse of `to_state`, which models of before had less of."""
        # they knew the mean only as the location, which of a column that comes near a bound is the bound
        located = np.where((state["shift"] == state["low"]) | (state["shift"] == state["high"]), np.nan, state["shift"])
        lacking = {
            "ties": np.zeros((0, 4)),
            "stops": np.zeros(len(located), dtype=bool),
            "reach": np.outer([-np.inf, np.inf], np.ones(len(located))),
            "mean": located - 0.5 * state["integer"],
            "levels": np.zeros(0),
            "flat": False,
        }
        return cls(**{**lacking, **state, "names": tuple(state["names"])})


def learn_columns(
    x: FloatArray,
    names: Sequence[str],
    *,
    bounds: Bounds | None = None,
    discrete: str | Sequence[Any] = "auto",
    alike: bool = False,
) -> Columns:
    """Read off a table what its columns are.

    Arguments:
        x: shape (n, D), finite.
        names: of the columns.
        bounds: column (name or number) -> (low, high), None for an open side; or one such pair for all columns.
        discrete: "auto" takes every column of whole numbers only as whole; "none" takes none; or a list
            of columns.
        alike: whether all columns are of one kind, as pixels are: whole numbers all of them or none; or, where all
            values lie on one grid, with cells of its step; and spread by the steps of all values where one of them is
            constant.

    Raises:
        ValueError: an unknown column, bounds that the data break, a declared whole-number column that is
            not whole, or continuous columns that are constant.
    """
    names = tuple(str(name) for name in names)
    integer = _integer_columns(x, names, discrete)
    if alike and isinstance(discrete, str):
        integer = np.full_like(integer, integer.all())
    low, high, declared = _bounds_arrays(x, names, bounds)
    with np.errstate(over="ignore"):
        spread, span = x.std(axis=0), np.ptp(x, axis=0)
    stops = np.zeros_like(integer) if alike else integer & ~declared
    low[stops] = _stops(x[:, stops], spread[stops])
    stops &= np.isfinite(low)
    endless = [f"{names[i]!r}" for i in np.flatnonzero(~np.isfinite(spread) | ~np.isfinite(span))]
    if endless:
        raise ValueError(f"columns too large to square in double precision: {', '.join(endless)}; rescale them first")
    constant = (span == 0) & ~integer
    if constant.any() and not alike:
        listed = ", ".join(f"{names[i]!r}" for i in np.flatnonzero(constant))
        possible = (x[:, constant] == np.round(x[:, constant])).all()
        raise ValueError(
            f"columns that are constant have no density: {listed}; leave them out"
            + (", or declare them as whole numbers with discrete=[...]" if possible else "")
        )
    step = grid_step(x) if alike and not integer.any() else 0.0
    width, ties = np.full(len(names), step), np.zeros((0, 4))
    if step == 0:
        width, ties = _cells(x, spread, integer, constant)
    # no value may lie further out than FARTHEST units: rare large ones would swamp every gradient
    spreads = integer | constant | (step > 0)
    scale = np.maximum(np.sqrt(spread**2 + np.where(spreads, width, 0) ** 2 / 12), span / FARTHEST)
    mean, below = x.mean(axis=0), np.where(integer, 0, width / 2)
    ends = np.where(stops, -np.inf, low) - below
    shift, margin = _near_bounds(x, ends, high + below, scale, mean + np.where(integer, 0.5, 0))
    zeros, reach = np.zeros(len(names)), _reach(x)
    reach = np.where(integer, [np.floor(reach[0]), np.ceil(reach[1])], reach)
    levels = np.zeros(0)
    if step > 0:
        levels = grid_levels(x, step, max(reach.min(), low.min()), min(reach.max(), high.max()))
        reach = round_to_levels(reach, levels)
    columns = Columns(
        names, integer, low, high, shift, scale, width, margin, zeros, zeros + 1, ties, stops, reach, mean, levels
    )
    if not columns.bounded:
        return columns
    rng = np.random.default_rng(0)
    noisy = columns.standardize(x, training=True) + rng.uniform(size=x.shape) * width / scale
    unbounded = np.asarray(jax.vmap(columns._bounds().inverse)(jnp.asarray(noisy, dtype=float)), dtype=np.float64)
    inner_scale = unbounded.std(axis=0)
    return dataclasses.replace(
        columns, inner_shift=unbounded.mean(axis=0), inner_scale=np.where(inner_scale > 0, inner_scale, 1.0)
    )


def _evenly(rng: np.random.Generator, n: int, dim: int) -> FloatArray:
    """One number in each of n equal slices of [0, 1), shuffled in every column, shape (n, dim)."""
    slices = rng.permuted(np.tile(np.arange(n), (dim, 1)), axis=1).T
    numbers: FloatArray = (slices + rng.uniform(size=(n, dim))) / n
    return numbers


def _reach(x: FloatArray) -> FloatArray:
    """How far out draws may lie, shape (2, D).

    A heavy tail keeps its outermost values far from the next ones, a thin one near: twice
    so far a tail may go on.
    """
    n = min(TAIL, len(x) // 2)
    order = np.partition(x, (0, n, len(x) - 1 - n, len(x) - 1), axis=0)
    low, inner_low, inner_high, high = order[[0, n, len(x) - 1 - n, len(x) - 1]]
    least = LEAST_ROOM * (high - low)
    return np.stack(
        [low - np.maximum(ROOM * (inner_low - low), least), high + np.maximum(ROOM * (high - inner_high), least)]
    )


def _cells(
    x: FloatArray, spread: FloatArray, integer: NDArray[np.bool_], constant: NDArray[np.bool_]
) -> tuple[FloatArray, FloatArray]:
    """The widths of cells, shape (D,), and the values that repeat in continuous columns, shape (T, 4)."""
    width, ties = np.where(integer, 1.0, 0.0), [np.zeros((0, 4))]
    # where columns are alike, a constant one has the steps of all values
    step = max(np.median(np.diff(np.unique(x))), FINEST * x.std()) if constant.any() else 0.0
    for i in np.flatnonzero(~integer):
        if constant[i]:
            width[i] = step
            found = np.array([[x[0, i], -np.inf, np.inf]])
        else:
            width[i], found = find_ties(x[:, i], spread[i])
        ties.append(np.column_stack([np.full(len(found), float(i)), found]))
    return width, np.concatenate(ties)


def _near_bounds(
    x: FloatArray, low: FloatArray, high: FloatArray, scale: FloatArray, centre: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Locations and margins of columns: a bound that values come near is the location.

    Single precision holds small distances from zero, however many orders of magnitude they span, and from nothing else.
    """
    below, above = x.min(axis=0) - low, high - x.max(axis=0)
    bound = np.where(below <= above, low, high)
    shift = np.where(np.minimum(below, above) <= scale, bound, centre)
    distance = np.minimum(x - low, high - x)
    smallest = np.where(distance > 0, distance, np.inf).min(axis=0)
    return shift, np.minimum(EDGE * scale, GAP * smallest)


def column_number(name: Any, names: Sequence[str]) -> int:
    """The place of a column given by name or number.

    Raises:
        ValueError: there is no such column.
    """
    if isinstance(name, str) and name in names:
        return list(names).index(name)
    if isinstance(name, int | np.integer) and 0 <= name < len(names):
        return int(name)
    raise ValueError(f"there is no column {name!r}; the columns are {', '.join(names)}")


def _integer_columns(x: FloatArray, names: Sequence[str], discrete: Any) -> NDArray[np.bool_]:
    # beyond 2⁵³ every float64 is whole, whatever it measures
    is_whole: np.ndarray = (x == np.round(x)).all(axis=0) & (np.abs(x).max(axis=0) < 2**53)
    if isinstance(discrete, str):
        if discrete not in ("auto", "none"):
            raise ValueError(f"discrete must be 'auto', 'none' or a list of columns; got {discrete!r}")
        return is_whole if discrete == "auto" else np.zeros_like(is_whole)
    chosen = np.zeros_like(is_whole)
    chosen[[column_number(name, names) for name in discrete]] = True
    wrong = [name for name, chosen_wrongly in zip(names, chosen & ~is_whole, strict=True) if chosen_wrongly]
    if wrong:
        raise ValueError(f"declared discrete but not whole numbers: {', '.join(map(repr, wrong))}; round them first")
    return chosen


def _stops(x: FloatArray, spread: FloatArray) -> FloatArray:
    """Where columns without negative values stop below, shape (D,): at their minimum, if they do not thin out towards
    it; else at zero, if that is no further away than they are wide; -inf for nowhere."""
    low, span = x.min(axis=0), np.ptp(x, axis=0)
    thick = (x <= low + THIN * spread).mean(axis=0) >= THIN_SHARE
    stop = np.where(thick, low, np.where(low <= span, 0.0, -np.inf))
    return np.where(low >= 0, stop, -np.inf)


def _bounds_arrays(
    x: FloatArray, names: Sequence[str], bounds: Bounds | None
) -> tuple[FloatArray, FloatArray, NDArray[np.bool_]]:
    """Lower and upper bounds, and which columns were given any, open ones too."""
    declared = np.zeros(len(names), dtype=bool)
    low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    each = bounds if isinstance(bounds, Mapping) else {i: bounds for i in range(len(names)) if bounds is not None}
    for name, pair in each.items():
        i = column_number(name, names)
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(e is None or _is_number(e) for e in pair):
            raise ValueError(
                f"bounds must be {{column: (low, high)}}, or one (low, high) for all columns; got {bounds!r}"
            )
        lo, hi = pair
        declared[i] = True
        low[i] = -np.inf if lo is None else lo
        high[i] = np.inf if hi is None else hi
        if not low[i] < high[i]:
            raise ValueError(f"bounds of column {names[i]!r} must be (low, high) with low < high; got ({lo}, {hi})")
        beyond = int(((x[:, i] < low[i]) | (x[:, i] > high[i])).sum())
        if beyond:
            raise ValueError(
                f"column {names[i]!r} has {beyond} values outside its bounds ({lo}, {hi}); widen them or drop the rows"
            )
    return low, high, declared


def _finite(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not np.isnan(value)


def as_float(x: Any) -> Array:
    """A host array on the device, in JAX's floating dtype; what is beyond it is infinite there."""
    with np.errstate(over="ignore"):
        cast = np.asarray(x, dtype=jnp.result_type(float))  # jnp.asarray compiles for each shape
    array: Array = jax.device_put(cast)
    return array
