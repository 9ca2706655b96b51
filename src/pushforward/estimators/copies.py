"""Rows that were copied: one row with the weight of all."""

from __future__ import annotations

import numpy as np

from pushforward.clustering import Distinct, distinct_rows
from pushforward.data.columns import FloatArray
from pushforward.estimators.preparing import Table

FEWEST = 50  # distinct rows, below which repeated ones are likely values that many rows share
SHARED = 0.01  # of the distinct rows: a value that more of them have tells no row from others
OWN = 0.9  # share of the repeated rows with a value that few others have
CHANCE = 0.1  # how often rows may fall together in cells twice as wide, to how often they do; by chance, more often
GRAIN = 1e-9  # of a column's range: a smaller gap between two values is rounding error, and no step


def merge_copies(table: Table) -> tuple[Table, Distinct | None]:
    """The table with its copied rows merged, their weights added, so that to copy a row is to weigh it.

    Rows of whole numbers and of values rounded coarsely agree by chance, and stay as they are: the noise that spreads
    ties spreads these. So do rows that agree in values that many rows share. A table of one column cannot tell, and its
    repeated values are ties.

    Arguments:
        table: in the data's units, weights positive.

    Returns:
        The table, and which of its rows each given one is; None where nothing was merged.
    """
    dim = table.x.shape[1]
    parts = [part for part in (table.x, table.condition, table.label) if part is not None]
    found = distinct_rows(*parts)
    if dim == 1 or not FEWEST <= len(found.first) < len(table.x):
        return table, None
    once = distinct_rows(table.x)  # whatever their labels and conditions
    if not _are_copies(table.x[once.first], np.bincount(once.place)):
        return table, None
    return table.take(found.first)._replace(weight=found.total(table.weight)), found


def few_repeated(x: FloatArray) -> bool:
    """Whether a table is of so few rows that come again and again that copies cannot be told from shared values."""
    n = len(distinct_rows(x).first)
    return n < len(x) and n < FEWEST


def _are_copies(x: FloatArray, times: np.ndarray) -> bool:
    """Whether rows that come so many times were copied: neither shared values nor coarse ones make them agree."""
    few = max(1, SHARED * len(x))
    own = np.zeros(len(x), dtype=bool)
    cells = np.empty_like(x)
    for column, cell in zip(x.T, cells.T, strict=True):
        values, place, count = np.unique(column, return_inverse=True, return_counts=True)
        own |= count[place] <= few
        gaps = np.diff(values) if len(values) > 1 else np.ones(1)
        step = gaps[gaps > GRAIN * np.ptp(values)].min(initial=np.inf)
        cell[:] = np.floor(np.round((column - values[0]) / step) / 2)
    if own[times > 1].mean() < OWN:
        return False
    together = 1 - len(distinct_rows(cells).first) / len(x)
    return bool(together <= CHANCE * (1 - len(x) / times.sum()))
