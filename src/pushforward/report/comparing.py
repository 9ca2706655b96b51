"""Synthetic rows beside real ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from pushforward.data.cells import FloatArray
from pushforward.data.sources import DataError
from pushforward.estimators.mixed_tables import as_table
from pushforward.report.detecting import detection
from pushforward.report.likeness import column_likeness, pair_likeness, require_sdmetrics
from pushforward.report.nearest import distances
from pushforward.report.result import Quality
from pushforward.report.sides import sides

REAL, SYNTHETIC, HELD_OUT = "the real table", "the synthetic table", "the held-out table"


def quality(real: Any, synthetic: Any, *, held_out: Any = None, random_state: int | None = None) -> Quality:
    """Tell how good synthetic rows are: like the real ones, and no copies of them.

    Columns, and pairs of columns, are compared by the metrics of SDMetrics. Gradient-boosted trees try to tell
    synthetic rows from real ones. And the share of synthetic rows that are near-copies of real rows stands beside that
    of held-out rows, which are no copies however near they lie. To both, synthetic rows that have no gaps, as `sample`
    gives them, are shown with the gaps of real ones. It needs `pip install 'pushforward[quality]'`.

    Arguments:
        real: the rows that the synthetic ones were learned from: a table of pandas, polars or Arrow, or an array, with
            numbers, categories, dates and gaps, at least 20 rows.
        synthetic: rows of the same columns. What else it has is left out.
        held_out: real rows that the synthetic ones were not learned from; where there are none, half of the real rows
            stand for training rows, and the others for these.
        random_state: of the classifier, its folds, and of which rows are taken where there are many.

    Returns:
        `Quality`, to print, `.plot()`, or `.to_dict()`.

    Raises:
        DataError: a table has too few rows or lacks a column, or a column cannot be compared.
        ImportError: SDMetrics is missing.

    Dankar, Ibrahim & Ismail (2022), "A multi-dimensional evaluation of synthetic data generators"; Gower (1971), "A
    general coefficient of similarity and some of its properties".

    Example:
        >>> import numpy as np
        >>> import pushforward as pf
        >>> rng = np.random.default_rng(0)
        >>> found = pf.quality(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 3, random_state=0)
        >>> found.detection > 0.9, found.columns_alike < 0.3
        (True, True)
    """
    require_sdmetrics()
    seed = int(np.random.default_rng(random_state).integers(2**31))
    tables = {REAL: _table(REAL, real), SYNTHETIC: _table(SYNTHETIC, synthetic)}
    if held_out is not None:
        tables[HELD_OUT] = _table(HELD_OUT, held_out)
    compared = sides(tables)
    ours, theirs = compared.values[REAL], compared.values[SYNTHETIC]
    seen = with_gaps_of(ours, theirs, seed)
    training, others = (ours, compared.values[HELD_OUT]) if held_out is not None else _halves(ours, seed)
    return Quality(
        column_likeness(compared, ours, theirs),
        pair_likeness(compared, ours, theirs),
        detection(ours, seen, compared.numeric, seed),
        distances(training, seen, others, compared.numeric, seed),
        compared.left_out,
    )


def with_gaps_of(real: FloatArray, synthetic: FloatArray, seed: int) -> FloatArray:
    """Synthetic rows with the gaps of real ones, taken at random, unless they have gaps of their own."""
    gaps = np.isnan(real)
    if not gaps.any() or np.isnan(synthetic).any():
        return synthetic
    like = np.random.default_rng(seed).integers(len(real), size=len(synthetic))
    return np.where(gaps[like], np.nan, synthetic)


def _table(name: str, rows: Any) -> Any:
    try:
        return as_table(rows)
    except DataError as error:
        raise DataError(f"{name}: {str(error).removeprefix('the table: ')}") from error


def _halves(values: FloatArray, seed: int) -> tuple[FloatArray, FloatArray]:
    """Real rows parted at random."""
    order = np.random.default_rng(seed).permutation(len(values))
    return values[order[: len(values) // 2]], values[order[len(values) // 2 :]]
