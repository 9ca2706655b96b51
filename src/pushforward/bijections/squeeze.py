"""Blocks of pixels as channels."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import check_shape


class Squeeze(AbstractBijection):
    """Images from ones of half the height and width and four times the channels (Dinh et al. 2017, section 3.6).

    On the way to the noise each block of 2 x 2 pixels becomes one pixel, whose channels are those of the block, row by
    row. Volume preserving, and free both ways.

    Arguments:
        shape: of the data, (height, width, channels), with even height and width.

    Raises:
        ValueError: the shape is not of that form.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Squeeze
        >>> Squeeze((2, 2, 1)).inverse(jnp.arange(4.0).reshape(2, 2, 1)).tolist()
        [[[0.0, 1.0, 2.0, 3.0]]]
    """

    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shape: Any):
        self.shape = check_shape("shape", shape)
        if len(self.shape) != 3:
            raise ValueError(f"shape must be (height, width, channels); got {self.shape}")
        if self.shape[0] % 2 or self.shape[1] % 2:
            raise ValueError(f"height and width must be even to be halved; got {self.shape[0]} x {self.shape[1]}")
        self.cond_shape = None

    @property
    def noise_shape(self) -> tuple[int, ...]:
        height, width, channels = self.shape
        return height // 2, width // 2, 4 * channels

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        height, width, channels = self.shape
        blocks = z.reshape(height // 2, width // 2, 2, 2, channels).swapaxes(1, 2)
        return blocks.reshape(self.shape), jnp.zeros((), z.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        height, width, channels = self.shape
        blocks = x.reshape(height // 2, 2, width // 2, 2, channels).swapaxes(1, 2)
        return blocks.reshape(self.noise_shape), jnp.zeros((), x.dtype)
