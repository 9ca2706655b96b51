"""Whole fits of one flow by a library's own function for it, as work to time: shared by several tasks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Block = Callable[[int], dict[str, float]]


def flowjax_fit(flow: Any, data: np.ndarray, *, epochs: int, batch_size: int, learning_rate: float) -> Block:
    """`fit_to_data` with a tenth held out; loss and optimiser made once, so that its compiled step is reused."""
    import jax
    import optax
    from flowjax.train import fit_to_data
    from flowjax.train.losses import MaximumLikelihoodLoss

    rows = jax.numpy.asarray(data)
    options: dict[str, Any] = {
        "loss_fn": MaximumLikelihoodLoss(),
        "optimizer": optax.adam(learning_rate),
        "max_epochs": epochs,
        "max_patience": epochs,
        "batch_size": batch_size,
        "val_prop": 0.1,
        "show_progress": False,
    }

    def block(i: int) -> dict[str, float]:
        fitted, losses = fit_to_data(jax.random.key(i), flow, rows, **options)
        jax.block_until_ready(jax.tree.leaves(fitted))
        return {"validation loss": losses["val"][-1]}

    return block


def pushforward_fit(
    flow: Any, data: np.ndarray, n_train: int, *, epochs: int, batch_size: int, learning_rate: float
) -> Block:
    """The training engine on the first rows, the rest held out: validation after every epoch, best weights kept."""
    import jax

    from pushforward.objectives import NegativeLogLikelihood, Rows
    from pushforward.training import Resident, Settings, train

    settings = Settings(epochs, batch_size=batch_size, learning_rate=learning_rate)

    def block(i: int) -> dict[str, float]:
        rows, held_out = Resident.of(Rows(data[:n_train])), Resident.of(Rows(data[n_train:]))
        key = jax.random.key(i)
        fit = train(flow, NegativeLogLikelihood(), rows, key=key, settings=settings, validation=held_out)
        return {"validation loss": fit.history[-1]["validation_loss"]}

    return block
