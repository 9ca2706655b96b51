"""Layers that are alike: drawn, stacked and run one after the other in one compiled loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray


def stacked(init: Callable[[PRNGKeyArray], Any], keys: Sequence[PRNGKeyArray]) -> Any:
    """Layers drawn from keys, leaf by leaf along a new first axis."""
    return eqx.filter_vmap(init)(jnp.stack(keys))


def run(
    function: Callable[[Any, Any, Any], tuple[Any, Any]], layers: Any, carry: Any, of_layers: Any = None
) -> tuple[Any, Any]:
    """Run stacked layers one after the other; compile time does not grow with their number.

    Arguments:
        function: from a layer, what the one before gave, and what belongs to this one, to what it gives and what is
            kept of it.
        layers: stacked.
        carry: what the first is given.
        of_layers: what belongs to each, stacked as they are.

    Returns:
        What the last gives, and what is kept of all, stacked.
    """
    arrays, static = eqx.partition(layers, eqx.is_array)

    def step(carry: Any, at: tuple[Any, Any]) -> tuple[Any, Any]:
        return function(eqx.combine(at[0], static), carry, at[1])

    result: tuple[Any, Any] = lax.scan(step, carry, (arrays, of_layers))
    return result


def gate(x: Array) -> Array:
    """tanh(a) σ(b) of the two halves of the last axis."""
    a, b = jnp.split(x, 2, axis=-1)
    return jnp.tanh(a) * jax.nn.sigmoid(b)
