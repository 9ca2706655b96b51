"""Shifts and scalings, coordinate by coordinate."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection
from pushforward.checks import floating, is_concrete, require
from pushforward.trees import Frozen, Outlined

SCALE_BOUND = 3.0  # soft bound on the log-scales of affine transformers: e^±3 a layer


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


class Scale(AbstractBijection):
    """x = scale · z in each coordinate, in closed form both ways (the multiplicative coupling's transformer).

    What trains is log|scale|; the signs stay.

    Arguments:
        scale: floating, nonzero, event shape.
        max_log_scale: if given, every trained log|scale| stays in (-m, m), through `m · tanh(raw / m)`.

    Raises:
        ValueError: the scale is not floating, not finite or zero, or |log|scale|| ≥ bound.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Scale
        >>> Scale(jnp.array([2.0, -0.5])).forward(jnp.ones(2)).tolist()
        [2.0, -0.5]
    """

    raw: Array
    sign: Frozen[Array]
    max_log_scale: float | None = eqx.field(static=True)
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, scale: Any, max_log_scale: float | None = None):
        scale = floating("scale", scale)
        require("scale", scale, lambda s: np.isfinite(s) & (s != 0), "finite and nonzero")
        if max_log_scale is not None and not 0 < max_log_scale < np.inf:
            raise ValueError(f"max_log_scale must be positive and finite, or None; got {max_log_scale}")
        log_scale = jnp.log(jnp.abs(scale))
        if (
            max_log_scale is not None
            and is_concrete(scale)
            and not np.all(np.abs(np.asarray(log_scale)) < max_log_scale)
        ):
            raise ValueError(f"scale must have |log|scale|| < max_log_scale = {max_log_scale}; got scale {scale}")
        self.raw = log_scale if max_log_scale is None else max_log_scale * jnp.arctanh(log_scale / max_log_scale)
        self.sign = Frozen(jnp.sign(scale))
        self.max_log_scale = None if max_log_scale is None else float(max_log_scale)
        self.shape = scale.shape
        self.cond_shape = None

    @property
    def log_scale(self) -> Array:
        """log|scale|, event shape."""
        return self.raw if self.max_log_scale is None else self.max_log_scale * jnp.tanh(self.raw / self.max_log_scale)

    @property
    def scale(self) -> Array:
        """Event shape."""
        return self.sign.value * jnp.exp(self.log_scale)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        log_scale = self.log_scale
        return z * (self.sign.value * jnp.exp(log_scale)), log_scale.sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        log_scale = self.log_scale
        return x * (self.sign.value * jnp.exp(-log_scale)), -log_scale.sum()


class Affine(AbstractBijection):
    """x = scale · z + shift in each coordinate, in closed form both ways (RealNVP's transformer, Dinh et al. 2017).

    What trains is the shift and log|scale|; the signs stay.

    Arguments:
        shift: floating, event shape, or broadcasting with `scale`.
        scale: floating, nonzero, event shape, or broadcasting with `shift`.
        max_log_scale: as for `Scale`.

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
    scaling: Scale
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, shift: Any, scale: Any, max_log_scale: float | None = None):
        shift, scale = floating("shift", shift), floating("scale", scale)
        require("shift", shift, np.isfinite, "finite")
        self.shift, scale = jnp.broadcast_arrays(shift, scale)
        self.scaling = Scale(scale, max_log_scale)
        self.shape = self.shift.shape
        self.cond_shape = None

    def made_of(self) -> list[Outlined]:
        """Nothing to tell of: a shift and a scale are what it is."""
        return []

    @property
    def log_scale(self) -> Array:
        """log|scale|, event shape."""
        return self.scaling.log_scale

    @property
    def scale(self) -> Array:
        """Event shape."""
        return self.scaling.scale

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        x, log_det = self.scaling.forward_and_log_det(z)
        return x + self.shift, log_det

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.scaling.inverse_and_log_det(x - self.shift)


MIN_GATE = 1e-3  # so that a gate never closes, and every point has an inverse


def affine_transformer(max_log_scale: float = SCALE_BOUND) -> Affine:
    """Shift and positive scale of one number, softly bounded: the usual transformer of couplings and their like."""
    return Affine(jnp.zeros(()), jnp.ones(()), max_log_scale=max_log_scale)


class Gated(AbstractBijection):
    """x = σ z + (1 − σ) m, a gate between the point and a new value, in closed form both ways (Kingma et al. 2016).

    What trains is m and a logit of σ; a gate near 1 lets points pass. It is the transformer of the gated form of IAF.

    Arguments:
        value: m, floating, event shape, or broadcasting with `gate`.
        gate: σ in (`MIN_GATE`, 1), event shape, or broadcasting with `value`.

    Raises:
        ValueError: a parameter is not floating or not finite, or a gate is not strictly between `MIN_GATE` and 1.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import Gated
        >>> round(Gated(jnp.array(4.0), jnp.array(0.75)).forward(jnp.array(0.0)).item(), 4)
        1.0
    """

    value: Array
    logit: Array
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True)

    def __init__(self, value: Any, gate: Any):
        value, gate = floating("value", value), floating("gate", gate)
        require("value", value, np.isfinite, "finite")
        require("gate", gate, lambda g: (g > MIN_GATE) & (g < 1), f"strictly between {MIN_GATE} and 1")
        self.value, gate = jnp.broadcast_arrays(value, gate)
        self.logit = jnp.log(gate - MIN_GATE) - jnp.log1p(-gate)
        self.shape = self.value.shape
        self.cond_shape = None

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        gate, rest = self._gates()
        return gate * z + rest * self.value, jnp.log(gate).sum()

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        gate, rest = self._gates()
        return x + (rest / gate) * (x - self.value), -jnp.log(gate).sum()

    def _gates(self) -> tuple[Array, Array]:
        """σ and 1 − σ."""
        return MIN_GATE + (1 - MIN_GATE) * jax.nn.sigmoid(self.logit), (1 - MIN_GATE) * jax.nn.sigmoid(-self.logit)
