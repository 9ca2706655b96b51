"""Training a masked autoregressive flow end to end, against each peer's own way to train."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import masked_flows
from benchmarks.data import normals
from benchmarks.fits import flowjax_fit, pushforward_fit
from benchmarks.limits import products_and_adam
from benchmarks.task import Side, Task, Work

DIM, LAYERS, HIDDEN, BATCH, LEARNING_RATE = 43, 5, (512, 512), 512, 5e-4
STEPS = 40
EPOCHS = 3
SETTINGS: dict[str, Any] = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": LEARNING_RATE}


def _rows(quick: bool) -> tuple[np.ndarray, int]:
    """All rows, and how many train: whole batches, so that no side drops or pads any."""
    n_train = (4 if quick else STEPS) * BATCH
    return normals(n_train + round(n_train / 9), DIM), n_train


def _torch(make: Callable[..., Any], log_prob: Callable[[Any, Any], Any]) -> Callable[[bool], Work]:
    """The loop of PyTorch users, on tensors in memory (a DataLoader is slower)."""

    def side(quick: bool) -> Work:
        torch = masked_flows.torch_threads()
        flow = make(DIM, LAYERS, HIDDEN)
        optimizer = torch.optim.Adam(flow.parameters(), lr=LEARNING_RATE)
        rows, n_train = _rows(quick)
        train, validation = torch.from_numpy(rows).split([n_train, len(rows) - n_train])

        def block(i: int) -> dict[str, float]:
            for _ in range(EPOCHS):
                for x in train[torch.randperm(n_train)].split(BATCH):
                    loss = -log_prob(flow, x).mean()
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
                with torch.no_grad():
                    held_out = -log_prob(flow, validation).mean().item()
            return {"validation loss": held_out}

        return Work(block, EPOCHS)

    return side


def _flowjax(quick: bool) -> Work:
    flow = masked_flows.flowjax_maf(DIM, LAYERS, HIDDEN)
    return Work(flowjax_fit(flow, _rows(quick)[0], **SETTINGS), EPOCHS)


def _pushforward(quick: bool) -> Work:
    flow = masked_flows.pushforward_maf(DIM, LAYERS, HIDDEN)
    return Work(pushforward_fit(flow, *_rows(quick), **SETTINGS), EPOCHS)


def _limit(quick: bool) -> Work:
    return products_and_adam(DIM, LAYERS, HIDDEN, BATCH, EPOCHS * (4 if quick else STEPS), EPOCHS)


TASKS = (
    Task(
        name="maf_fit",
        title="Training a MAF, D = 43, per epoch",
        about=(
            f"MAF with {LAYERS} layers of {HIDDEN[0]}×{HIDDEN[1]}, Adam {LEARNING_RATE:g}, batch {BATCH}; an epoch is "
            f"{STEPS} steps on shuffled rows and the loss of {round(STEPS * BATCH / 9):,} held-out rows. A block is "
            f"a call of {EPOCHS} epochs to each side's own way of training: this package's engine, flowjax's "
            "`fit_to_data` (loss and optimiser made once, no progress bar), for zuko and nflows the plain loop over a "
            "shuffled tensor. *Products and Adam alone* is what the machine allows: the same dense products and "
            "updates of the training rows, and nothing else."
        ),
        unit="epoch",
        sides=(
            Side("pushforward", _pushforward, peer=False),
            Side("products and Adam alone", _limit, peer=False),
            Side("flowjax", _flowjax, target=1.2),
            Side("zuko", _torch(masked_flows.zuko_maf, lambda flow, x: flow().log_prob(x)), target=2.0),
            Side("nflows", _torch(masked_flows.nflows_maf, lambda flow, x: flow.log_prob(x)), rounds=3),
        ),
    ),
)
