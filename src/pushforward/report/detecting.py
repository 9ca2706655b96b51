"""Whether a classifier can tell synthetic rows from real ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import FloatArray

MOST_ROWS = 50_000  # of each table
MOST_CODES = 255  # of a category, as trees take them
FOLDS = 5


def detection(real: FloatArray, synthetic: FloatArray, numeric: NDArray[np.bool_], seed: int) -> float:
    """Area under the ROC curve of gradient-boosted trees that tell two tables apart, the mean of five folds.

    As many rows are taken of one as of the other, at random where there are more.

    Arguments:
        real, synthetic: cells, categories as codes, NaN for gaps, shapes (n, D) and (m, D).
        numeric: which columns are no categories, shape (D,).
        seed: of rows, folds and trees.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    rng = np.random.default_rng(seed)
    n = min(len(real), len(synthetic), MOST_ROWS)
    rows = np.concatenate([values[rng.permutation(len(values))[:n]] for values in (real, synthetic)])
    codes = np.where(numeric, rows, np.minimum(rows, MOST_CODES - 1))
    trees = HistGradientBoostingClassifier(categorical_features=~numeric, random_state=seed)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    found = cross_val_score(trees, codes, np.repeat([0, 1], n), scoring="roc_auc", cv=folds, error_score="raise")
    return float(found.mean())
