"""An embedding of rows, learned from their neighbours, in which clusters are round."""

from __future__ import annotations

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward.clustering.neighbours import paired
from pushforward.data.columns import FloatArray, as_float
from pushforward.networks import row_network
from pushforward.objectives import Contrast, Embedding, ImageViews, Rows
from pushforward.training import Settings, train
from pushforward.training.feeds import bucket

SIZE = 32  # dimensions of the embedding
BATCH, STEPS = 512, 700
SCORED = 4096  # rows embedded in one call


def embed(
    seen: FloatArray,
    neighbours: NDArray[np.int32],
    hidden_sizes: tuple[int, ...] = (128, 128),
    image_shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> FloatArray:
    """Rows on a unit sphere where each is close to its neighbours and far from all other rows.

    Arguments:
        seen: rows in comparable units, shape (n, D).
        neighbours: of each row, shape (n, m), such as `nearest_neighbours` finds.
        hidden_sizes: of the network.
        image_shape: of rows that are images, whose views are random moves of them; None for a table.
        seed: of everything random.

    Returns:
        Shape (n, 32).

    Raises:
        KeyboardInterrupt: training was ended by Ctrl-C.
        TrainingError: training diverged.
    """
    key_draw, key_train = jax.random.split(jax.random.key(seed))
    network = row_network(key_draw, seen.shape[1], SIZE, hidden_sizes, image_shape)
    steps = -(-len(seen) // BATCH)
    settings = Settings(max_epochs=-(-STEPS // steps), batch_size=BATCH, learning_rate=1e-3, schedule="cosine")
    loss = Contrast(None if image_shape is None else ImageViews(image_shape))
    rows = paired(Rows(seen), neighbours)
    model = train(Embedding(network), loss, rows, key=key_train, settings=settings).completed()
    padded = np.concatenate([seen, np.broadcast_to(seen[:1], (bucket(len(seen)) - len(seen), seen.shape[1]))])
    parts = [np.asarray(_embedded(model, as_float(padded[i : i + SCORED]))) for i in range(0, len(padded), SCORED)]
    return np.concatenate(parts)[: len(seen)].astype(np.float64)


@eqx.filter_jit
def _embedded(model: Embedding, rows: Array) -> Array:
    return model(rows)
