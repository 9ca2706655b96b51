"""Densities of the few components of a mixture that are likely at each point, at a cost that forgets the others."""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from pushforward.distributions.pushforward import Pushforward


class Blocks(NamedTuple):
    """Pairs of a point and a component, ordered so that one block has one component.

    Attributes:
        component: of each block, shape (n_blocks,).
        row: of each place, shape (n_blocks, size); 0 where a block has places left over.
        filled: which places hold a pair.
    """

    component: Int[Array, " n_blocks"]
    row: Int[Array, "n_blocks size"]
    filled: Bool[Array, "n_blocks size"]


def likely_blocks(logits: Float[Array, "n k"], n_likely: int) -> Blocks:
    """The pairs of every point with its components of the largest logits, in blocks.

    A component has as many blocks as its pairs fill, so none is ever left out however unequal the components are, and
    all together at most n · n_likely / size + K.

    Arguments:
        logits: what ranks the components at each point.
        n_likely: components at each point.
    """
    n, k = logits.shape
    n_pairs = n * n_likely
    size = max(8, n_pairs // k)
    n_blocks = n_pairs // size + k
    component = jax.lax.top_k(logits, n_likely)[1].reshape(-1)
    order = jnp.argsort(component)
    component, row = component[order], order // n_likely
    counts = jnp.zeros(k, jnp.int32).at[component].add(1)
    blocks = -(-counts // size)
    first_pair, first_block = jnp.cumsum(counts) - counts, jnp.cumsum(blocks) - blocks
    place = first_block[component] * size + jnp.arange(n_pairs) - first_pair[component]
    rows = jnp.zeros(n_blocks * size, row.dtype).at[place].set(row).reshape(n_blocks, size)
    filled = jnp.zeros(n_blocks * size, bool).at[place].set(True).reshape(n_blocks, size)
    owner = jnp.zeros(n_blocks, component.dtype).at[place // size].set(component)
    return Blocks(owner, rows, filled)


def likely_log_probs(
    group: Pushforward, z: Float[Array, "n ..."], condition: Array | None, blocks: Blocks, k: int
) -> Float[Array, "n k"]:
    """log p_k(z) of the pairs in blocks, -inf of the others.

    Arguments:
        group: K flows, their leaves with a component axis.
        z: points.
        condition: of each point, or None.
        blocks: of `likely_blocks`.
        k: components.
    """
    arrays, static = eqx.partition(group, eqx.is_array)
    flows = eqx.combine(jax.tree.map(lambda leaf: leaf[blocks.component], arrays), static)

    def one(flow: Pushforward, rows: Array) -> Array:
        if condition is None or flow.cond_shape is None:
            return jax.vmap(lambda z: flow.log_weight(z, None))(z[rows])
        return jax.vmap(lambda z, given: flow.log_weight(z, None, given))(z[rows], condition[rows])

    result = eqx.filter_vmap(one)(flows, blocks.row)
    column = jnp.broadcast_to(blocks.component[:, None], blocks.row.shape)
    row = jnp.where(blocks.filled, blocks.row, len(z))  # places left over fall off the table
    return jnp.full((len(z), k), -jnp.inf, result.dtype).at[row, column].set(result, mode="drop")
