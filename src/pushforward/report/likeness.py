"""How alike columns and pairs of columns of two tables are, by the metrics of SDMetrics."""

from __future__ import annotations

import warnings
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray
from pushforward.report.result import ColumnLikeness, PairLikeness

if TYPE_CHECKING:
    import pandas as pd

    from pushforward.report.sides import Sides

BINS = 10  # of a number beside a category
GAP = -1.0  # a code


def require_sdmetrics() -> None:
    """Make sure that SDMetrics is there, before any work.

    Raises:
        ImportError: it is not; the message names the extra.
    """
    try:
        import sdmetrics  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "comparing tables needs sdmetrics; install it with pip install 'pushforward[quality]'"
        ) from error


def column_likeness(compared: Sides, real: FloatArray, synthetic: FloatArray) -> tuple[ColumnLikeness, ...]:
    """Of every column one minus a distance of distributions: Kolmogorov and Smirnov's of numbers, where gaps are left
    out, total variation of categories, where a gap is a level."""
    from sdmetrics.single_column import KSComplement, TVComplement

    found = []
    for j, field in enumerate(compared.fields):
        ours, theirs = real[:, j], synthetic[:, j]
        gaps = float(np.isnan(ours).mean()), float(np.isnan(theirs).mean())
        if field.is_number:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "ks_2samp", RuntimeWarning)  # of the p-value, which is not used
                alike = KSComplement.compute(_series(ours), _series(theirs))
        else:
            alike = TVComplement.compute(_series(_codes(ours)), _series(_codes(theirs)))
        found.append(ColumnLikeness(field.name, field.kind, float(alike), *gaps))
    return tuple(found)


def pair_likeness(compared: Sides, real: FloatArray, synthetic: FloatArray) -> tuple[PairLikeness, ...]:
    """Of every two columns how alike they go together: correlations of two numbers, contingency tables of all others.

    In these a number stands in one of ten bins that hold as many real rows each, and a gap is a level. So do two
    numbers one of which is constant, which has no correlation.
    """
    import pandas as pd
    from sdmetrics.column_pairs import ContingencySimilarity, CorrelationSimilarity

    binned = [_binned(real[:, j], synthetic[:, j], field.is_number) for j, field in enumerate(compared.fields)]
    found = []
    for i, j in combinations(range(len(compared.fields)), 2):
        numbers = compared.fields[i].is_number and compared.fields[j].is_number
        if numbers and all(_vary(values[:, [i, j]]) for values in (real, synthetic)):
            tables = [pd.DataFrame(values[:, [i, j]], columns=["a", "b"]) for values in (real, synthetic)]
            alike = CorrelationSimilarity.compute(*tables)
        else:
            tables = [_frame(binned[i][side], binned[j][side]) for side in (0, 1)]
            alike = ContingencySimilarity.compute(*tables)
        found.append(PairLikeness(compared.names[i], compared.names[j], float(alike)))
    return tuple(found)


def _vary(pair: FloatArray) -> bool:
    known = pair[~np.isnan(pair).any(axis=1)]
    return len(known) > 1 and bool((np.ptp(known, axis=0) > 0).all())


def _binned(real: FloatArray, synthetic: FloatArray, number: bool) -> list[FloatArray]:
    """A column of both tables as codes, a number as that of its bin."""
    if not number:
        return [_codes(real), _codes(synthetic)]
    edges = np.unique(np.nanquantile(real, np.linspace(0, 1, BINS + 1)[1:-1]))
    return [np.where(np.isnan(x), GAP, np.searchsorted(edges, x, side="right")) for x in (real, synthetic)]


def _codes(column: FloatArray) -> FloatArray:
    return np.where(np.isnan(column), GAP, column)


def _series(column: NDArray[Any]) -> pd.Series:
    import pandas as pd

    return pd.Series(column)


def _frame(a: FloatArray, b: FloatArray) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame({"a": a, "b": b})
