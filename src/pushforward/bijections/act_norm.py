"""Activation normalisation: a scale and shift for each channel that start from the data and then train."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractDataMap
from pushforward.bijections.batch_norm import weighted_moments
from pushforward.checks import floating, require, require_shape
from pushforward.trees import Frozen

LEAST_SCALE = 1e-3  # of a channel that hardly varies in the first batch, so that its inverse stays finite


class ActNorm(AbstractDataMap):
    """x = scale · z + shift in each channel, read off the first batch and trained from there (Kingma & Dhariwal 2018).

    The first batch that `calibrate` sees gets mean 0 and variance 1 on the noise side; later ones, and rows of weight
    zero alone, change nothing. A map built from given parameters keeps them. What trains is the shift and log(scale).
    In closed form both ways.

    Arguments:
        shift: floating, shape (C,), one for each channel, the last axis of an event; or (), one for all.
        scale: positive, the same shape.
        shape: the event shape; the shape of `shift` if None.

    Raises:
        ValueError: a parameter is not floating, not finite or not positive, or a shape does not fit.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import ActNorm
        >>> norm, z, log_det = ActNorm.init((1,)).calibrate(jnp.array([[1.0], [3.0]]))
        >>> norm.shift.tolist(), z.round(3).tolist()
        ([2.0], [[-1.0], [1.0]])
    """

    only_starts: ClassVar[bool] = True

    shift: Array
    log_scale: Array
    started: Frozen[Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shift: Any, scale: Any, shape: tuple[int, ...] | None = None):
        shift, scale = floating("shift", shift), floating("scale", scale)
        self.shape = shift.shape if shape is None else tuple(shape)
        if shift.shape not in ((), self.shape[-1:]):
            raise ValueError(
                f"shift must have one entry for each channel of the event shape {self.shape}, "
                f"{self.shape[-1:]}, or be a scalar; got shape {shift.shape}"
            )
        require_shape("scale", scale, shift.shape)
        require("shift", shift, np.isfinite, "finite")
        require("scale", scale, lambda s: np.isfinite(s) & (s > 0), "finite and positive")
        self.shift, self.log_scale = shift, jnp.log(scale)
        self.started = Frozen(jnp.ones((), bool))
        self.cond_shape = None

    @classmethod
    def init(cls, shape: tuple[int, ...]) -> ActNorm:
        """The identity, until a batch is seen."""
        channels = tuple(shape)[-1:]
        made = cls(jnp.zeros(channels), jnp.ones(channels), shape)
        unseen: ActNorm = eqx.tree_at(lambda a: a.started.content, made, jnp.zeros((), bool))
        return unseen

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return z * jnp.exp(self.log_scale) + self.shift, self._log_det()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return (x - self.shift) * jnp.exp(-self.log_scale), -self._log_det()

    def _log_det(self) -> Array:
        return self.log_scale.sum() * (math.prod(self.shape) // max(self.log_scale.size, 1))

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[ActNorm, Array, Array]:
        """Take shift and scale from the first batch; see `AbstractMap.calibrate`."""

        def moments() -> tuple[Array, Array]:  # no gradient goes through where it starts
            mean, variance = weighted_moments(lax.stop_gradient(x), weights, n_kept=self.shift.ndim)
            return mean, jnp.log(jnp.maximum(jnp.sqrt(variance), LEAST_SCALE))

        seen = jnp.asarray(True) if weights is None else (weights > 0).any()
        starts = seen & ~self.started.value
        # in all steps of training but the first there is nothing to read off
        shift, log_scale = lax.cond(starts, moments, lambda: (self.shift, self.log_scale))
        calibrated = eqx.tree_at(
            lambda a: (a.shift, a.log_scale, a.started.content), self, (shift, log_scale, self.started.value | seen)
        )
        z, log_det = jax.vmap(calibrated.inverse_and_log_det)(x)
        return calibrated, z, log_det
