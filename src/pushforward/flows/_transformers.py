"""What recipes share: scalar maps, and the choice of the quick direction."""

from __future__ import annotations

import jax.numpy as jnp

from pushforward.bijections import AbstractBijection, Affine, Invert

SCALE_BOUND = 3.0  # soft bound on the log-scales of affine transformers: e^±3 a layer


def affine() -> Affine:
    """Shift and positive scale, softly bounded."""
    return Affine(jnp.zeros(()), jnp.ones(()), bound=SCALE_BOUND)


def quick(bijection: AbstractBijection, natural: str, fast: str) -> AbstractBijection:
    """A map whose quick direction is the one asked for: the map itself, or its inverse.

    Arguments:
        bijection: the map.
        natural: "density" if its quick direction is data to noise, "sampling" if noise to data.
        fast: the one asked for.

    Raises:
        ValueError: `fast` is neither.
    """
    if fast not in ("density", "sampling"):
        raise ValueError(f"fast must be 'density' or 'sampling'; got {fast!r}")
    return bijection if fast == natural else Invert(bijection)
