"""Any map with parameters that a network reads off a condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from pushforward import trees
from pushforward.bijections.base import AbstractBijection, AbstractMap, require_bijection, require_no_statistics


class Amortized(AbstractBijection):
    """A map whose trainable numbers are its own plus what a network gives for the condition.

    Zero output is the map itself. Where the inner map takes a condition, it sees the same one. The network runs once
    for each condition; both directions then cost what the inner map's cost (Rezende & Mohamed 2015, section 4).

    Arguments:
        bijection: the inner map, with P trainable numbers, none of which it reads off data.
        network: from a condition, made flat, to P numbers, added to the trainable leaves in the order of the pytree.
        cond_shape: shape of the condition.

    Raises:
        ValueError: the map has nothing to train or reads data, the network's output has another shape, or the inner
            map's condition has another shape.
        InexactError: the inner map's log-determinant is not exact.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward import trees
        >>> from pushforward.bijections import Amortized, Planar
        >>> from pushforward.networks import MLP
        >>> planar = Planar.init(jax.random.key(0), 2)
        >>> network = MLP.init(jax.random.key(1), 3, trees.n_parameters(planar), (8,))
        >>> Amortized(planar, network, (3,)).forward(jnp.zeros(2), jnp.ones(3)).shape
        (2,)
    """

    bijection: AbstractMap
    network: Callable[[Array], Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, bijection: AbstractMap, network: Callable[[Array], Array], cond_shape: Sequence[int]):
        require_bijection(bijection, "the map of an Amortized")
        require_no_statistics(bijection, "Amortized")
        n_params = trees.n_parameters(bijection)
        if not n_params:
            raise ValueError(f"{type(bijection).__name__} has no trainable numbers for a network to give")
        self.shape, self.cond_shape = bijection.shape, tuple(cond_shape)
        if bijection.cond_shape not in (None, self.cond_shape):
            raise ValueError(f"the map takes a condition of shape {bijection.cond_shape}, not {self.cond_shape}")
        result = eqx.filter_eval_shape(lambda: network(jnp.zeros(self.cond_shape).reshape(-1))).shape
        if result != (n_params,):
            raise ValueError(f"the network gives shape {result}; the map's trainable numbers ask for ({n_params},)")
        self.bijection, self.network = bijection, network

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.bijection.noise_shape

    def _inner(self, condition: Array | None) -> tuple[AbstractMap, Array | None]:
        if condition is None:
            raise ValueError(f"this map needs a condition of shape {self.cond_shape}; got none")
        inner = trees.offset(self.bijection, self.network(condition.reshape(-1)))
        return inner, None if self.bijection.cond_shape is None else condition

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inner, given = self._inner(condition)
        return inner.forward_and_log_det(z, given)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        inner, given = self._inner(condition)
        return inner.inverse_and_log_det(x, given)
