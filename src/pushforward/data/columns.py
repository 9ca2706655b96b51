"""What the columns of a table are, and how they go to standard units and back, in float64 on the host."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward.bijections import AbstractMap, Affine, Bounded, Chain, Identity

FloatArray = NDArray[np.float64]
Bounds = Mapping[Any, Sequence[Any]] | Sequence[Any]  # (low, high) of some columns, or of all; None for an open end
N_DRAWS = 8  # fixed draws that score a row with whole-number columns
FINEST, COARSEST = 1e-2, 0.5  # widths of the noise that spreads ties, in standard deviations
FARTHEST = 8.0  # standard units between the smallest and the largest value of a column, at most
EDGE = 1e-6  # how far inside its bounds a value is kept, in standard deviations
GAP = 0.1  # or, if that is less, as a share of the smallest distance of a value from its bound


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of a table: names, kinds, bounds, location, scale, and the noise that spreads their ties.

    A whole-number column x is modelled as x + u, u uniform on [0, 1). A continuous column with many tied
    values is trained with uniform noise of the width of its steps, centred, so that no value can gather
    unlimited density.

    Arguments:
        names: of the columns.
        whole: which hold whole numbers, bool, shape (D,).
        low, high: bounds in the data's units, infinite for none, shape (D,).
        shift, scale: location and positive scale in the data's units, shape (D,).
        width: width of the noise in the data's units, shape (D,).
        margin: how far inside its bounds a value is kept, in the data's units, shape (D,).
        inner_shift, inner_scale: location and scale after the bounds are mapped away, shape (D,).
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

    @property
    def n(self) -> int:
        """D."""
        return len(self.names)

    @property
    def bounded(self) -> bool:
        """Whether any column has a bound."""
        return bool(np.isfinite(self.low).any() or np.isfinite(self.high).any())

    @property
    def kinds(self) -> list[str]:
        """In words, what each column is taken to be."""
        return [
            "whole number" if w else "bounded" if np.isfinite([lo, hi]).any() else "real"
            for w, lo, hi in zip(self.integer, self.low, self.high, strict=True)
        ]

    @property
    def noise(self) -> FloatArray | None:
        """Width of the training noise in standard units, or None if no column needs any."""
        return self.width / self.scale if self.width.any() else None

    @property
    def log_scale(self) -> float:
        """log|det| of standard units to the data's."""
        return float(np.log(self.scale).sum())

    def standardize(self, x: Any, training: bool = False) -> FloatArray:
        """Data's units to standard units, in float64.

        Arguments:
            x: shape (n, D).
            training: whether noise of width `noise` will be added; continuous columns are moved down by
                half of it, so that they stay centred, and near a bound so far that all of the noise is inside.
        """
        values: FloatArray = np.asarray(x, dtype=np.float64)
        if self.bounded:
            values = self._inside(values)
        if training:
            values = values - np.where(self.integer, 0, self.width / 2)
            if self.bounded:
                lowest = self.low + self.margin
                highest = np.maximum(self.high + self.integer - self.margin - self.width, lowest)
                values = np.clip(values, lowest, highest)
        return (values - self.shift) / self.scale

    def _inside(self, x: FloatArray) -> FloatArray:
        """Values on a bound moved inside; values beyond it stay where they are, and have density zero."""
        low, high = self.low, np.where(self.integer, np.inf, self.high)
        x = np.where((x >= low) & (x < low + self.margin), low + self.margin, x)
        return np.where((x <= high) & (x > high - self.margin), high - self.margin, x)

    def restore(self, s: Any) -> FloatArray:
        """Standard units to the data's; whole-number columns become whole again."""
        x = np.asarray(s, dtype=np.float64) * self.scale + self.shift
        x = np.where(self.integer, np.floor(x), x)
        top = np.where(self.integer & np.isfinite(self.high), self.high, np.inf)
        return np.clip(x, self.low, np.minimum(self.high, top)) if self.bounded else x

    def draws(self) -> FloatArray:
        """The fixed draws of u that score a row, in standard units, shape (M, D); M = 1 without whole columns."""
        if not self.integer.any():
            return np.zeros((1, self.n))
        rng = np.random.default_rng(0)
        # one draw in each of M equal slices of [0, 1), shuffled in every column
        u = rng.permuted(np.tile(np.arange(N_DRAWS), (self.n, 1)), axis=1).T + rng.uniform(size=(N_DRAWS, self.n))
        return np.where(self.integer, u / N_DRAWS, 0) / self.scale

    def bounds_map(self) -> AbstractMap:
        """From unbounded, standardised coordinates to standard units."""
        if not self.bounded:
            return Identity((self.n,))
        inner = Affine(jnp.asarray(self.inner_shift, dtype=float), jnp.asarray(self.inner_scale, dtype=float))
        return Chain([inner, self._bounds()])

    def _bounds(self) -> Bounded:
        high = self.high + self.integer  # a whole number x fills [x, x + 1)
        low, high = (self.low - self.shift) / self.scale, (high - self.shift) / self.scale
        return Bounded(jnp.asarray(low, dtype=float), jnp.asarray(high, dtype=float))

    def units_map(self) -> Affine:
        """From standard units to the data's."""
        return Affine(jnp.asarray(self.shift, dtype=float), jnp.asarray(self.scale, dtype=float))

    def to_state(self) -> dict[str, Any]:
        """Names and arrays, for a model file."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Columns:
        """The inverse of `to_state`."""
        return cls(**{**state, "names": tuple(state["names"])})


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
        alike: whether all columns are of one kind, as pixels are: whole numbers all of them or none, and spread by the
            steps of all values where one of them is constant.

    Raises:
        ValueError: an unknown column, bounds that the data break, a declared whole-number column that is
            not whole, or continuous columns that are constant.
    """
    names = tuple(str(name) for name in names)
    integer = _integer_columns(x, names, discrete)
    if alike and isinstance(discrete, str):
        integer = np.full_like(integer, integer.all())
    low, high = _bounds_arrays(x, names, bounds)
    with np.errstate(over="ignore"):
        spread, span = x.std(axis=0), np.ptp(x, axis=0)
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
    width = np.where(integer, 1.0, [_tie_width(x[:, i], spread[i]) for i in range(x.shape[1])])
    if constant.any():
        width = np.where(constant, np.clip(np.median(np.diff(np.unique(x))), FINEST * x.std(), np.inf), width)
    # no value may lie further out than FARTHEST units: rare large ones would swamp every gradient
    scale = np.maximum(np.sqrt(spread**2 + np.where(integer | constant, width, 0) ** 2 / 12), span / FARTHEST)
    shift, margin = _near_bounds(x, low, high, scale, x.mean(axis=0) + np.where(integer, 0.5, 0))
    zeros = np.zeros(len(names))
    columns = Columns(names, integer, low, high, shift, scale, width, margin, zeros, zeros + 1)
    if not columns.bounded:
        return columns
    rng = np.random.default_rng(0)
    noisy = columns.standardize(x, training=True) + rng.uniform(size=x.shape) * width / scale
    unbounded = np.asarray(jax.vmap(columns._bounds().inverse)(jnp.asarray(noisy, dtype=float)), dtype=np.float64)
    inner_scale = unbounded.std(axis=0)
    return dataclasses.replace(
        columns, inner_shift=unbounded.mean(axis=0), inner_scale=np.where(inner_scale > 0, inner_scale, 1.0)
    )


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


