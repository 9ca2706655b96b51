"""How fast a training step could be: its matrix products and its reading and writing of Adam's state, nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.task import Work


def products_and_adam(
    dim: int, n_layers: int, hidden_sizes: Sequence[int], batch_size: int, n_steps: int, units: int, n_flows: int = 1
) -> Work:
    """Steps of affine masked autoregressive flows without masks, activations, log-determinants or shuffling.

    What is left are the dense products, forward and backward, each layer fed by the one before, and an update of every
    weight by Adam; of several flows under one `vmap`, as this package runs them.

    Arguments:
        dim, n_layers, hidden_sizes: of each flow.
        batch_size: rows of a step.
        n_steps: of a block.
        units: of the task, in a block.
        n_flows: side by side.
    """
    from functools import partial

    import jax
    import jax.numpy as jnp
    import optax

    sizes = (dim, *hidden_sizes, 2 * dim)
    keys = jax.random.split(jax.random.key(0), len(sizes) - 1)
    weights = [
        jax.random.normal(key, (n_flows, n_layers, a, b)) / jnp.sqrt(a)
        for key, a, b in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]
    x = jax.random.normal(jax.random.key(1), (batch_size, dim))
    adam = optax.adam(1e-4)

    def through(weights: Any) -> Any:
        out = x
        for layer in range(n_layers):
            for weight in weights:
                out = out @ weight[layer]
            out = out[:, :dim]
        return (out**2).sum()

    @partial(jax.jit, donate_argnums=0)
    def run(state: Any) -> Any:
        def step(_: Any, state: Any) -> Any:
            weights, moments = state
            grads = jax.grad(lambda weights: jax.vmap(through)(weights).mean())(weights)
            updates, moments = adam.update(grads, moments)
            return optax.apply_updates(weights, updates), moments

        return jax.lax.fori_loop(0, n_steps, step, state)

    state = (weights, adam.init(weights))

    def block(i: int) -> None:
        nonlocal state
        state = jax.block_until_ready(run(state))

    return Work(block, units)
