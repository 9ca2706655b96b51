"""Tables on the device, padded to a few sizes so that like-shaped fits share one compiled program."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.objectives import Batch

SMALLEST = 64


class Rows(NamedTuple):
    """A table for training: `n` real rows, then padding of weight zero.

    The first `n_leading` rows (the labelled ones) are visited first in every epoch. `neighbours` are for each row the
    numbers of some rows near it.
    """

    x: Array
    condition: Array | None
    label: Array | None
    weight: Array
    n: Array
    n_leading: Array
    neighbours: Array | None = None


def bucket(n: int) -> int:
    """The padded size for n rows: the next of 64, 96, 128, 192, 256, 384, …"""
    size = SMALLEST
    while size < n:
        if size + size // 2 >= n:
            return size + size // 2
        size *= 2
    return size


def make_rows(
    x: Any, condition: Any = None, label: Any = None, weight: Any = None, n_leading: int = 0, dtype: Any = None
) -> Rows:
    """Pad a table and put it on the device.

    Arguments:
        x: shape (n, D).
        condition: shape (n, C), or None.
        label: integers, -1 where unlabelled, shape (n,); or None.
        weight: non-negative, shape (n,); scaled to mean 1. Equal if None.
        n_leading: how many rows, at the front, lead.
        dtype: floating dtype; JAX's default if None.

    Returns:
        The padded table.
    """
    x = np.asarray(x)
    n = len(x)
    dtype = jnp.result_type(float) if dtype is None else dtype
    weight = np.ones(n) if weight is None else np.asarray(weight, dtype=np.float64)
    weight = weight / weight.mean()
    size = bucket(n)

    def pad(a: Any, kind: Any) -> Any:
        if a is None:
            return None
        a = np.asarray(a).astype(kind, copy=False)
        # a copy of the first row: padding must be as harmless to every map as a real row
        # unlike jnp.asarray, device_put compiles nothing
        return jax.device_put(np.concatenate([a, np.broadcast_to(a[:1], (size - n, *a.shape[1:]))]))

    padded_weight = jax.device_put(np.concatenate([weight, np.zeros(size - n)]).astype(dtype))
    return Rows(
        pad(x, dtype),
        pad(condition, dtype),
        pad(label, np.int32),
        padded_weight,
        jnp.asarray(n, jnp.int32),
        jnp.asarray(n_leading, jnp.int32),
    )


def no_rows(n: int) -> Rows:
    """So many steps an epoch for a loss that draws its own points: batches of one row that holds nothing.

    Train with `batch_size=1`.
    """
    whole = jnp.asarray(n, jnp.int32)
    return Rows(jnp.zeros((n, 1)), None, None, jnp.ones(n), whole, jnp.zeros((), jnp.int32))


def with_neighbours(rows: Rows, neighbours: Any) -> Rows:
    """The table with the numbers of some rows near each real one, shape (n, m)."""
    neighbours = np.asarray(neighbours, np.int32)
    rest = np.zeros((len(rows.x) - len(neighbours), neighbours.shape[1]), np.int32)
    return rows._replace(neighbours=jax.device_put(np.concatenate([neighbours, rest])))


def shuffled(rows: Rows, key: PRNGKeyArray, batch_size: int) -> Array:
    """Row numbers in random order, leading rows first and padding last, with room for a last short batch."""
    places = jnp.arange(rows.x.shape[0])
    group = jnp.where(places < rows.n_leading, 0.0, jnp.where(places < rows.n, 1.0, 2.0))
    order = jnp.argsort(group + jax.random.uniform(key, places.shape))
    return jnp.concatenate([order, jnp.zeros(batch_size, order.dtype)])


def n_batches(rows: Rows, batch_size: int) -> tuple[Array, Array]:
    """Batches of leading rows and of the others."""
    return -(-rows.n_leading // batch_size), -(-(rows.n - rows.n_leading) // batch_size)


def take_batch(rows: Rows, start: Array | None, order: Array, i: Array, batch_size: int, epoch: Array) -> Batch:
    """Batch i of an epoch: first batches of leading rows, then of the others, short ones padded by weight zero."""
    n_first, _ = n_batches(rows, batch_size)
    leading = i < n_first
    offset = jnp.where(leading, i * batch_size, rows.n_leading + (i - n_first) * batch_size)
    end = jnp.where(leading, rows.n_leading, rows.n)
    index = jax.lax.dynamic_slice_in_dim(order, offset, batch_size)
    inside = offset + jnp.arange(batch_size) < end

    def pick(a: Array | None) -> Any:
        return None if a is None else a.at[index].get(mode="promise_in_bounds")

    weight = jnp.where(inside, rows.weight.at[index].get(mode="promise_in_bounds"), 0)
    partner = None
    if rows.neighbours is not None:
        turn = (i + jnp.where(jnp.isfinite(epoch), epoch, 0).astype(i.dtype)) % rows.neighbours.shape[1]
        partner = rows.x.at[rows.neighbours[index, turn]].get(mode="promise_in_bounds")
    return Batch(pick(rows.x), pick(rows.condition), pick(rows.label), pick(start), weight, epoch, partner)
