"""Nearest neighbours of rows, and some rows in place of many."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward.clustering.copies import distinct_rows
from pushforward.data.columns import FloatArray
from pushforward.objectives import Rows
from pushforward.training import Resident
from pushforward.training.feeds import bucket, pick, placed

NEIGHBOURS = 10  # of each row
MOST_COLUMNS = 40  # more are projected onto so many principal components before neighbours are looked for
MOST_ROWS = 60_000  # that are given neighbours; others are their own
FEWEST_DISTINCT = 4  # rows, below which copies are neighbours of each other


def subsample(n: int, most: int, rng: np.random.Generator) -> NDArray[np.integer[Any]]:
    """Row numbers to look at: all n of them in order, or so many at random.

    Arguments:
        n: rows.
        most: that may be looked at.
        rng: a NumPy generator.

    Returns:
        Shape (min(n, most),), each number once.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import subsample
        >>> subsample(3, 10, np.random.default_rng(0)).tolist()
        [0, 1, 2]
        >>> len(subsample(100, 10, np.random.default_rng(0)))
        10
    """
    return np.arange(n) if n <= most else rng.choice(n, most, replace=False)


def nearest_neighbours(z: FloatArray, seed: int = 0, most: int = MOST_ROWS) -> NDArray[np.int32]:
    """The numbers of each row's nearest others.

    Of many columns the leading principal components are compared; of very many rows, those beyond `most` are their
    own neighbours. Exact copies of a row count once, and have the neighbours of the first of them.

    Arguments:
        z: rows in comparable units, shape (n, D).
        seed: of everything random.
        most: rows that are given neighbours.

    Returns:
        Shape (n, m), with m = 10, fewer where there are few rows.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import nearest_neighbours
        >>> nearest_neighbours(np.array([[0.0], [0.1], [5.0], [5.1]])).tolist()
        [[1], [0], [3], [2]]
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    found = distinct_rows(z)
    if FEWEST_DISTINCT <= len(found.first) < len(z):
        return found.first[nearest_neighbours(z[found.first], seed, most)][found.place].astype(np.int32)
    n = len(z)
    looked = np.sort(subsample(n, most, np.random.default_rng(seed)))
    rows = z[looked].astype(np.float32)
    if rows.shape[1] > MOST_COLUMNS and len(looked) > MOST_COLUMNS:
        rows = PCA(MOST_COLUMNS, svd_solver="covariance_eigh").fit_transform(rows)
    m = max(1, min(NEIGHBOURS, (len(looked) - 1) // 3))
    nearest = NearestNeighbors(n_neighbors=m).fit(rows).kneighbors(return_distance=False)
    neighbours = np.repeat(np.arange(n, dtype=np.int32)[:, None], m, axis=1)
    neighbours[looked] = looked[nearest]
    return neighbours


class Paired(Resident):
    """Rows of a table whose batches bring, with each row, one of its neighbours as its partner: another one each epoch.

    `paired` makes one.

    Arguments:
        neighbours: numbers of rows near each, of padded size.
    """

    neighbours: Array

    def batch(self, order: Array, i: Array, batch_size: int, epoch: Array) -> tuple[Rows, Array]:
        rows, weight = super().batch(order, i, batch_size, epoch)
        index, _ = self.places(order, i, batch_size)
        turn = (i + jnp.where(jnp.isfinite(epoch), epoch, 0).astype(i.dtype)) % self.neighbours.shape[1]
        return rows._replace(partner=pick(self.data.x, self.neighbours[index, turn])), weight


def paired(rows: Rows, neighbours: Any, weight: Any = None, **more: Any) -> Paired:
    """A feed of rows and their neighbours.

    Arguments:
        rows: of a table, n of them.
        neighbours: numbers of some rows near each, shape (n, m).
        weight: of each row, shape (n,); equal if None.
        more: what else `Resident.of` takes.
    """
    near = np.asarray(neighbours, np.int32)
    return Paired.of(rows, weight, neighbours=placed(near, bucket(len(near)) - len(near)), **more)
