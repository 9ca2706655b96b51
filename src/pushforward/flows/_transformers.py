"""The scalar maps that recipes share."""

from __future__ import annotations

import jax.numpy as jnp

from pushforward.bijections import Affine

SCALE_BOUND = 3.0  # soft bound on the log-scales of affine transformers: e^±3 a layer


def affine() -> Affine:
    """Shift and positive scale, softly bounded."""
    return Affine(jnp.zeros(()), jnp.ones(()), bound=SCALE_BOUND)
