"""Rows that are exact copies of each other, and each of them once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LAST = np.uint64(33)  # bits that a row's sum is shifted by, so that its high ones count as the low ones do


class Distinct(NamedTuple):
    """The distinct rows of a table.

    Arguments:
        first: the numbers of rows that no earlier one equals, ascending, shape (m,).
        place: for every row, which of those it equals, shape (n,).
    """

    first: NDArray[np.intp]
    place: NDArray[np.intp]

    def total(self, weight: np.ndarray | None) -> np.ndarray:
        """The weight of each distinct row, those of its copies together, shape (m,); each counts one if None."""
        return np.bincount(self.place, weight, minlength=len(self.first)).astype(np.float64)


def distinct_rows(*columns: np.ndarray) -> Distinct:
    """Find the distinct rows of a table, in the order they first come.

    Arguments:
        columns: arrays of numbers with a first axis of n rows, shape (n, ...), that together are the table.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import distinct_rows
        >>> found = distinct_rows(np.array([[1.0, 2.0], [3.0, 4.0], [1.0, 2.0]]))
        >>> found.first.tolist(), found.place.tolist(), found.total(None).tolist()
        ([0, 1], [0, 1, 0], [2.0, 1.0])
    """
    rows = np.column_stack([np.asarray(part, dtype=np.float64).reshape(len(part), -1) for part in columns])
    rows = rows + 0.0  # zero has two signs
    n = len(rows)
    # one number for each row: sorting these is many times faster than sorting the rows
    bits, mixed = np.ascontiguousarray(rows).view(np.uint64), np.zeros(n, dtype=np.uint64)
    multiplier = np.random.default_rng(0).integers(2**63, size=(2, rows.shape[1]), dtype=np.uint64) * 2 + 1
    for column, (first, second) in zip(bits.T, multiplier.T, strict=True):
        mixed = mixed * second + (column ^ (column >> LAST)) * first
        mixed ^= mixed >> LAST
    _, first, place = np.unique(mixed, return_index=True, return_inverse=True)
    if not (rows[first[place]] == rows).all():  # two unlike rows of one number, which hardly happens
        _, first, place = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return Distinct(first[order], rank[place.reshape(-1)])
