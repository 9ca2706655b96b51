"""Partitions of rows, and the choice of one where several can be had."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pushforward.clustering.copies import distinct_rows
from pushforward.clustering.embedding import embed
from pushforward.clustering.gaussians import gaussian_partition
from pushforward.clustering.neighbours import subsample
from pushforward.clustering.spectral import FEWEST_ROWS, spectral_partition
from pushforward.data.columns import FloatArray

MOST_ROWS = 10_000  # rows that are looked at; the others follow
MOST_PARTS = 32  # that spectral clustering tells apart in little time
SLACK = 1.5  # how much more than spectral parts those of Gaussians may cut through neighbours
CLEAR = 2 / 3  # how much of what embedded parts cut through spectral ones may, to be preferred


def partition_rows(
    z: FloatArray, k: int, label: np.ndarray | None = None, seed: int = 0, *, round_clusters: bool = False
) -> np.ndarray:
    """Divide rows into k parts.

    Without labels: k-means of clusters that are round; of others spectral clustering of the nearest neighbours, but
    of few rows, or into many parts, k-means again.
    With labels: every row takes the label that spreads to it over nearest neighbours; where some parts have no label,
    k-means from the means of the labelled classes. Exact copies of a row count once, unless their labels differ.

    Arguments:
        z: rows in standard units or embedded, shape (n, D).
        k: parts.
        label: part of labelled rows, -1 elsewhere, shape (n,); or None.
        seed: of everything random.
        round_clusters: whether clusters are round, as in an embedding.

    Returns:
        Parts, shape (n,).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import partition_rows
        >>> z = np.arange(6.0)[:, None] + 100 * (np.arange(6) > 2)[:, None]
        >>> partition_rows(z, 2, np.array([1, -1, -1, 0, -1, -1])).tolist()
        [1, 1, 1, 0, 0, 0]
    """
    found = distinct_rows(z) if label is None else distinct_rows(z, label)
    if max(FEWEST_ROWS, 5 * k) <= len(found.first) < len(z):
        once = None if label is None else label[found.first]
        return partition_rows(z[found.first], k, once, seed, round_clusters=round_clusters)[found.place]
    rng = np.random.default_rng(seed)
    looked = np.sort(subsample(len(z), MOST_ROWS, rng))
    if label is None or not (label >= 0).any():
        return _fit_predict(z, looked, k, seed, round_clusters)
    looked = np.union1d(looked, np.flatnonzero(label >= 0))
    if len(np.unique(label[label >= 0])) == k:
        return _spread_labels(z, looked, label)
    return _seeded_means(z, looked, k, label, rng)


def _fit_predict(z: FloatArray, looked: np.ndarray, k: int, seed: int, round_clusters: bool) -> np.ndarray:
    from sklearn.cluster import KMeans

    if k == 1:
        return np.zeros(len(z), dtype=int)
    if round_clusters or k > MOST_PARTS or len(looked) < max(FEWEST_ROWS, 5 * k):
        part: np.ndarray = KMeans(k, n_init=10, random_state=seed).fit(z[looked]).predict(z)
        return part
    return _follow(z, looked, spectral_partition(z[looked], k, seed))


def choose_partition(
    z: FloatArray,
    k: int,
    seed: int = 0,
    *,
    neighbours: NDArray[np.int32],
    hidden_sizes: tuple[int, ...] = (128, 128),
) -> np.ndarray:
    """The partition of many columns that suits them: of Gaussians, by spectral clustering, or in an embedding.

    The parts of Gaussians where BIC says that the rows are k of them, unless they cut through many more links between
    neighbours than spectral parts do; else spectral parts where they are clearly apart; else k-means in an embedding
    that is learned from the neighbours by contrast.

    Arguments:
        z: rows in standard units, shape (n, D).
        k: parts.
        seed: of everything random.
        neighbours: of each row, shape (n, m), such as `nearest_neighbours` finds.
        hidden_sizes: of the embedding's network.

    Returns:
        Parts, shape (n,).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import choose_partition, nearest_neighbours
        >>> z = np.random.default_rng(0).normal(size=(200, 2)) + 8 * (np.arange(200) % 2)[:, None]
        >>> np.bincount(choose_partition(z, 2, neighbours=nearest_neighbours(z))).tolist()
        [100, 100]
    """
    gaussian = gaussian_partition(z, k, seed)
    spectral = partition_rows(z, k, None, seed)
    cut = conductance(spectral, neighbours)
    if gaussian is not None and conductance(gaussian, neighbours) <= SLACK * cut:
        return gaussian
    embedded = embed(z, neighbours, hidden_sizes, seed=seed)
    part = partition_rows(embedded, k, None, seed, round_clusters=True)
    return part if cut > CLEAR * conductance(part, neighbours) else spectral


def conductance(part: np.ndarray, neighbours: np.ndarray) -> float:
    """Of the part that hangs together least, the share of its links to neighbours that leave it.

    Arguments:
        part: of each row, shape (n,).
        neighbours: numbers of rows near each, shape (n, m).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import conductance
        >>> conductance(np.array([0, 0, 1, 1]), np.array([[1], [0], [3], [2]]))
        0.0
    """
    theirs, worst = part[neighbours], 0.0
    for k in np.unique(part):
        inside = (part == k)[:, None]
        crossing, all_links = (inside != (theirs == k)).sum(), inside.sum() * theirs.shape[1] + (theirs == k).sum()
        worst = max(worst, float(crossing / all_links))
    return worst


def _follow(z: FloatArray, looked: np.ndarray, part: np.ndarray) -> np.ndarray:
    """The parts of all rows: of those not looked at, the one of their nearest neighbours."""
    from sklearn.neighbors import KNeighborsClassifier

    if len(looked) == len(z):
        return part
    followed: np.ndarray = KNeighborsClassifier(min(5, len(looked))).fit(z[looked], part).predict(z)
    return followed


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
    part: np.ndarray = min(tries, key=lambda means: means.inertia_).predict(z)
    return np.where(label >= 0, label, part)