def _bounds_arrays(x: FloatArray, names: Sequence[str], bounds: Bounds | None) -> tuple[FloatArray, FloatArray]:
    low, high = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    each = bounds if isinstance(bounds, Mapping) else {i: bounds for i in range(len(names)) if bounds is not None}
    for name, pair in each.items():
        i = column_number(name, names)
        if not isinstance(pair, Sequence) or len(pair) != 2 or not all(e is None or _is_number(e) for e in pair):
            raise ValueError(
                f"bounds must be {{column: (low, high)}}, or one (low, high) for all columns; got {bounds!r}"
            )
        lo, hi = pair
        low[i] = -np.inf if lo is None else lo
        high[i] = np.inf if hi is None else hi
        if not low[i] < high[i]:
            raise ValueError(f"bounds of column {names[i]!r} must be (low, high) with low < high; got ({lo}, {hi})")
        beyond = int(((x[:, i] < low[i]) | (x[:, i] > high[i])).sum())
        if beyond:
            raise ValueError(
                f"column {names[i]!r} has {beyond} values outside its bounds ({lo}, {hi}); widen them or drop the rows"
            )
    return low, high


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not np.isnan(value)


def _tie_width(column: FloatArray, spread: float) -> float:
    """Width of the noise for a continuous column: the step between values where many rows share one."""
    values, counts = np.unique(column, return_counts=True)
    if len(values) < 2 or counts.max() < max(3, 0.005 * len(column)):
        return 0.0
    return float(np.clip(np.median(np.diff(values)), FINEST * spread, COARSEST * spread))


def as_float(x: Any) -> Array:
    """A host array on the device, in JAX's floating dtype; what is beyond it is infinite there."""
    with np.errstate(over="ignore"):
        cast = np.asarray(x, dtype=jnp.result_type(float))  # jnp.asarray compiles for each shape
    array: Array = jax.device_put(cast)
    return array
