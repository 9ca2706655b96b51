"""What is chosen by the size of a table where the user says nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

MOST_DENSE = 128  # columns up to which flows start from full covariances; diagonal beyond
MOST_FAST = 128  # columns up to which mixtures train at the larger learning rate
FAST, SLOW = 1e-2, 1e-3
MOST_REFINED = 128  # columns up to which the posterior network is refined on draws
FEWEST_REFINED = 5  # epochs of training, below which it is but a look
MOST_ALL = 128  # columns up to which every component is evaluated at each row, if they are few
MANY, FEW = 32, 8  # from so many components on, so few are evaluated at each row
FEW_COLUMNS = 8  # up to which components of neighbours agree a little, and parts are spectral before embedded
FEW_COLUMNS_AGREE, COLUMNS_AGREE = 0.1, 0.3  # consistency up to so many columns, and beyond
PRIOR_PRECISION = 2.5  # of few columns
STEPS = 4000  # of training, about
LONGEST = 8  # times as many, where validation still improves markedly
MOST_FOLLOWED = 128  # columns up to which it may ask for them
IMAGE_BATCH, IMAGE_RATE, IMAGE_STEPS, IMAGE_WARMUP = 64, 1e-3, 4000, 200  # of flows of images
FEW_ROWS = 5  # for each column of each component


def starts_dense(dim: int) -> bool:
    """Whether flows of so many columns start from full covariances."""
    return dim <= MOST_DENSE


def few_rows(n: int, dim: int, k: int) -> bool:
    """Whether n rows are few for k components that start from full covariances."""
    return starts_dense(dim) and n < FEW_ROWS * dim * k


def default_settings(
    n: int,
    learning_rate: float = 5e-3,
    precision: float = PRIOR_PRECISION,
    steps: int = STEPS,
    longest: int = 1,
) -> dict[str, Any]:
    """Training settings for n rows.

    The L2 penalty is a Gaussian prior on every parameter, so its weight in the mean loss falls with n.

    Arguments:
        n: rows.
        learning_rate: of Adam.
        precision: of the prior.
        steps: of training, about.
        longest: how many times as many epochs validation may ask for.
    """
    batch_size = int(np.clip(2 ** round(np.log2(max(n, 1) / 8)), 64, 512))
    max_epochs = default_epochs(n, batch_size, steps, least=20)
    return {
        "batch_size": batch_size,
        "max_epochs": max_epochs,
        "most_epochs": longest * max_epochs,
        "learning_rate": learning_rate,
        "schedule": "cosine",
        "clip_norm": 10.0,
        "averaging": 0.998,
        "weight_decay": precision / n,
    }


def image_settings(n: int) -> dict[str, Any]:
    """Training settings for n images, whose networks share weights between pixels: small batches, small steps.

    Arguments:
        n: images.
    """
    return default_settings(n, IMAGE_RATE, PRIOR_PRECISION, IMAGE_STEPS) | {
        "batch_size": IMAGE_BATCH,
        "max_epochs": default_epochs(n, IMAGE_BATCH, IMAGE_STEPS, least=5),
        "most_epochs": None,
        "warmup_steps": IMAGE_WARMUP,
        "clip_norm": 100.0,
    }


def default_longest(dim: int) -> int:
    """How many times as many epochs validation may ask for; of many columns, whose epochs are long, the user may."""
    return LONGEST if dim <= MOST_FOLLOWED else 1


def mixture_precision(n: int, dim: int) -> float:
    """The precision of the prior on a mixture's parameters.

    It grows with the columns, of which many tend to hold noise alone, and with the columns in few rows: each component
    sees but a part of them. Chosen on the six tables of `experiments/tables.py`.
    """
    if not starts_dense(dim):  # flows start diagonal, and have less to overfit
        return 10 * PRIOR_PRECISION
    return PRIOR_PRECISION * min(max(1.0, (dim / 16) ** 4, 150 * dim / n), 30.0)


def default_epochs(n: int, batch_size: int, steps: int, least: int) -> int:
    """Epochs that make about `steps` steps, but at least `least`."""
    return max(least, math.ceil(steps / math.ceil(n / batch_size)))


def default_consistency(dim: int) -> float:
    """Nats for each column; in few columns much agreement can leave a component without rows."""
    return FEW_COLUMNS_AGREE if dim <= FEW_COLUMNS else COLUMNS_AGREE


def default_n_likely(dim: int, k: int) -> int | None:
    """How many of k components are evaluated at each row; None for all."""
    if dim > MOST_ALL:
        return 1
    return None if k < MANY else FEW
