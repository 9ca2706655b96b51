"""A network that reads rows of a table, or rows that are images."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import PRNGKeyArray

from pushforward.networks.convolutional import Convolutional
from pushforward.networks.images import PlainConvolutions, RowConvolutions
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


def moments_network(
    key: PRNGKeyArray,
    n_in: int,
    n_out: int,
    hidden_sizes: Sequence[int],
    activation: str,
    output_scale: float,
    n_given: int = 0,
    pixels: tuple[int, int] | None = None,
) -> MLP | RowConvolutions:
    """Draw a network from a row to a location and a scale of each of some numbers: convolutions between flat images.

    Arguments:
        key: a JAX random key.
        n_in: columns.
        n_out: locations, which come first, and as many scales.
        hidden_sizes: units of each hidden layer, or channels.
        activation: its name.
        output_scale: scale of the last layer's weights.
        n_given: numbers that follow a row.
        pixels: height and width of rows, and of what comes of them, that are flat images; None for a perceptron.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import moments_network
        >>> moments_network(jax.random.key(0), 4, 8, (8,), "silu", 0.1, pixels=(2, 2))(jnp.ones(4)).shape
        (16,)
    """
    if pixels is None:
        return MLP.init(key, n_in + n_given, 2 * n_out, hidden_sizes, activation, output_scale)
    area = pixels[0] * pixels[1]
    network = PlainConvolutions.init(
        key,
        n_in // area,
        2 * n_out // area,
        hidden_sizes,
        n_given or None,
        activation=activation,
        output_scale=output_scale,
    )
    return RowConvolutions(network, (*pixels, n_in // area), 2)
