"""Rows that were copied: one row with the weight of all."""

from __future__ import annotations

import numpy as np

from pushforward.clustering import Distinct, distinct_rows
from pushforward.data.columns import FloatArray
from pushforward.estimators.preparing import Table

FEWEST = 50  # distinct rows, below which repeated ones are likely values that many rows share
OWN = 0.9  # share of the distinct rows that have a value of their own in a column that tells rows apart
COARSE = 1e-4  # of a column's spread: values rounded to such a step coincide by chance
MISS = 0.02  # steps by which a rounded value may miss the grid, in single precision


def merge_copies(table: Table) -> tuple[Table, Distinct | None]:
    """The table with its copied rows merged, their weights added, so that to copy a row is to weigh it.

    Rows of rounded values and whole numbers agree by chance, and stay as they are: the noise that spreads ties spreads
    these. Rows are copies where a measured column, in which hardly any two distinct rows agree, says so. A table of one
    column cannot tell, and its repeated values are ties.

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
    once = table.x[distinct_rows(table.x).first]  # whatever their labels and conditions
    if not any(_tells_apart(column) for column in once.T):
        return table, None
    return table.take(found.first)._replace(weight=found.total(table.weight)), found


def _tells_apart(column: FloatArray) -> bool:
    """Whether hardly any of the distinct rows share a value of this column, which is not rounded."""
    counts = np.unique(column, return_counts=True)[1]
    if (counts == 1).sum() < OWN * len(column):
        return False
    digits = np.ceil(-np.log10(COARSE * column.std()))
    steps = column * 10.0**digits
    return bool((np.abs(steps - np.round(steps)) > MISS).any())
