"""How many clusters a table holds, where nobody says."""

from __future__ import annotations

import numpy as np

from pushforward.clustering.copies import distinct_rows
from pushforward.clustering.gaussians import MOST_COLUMNS, MOST_FITTED, fitted_gaussians
from pushforward.clustering.neighbours import subsample

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20, 24, 28, 34, 40)
CONFUSED = 0.025  # two clusters are one if so large a share of either is taken for the other (Hennig 2010)


def count_clusters(z: np.ndarray, seed: int = 0) -> tuple[int, np.ndarray]:
    """The number of clusters, by covering the rows with Gaussians and merging those that overlap.

    As many Gaussians as BIC supports follow clusters of any shape in pieces. Two pieces of one cluster overlap: a good
    share of what one generates would be taken for the other's. Such pairs are merged, the most confused first, until
    none is left (directly estimated misclassification probabilities, Hennig 2010). Exact copies of a row count once.

    Arguments:
        z: rows in standard units, shape (n, D).
        seed: of everything random.

    Returns:
        How many, and the evidence: for 2, 3, … clusters up to the number of Gaussians, the share of the most confused
        pair of them, that has to be below `CONFUSED`.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import count_clusters
        >>> z = np.random.default_rng(0).normal(size=(300, 2)) + 9 * (np.arange(300) % 3)[:, None]
        >>> count_clusters(z)[0]
        3
    """
    from sklearn.decomposition import PCA

    z = z[distinct_rows(z).first]  # Gaussians as thin as a point would cover copies
    rows = z[subsample(len(z), MOST_FITTED, np.random.default_rng(seed))]
    if rows.shape[1] > MOST_COLUMNS:
        rows = PCA(min(MOST_COLUMNS, len(rows)), random_state=seed).fit_transform(rows)
    shares = _cover(rows, seed)
    confusions = []
    while shares.shape[1] > 1:
        confused = _confusion(shares)
        i, j = np.unravel_index(confused.argmax(), confused.shape)
        confusions.append(confused[i, j])
        shares[:, i] += shares[:, j]
        shares = np.delete(shares, j, axis=1)
    evidence = np.asarray(confusions[::-1])
    apart = np.flatnonzero(evidence < CONFUSED)
    return (int(apart[-1]) + 2 if len(apart) else 1), evidence


def _cover(rows: np.ndarray, seed: int) -> np.ndarray:
    """Responsibilities of the Gaussian mixture with the lowest BIC."""
    best, lowest = None, np.inf
    for kind in ("full", "diag"):
        for size in (size for size in SIZES if 5 * size <= len(rows)):
            mixture = fitted_gaussians(rows, size, seed, kind)
            bic = mixture.bic(rows)
            if bic < lowest:
                best, lowest = mixture, bic
    shares: np.ndarray = np.ones((len(rows), 1)) if best is None else best.predict_proba(rows)
    return shares


def _confusion(shares: np.ndarray) -> np.ndarray:
    """For each pair, the larger of the shares of either that would be taken for the other, shape (m, m)."""
    m = shares.shape[1]
    taken = np.eye(m)[shares.argmax(axis=1)]
    share = (taken.T @ shares) / np.maximum(shares.sum(axis=0), 1e-12)
    np.fill_diagonal(share, 0)
    confused: np.ndarray = np.maximum(share, share.T)
    return confused
