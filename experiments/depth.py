"""What depth costs before the first step: the time to trace and compile the gradient of the likelihood.

Each recipe with 4 and with 64 layers on four columns, hidden layers of 16, batch 32; the smaller of two tries each, no
cache. Like layers are scanned, so a deep flow is a program of about the same size.
"""

from __future__ import annotations

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from common import write_table

from pushforward import flows, trees


def seconds(name: str, n_layers: int) -> float:
    """To trace and compile, from nothing."""
    options: dict[str, Any] = {"n_layers": n_layers, "hidden_sizes": (16, 16)}
    flow = eqx.filter_jit(lambda key: flows.recipe(name)(key, 4, **options))(jax.random.key(0))
    params, rest = trees.partition(flow)
    arrays, static = eqx.partition(rest, eqx.is_array)

    def loss(params: Any, arrays: Any, x: Any) -> Any:
        return -trees.combine(params, eqx.combine(arrays, static)).log_prob(x).mean()

    jax.clear_caches()
    began = time.monotonic()
    jax.jit(jax.value_and_grad(loss)).lower(params, arrays, jnp.zeros((32, 4))).compile()
    return time.monotonic() - began


def main() -> None:
    """Run it."""
    found, began = [], time.monotonic()
    for name in flows.RECIPES:
        few, many = (min(seconds(name, n) for _ in range(2)) for n in (4, 64))
        found.append([name, few, many, many / few])
        print(f"{name}  {few:.2f} s  {many:.2f} s  {many / few:.2f}", flush=True)
    write_table("depth", ["recipe", "4 layers, s", "64 layers, s", "ratio"], found, time.monotonic() - began)


if __name__ == "__main__":
    main()
