"""What a loss is given, and noise for values that are not continuous."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

LEAST_SHARE = 0.01  # of log p, where annealing starts


class Batch(NamedTuple):
    """Rows of a table as losses take them.

    Arguments:
        x: points, shape (n, D).
        condition: shape (n, C), or None.
        label: component of labelled rows and -1 elsewhere, shape (n,), integer; or None.
        start: component that a row helps to start, -1 for none, shape (n,), integer; or None.
        weight: non-negative, zero for padding, shape (n,).
        epoch: epochs done, a scalar; infinite when the loss is evaluated rather than trained.
        partner: of each row another one near it, shape (n, D); or None.
        step: steps done, a scalar; None when the loss is evaluated rather than trained.
    """

    x: Array
    condition: Array | None
    label: Array | None
    start: Array | None
    weight: Array
    epoch: Array
    partner: Array | None = None
    step: Array | None = None


def add_noise(x: Array, width: Array | None, key: PRNGKeyArray) -> Array:
    """Add uniform noise on [0, width) to each column, to spread whole numbers and tied values.

    Arguments:
        x: shape (n, D).
        width: shape (D,), zero where a column is left as it is; None for no noise at all.
        key: a JAX random key.
    """
    return x if width is None else x + width * jax.random.uniform(key, x.shape, x.dtype)


def annealed_share(progress: Array) -> Array:
    """The weight of log p in an annealed bound, min(1, 0.01 + progress) (Rezende & Mohamed 2015, equation 20).

    Arguments:
        progress: of annealing, a scalar: 0 where it starts, 1 where it ends.
    """
    return jnp.minimum(1.0, LEAST_SHARE + progress)
