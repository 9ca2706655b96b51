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
    """x = z + shift on the circle [-half_width, half_width), in each coordinate.

    Volume preserving, in closed form both ways.

    It moves the seam of a circular spline (Rezende et al. 2020, "Normalizing flows on tori and spheres"). Points of
    data outside the interval have log-determinant -inf; noise is wrapped onto it.

    Arguments:
        shift: floating, event shape.
        half_width: half the length of the circle, positive.

    Raises:
        ValueError: the shift is not floating or not finite, or half_width is not positive.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import CircularShift
        >>> CircularShift(jnp.array(1.5), half_width=1.0).forward(jnp.array(0.0)).item()
        -0.5
    """

    shift: Array
    half_width: float = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shift: Any, half_width: float):
        self.shift = floating("shift", shift)
        require("shift", self.shift, np.isfinite, "finite")
        if not 0 < half_width < np.inf:
            raise ValueError(f"half_width must be positive and finite; got {half_width}")
        self.half_width = float(half_width)
        self.shape = self.shift.shape
        self.cond_shape = None

    @property
    def domain(self) -> tuple[float, float]:
        return -self.half_width, self.half_width

    @property
    def codomain(self) -> tuple[float, float]:
        return self.domain

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self._wrapped(z + self.shift), jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inside = (x >= -self.half_width) & (x <= self.half_width)
        z = jnp.where(inside, self._wrapped(x - self.shift), 0)
        return z, jnp.where(inside, 0.0, -jnp.inf).astype(x.dtype).sum()

    def _wrapped(self, angle: Array) -> Array:
        return angle - 2 * self.half_width * jnp.floor((angle + self.half_width) / (2 * self.half_width))
