"""A map that is part of a model and does not train."""

from __future__ import annotations

from typing import Any

from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap
from pushforward.trees import Frozen


class Untrained(AbstractMap):
    """A map whose parameters stay as they are in training, out of reach of gradients, weight decay and priors.

    Each direction costs what the inner map's does.

    Arguments:
        bijection: any map that reads no parameters off data.

    Raises:
        ValueError: the map reads parameters off data.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward import trees
        >>> from pushforward.bijections import Affine, Untrained
        >>> whiten = Untrained(Affine(jnp.zeros(2), jnp.array([1.0, 0.25])))
        >>> whiten.forward(jnp.ones(2)).tolist(), trees.n_parameters(whiten)
        ([1.0, 0.25], 0)
    """

    frozen: Frozen[AbstractMap]

    def __init__(self, bijection: AbstractMap):
        if bijection.reads_data:
            raise ValueError(
                f"bijection reads parameters off data, which changes them; got {type(bijection).__name__}; give one "
                "that does not, or Fixed(...) of it"
            )
        self.frozen = Frozen(bijection)

    @property
    def bijection(self) -> AbstractMap:
        """The inner map, without gradients."""
        return self.frozen.value

    @property
    def domain(self) -> tuple[Any, Any]:
        return self.bijection.domain

    @property
    def codomain(self) -> tuple[Any, Any]:
        return self.bijection.codomain

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def noise_shape(self) -> tuple[int, ...]:
        return self.bijection.noise_shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_weight(z, key, condition)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_weight(x, key, condition)

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.forward_and_log_det(z, condition)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return self.bijection.inverse_and_log_det(x, condition)
