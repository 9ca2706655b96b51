"""A map that is part of a model and does not train."""

from __future__ import annotations

from pushforward.bijections.base import AbstractMap, AbstractWrapper
from pushforward.trees import Frozen


class Untrained(AbstractWrapper):
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
