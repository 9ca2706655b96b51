"""A network that reads rows of a table, or rows that are images."""

from __future__ import annotations

from jaxtyping import PRNGKeyArray

from pushforward.networks.convolutional import Convolutional
from pushforward.networks.mlp import MLP


def row_network(
    key: PRNGKeyArray,
    n_in: int,
    n_out: int,
    hidden_sizes: tuple[int, ...],
    image_shape: tuple[int, ...] | None = None,
    n_given: int = 0,
) -> MLP | Convolutional:
    """Draw a network that reads rows: convolutional where they are images, else a perceptron.

    Arguments:
        key: a JAX random key.
        n_in: columns.
        n_out: outputs.
        hidden_sizes: of the perceptron, which of images comes after the convolutions.
        image_shape: (height, width, channels) of rows that are images; None for a table.
        n_given: numbers that follow a row.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import row_network
        >>> row_network(jax.random.key(0), 5, 2, (8,))(jnp.ones(5)).shape
        (2,)
    """
    if image_shape is None:
        return MLP.init(key, n_in + n_given, n_out, hidden_sizes, "silu")
    return Convolutional.init(key, image_shape, n_out, n_given, hidden_sizes=hidden_sizes)
