"""Convolutional networks from an image to an image of as many pixels, for couplings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.checks import check_whole
from pushforward.networks._views import convolve_at, product, square
from pushforward.networks.mlp import activation

Image = Float[Array, "*batch h w _"]  # of any number of channels
Kernel = Float[Array, "side side c_in c_out"]


def convolve(image: Image, kernel: Kernel) -> Image:
    """A convolution of stride 1, zeros outside, as one product with the views of the thinner of its two sides.

    The views of the input are put beside each other where it has fewer channels than the output; else every pixel's
    share in each of its neighbours is one product, and the shares are added. Gradients are products of the same kinds:
    on a CPU they take a fraction of what those of XLA's convolution take.

    Arguments:
        image: shape (*batch, H, W, C_in).
        kernel: shape (side, side, C_in, C_out), side odd.

    Returns:
        Shape (*batch, H, W, C_out).

    Raises:
        ValueError: the side is even.
    """
    side, _, n_in, n_out = kernel.shape
    if side % 2 == 0:
        raise ValueError(f"the side of a kernel must be odd, so that it has a middle; got {side}")
    if side == 1:
        return product(image, kernel[0, 0])
    return convolve_at(image, kernel.reshape(-1, n_in, n_out), square(side))


class Convolve(eqx.Module):
    """A convolution of stride 1 with a bias; with a gain, its kernel has that norm for each output channel.

    (Weight normalisation, Salimans & Kingma 2016.)

    Arguments:
        kernel: shape (side, side, C_in, C_out).
        bias: shape (C_out,).
        log_gain: logarithm of each output channel's norm, shape (C_out,), or None for the kernel as it is.
    """

    kernel: Kernel
    bias: Float[Array, " c_out"]
    log_gain: Float[Array, " c_out"] | None = None

    @classmethod
    def init(
        cls, key: PRNGKeyArray, n_in: int, n_out: int, side: int = 3, scale: float = 2.0**0.5, normalised: bool = False
    ) -> Convolve:
        """Draw a kernel of He's scale, or another; of scale 0 it is zero, and has no gain."""
        if check_whole("side", side, 1) % 2 == 0:
            raise ValueError(f"side must be odd, so that a kernel has a middle; got {side}")
        kernel = jax.random.normal(key, (side, side, n_in, n_out)) * (scale / (side * side * max(n_in, 1)) ** 0.5)
        log_gain = jnp.log(jnp.linalg.norm(kernel.reshape(-1, n_out), axis=0)) if normalised and scale else None
        return cls(kernel, jnp.zeros(n_out), log_gain)

    def __call__(self, image: Image) -> Image:
        kernel = self.kernel
        if self.log_gain is not None:
            norm = jnp.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), axis=0)
            kernel = kernel * (jnp.exp(self.log_gain) / norm)
        return convolve(image, kernel) + self.bias


class PlainConvolutions(eqx.Module):
    """Convolutions one after the other: those of 3 x 3 first and last, of 1 x 1 between (Kingma & Dhariwal 2018).

    Arguments (of `init`):
        key: a JAX random key.
        n_in: channels that come.
        n_out: channels that go, which start at zero unless `output_scale` is more.
        channels: of each hidden layer.
        cond_dim: size of a condition, which the first layer sees at every pixel; or None.
        side: of the first and the last kernel, odd.
        activation: a name in `ACTIVATIONS`.
        output_scale: of the last layer's weights.

    Raises:
        ValueError: the side is even.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import PlainConvolutions
        >>> PlainConvolutions.init(jax.random.key(0), 1, 2, (8, 8))(jnp.ones((4, 4, 1))).shape
        (4, 4, 2)
    """

    layers: tuple[Convolve, ...]
    context: Float[Array, "channels cond_dim"] | None
    activation: str = eqx.field(static=True, default="relu")

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        n_out: int,
        channels: Sequence[int] = (64, 64),
        cond_dim: int | None = None,
        side: int = 3,
        activation: str = "relu",
        output_scale: float = 0.0,
    ) -> PlainConvolutions:
        """Draw a network to train."""
        key_context, *keys = jax.random.split(key, len(channels) + 2)
        sizes, last = [n_in, *channels, n_out], len(channels)
        layers = [
            Convolve.init(key, a, b, 1 if 0 < i < last else side, 2.0**0.5 if i < last else output_scale)
            for i, (key, a, b) in enumerate(zip(keys, sizes[:-1], sizes[1:], strict=True))
        ]
        context = _context(key_context, sizes[1], cond_dim)
        return cls(tuple(layers), context if channels or context is None else 0 * context, activation)

    def __call__(self, image: Image, condition: Float[Array, "*batch cond_dim"] | None = None) -> Image:
        act = activation(self.activation)
        image = _told(self.layers[0](image), self.context, condition)
        for layer in self.layers[1:]:
            image = layer(act(image))
        return image


