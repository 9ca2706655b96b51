"""Nearest neighbours, and batches that bring one with each row."""

import jax.numpy as jnp
import numpy as np

from pushforward.clustering import paired
from pushforward.objectives import Rows


def test_partners_are_neighbours_and_take_turns() -> None:
    x = np.arange(10.0)[:, None]
    neighbours = np.stack([(np.arange(10) + 1) % 10, (np.arange(10) + 2) % 10], axis=1)
    feed = paired(Rows(x), neighbours)
    order = jnp.arange(20)
    steps = []
    for epoch in (0.0, 1.0, np.inf):
        rows, _ = feed.batch(order, jnp.asarray(0), 10, jnp.asarray(epoch))
        steps.append(((rows.partner - rows.x)[:, 0] % 10).tolist())
    assert steps == [[1.0] * 10, [2.0] * 10, [1.0] * 10]
