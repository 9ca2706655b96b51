"""Invertible convolutions."""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractBijection
from pushforward.bijections.linear import PLU
from pushforward.checks import check_shape


class Convolution1x1(AbstractBijection):
    """One linear map of the channels of every pixel, P L (U + diag(s)) and a shift (Kingma & Dhariwal 2018).

    Either direction is one product of matrices for all pixels, after O(C³) for the matrix or its inverse, once a batch.
    No value of what trains is singular.

    Arguments:
        linear: the map of the channels of one pixel, of C channels.
        shape: of the event, (height, width, C).

    Raises:
        ValueError: the shape is not of that form.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Convolution1x1
        >>> layer = Convolution1x1.init(jax.random.key(0), (2, 2, 3))
        >>> x, log_det = layer.forward_and_log_det(jnp.ones((2, 2, 3)))
        >>> x.shape, round(abs(log_det.item()), 3)  # a rotation to start with
        ((2, 2, 3), 0.0)
    """

    linear: PLU
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, linear: PLU, shape: Any):
        self.shape = check_shape("shape", shape)
        if len(self.shape) != 3 or self.shape[2:] != linear.shape:
            raise ValueError(
                f"shape must be (height, width, {linear.shape[0]}), as many channels as linear has; got {shape}"
            )
        self.linear, self.cond_shape = linear, None

    @classmethod
    def init(cls, key: PRNGKeyArray, shape: Any) -> Convolution1x1:
        """Factor a random orthogonal matrix."""
        if len(check_shape("shape", shape)) != 3:
            raise ValueError(f"shape must be (height, width, channels); got {shape}")
        return cls(PLU.init(key, shape[2]), shape)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return z @ self._rows("forward") + self.linear.shift, self._log_det()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return (x - self.linear.shift) @ self._rows("inverse"), -self._log_det()

    def _rows(self, direction: str) -> Array:
        """What a direction of the linear map, without its shift, makes of the unit vectors, shape (C, C)."""
        shift = self.linear.shift
        unshifted = eqx.tree_at(lambda linear: linear.shift, self.linear, jnp.zeros_like(shift))
        rows: Array = jax.vmap(getattr(unshifted, direction))(jnp.eye(self.shape[-1], dtype=shift.dtype))
        return rows

    def _log_det(self) -> Array:
        log_det: Array = self.linear.log_diagonal.sum() * math.prod(self.shape[:2])
        return log_det
