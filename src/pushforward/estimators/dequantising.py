"""Variational dequantisation of images: where in its cell a pixel lies is drawn by a flow that sees the image."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pushforward.bijections import AbstractMap, Affine, Amortized, Chain, Dequantise, Sigmoid
from pushforward.data.columns import Columns, FloatArray, as_float
from pushforward.distributions import Pushforward
from pushforward.distributions.estimates import each_row
from pushforward.networks import PlainConvolutions
from pushforward.processes import jit_once

CHANNELS = (32, 32)  # of the network that sees the image
SAMPLES = 8  # of an importance-weighted estimate


class SeenBytes(eqx.Module):
    """A location and a scale for every pixel of a flat image, as numbers added to those of an `Affine`.

    Arguments:
        network: of two channels for each of the image's: how bright a pixel is, and whether it is more than zero.
        sides: height, width and channels.
        brightest: value of a pixel that counts as 1.
    """

    network: PlainConvolutions
    sides: tuple[int, int, int] = eqx.field(static=True)
    brightest: float = eqx.field(static=True)

    def __call__(self, row: Float[Array, " d"]) -> Float[Array, " p"]:
        image = row.reshape(self.sides)
        told = self.network(jnp.concatenate([2 * image / self.brightest - 1, (image > 0).astype(image.dtype)], -1))
        location, scale = jnp.split(told, 2, axis=-1)
        return jnp.concatenate([location.reshape(-1), scale.reshape(-1)])


@jit_once
def build_spread(key: Array, sides: tuple[int, int, int], brightest: float) -> AbstractMap:
    """Where in cells of width 1 the pixels of an image lie, given the image: the logistic of normals (Ho et al. 2019).

    Arguments:
        key: a JAX random key.
        sides: height, width and channels.
        brightest: value of a pixel that counts as 1.
    """
    dim, channels = math.prod(sides), sides[2]
    network = PlainConvolutions.init(key, 2 * channels, 2 * channels, CHANNELS)
    normal = Amortized(Affine(jnp.zeros(dim), jnp.ones(dim)), SeenBytes(network, sides, brightest), (dim,))
    return Chain([normal, Sigmoid((dim,))])


def dequantised(flow: Pushforward, columns: Columns, spread: AbstractMap) -> Pushforward:
    """A flow of whole numbers in standard units, from one of numbers within their cells.

    Arguments:
        flow: in standard units.
        columns: whole numbers, all of them.
        spread: of `build_spread`.
    """
    to_data = columns.units_map()
    to_standard = Affine(as_float(-columns.shift / columns.scale), as_float(1 / columns.scale))
    cells = Dequantise(jnp.ones(columns.n), spread)
    return Pushforward(flow.base, Chain([flow.bijection, to_data, cells, to_standard]))


def with_spread(start: Any, columns: Columns, sides: Any, seed: int, n_init: int, spread: AbstractMap | None) -> Any:
    """The flow to train with what draws where in their cells pixels lie; several of both with a restart axis.

    Arguments:
        start: the flow in standard units, with a restart axis if there are several.
        columns: whole numbers, all of them.
        sides: height, width and channels.
        seed: of everything random.
        n_init: restarts.
        spread: to go on from, or None for a new one.
    """
    if spread is not None:
        return dequantised(start, columns, spread)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(seed), 1), n_init)
    brightest = float(columns.high.max()) if np.isfinite(columns.high).all() else 1.0

    def one(flow: Pushforward, key: Array) -> Pushforward:
        return dequantised(flow, columns, build_spread(key, sides, brightest))

    return one(start, keys[0]) if n_init == 1 else eqx.filter_vmap(one)(start, keys)


def parted(model: Any) -> tuple[Pushforward, AbstractMap]:
    """The flow and the spread that `dequantised` put together."""
    within, _, cells, _ = model.bijection.bijections
    return Pushforward(model.base, within), cells.spread


@eqx.filter_jit
def log_bounds(model: Pushforward, n_samples: int, s: Array, c: Array | None) -> Array:
    """Bounds on the log-probabilities of images in standard units, of so many draws each, importance weighted."""

    def bound(s: Array, c: Array | None, key: Array) -> Any:
        if n_samples == 1:
            return model.elbo(s, c, key=key)
        return model.log_prob_estimate(s, c, key=key, n_samples=n_samples).value

    bounds: Array = each_row(bound, s, c)
    return bounds


def on_grid(columns: Columns, x: FloatArray) -> FloatArray:
    """Whole numbers in standard units, the lower ends of their cells, shape (n, D)."""
    return (x - columns.shift) / columns.scale
