"""Random keys whose draws compile to a few operations: JAX's own make up most of a small program."""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.random import define_prng_impl


def _mix(x: Any) -> Any:
    """Each bit of a 32-bit number to about half of them (the lowbias32 hash of Wellons)."""
    x = (x ^ (x >> 16)) * jnp.uint32(0x7FEB352D)
    x = (x ^ (x >> 15)) * jnp.uint32(0x846CA68B)
    return x ^ (x >> 16)


def _bits(key: Any, width: int, shape: tuple[int, ...]) -> Any:
    n = math.prod(shape)
    places = jax.lax.iota(jnp.uint32, n * max(1, width // 32))
    bits = _mix(_mix(places + jnp.uint32(1)) ^ key[0])
    if width == 64:
        high, low = bits.astype(jnp.uint64).reshape(2, n)
        bits = (high << 32) | low
    return bits.astype(f"uint{width}").reshape(shape)


def _seed(seed: Any) -> Any:
    return _mix(seed.astype(jnp.uint32).reshape(1) + jnp.uint32(0x9E3779B9))


def _split(key: Any, shape: tuple[int, ...]) -> Any:
    places = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(*shape, 1)
    return _mix(_mix(key + jnp.uint32(0x85EBCA6B)) + _mix(places))


def _fold_in(key: Any, data: Any) -> Any:
    return _mix(_mix(key + jnp.uint32(0xC2B2AE35)) ^ _mix(data.astype(jnp.uint32)))


_HASH = define_prng_impl(
    key_shape=(1,), seed=_seed, split=_split, random_bits=_bits, fold_in=_fold_in, name="hash", tag="hash"
)


def cheap_key(seed: Any) -> Any:
    """For draws that need no more than to look random."""
    return jax.random.key(seed, impl=_HASH)
