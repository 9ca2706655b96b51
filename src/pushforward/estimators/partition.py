"""Where the components of a mixture start: a partition of the rows, and the moments of its parts."""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

FloatArray = NDArray[np.float64]
MOST_ROWS = 10_000  # rows that are looked at; the others follow


def partition_rows(z: FloatArray, k: int, label: np.ndarray | None, seed: int) -> np.ndarray:
    """Assign every row a component to start.

    Without labels: a Gaussian mixture by EM from k-means++ where rows are plenty for its covariances, and
    k-means otherwise. With labels: every row takes the label that spreads to it over nearest neighbours,
    and components without a label split the rest by k-means++.

    Arguments:
        z: rows in standard units, shape (n, D).
        k: components.
        label: component of labelled rows, -1 elsewhere, shape (n,); or None.
        seed: of everything random.

    Returns:
        Components, shape (n,).
    """
    rng = np.random.default_rng(seed)
    looked = np.arange(len(z)) if len(z) <= MOST_ROWS else np.sort(rng.choice(len(z), MOST_ROWS, replace=False))
    if label is None or not (label >= 0).any():
        return _fit_predict(z, looked, k, seed)
    looked = np.union1d(looked, np.flatnonzero(label >= 0))
    if len(np.unique(label[label >= 0])) == k:
        return _spread_labels(z, looked, label)
    return _seeded_means(z, k, label, seed)


def _fit_predict(z: FloatArray, looked: np.ndarray, k: int, seed: int) -> np.ndarray:
    from sklearn.cluster import KMeans
    from sklearn.mixture import GaussianMixture

    means = KMeans(k, n_init=10, random_state=seed).fit(z[looked])
    if len(looked) < 10 * k * z.shape[1]:
        found: np.ndarray = means.predict(z)
        return found
    # one EM run from the best of ten k-means: EM's own likelihood prefers wide Gaussians that span several clusters
    mixture = GaussianMixture(k, means_init=means.cluster_centers_, reg_covar=1e-3, random_state=seed, max_iter=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a start need not have converged
        found = mixture.fit(z[looked]).predict(z)
    return found


def _spread_labels(z: FloatArray, looked: np.ndarray, label: np.ndarray) -> np.ndarray:
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.semi_supervised import LabelSpreading

    neighbours = min(10, len(looked) - 1)
    spread = LabelSpreading(kernel="knn", n_neighbors=neighbours, alpha=0.2, max_iter=200)
    spread.fit(z[looked], label[looked])
    if len(looked) == len(z):
        found: np.ndarray = spread.transduction_
        return found
    nearest = KNeighborsClassifier(min(5, neighbours)).fit(z[looked], spread.transduction_)
    found = nearest.predict(z)
    return found


def _seeded_means(z: FloatArray, k: int, label: np.ndarray, seed: int) -> np.ndarray:
    """k-means whose first centres are the means of the labelled classes."""
    from sklearn.cluster import KMeans, kmeans_plusplus

    present = np.unique(label[label >= 0])
    centres, _ = kmeans_plusplus(z, k, random_state=seed)
    for component in present:
        centres[component] = z[label == component].mean(axis=0)
    found: np.ndarray = KMeans(k, init=centres, n_init=1, random_state=seed).fit_predict(z)
    return np.where(label >= 0, label, found)


def moments(z: FloatArray, part: np.ndarray, k: int, dense: bool) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Location, scale factor and share of every part.

    Covariances shrink towards the diagonal of all rows, the more the fewer rows a part has.

    Arguments:
        z: shape (n, D).
        part: components, shape (n,).
        k: components.
        dense: whether factors are Cholesky factors rather than diagonals.

    Returns:
        Locations (K, D), factors (K, D, D) or (K, D), and shares (K,) that sum to 1.
    """
    n, dim = z.shape
    overall, centre = z.var(axis=0) + 1e-6, z.mean(axis=0)
    locations, factors, shares = [], [], []
    for component in range(k):
        mine = z[part == component]
        prior = dim + 1.0
        count = len(mine)
        locations.append(mine.mean(axis=0) if count else centre)
        spread = mine - locations[-1]
        if dense:
            covariance = (spread.T @ spread + prior * 0.1 * np.diag(overall)) / (count + prior * 0.1)
            factors.append(np.linalg.cholesky(covariance + 1e-4 * np.diag(overall)))
        else:
            # a column that hardly varies within a part must not throw its rare other values far out
            factors.append(np.sqrt(((spread**2).sum(axis=0) + 0.1 * overall) / (count + 0.1) + 0.1))
        shares.append((count + 1.0) / (n + k))
    return np.stack(locations), np.stack(factors), np.asarray(shares)
