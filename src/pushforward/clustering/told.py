"""Tables that latent classes are told by: columns with masses or skewed ones, each as levels of its own scale."""

from __future__ import annotations

import numpy as np

from pushforward.data.columns import FloatArray
from pushforward.data.masses import stand_out

EXCESS = 3.0  # times as many rows as the values next to it have, from which on a value is a mass
COMMON, FEWEST = 0.01, 10  # share and number of rows of a mass, at least
LEVELS = 10  # of as many rows each, that numbers between masses are told by
FEWEST_ROWS, MOST_COLUMNS = 200, 10  # of a table that is told so
GAINED = 0.1  # nats a row by which logarithms of a column are nearer to a Gaussian, if it is skewed


def masses(column: FloatArray) -> FloatArray:
    """Values with many times the rows of those beside them: zeros of a count that is often zero, a share of exactly 1.

    Arguments:
        column: shape (n,).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering.told import masses
        >>> masses(np.concatenate([np.zeros(40), np.linspace(0.1, 0.9, 60)])).tolist()
        [0.0]
    """
    values, counts = np.unique(column, return_counts=True)
    if len(values) == 1:
        return values[:0]
    found: FloatArray = values[stand_out(values, counts, max(FEWEST, COMMON * len(column)), EXCESS)]
    return found


def is_skewed(column: FloatArray) -> bool:
    """Whether a column is of positive numbers whose logarithms a Gaussian fits clearly better.

    Arguments:
        column: shape (n,).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering.told import is_skewed
        >>> z = np.random.default_rng(0).normal(size=200)
        >>> is_skewed(np.exp(z)), is_skewed(9 + z)
        (True, False)
    """
    if column.min() <= 0 or np.ptp(column) == 0:
        return False
    logs = np.log(column)
    return bool(np.log(column.std()) - np.log(logs.std()) - logs.mean() > GAINED)


def levels_told(x: FloatArray) -> list[FloatArray] | None:
    """Of each column zeros and ones, one for each of its masses and for each tenth of its other values, shape (n, L).

    Whatever scale a column is on, and whatever else than a Gaussian its values are within a class: they tell the same.

    Arguments:
        x: shape (n, D).

    Returns:
        D arrays; None of a table without masses and skewed columns, where distances tell more, of one of fewer than
        200 rows, or of more than 10 columns.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering.told import levels_told
        >>> rows = np.random.default_rng(0).normal(size=(200, 2))
        >>> levels_told(rows) is None
        True
        >>> [levels.shape for levels in levels_told(np.exp(rows))]
        [(200, 10), (200, 10)]
    """
    if len(x) < FEWEST_ROWS or x.shape[1] > MOST_COLUMNS:
        return None
    found = [masses(column) for column in x.T]
    if not any(map(len, found)) and not any(is_skewed(column) for column in x.T):
        return None
    return [_levels(column, own) for column, own in zip(x.T, found, strict=True)]


def _levels(column: FloatArray, own: FloatArray) -> FloatArray:
    others = ~np.isin(column, own)
    level = np.searchsorted(own, column)
    if others.any():
        ends = np.unique(np.quantile(column[others], np.arange(1, LEVELS) / LEVELS))
        level[others] = len(own) + np.searchsorted(ends, column[others], side="right")
    return np.eye(int(level.max()) + 1)[level]
