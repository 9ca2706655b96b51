"""What is chosen by the size of a table where the user says nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from pushforward.estimators.build import DENSE_UP_TO

PRIOR_PRECISION = 2.5  # of few columns
STEPS = 4000  # of training, about
FEW_ROWS = 5  # for each column of each component


def starting_scale(dim: int) -> bool:
    """Whether components start from full covariances."""
    return dim <= DENSE_UP_TO


def few_rows(n: int, dim: int, k: int) -> bool:
    """Whether n rows are few for k components that start from full covariances."""
    return starting_scale(dim) and n < FEW_ROWS * dim * k


def default_settings(
    n: int, learning_rate: float = 5e-3, precision: float = PRIOR_PRECISION, steps: int = STEPS
) -> dict[str, Any]:
    """Training settings for n rows.

    The L2 penalty is a Gaussian prior on every parameter, so its weight in the mean loss falls with n.
    """
    batch_size = int(np.clip(2 ** round(np.log2(max(n, 1) / 8)), 64, 512))
    max_epochs = default_epochs(n, batch_size, steps, least=20)
    return {
        "batch_size": batch_size,
        "max_epochs": max_epochs,
        "learning_rate": learning_rate,
        "schedule": "cosine",
        "clip_norm": 10.0,
        "averaging": 0.998,
        "weight_decay": precision / n,
    }


def mixture_precision(n: int, dim: int) -> float:
    """The precision of the prior on a mixture's parameters.

    It grows with the columns, of which many tend to hold noise alone, and with the columns in few rows: each component
    sees but a part of them. Chosen on the six tables of `experiments/tables.py`.
    """
    if not starting_scale(dim):  # flows start diagonal, and have less to overfit
        return 10 * PRIOR_PRECISION
    return PRIOR_PRECISION * min(max(1.0, (dim / 16) ** 4, 150 * dim / n), 30.0)


def default_epochs(n: int, batch_size: int, steps: int, least: int) -> int:
    """Epochs that make about `steps` steps, but at least `least`."""
    return max(least, math.ceil(steps / math.ceil(n / batch_size)))
