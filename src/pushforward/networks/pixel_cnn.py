"""PixelCNN: masked convolutions of an image, whose outputs see the pixels before their own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward.networks._views import product
from pushforward.networks.causal import Reach
from pushforward.networks.masked import MaskedConvolution, Rows
from pushforward.networks.raster import AbstractRasterLayer, AbstractRasterNetwork

SIDE = 3  # of the blocks' kernels


class MaskedBlock(AbstractRasterLayer):
    """A residual block of a PixelCNN: 1 x 1 to half the channels, a masked convolution of 3 x 3 (B), 1 x 1 back.

    Arguments:
        into: shape (2 h, h).
        into_bias: shape (h,).
        convolution: of h channels.
        out: shape (h, 2 h).
        out_bias: shape (2 h,).
    """

    into: Float[Array, "two_h h"]
    into_bias: Float[Array, " h"]
    convolution: MaskedConvolution
    out: Float[Array, "h two_h"]
    out_bias: Float[Array, " two_h"]

    @classmethod
    def init(cls, key: PRNGKeyArray, channels: int) -> MaskedBlock:
        """Draw a block to train."""
        keys, h = jax.random.split(key, 3), channels
        return cls(
            jax.random.normal(keys[0], (2 * h, h)) * (1 / h) ** 0.5,
            jnp.zeros(h),
            MaskedConvolution.init(keys[1], h, h, SIDE, True),
            jax.random.normal(keys[2], (h, 2 * h)) * (0.5 / h) ** 0.5,
            jnp.zeros(2 * h),
        )

    def __call__(self, image: Array) -> Array:
        seen = self.convolution(jax.nn.relu(product(jax.nn.relu(image), self.into) + self.into_bias))
        return image + product(jax.nn.relu(seen), self.out) + self.out_bias

    def start(self, width: int) -> Rows:
        return self.convolution.start(width)

    def row(self, kept: Rows) -> Rows:
        return self.convolution.row(kept)

    def step(self, kept: Rows, column: Array, x: Array) -> tuple[Rows, Array]:
        narrow = jax.nn.relu(jax.nn.relu(x) @ self.into + self.into_bias)
        kept, seen = self.convolution.step(kept, column, narrow)
        return kept, x + jax.nn.relu(seen) @ self.out + self.out_bias

    def reach(self, seen: Reach) -> Reach:
        return seen | self.convolution.reach(seen)


class PixelCNN(AbstractRasterNetwork):
    """PixelCNN: masked convolutions in residual blocks (van den Oord et al. 2016, "Pixel recurrent neural networks").

    The first one, of mask A, leaves out the pixel itself, those of the blocks, of mask B, only what comes after it.
    Stacked masks have a blind spot: far to the right of a pixel, rows above it are not seen (`sees`).
    Sampling keeps the last rows of each convolution, and computes what they give to a row at once.

    Arguments (of `init`):
        key: a JAX random key.
        shape: (H, W, C).
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        channels: h; blocks are 2 h wide.
        n_layers: blocks.
        first_side: of the first kernel, odd, at least 3.
        cond_dim: size of a condition, or None.

    Raises:
        ValueError: a size is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import PixelCNN
        >>> network = PixelCNN.init(jax.random.key(0), (4, 5, 1), 2, 1, channels=8, n_layers=2)
        >>> network(jnp.zeros((4, 5, 1, 2))).shape
        (4, 5, 1, 1)
    """

    @staticmethod
    def layer() -> type[MaskedBlock]:
        return MaskedBlock
