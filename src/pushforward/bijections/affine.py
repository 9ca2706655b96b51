"""Shifts and scalings, coordinate by coordinate."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward import trees
from pushforward.bijections._checks import floating, require
from pushforward.bijections.base import AbstractBijection
from pushforward.trees import Frozen


class Shift(AbstractBijection):
    """x = z + shift; volume preserving, in closed form both ways (NICE's transformer, Dinh et al. 2015).

    Arguments:
        shift: floating, event shape.

    Raises:
        ValueError: it is not floating or not finite.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Shift
        >>> Shift(jnp.array([1.0, 2.0])).forward(jnp.zeros(2)).tolist()
        [1.0, 2.0]
    """

    shift: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shift: Any):
        self.shift = floating("shift", shift)
        require("shift", self.shift, np.isfinite, "finite")
        self.shape = self.shift.shape
        self.cond_shape = None

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x = z + self.shift
        return x, jnp.zeros((), x.dtype)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        z = x - self.shift
        return z, jnp.zeros((), z.dtype)


class Affine(AbstractBijection):
    """x = scale · z + shift in each coordinate, in closed form both ways (RealNVP's transformer, Dinh et al. 2017).

    What trains is the shift and log|scale|; the signs stay.

    Arguments:
        shift: floating, event shape, or broadcasting with `scale`.
        scale: floating, nonzero, event shape, or broadcasting with `shift`.
        bound: if given, every trained log|scale| stays in (-bound, bound), through `bound · tanh(raw / bound)`.

    Raises:
        ValueError: a parameter is not floating or not finite, a scale is zero, or |log|scale|| ≥ bound.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Affine
        >>> x, log_det = Affine(jnp.array([1.0, 0.0]), jnp.array([2.0, -0.5])).forward_and_log_det(jnp.ones(2))
        >>> x.tolist(), log_det.item()
        ([3.0, -0.5], 0.0)
    """

    shift: Array
    raw_scale: Array
    sign: Frozen[Array]
    bound: float | None = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shift: Any, scale: Any, bound: float | None = None):
        shift, scale = floating("shift", shift), floating("scale", scale)
        require("shift", shift, np.isfinite, "finite")
        require("scale", scale, lambda s: np.isfinite(s) & (s != 0), "finite and nonzero")
        if bound is not None and not 0 < bound < np.inf:
            raise ValueError(f"bound must be positive and finite, or None; got {bound}")
        shift, scale = jnp.broadcast_arrays(shift, scale)
        log_scale = jnp.log(jnp.abs(scale))
        if bound is not None and trees.is_concrete(scale) and not np.all(np.abs(np.asarray(log_scale)) < bound):
            raise ValueError(f"scale must have |log|scale|| < bound = {bound}; got scale {scale}")
        self.shift = shift
        self.raw_scale = log_scale if bound is None else bound * jnp.arctanh(log_scale / bound)
        self.sign = Frozen(jnp.sign(scale))
        self.bound = None if bound is None else float(bound)
        self.shape = shift.shape
        self.cond_shape = None

    @property
    def log_scale(self) -> Array:
        """log|scale|, event shape."""
        return self.raw_scale if self.bound is None else self.bound * jnp.tanh(self.raw_scale / self.bound)

    @property
    def scale(self) -> Array:
        """Event shape."""
        return self.sign.value * jnp.exp(self.log_scale)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        log_scale = self.log_scale
        return z * (self.sign.value * jnp.exp(log_scale)) + self.shift, log_scale.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        log_scale = self.log_scale
        return (x - self.shift) * (self.sign.value * jnp.exp(-log_scale)), -log_scale.sum()
