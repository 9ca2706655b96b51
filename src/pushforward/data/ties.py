"""Values that repeat in a column that is not of whole numbers: the cell each stands for, and which draws it gets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
FINEST, COARSEST = 1e-2, 0.5  # widths of a cell, in standard deviations
COMMON = 0.005  # share of the rows, and
FEWEST = 3  # number of rows, from which on a value repeats, and does not merely coincide
DISCRETE = 0.95  # share of rows at values that repeat from which on every value counts as one that does
LEVELS = 4096  # of a grid, at most
GRID_ROWS = 1000  # that tell its step
OFF_GRID = 1e-3  # of its step, how far off values may lie
ROUNDING = 8  # units in the last place within which values are one, told apart by arithmetic


def find_ties(column: FloatArray, spread: float) -> tuple[float, FloatArray]:
    """The width of the cells of a column, and the values that repeat in it.

    Cells of values that repeat do not overlap, unless they lie closer than a cell is wide at least.

    Arguments:
        column: shape (n,).
        spread: its standard deviation.

    Returns:
        The width, 0 where nothing repeats; and for each value that repeats, in order, (value, from, to): draws between
        these ends are rounded to it, shape (T, 3).
    """
    values, counts = np.unique(column, return_counts=True)
    enough = max(FEWEST, COMMON * len(column))
    if len(values) < 2 or counts.max() < enough:
        return 0.0, np.zeros((0, 3))
    apart = np.diff(values, prepend=-np.inf) > ROUNDING * np.spacing(np.abs(values))
    values, counts = values[apart], np.add.reduceat(counts, np.flatnonzero(apart))
    discrete = counts[counts > 1].sum() >= DISCRETE * len(column)
    repeats = counts > 1 if discrete else counts >= enough
    step = np.median(np.diff(values)) if len(values) > 1 else spread
    if repeats.sum() > 1:
        step = min(step, np.diff(values[repeats]).min())
    width = float(np.clip(step, FINEST * spread, COARSEST * spread))
    if discrete:  # single values beyond the others are a thin tail of the same steps
        room = np.minimum(np.diff(values, prepend=-np.inf), np.diff(values, append=np.inf))
        repeats |= room > (1 - 1e-6) * width  # steps of 0.1 differ in their last places
    return width, tie_cells(values, repeats, width)


def grid_step(x: FloatArray) -> float:
    """The step of the grid that all values of a table lie on, such as 1/255 of bytes as shares; 0 where there is none.

    Arguments:
        x: shape (n, D).
    """
    values = np.unique(x[:: -(-len(x) // GRID_ROWS)])
    apart = np.diff(values)
    apart = apart[apart > ROUNDING * np.finfo(np.float32).eps * np.abs(values).max()]  # of single precision, often
    if not 2 <= len(apart) < LEVELS:
        return 0.0
    low, span = values[0], values[-1] - values[0]
    step = span / np.round(span / apart.min())
    off = np.abs((x - low) / step - np.round((x - low) / step)).max()
    return float(step) if off <= OFF_GRID and span / step < LEVELS else 0.0


def grid_levels(x: FloatArray, step: float, low: float, high: float) -> FloatArray:
    """The levels of the grid that all values of a table lie on, those that occur as they are, shape (L,).

    Arguments:
        x: shape (n, D).
        step: of `grid_step`.
        low, high: between which there are levels; no value lies beyond.

    Example:
        >>> import numpy as np
        >>> from pushforward.data.ties import grid_levels
        >>> grid_levels(np.array([[0.3, 0.1]]), 0.1, 0.0, 0.5).round(2).tolist()
        [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    """
    values = np.unique(x)
    values = values[np.diff(values, prepend=-np.inf) > step / 2]  # which arithmetic told apart
    first = -int((values[0] - low) / step + OFF_GRID)
    last = int((high - values[0]) / step + OFF_GRID)
    levels: FloatArray = (values[0] + step * np.arange(first, last + 1)).clip(low, high)
    levels[np.round((values - values[0]) / step).astype(int) - first] = values
    return levels


def round_to_levels(x: FloatArray, levels: FloatArray) -> FloatArray:
    """The level nearest to each number.

    Arguments:
        x: any shape.
        levels: ascending, shape (L,).

    Returns:
        The same shape.
    """
    nearest: FloatArray = levels[np.searchsorted(0.5 * (levels[:-1] + levels[1:]), x)]
    return nearest


def tie_cells(values: FloatArray, repeats: NDArray[np.bool_], width: float) -> FloatArray:
    """From where to where draws are rounded to each value that repeats.

    That is its cell, and beyond it as far as no other value of the column is nearer, where nothing was seen.

    Arguments:
        values: different ones, ascending, shape (V,).
        repeats: which of them repeat, shape (V,).
        width: of a cell.

    Returns:
        (value, from, to) of each that repeats, shape (T, 3).
    """
    middle = np.concatenate([[-np.inf], 0.5 * (values[:-1] + values[1:]), [np.inf]])
    beside = np.concatenate([[False], repeats, [False]])  # whether the neighbour repeats too: its cell ends halfway
    start = np.where(beside[:-2], middle[:-1], np.minimum(middle[:-1], values - width / 2))
    end = np.where(beside[2:], middle[1:], np.maximum(middle[1:], values + width / 2))
    cells: FloatArray = np.stack([values, start, end], axis=1)[repeats]
    return cells


def round_to_ties(x: FloatArray, cells: FloatArray) -> FloatArray:
    """Draws of a column, those in the cell of a value that repeats rounded to it.

    Arguments:
        x: any shape.
        cells: (value, from, to) of each value that repeats, in order, shape (T, 3).

    Returns:
        The same shape.
    """
    value, start, end = cells.T
    at = np.searchsorted(start, x, side="right") - 1
    rounded: FloatArray = np.where((at >= 0) & (x < end[at]), value[at], x)
    return rounded
