"""Variational dequantisation of images: where in its cell a pixel lies is drawn by a flow that sees the image."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward.bijections import AbstractMap, Affine, Amortized, Chain, Dequantise, Sigmoid, Untrained
from pushforward.bijections.base import NOISY
from pushforward.data.columns import Columns
from pushforward.distributions import Pushforward
from pushforward.distributions.estimates import each_row
from pushforward.networks import PlainConvolutions, SpreadNetwork
from pushforward.processes import jit_once

CHANNELS = (32, 32)  # of the network that sees the image
ROOM = 1e-3  # share of a cell at each of its ends where no pixel is put
SAMPLES = 8  # of an importance-weighted estimate


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
    normal = Amortized(Affine(jnp.zeros(dim), jnp.ones(dim)), SpreadNetwork(network, sides, brightest), (dim,))
    # away from the ends of a cell, which single precision may round onto the bounds of all pixels
    within = Untrained(Affine(jnp.full(dim, ROOM), jnp.full(dim, 1 - 2 * ROOM)))
    return Chain([normal, Sigmoid((dim,)), within])


def dequantised(flow: Pushforward, columns: Columns, spread: AbstractMap) -> Pushforward:
    """A flow of whole numbers, in the data's units, from one of numbers within their cells, in standard units.

    Arguments:
        flow: in standard units.
        columns: whole numbers, all of them.
        spread: of `build_spread`.
    """
    cells = Dequantise(jnp.ones(columns.n), spread)
    return Pushforward(flow.base, Chain([flow.bijection, Untrained(columns.units_map()), cells]))


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
    brightest = float(np.max(columns.high if np.isfinite(columns.high).all() else columns.reach[1]))

    def one(flow: Pushforward, key: Array) -> Pushforward:
        return dequantised(flow, columns, build_spread(key, sides, brightest))

    return one(start, keys[0]) if n_init == 1 else eqx.filter_vmap(one)(start, keys)


def parted(model: Any) -> tuple[Pushforward, AbstractMap]:
    """The flow and the spread that `dequantised` put together."""
    within, _, cells = model.bijection.bijections
    return Pushforward(model.base, within), cells.spread


@eqx.filter_jit
def log_bounds(model: Pushforward, n_samples: int, x: Array, c: Array | None) -> Array:
    """Bounds on the log-probabilities of images in the data's units, of so many draws each.

    Draws are importance weights; where log-determinants are estimates, which would bias these upward, their logarithms
    are averaged.
    """

    def bound(x: Array, c: Array | None, key: Array) -> Any:
        if n_samples == 1 or model.inexactness & NOISY:
            return model.elbo(x, c, key=key, n_samples=n_samples)
        return model.log_prob_estimate(x, c, key=key, n_samples=n_samples).value

    bounds: Array = each_row(bound, x, c)
    return bounds
