"""Where the components of a mixture start: a partition of the rows, and the moments of its parts."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning

from pushforward.estimators.graph import FEWEST_ROWS, spectral_partition

FloatArray = NDArray[np.float64]
MOST_ROWS = 10_000  # rows that are looked at; the others follow
MOST_PARTS = 32  # that spectral clustering tells apart in little time
MOST_FITTED, MOST_COLUMNS = 3_000, 10  # rows and columns that Gaussian mixtures are fitted to


def partition_rows(
    z: FloatArray, k: int, label: np.ndarray | None, seed: int, round_clusters: bool = False
) -> np.ndarray:
    """Assign every row a component to start.

    Without labels: k-means of clusters that are round; of others spectral clustering of the nearest neighbours, but
    of few rows, or into many parts, k-means again.
    With labels: every row takes the label that spreads to it over nearest neighbours; where some components
    have no label, k-means from the means of the labelled classes.

    Arguments:
        z: rows in standard units or embedded, shape (n, D).
        k: components.
        label: component of labelled rows, -1 elsewhere, shape (n,); or None.
        seed: of everything random.
        round_clusters: whether clusters are round, as in an embedding.

    Returns:
        Components, shape (n,).
    """
    rng = np.random.default_rng(seed)
    looked = np.arange(len(z)) if len(z) <= MOST_ROWS else np.sort(rng.choice(len(z), MOST_ROWS, replace=False))
    if label is None or not (label >= 0).any():
        return _fit_predict(z, looked, k, seed, round_clusters)
    looked = np.union1d(looked, np.flatnonzero(label >= 0))
    if len(np.unique(label[label >= 0])) == k:
        return _spread_labels(z, looked, label)
    return _seeded_means(z, looked, k, label, rng)


def _fit_predict(z: FloatArray, looked: np.ndarray, k: int, seed: int, round_clusters: bool = False) -> np.ndarray:
    from sklearn.cluster import KMeans

    if k == 1:
        return np.zeros(len(z), dtype=int)
    if round_clusters or k > MOST_PARTS or len(looked) < max(FEWEST_ROWS, 5 * k):
        found: np.ndarray = KMeans(k, n_init=10, random_state=seed).fit(z[looked]).predict(z)
        return found
    return _follow(z, looked, spectral_partition(z[looked], k, seed))


def gaussian_partition(z: FloatArray, k: int, seed: int) -> np.ndarray | None:
    """The parts of a Gaussian mixture, where it says by BIC that the rows are k Gaussians rather than more or fewer.

    It is right where clusters overlap or differ in size, which a cut through a graph of neighbours is not.

    Arguments:
        z: rows in standard units, shape (n, D).
        k: components.
        seed: of everything random.

    Returns:
        Parts, shape (n,), or None where other sizes are better.
    """
    from sklearn.decomposition import PCA

    rng = np.random.default_rng(seed)
    looked = z if len(z) <= MOST_FITTED else z[rng.choice(len(z), MOST_FITTED, replace=False)]
    if k == 1 or len(looked) < max(FEWEST_ROWS, 20 * k):
        return None
    if z.shape[1] > MOST_COLUMNS:
        projection = PCA(MOST_COLUMNS, random_state=seed).fit(looked)
        looked, z = projection.transform(looked), projection.transform(z)
    sizes = sorted({k - 1, k, k + 1, k + 2, 2 * k})
    fits = [fitted_gaussians(looked, size, seed, kind) for size in sizes for kind in ("full", "diag")]
    best = min(fits, key=lambda mixture: mixture.bic(looked))
    found: np.ndarray | None = best.predict(z) if best.n_components == k else None
    return found


def conductance(part: np.ndarray, neighbours: np.ndarray) -> float:
    """Of the part that hangs together least, the share of its links to neighbours that leave it.

    Arguments:
        part: of each row, shape (n,).
        neighbours: numbers of rows near each, shape (n, m).
    """
    theirs, worst = part[neighbours], 0.0
    for k in np.unique(part):
        inside = (part == k)[:, None]
        crossing, all_links = (inside != (theirs == k)).sum(), inside.sum() * theirs.shape[1] + (theirs == k).sum()
        worst = max(worst, float(crossing / all_links))
    return worst


def fitted_gaussians(rows: FloatArray, size: int, seed: int, kind: str) -> Any:
    """A Gaussian mixture of that size; one that has not converged says nothing, as its BIC is the higher for it."""
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(size, covariance_type=kind, reg_covar=1e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(rows)


def _follow(z: FloatArray, looked: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The parts of all rows: of those not looked at, the one of their nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(looked) == len(z):
        return part
    found: np.ndarray = KNeighborsClassifier(min(5, len(looked))).fit(z[looked], part).predict(z)
    return found


def _spread_labels(z: FloatArray, looked: np.ndarray, label: np.ndarray) -> np.ndarray:
    from sklearn.semi_supervised import LabelSpreading

    spread = LabelSpreading(kernel="knn", n_neighbors=min(10, len(looked) - 1), alpha=0.2, max_iter=200)
    return _follow(z, looked, spread.fit(z[looked], label[looked]).transduction_)


def _seeded_means(z: FloatArray, looked: np.ndarray, k: int, label: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The best of ten k-means that start at the means of the labelled classes, the other centres far from those."""
    from sklearn.cluster import KMeans
    from sklearn.metrics.pairwise import euclidean_distances

    present = np.unique(label[label >= 0])
    known = np.stack([z[label == component].mean(axis=0) for component in present])
    rows = z[looked]
    tries = []
    for _ in range(10):
        centres = np.empty((k, z.shape[1]))
        centres[present] = known
        nearest = euclidean_distances(rows, known, squared=True).min(axis=1)
        for component in np.setdiff1d(np.arange(k), present):  # as k-means++ does, by squared distance
            far = nearest + 1e-12
            centres[component] = rows[rng.choice(len(rows), p=far / far.sum())]
            nearest = np.minimum(nearest, ((rows - centres[component]) ** 2).sum(axis=1))
        tries.append(KMeans(k, init=centres, n_init=1).fit(rows))
    found: np.ndarray = min(tries, key=lambda means: means.inertia_).predict(z)
    return np.where(label >= 0, label, found)


