"""A map whose inside is computed again where gradients need it."""

from __future__ import annotations

from typing import Any

import equinox as eqx
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap, AbstractWrapper, require_map


class Recomputed(AbstractWrapper):
    """A map that keeps nothing for gradients but what goes in: its inside is computed once more for them.

    A stack of such layers takes the memory of one of them, and of one point for each, instead of that of all, for about
    a third more time of a gradient (Chen et al. 2016, "Training deep nets with sublinear memory cost"). Each direction
    costs what the inner map's does.

    Arguments:
        bijection: any map.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Exp, Recomputed
        >>> jax.grad(Recomputed(Exp(())).forward)(jnp.array(0.0)).item()
        1.0
    """

    bijection: AbstractMap

    def __init__(self, bijection: AbstractMap):
        require_map(bijection)
        self.bijection = bijection

    def _again(self, method: str, *arguments: Any) -> Any:
        """What a method of the inner map gives."""
        return eqx.filter_checkpoint(lambda inner, given: getattr(inner, method)(*given))(self.bijection, arguments)

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        moved: tuple[Array, Array] = self._again("forward_and_log_weight", z, key, condition)
        return moved

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        moved: tuple[Array, Array] = self._again("inverse_and_log_weight", x, key, condition)
        return moved

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        moved: tuple[Array, Array] = self._again("forward_and_log_det", z, condition)
        return moved

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        moved: tuple[Array, Array] = self._again("inverse_and_log_det", x, condition)
        return moved

    def forward_batch(
        self, z: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        moved: tuple[Array, Array] = self._again("forward_batch", z, key, condition)
        return moved

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        moved: tuple[Array, Array] = self._again("inverse_batch", x, key, condition)
        return moved

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Recomputed, Array, Array]:
        inner, z, log_weight = self._again("calibrate", x, condition, weights, key)
        return Recomputed(inner), z, log_weight
