"""Turns of a circle."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, require


class CircularShift(AbstractBijection):
    """x = z + shift on the circle [-bound, bound), in each coordinate; volume preserving, in closed form both ways.

    It moves the seam of a circular spline (Rezende et al. 2020, "Normalizing flows on tori and spheres"). Points of
    data outside the interval have log-determinant -inf; noise is wrapped onto it.

    Arguments:
        shift: floating, event shape.
        bound: half the length of the circle, positive.

    Raises:
        ValueError: the shift is not floating or not finite, or the bound is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import CircularShift
        >>> CircularShift(jnp.array(1.5), bound=1.0).forward(jnp.array(0.0)).item()
        -0.5
    """

    shift: Array
    bound: float = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shift: Any, bound: float):
        self.shift = floating("shift", shift)
        require("shift", self.shift, np.isfinite, "finite")
        if not 0 < bound < np.inf:
            raise ValueError(f"bound must be positive and finite; got {bound}")
        self.bound = float(bound)
        self.shape = self.shift.shape
        self.cond_shape = None

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._wrapped(z + self.shift), jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (x >= -self.bound) & (x <= self.bound)
        z = jnp.where(inside, self._wrapped(x - self.shift), 0)
        return z, jnp.where(inside, 0.0, -jnp.inf).astype(x.dtype).sum()

    def _wrapped(self, angle: Array) -> Array:
        return angle - 2 * self.bound * jnp.floor((angle + self.bound) / (2 * self.bound))
