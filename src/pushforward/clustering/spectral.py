"""Clusters of rows that hang together through their nearest neighbours."""

from __future__ import annotations

import numpy as np

from pushforward.clustering.copies import distinct_rows

NEIGHBOURS = 10  # of each row; fewer where a part has few rows
FEWEST_ROWS = 50  # below, a graph of neighbours says little
REGULARISATION = 0.1  # of the mean degree, spread over all pairs of rows


def spectral_partition(z: np.ndarray, k: int, seed: int = 0) -> np.ndarray:
    """Regularised spectral clustering: k parts with few neighbours in each other (Amini et al. 2013).

    A part may have any shape, a ring or an arm as well as a ball. The regularisation, a faint link between all rows,
    keeps a handful of rows far from the others from being a part of its own.

    Arguments:
        z: rows in standard units, shape (n, D), n at least `FEWEST_ROWS` and well above k.
        k: parts.
        seed: of everything random.

    Returns:
        Parts, shape (n,).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import spectral_partition
        >>> from pushforward.data import two_circles
        >>> X, circle = two_circles(400, seed=0)
        >>> part = spectral_partition(X, 2)
        >>> bool((part == circle).all() or (part != circle).all())
        True
    """
    from scipy.sparse import csr_array
    from scipy.sparse.linalg import LinearOperator, eigsh
    from sklearn.cluster import KMeans
    from sklearn.neighbors import kneighbors_graph

    found = distinct_rows(z)
    if max(FEWEST_ROWS, k + 1) <= len(found.first) < len(z):  # copies would be all of each other's neighbours
        return spectral_partition(z[found.first], k, seed)[found.place]
    n = len(z)
    nearest = csr_array(kneighbors_graph(z, min(NEIGHBOURS, max(3, n // (5 * k))), include_self=False))
    graph = (nearest + nearest.T) / 2
    degree = graph.sum(axis=1)
    link = REGULARISATION * degree.mean()
    scale = 1 / np.sqrt(degree + link)

    def product(v: np.ndarray) -> np.ndarray:
        v = scale * v.reshape(-1)
        linked: np.ndarray = scale * (graph @ v + link * v.mean())
        return linked

    start = np.random.default_rng(seed).uniform(-1, 1, n)
    vectors = eigsh(LinearOperator((n, n), matvec=product, dtype=float), k, which="LA", v0=start, tol=1e-6)[1]
    rows = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    part: np.ndarray = KMeans(k, n_init=10, random_state=seed).fit_predict(rows)
    return part
