"""All causal networks, small: what the contract tests run over."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from pushforward import trees
from pushforward.networks import DiagonalBiLSTM, GatedPixelCNN, PixelCNN, RowLSTM, WaveNet


class Entry(NamedTuple):
    """A network of C channels, and what tests need to know of it."""

    network: Callable[..., Any]  # (key, shape, n_features, n_params, cond_dim=…)
    places: tuple[int, ...]  # on which blind spots show, where there are any
    sees_all: bool  # that comes before


def of(network: Any, **sizes: Any) -> Callable[..., Any]:
    return lambda *given, **more: network.init(*given, **sizes, **more)


CAUSAL = {
    "pixel_cnn": Entry(of(PixelCNN, channels=8, n_layers=2, first_side=3), (4, 6), False),
    "gated_pixel_cnn": Entry(of(GatedPixelCNN, channels=6, n_layers=5, first_side=3), (4, 5), True),
    "gated_pixel_cnn_wide": Entry(of(GatedPixelCNN, channels=16, n_layers=1, first_side=5, side=5), (4, 4), True),
    "row_lstm": Entry(of(RowLSTM, channels=3, n_layers=1, first_side=3), (4, 6), False),
    "row_lstm_deep": Entry(of(RowLSTM, channels=3, n_layers=2, first_side=5), (3, 9), False),
    "diagonal_bilstm": Entry(of(DiagonalBiLSTM, channels=3, n_layers=1, first_side=3), (3, 5), True),
    "diagonal_bilstm_deep": Entry(of(DiagonalBiLSTM, channels=3, n_layers=2, first_side=3), (4, 3), True),
    "wavenet": Entry(of(WaveNet, channels=6, dilations=(1, 2, 4)), (8,), True),
    "wavenet_twice": Entry(of(WaveNet, channels=6, skip_channels=8, dilations=(1, 2, 1, 2)), (10,), False),
    "wavenet_local": Entry(of(WaveNet, channels=6, dilations=(1, 2), local=True), (6,), False),
}


FIRST = ("pixel_cnn", "gated_pixel_cnn", "row_lstm", "diagonal_bilstm", "wavenet", "wavenet_local")
# the first of each kind in `make test`, the others among the long tests
BRIEFLY = [name if name in FIRST else pytest.param(name, marks=pytest.mark.long) for name in CAUSAL]


def random(tree: Any, seed: int = 0, scale: float = 0.3) -> Any:
    """A model with noise on all that trains, what starts at zero too."""
    numbers, rest = trees.partition(tree)
    leaves, structure = jax.tree.flatten(numbers)
    noise = jax.random.normal(jax.random.key(seed), (sum(leaf.size for leaf in leaves),))
    moved, start = [], 0
    for leaf in leaves:
        moved.append(leaf + scale * noise[start : start + leaf.size].reshape(leaf.shape).astype(leaf.dtype))
        start += leaf.size
    return trees.combine(jax.tree.unflatten(structure, moved), rest)


def drawn(name: str, channels: int = 1, n_features: int = 2, n_params: int = 3, cond_dim: int | None = None) -> Any:
    """A network of the registry in random parameters."""
    entry = CAUSAL[name]
    cond_dim = 2 if name == "wavenet_local" else cond_dim
    network = entry.network(jax.random.key(1), (*entry.places, channels), n_features, n_params, cond_dim=cond_dim)
    return random(network)


@eqx.filter_jit
def one_by_one(network: Any, x: Any, condition: Any = None) -> Any:
    """What `network(x, condition)` gives, by what is kept from place to place."""
    height, width, channels = network.sides
    image = x.reshape(height, width, channels, -1)
    above = jnp.concatenate([jnp.zeros_like(image[:1]), image[:-1]])
    left = jnp.concatenate([jnp.zeros_like(image[:, :1]), image[:, :-1]], axis=1)

    def row(state: Any, at: Any) -> Any:
        above, left = at
        step = lambda state, at: network.step(state, *at)  # noqa: E731
        return jax.lax.scan(step, network.row(state, above), (jnp.arange(width), left))

    _, features = jax.lax.scan(row, network.start(condition), (above, left))
    return network.head(features, image).reshape(*network.shape, -1)


def n_places(network: Any) -> int:
    return math.prod(network.shape[:-1])
