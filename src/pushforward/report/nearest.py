"""How near rows lie to the nearest row of another table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray
from pushforward.report.result import Distances

MOST_QUERIES = 5_000  # rows, of which the nearest others are looked for
AT_ONCE = 256
CLOSE = 0.05  # share of training rows that have another one as near as a copy
FAR = 2.0  # of a gap, beyond all numbers, which lie between 0 and 1
GAP = -1.0  # a code


def distances(
    training: FloatArray, synthetic: FloatArray, held_out: FloatArray, numeric: NDArray[np.bool_], seed: int
) -> Distances:
    """Distances of synthetic rows, and of held-out ones, to the nearest training row.

    The distance of two rows is Gower's (1971), the mean over columns: of numbers the difference of their ranks among
    training rows, from 0 to 1; of categories, and of a gap beside a value, 1 where they differ. A near-copy is as near
    as the nearest twentieth of training rows lie to another one of them. Of tables of more than 5,000 rows, so many at
    random look for their nearest.

    Arguments:
        training, synthetic, held_out: cells, categories as codes, NaN for gaps, shapes (n, D), (m, D) and (h, D).
        numeric: which columns are no categories, shape (D,).
        seed: of which rows.
    """
    rng = np.random.default_rng(seed)
    reference = _ranked(training, training, numeric)

    def nearest_of(values: FloatArray) -> FloatArray:
        chosen = np.sort(rng.permutation(len(values))[:MOST_QUERIES])
        return _nearest(_ranked(values[chosen], training, numeric), reference, None)

    own = rng.permutation(len(training))[:MOST_QUERIES]
    among = _nearest(reference[own], reference, own)
    return Distances(nearest_of(synthetic), nearest_of(held_out), float(np.quantile(among, CLOSE, method="lower")))


def _ranked(values: FloatArray, training: FloatArray, numeric: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Cells such that the distance of two is their difference, or 1 where that is larger, shape (n, D)."""
    out = np.empty(values.shape, dtype=np.float32)
    for j, number in enumerate(numeric):
        column = values[:, j]
        if not number:
            out[:, j] = np.where(np.isnan(column), GAP, column)
            continue
        known = np.sort(training[~np.isnan(training[:, j]), j])
        below, upto = (np.searchsorted(known, column, side=side) for side in ("left", "right"))
        out[:, j] = np.where(np.isnan(column), FAR, (below + upto) / (2 * len(known)))
    return out


def _nearest(rows: NDArray[np.float32], reference: NDArray[np.float32], own: NDArray[np.intp] | None) -> FloatArray:
    """The distance of each row to the nearest of others, but for the one of number `own`, shape (n,)."""
    found: FloatArray = np.empty(len(rows))
    columns = np.ascontiguousarray(reference.T)
    for start in range(0, len(rows), AT_ONCE):
        some = rows[start : start + AT_ONCE]
        total = np.zeros((len(some), len(reference)), dtype=np.float32)
        for j, column in enumerate(columns):
            difference = np.abs(some[:, j, None] - column)
            total += np.minimum(difference, 1, out=difference)
        if own is not None:
            total[np.arange(len(some)), own[start : start + AT_ONCE]] = np.inf
        found[start : start + AT_ONCE] = total.min(axis=1)
    found = np.round(found / rows.shape[1], 6)  # sums of ranks in another order are not quite equal
    return found
