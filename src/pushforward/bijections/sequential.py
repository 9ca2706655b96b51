"""Triangular maps: data to noise in one pass, noise to data one coordinate after the other."""

from __future__ import annotations

import abc
from functools import partial
from typing import Any, ClassVar

import equinox as eqx
import jax
from jax import lax
from jaxtyping import Array

from pushforward.bijections._implicit import along, implicit
from pushforward.bijections.base import AbstractBijection


class AbstractSequential(AbstractBijection):
    """A map whose pass from data to noise has a triangular Jacobian.

    A subclass has a network, and says how the pass runs, how it is undone, and how its transposed Jacobian is solved
    for. Noise to data then has implicit derivatives, forward and reverse and of any order: one triangular solve and
    one derivative of the pass, so their memory is that of one pass.
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
        """λ with Jᵀλ = g, where J is the Jacobian of the pass at x; linear in g."""


def sequential(layer: AbstractSequential, z: Array, condition: Array | None) -> tuple[Array, Array]:
    """z to x, with the log-determinant."""
    passed: tuple[Array, Array] = _sequential(layer, z, condition)
    return passed


def _forward(layer: AbstractSequential, z: Array, condition: Array | None) -> tuple[Array, Array]:
    x = layer.solve(z, condition)
    return x, -layer.parallel(x, condition)[1]


def _derivative(value: tuple[Array, Array], arguments: Any, tangents: Any) -> tuple[Array, Array]:
    """The implicit derivative of F(x, θ) = z: J dx = dz − ∂F/∂θ dθ.

    The pass is run again where its derivative is needed, so nothing but x is kept for reverse mode.
    """
    layer, _, condition = arguments
    moved: tuple[Array, Array] = eqx.filter_checkpoint(_tangents, prevent_cse=False)(
        value[0], (layer, condition), tangents
    )
    return moved


def _tangents(x: Array, given: Any, tangents: Any) -> tuple[Array, Array]:
    """The tangents of x and of the log-determinant."""
    layer, condition = given
    layer_dot, z_dot, condition_dot = tangents

    def transposed_solve(_: Any, g: Array) -> Array:
        solved: Array = layer.transposed_solve(x, condition, g)
        return solved

    def solve(_: Any, g: Array) -> Array:
        solved: Array = jax.linear_transpose(partial(transposed_solve, None), g)(g)[0]
        return solved

    z_moves, log_det_moves = along(lambda *given: given[0].parallel(x, given[1]), given, (layer_dot, condition_dot))
    _, push = jax.linearize(lambda x: layer.parallel(x, condition), x)
    right = -z_moves if z_dot is None else z_dot - z_moves
    x_dot = lax.custom_linear_solve(lambda v: push(v)[0], right, solve, transposed_solve)
    # the log-determinant is minus the pass's, as a function of x and the parameters
    return x_dot, -log_det_moves - push(x_dot)[1]


_sequential = implicit(_forward, _derivative)
