"""Neighbours of rows, and an embedding learned from them in which clusters are round."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward.estimators.build import read_network
from pushforward.objectives import Contrast, Embedding, ImageViews
from pushforward.training import Settings, make_rows, train, with_neighbours

NEIGHBOURS = 10  # of each row
MOST_COLUMNS = 40  # more are projected onto so many principal components before neighbours are looked for
MOST_ROWS = 60_000  # that are given neighbours; others are their own
SIZE = 32  # dimensions of the embedding
BATCH, STEPS = 512, 700
SCORED = 4096  # rows embedded in one call


def nearest_rows(seen: NDArray[np.float64], seed: int) -> NDArray[np.int32]:
    """The numbers of each row's nearest others, shape (n, m).

    Arguments:
        seen: rows in comparable units, shape (n, D).
        seed: of everything random.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    n = len(seen)
    rng = np.random.default_rng(seed)
    looked = np.arange(n) if n <= MOST_ROWS else np.sort(rng.choice(n, MOST_ROWS, replace=False))
    rows = seen[looked].astype(np.float32)
    if rows.shape[1] > MOST_COLUMNS and len(looked) > MOST_COLUMNS:
        rows = PCA(MOST_COLUMNS, svd_solver="covariance_eigh").fit_transform(rows)
    m = max(1, min(NEIGHBOURS, (len(looked) - 1) // 3))
    found = NearestNeighbors(n_neighbors=m).fit(rows).kneighbors(return_distance=False)
    neighbours = np.repeat(np.arange(n, dtype=np.int32)[:, None], m, axis=1)
    neighbours[looked] = looked[found]
    return neighbours


def embed(
    seen: NDArray[np.float64],
    neighbours: NDArray[np.int32],
    hidden_sizes: tuple[int, ...],
    image_shape: tuple[int, ...] | None,
    seed: int,
) -> NDArray[np.float64]:
    """Rows on a unit sphere where each is close to its neighbours and far from all other rows.

    Arguments:
        seen: shape (n, D).
        neighbours: of each row, shape (n, m).
        hidden_sizes: of the network.
        image_shape: of rows that are images, whose views are random moves of them; None for a table.
        seed: of everything random.

    Returns:
        Shape (n, SIZE).
    """
    key_draw, key_train = jax.random.split(jax.random.key(seed))
    network = read_network(key_draw, seen.shape[1], SIZE, hidden_sizes, image_shape)
    rows = with_neighbours(make_rows(seen), neighbours)
    steps = -(-len(seen) // BATCH)
    settings = Settings(max_epochs=-(-STEPS // steps), batch_size=BATCH, learning_rate=1e-3, schedule="cosine")
    loss = Contrast(None if image_shape is None else ImageViews(image_shape))
    model = train(Embedding(network), loss, rows, key=key_train, settings=settings).whole()
    parts = [np.asarray(_embedded(model, rows.x[i : i + SCORED])) for i in range(0, len(rows.x), SCORED)]
    return np.concatenate(parts)[: len(seen)].astype(np.float64)


@eqx.filter_jit
def _embedded(model: Embedding, rows: Array) -> Array:
    return model(rows)
