"""Triangular maps: data to noise in one pass, noise to data one coordinate after the other."""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pushforward.bijections.base import AbstractBijection


class AbstractSequential(AbstractBijection):
    """A map whose pass from data to noise has a triangular Jacobian.

    A subclass has a network, and says how the pass runs, how it is undone, and how its transposed Jacobian is solved
    for. Noise to data then has an implicit gradient: one reverse sweep and one VJP of the pass, so its memory is that
    of one pass.
    """

    forward_is_sequential: ClassVar[bool] = True

    network: eqx.AbstractVar[Any]  # of `dim` inputs; its `context` weighs the condition, or is None

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.network.dim,)

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return None if self.network.context is None else self.network.context.shape[-1:]

    @abc.abstractmethod
    def parallel(self, x: Array, condition: Array | None) -> tuple[Array, Array]:
        """The pass from x to z, with its log-determinant."""

    @abc.abstractmethod
    def solve(self, z: Array, condition: Array | None) -> Array:
        """The x whose pass gives z."""

    @abc.abstractmethod
    def transposed_solve(self, x: Array, condition: Array | None, g: Array) -> Array:
        """λ with Jᵀλ = g, where J is the Jacobian of the pass at x."""


def sequential(layer: AbstractSequential, z: Array, condition: Array | None) -> tuple[Array, Array]:
    """z to x, with the log-determinant."""
    passed: tuple[Array, Array] = _sequential((layer, z, condition))
    return passed


@eqx.filter_custom_vjp
def _sequential(arguments: tuple[AbstractSequential, Array, Array | None]) -> tuple[Array, Array]:
    layer, z, condition = arguments
    x = layer.solve(z, condition)
    return x, -layer.parallel(x, condition)[1]


@_sequential.def_fwd  # type: ignore[untyped-decorator]
def _forward(perturbed: Any, arguments: Any) -> tuple[tuple[Array, Array], Array]:
    x, log_det = _sequential(arguments)
    return (x, log_det), x


@_sequential.def_bwd  # type: ignore[untyped-decorator]
def _backward(x: Array, cotangents: Any, perturbed: Any, arguments: Any) -> Any:
    """Implicit gradient of F(x, θ) = z: λ solves Jᵀλ = g, then one VJP of the pass."""
    layer, _, condition = arguments
    x_bar = jnp.zeros_like(x) if cotangents[0] is None else cotangents[0]
    log_det_bar = jnp.zeros((), x.dtype) if cotangents[1] is None else cotangents[1]
    trainable, rest = eqx.partition((layer, condition), eqx.is_inexact_array)

    def parallel(trainable: Any, x: Array) -> tuple[Array, Array]:
        layer, condition = eqx.combine(trainable, rest)
        passed: tuple[Array, Array] = layer.parallel(x, condition)
        return passed

    _, vjp = jax.vjp(parallel, trainable, x)
    # the forward log-determinant is minus the inverse's, as a function of x and the parameters
    g = x_bar + vjp((jnp.zeros_like(x), -log_det_bar))[1]
    solved = layer.transposed_solve(x, condition, g)
    layer_bar, condition_bar = vjp((-solved, -log_det_bar))[0]
    return layer_bar, solved, condition_bar