def moments(
    z: FloatArray, part: np.ndarray, k: int, dense: bool, weight: np.ndarray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Location, scale factor and share of every part.

    Covariances shrink towards the diagonal of all rows: by a little always, and by as much more as the rows of a part
    are too few for its columns (Ledoit & Wolf 2004).

    Arguments:
        z: shape (n, D).
        part: components, shape (n,).
        k: components.
        dense: whether factors are Cholesky factors rather than diagonals.
        weight: of every row, not negative, shape (n,).

    Returns:
        Locations (K, D), factors (K, D, D) or (K, D), and shares (K,) that sum to 1.
    """
    n, dim = z.shape
    weight = weight.astype(np.float64) * (n / weight.sum(dtype=np.float64))
    centre = weight @ z / n
    overall = weight @ (z - centre) ** 2 / n + 1e-6
    locations, factors, shares = [], [], []
    for component in range(k):
        mine, w = z[part == component], weight[part == component]
        count = w.sum()
        locations.append(w @ mine / count if count > 0 else centre)
        spread = np.sqrt(w)[:, None] * (mine - locations[-1])
        if dense:
            prior = dim * (dim + 1.0) / 30  # rows: a fifteenth of one for each number of a covariance
            covariance = (spread.T @ spread + prior * np.diag(overall)) / (count + prior)
            covariance += _shrinkage(mine / np.sqrt(overall)) * (np.diag(np.diagonal(covariance)) - covariance)
            factors.append(np.linalg.cholesky(covariance + 1e-4 * np.diag(overall)))
        else:
            # a column that hardly varies within a part must not throw its rare other values far out
            factors.append(np.sqrt(((spread**2).sum(axis=0) + 0.1 * overall) / (count + 0.1) + 0.1))
        shares.append((count + 1.0) / (n + k))
    return np.stack(locations), np.stack(factors), np.asarray(shares)


def _shrinkage(rows: FloatArray) -> float:
    """How much of a covariance to give up for its diagonal, by Ledoit and Wolf's rule."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    return float(ledoit_wolf_shrinkage(rows)) if len(rows) > 1 else 1.0