class ResidualConvolutions(eqx.Module):
    """A residual network of convolutions of 3 x 3 with normalised weights (Dinh et al. 2017, section 3.7).

    Arguments (of `init`):
        key: a JAX random key.
        n_in: channels that come.
        n_out: channels that go, which start at zero.
        channels: of each block, all the same.
        cond_dim: size of a condition, which the first block sees at every pixel; or None.
        activation: a name in `ACTIVATIONS`.

    Raises:
        ValueError: the blocks do not have as many channels.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import ResidualConvolutions
        >>> ResidualConvolutions.init(jax.random.key(0), 1, 2, (8, 8))(jnp.ones((4, 4, 1))).shape
        (4, 4, 2)
    """

    first: Convolve
    blocks: tuple[tuple[Convolve, Convolve], ...]
    last: Convolve
    context: Float[Array, "channels cond_dim"] | None
    activation: str = eqx.field(static=True, default="relu")

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        n_out: int,
        channels: Sequence[int] = (32, 32),
        cond_dim: int | None = None,
        activation: str = "relu",
    ) -> ResidualConvolutions:
        """Draw a network to train."""
        if len(set(channels)) != 1:
            raise ValueError(f"blocks of a residual network must have as many channels; got {tuple(channels)}")
        width = channels[0]
        key_first, key_last, key_context, *keys = jax.random.split(key, 2 * len(channels) + 3)
        made = [Convolve.init(key, width, width, normalised=True) for key in keys]
        return cls(
            Convolve.init(key_first, n_in, width, normalised=True),
            tuple(zip(made[::2], made[1::2], strict=True)),
            Convolve.init(key_last, width, n_out, 1, scale=0.0),
            _context(key_context, width, cond_dim),
            activation,
        )

    def __call__(self, image: Image, condition: Float[Array, "*batch cond_dim"] | None = None) -> Image:
        act = activation(self.activation)
        image = _told(self.first(image), self.context, condition)
        for into, out in self.blocks:
            image = image + out(act(into(act(image))))
        return self.last(act(image))


class SpreadNetwork(eqx.Module):
    """A location and a scale for every pixel of a flat image, as numbers added to those of an `Affine`.

    Arguments:
        network: of two channels for each of the image's: how bright a pixel is, and whether it is more than zero.
        sides: height, width and channels.
        brightest: value of a pixel that counts as 1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import PlainConvolutions, SpreadNetwork
        >>> network = PlainConvolutions.init(jax.random.key(0), 2, 2, (4,))
        >>> SpreadNetwork(network, (2, 3, 1), 255.0)(jnp.zeros(6)).shape
        (12,)
    """

    network: PlainConvolutions
    sides: tuple[int, int, int] = eqx.field(static=True)
    brightest: float = eqx.field(static=True)

    def __call__(self, row: Float[Array, " d"]) -> Float[Array, " p"]:
        image = row.reshape(self.sides)
        seen = jnp.concatenate([2 * image / self.brightest - 1, (image > 0).astype(image.dtype)], -1)
        height, width, n = seen.shape
        return RowConvolutions(self.network, (height, width, n), 2)(seen.reshape(-1))


class RowConvolutions(eqx.Module):
    """Convolutions from a flat image, and a condition after it, to flat images, one after the other.

    Arguments:
        network: from the image's channels to those of all images that it gives.
        sides: height, width and channels of the image that comes.
        n_images: that it gives.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import PlainConvolutions, RowConvolutions
        >>> network = PlainConvolutions.init(jax.random.key(0), 1, 4, (4,), cond_dim=2)
        >>> RowConvolutions(network, (2, 3, 1), 2)(jnp.zeros(6 + 2)).shape
        (24,)
    """

    network: PlainConvolutions
    sides: tuple[int, int, int] = eqx.field(static=True)
    n_images: int = eqx.field(static=True)

    def __call__(self, row: Float[Array, " d"]) -> Float[Array, " p"]:
        n = math.prod(self.sides)
        told = self.network(row[:n].reshape(self.sides), row[n:] if len(row) > n else None)
        return jnp.concatenate([image.reshape(-1) for image in jnp.split(told, self.n_images, axis=-1)])


def _context(key: PRNGKeyArray, n_out: int, cond_dim: int | None) -> Array | None:
    """Weights of a condition, or None where there is none."""
    return None if cond_dim is None else jax.random.normal(key, (n_out, cond_dim)) / cond_dim**0.5


def _told(image: Image, context: Array | None, condition: Array | None) -> Image:
    """An image with what the condition says added at every pixel.

    Raises:
        ValueError: the network needs a condition, and there is none.
    """
    if context is None:
        return image
    if condition is None:
        raise ValueError(f"this network needs a condition of shape {context.shape[-1:]}; got none")
    return image + (condition @ context.T)[..., None, None, :]
