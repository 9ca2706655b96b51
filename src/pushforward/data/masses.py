"""Which values of a column of numbers have far more rows than those around them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray


def stand_out(
    distinct: FloatArray,
    counts: NDArray[Any],
    least: int | float,
    excess: float,
    around: int = 1,
    step: float = 0.0,
    passes: int = 1,
) -> NDArray[np.bool_]:
    """Which values have many times the rows that those around let expect, shape (m,).

    Arguments:
        distinct: values, ascending, shape (m,).
        counts: rows of each, shape (m,).
        least: rows that they have at least.
        excess: times as many rows as expected, and more.
        around: values on each side that are looked at.
        step: of the grid that values lie on, whose empty cells count as well; zero for none.
        passes: how often, at most, it is looked again without those found, so that they do not hide those beside them.

    Example:
        >>> import numpy as np
        >>> from pushforward.data.masses import stand_out
        >>> stand_out(np.array([0.0, 0.5, 0.75, 1.0]), np.array([40, 1, 2, 12]), least=10, excess=3.0).tolist()
        [True, False, False, True]
    """
    enough, chosen = counts >= least, np.zeros(len(distinct), dtype=bool)
    for _ in range(passes):
        expected = _expected(distinct, np.where(chosen, 0, counts), chosen, step, around)
        found = chosen | (enough & (counts > excess * expected))
        if (found == chosen).all():
            break
        chosen = found
    return chosen


def _expected(
    distinct: FloatArray, counts: NDArray[Any], chosen: NDArray[np.bool_], step: float, around: int
) -> FloatArray:
    """How many rows each value has by those of the values around it that are not chosen."""
    total, found = (np.concatenate([[0], np.cumsum(x)]) for x in (counts, chosen))
    i = np.arange(len(distinct))
    first, last = np.maximum(i - around, 0), np.minimum(i + around, len(distinct) - 1)
    others = total[last + 1] - total[first] - counts
    room = (distinct[last] - distinct[first]) / step if step else (last - first).astype(float)
    room = room - (found[last + 1] - found[first] - chosen)
    expected: FloatArray = np.maximum(others / np.maximum(room, 1.0), 0.0 if step else 1.0)
    return expected
