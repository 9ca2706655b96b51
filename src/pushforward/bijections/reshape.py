"""Points in another shape."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import check_shape


class Reshape(AbstractBijection):
    """The same numbers, in the same order (C's), as another shape; volume preserving, and free both ways.

    Arguments:
        noise_shape: event shape of z.
        shape: event shape of x, of as many numbers.

    Raises:
        ValueError: the shapes hold different numbers of numbers, or are no shapes.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Reshape
        >>> Reshape((4,), (2, 2)).forward(jnp.arange(4.0)).tolist()
        [[0.0, 1.0], [2.0, 3.0]]
    """

    from_shape: tuple[int, ...] = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, noise_shape: Any, shape: Any):
        self.from_shape, self.shape = check_shape("noise_shape", noise_shape), check_shape("shape", shape)
        sizes = math.prod(self.from_shape), math.prod(self.shape)
        if sizes[0] != sizes[1]:
            raise ValueError(
                f"noise_shape and shape must hold as many numbers; {self.from_shape} holds {sizes[0]}, {self.shape} "
                f"{sizes[1]}"
            )
        self.cond_shape = None

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.from_shape

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return z.reshape(self.shape), jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return x.reshape(self.noise_shape), jnp.zeros((), x.dtype)
