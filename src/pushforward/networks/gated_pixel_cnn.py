"""Gated PixelCNN: two stacks of convolutions, rows above a pixel and the pixels to its left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward import trees
from pushforward.checks import check_whole
from pushforward.networks._views import convolve_at, product
from pushforward.networks.causal import (
    AbstractCausalNetwork,
    ChannelHead,
    Reach,
    check_places,
    condition_weights,
    given,
    itself,
    reach_at,
    shifted_reach,
)
from pushforward.networks.layers import gate, run, stacked
from pushforward.networks.masked import MaskedConvolution, Rows


class VerticalConvolution(eqx.Module):
    """A convolution of a whole row at a time, over this row and those above it, zeros outside.

    Arguments:
        kernel: a matrix for each tap, shape (rows · side, n_in, n_out), rows from the top.
        bias: shape (n_out,).
        side: columns of the kernel, odd.
    """

    kernel: Float[Array, "taps n_in n_out"]
    bias: Float[Array, " n_out"]
    side: int = eqx.field(static=True)

    @classmethod
    def init(cls, key: PRNGKeyArray, n_in: int, n_out: int, side: int, scale: float = 1.0) -> VerticalConvolution:
        """Draw a convolution to train, of (side + 1) / 2 rows."""
        n = (side // 2 + 1) * side
        kernel = jax.random.normal(key, (n, n_in, n_out)) * (scale / (n * n_in) ** 0.5)
        return cls(kernel, jnp.zeros(n_out), side)

    @property
    def rows(self) -> int:
        """Of the kernel."""
        return self.kernel.shape[-3] // self.side

    @property
    def taps(self) -> tuple[tuple[int, int], ...]:
        """Where it looks."""
        half = self.side // 2
        return tuple((i, j) for i in range(1 - self.rows, 1) for j in range(-half, half + 1))

    def __call__(self, image: Float[Array, "h w n_in"]) -> Float[Array, "h w n_out"]:
        return convolve_at(image, self.kernel, self.taps) + self.bias

    def start(self, width: int) -> Array:
        """The rows that it keeps, before the first of an image of so many columns."""
        return jnp.zeros((self.rows - 1, width, self.kernel.shape[-2]), self.kernel.dtype)

    def row(self, kept: Array, row: Float[Array, "w n_in"]) -> tuple[Array, Float[Array, "w n_out"]]:
        """The rows that it keeps after one, and the outputs of that."""
        rows = jnp.concatenate([kept, row[None]])
        taps = tuple((i + self.rows - 1, j) for i, j in self.taps)  # the first row of what is kept sees all of it
        return rows[1:], convolve_at(rows, self.kernel, taps)[0] + self.bias


class GatedLayer(eqx.Module):
    """Two stacks side by side, each gated: whole rows above, and the pixels to the left; the first tells the second.

    Arguments:
        vertical: over rows, to 2 F channels.
        link: from the vertical stack before its gate to the horizontal one, shape (2 F, 2 F).
        horizontal: to the left, to 2 F channels.
        out: from the horizontal stack to what is added to it and to the skip connection, shape (F, 2 F).
        out_bias: shape (2 F,).
        context: of a condition to both stacks, shape (cond_dim, 4 F), or None.
    """

    vertical: VerticalConvolution
    link: Float[Array, "two_f two_f"]
    horizontal: MaskedConvolution
    out: Float[Array, "f two_f"]
    out_bias: Float[Array, " two_f"]
    context: Float[Array, "cond_dim four_f"] | None

    @classmethod
    def init(
        cls, key: PRNGKeyArray, n_in: int, channels: int, side: int, sees_itself: bool, cond_dim: int | None
    ) -> GatedLayer:
        """Draw a layer to train."""
        keys, f = jax.random.split(key, 5), channels
        return cls(
            VerticalConvolution.init(keys[0], n_in, 2 * f, side),
            jax.random.normal(keys[1], (2 * f, 2 * f)) * (0.5 / (2 * f)) ** 0.5,
            MaskedConvolution.init(keys[2], n_in, 2 * f, side, sees_itself, rows=1, scale=1.0),
            jax.random.normal(keys[3], (f, 2 * f)) * (1 / f) ** 0.5,
            jnp.zeros(2 * f),
            condition_weights(keys[4], 4 * f, cond_dim),
        )

    def told(self, condition: Array | None) -> tuple[Array, Array]:
        """What a condition adds to the two stacks, zeros where there is none."""
        n = self.link.shape[0]
        both = (
            condition @ self.context
            if self.context is not None and condition is not None
            else jnp.zeros(2 * n, self.link.dtype)
        )
        return both[:n], both[n:]

    def __call__(self, above: Array, left: Array, condition: Array | None) -> tuple[Array, Array, Array]:
        """Vertical stack, what is added to the horizontal one, and to the skip connection, each (H, W, F)."""
        to_vertical, to_horizontal = self.told(condition)
        rows = self.vertical(above) + to_vertical
        pixels = self.horizontal(left) + product(rows, self.link) + to_horizontal
        added, skip = jnp.split(product(gate(pixels), self.out) + self.out_bias, 2, axis=-1)
        return gate(rows), added, skip

    def start(self, width: int) -> GatedKept:
        """What is kept before the first row."""
        told = jnp.zeros((width, self.link.shape[0]), self.link.dtype)
        return GatedKept(self.vertical.start(width), told, self.horizontal.start(width))

    def row(self, kept: GatedKept, above: Array, condition: Array | None) -> tuple[GatedKept, Array]:
        """What is kept before a row, and the vertical stack's output there, of the row of its input."""
        to_vertical, to_horizontal = self.told(condition)
        rows, out = self.vertical.row(kept.rows, above)
        out = out + to_vertical
        return GatedKept(rows, out @ self.link + to_horizontal, self.horizontal.row(kept.left)), gate(out)

    def step(self, kept: GatedKept, column: Array, left: Array) -> tuple[GatedKept, Array, Array]:
        """What is kept after a pixel, what is added to the horizontal stack there, and to the skip connection."""
        horizontal, out = self.horizontal.step(kept.left, column, left)
        pixel = out + lax.dynamic_index_in_dim(kept.told, column, 0, keepdims=False)
        added, skip = jnp.split(gate(pixel) @ self.out + self.out_bias, 2)
        return GatedKept(kept.rows, kept.told, horizontal), added, skip


class GatedKept(NamedTuple):
    """What a gated layer keeps: the last rows of the vertical stack, what it tells this row, pixels to the left."""

    rows: Array
    told: Array
    left: Rows


class GatedPixelCNN(AbstractCausalNetwork):
    """Gated PixelCNN: a stack that sees the rows above beside one that sees the pixels to the left, no blind spot.

    Every layer is `tanh(W_f ∗ x + V_f h) ⊙ σ(W_g ∗ x + V_g h)`, h a condition. The vertical stack enters the horizontal
    one from the row above; the horizontal one has residual connections, and skip connections to the output (van den
    Oord et al. 2016). Sampling computes the vertical stack once a row, the horizontal one once a pixel.

    Arguments (of `init`):
        key: a JAX random key.
        shape: (H, W, C).
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        channels: F, of each stack.
        n_layers: after the first one.
        first_side: of the first layer's kernel, odd, at least 3.
        side: of the others' kernels, odd, at least 3.
        cond_dim: size of a condition, or None.

    Raises:
        ValueError: a size is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import GatedPixelCNN
        >>> network = GatedPixelCNN.init(jax.random.key(0), (4, 5, 1), 2, 1, channels=8, n_layers=2)
        >>> network(jnp.zeros((4, 5, 1, 2))).shape
        (4, 5, 1, 1)
    """

    first: GatedLayer
    layers: GatedLayer
    head: ChannelHead
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True, default=None)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: Sequence[int],
        n_features: int,
        n_params: int,
        *,
        channels: int = 64,
        n_layers: int = 7,
        first_side: int = 7,
        side: int = 3,
        cond_dim: int | None = None,
    ) -> GatedPixelCNN:
        """Draw a network to train."""
        sides, f, side = check_places(shape, 2), check_whole("channels", channels, 1), check_whole("side", side, 3)
        key_first, key_head, *keys = jax.random.split(key, check_whole("n_layers", n_layers, 1) + 2)
        return cls(
            GatedLayer.init(key_first, sides[2] * n_features, f, first_side, False, cond_dim),
            stacked(lambda key: GatedLayer.init(key, f, f, side, True, cond_dim), keys),
            ChannelHead.init(key_head, f, sides[2], n_features, n_params, f),
            sides,
            None if cond_dim is None else (cond_dim,),
        )

    @property
    def n_features(self) -> int:
        return self.first.vertical.kernel.shape[-2] // self.shape[-1]

    def features(self, x: Array, condition: Array | None = None) -> Array:
        condition, image = given(condition, self.cond_shape), x.reshape(*x.shape[:2], -1)
        shifted = jnp.pad(image, ((1, 0), (0, 0), (0, 0)))[:-1]  # the vertical stack sees the rows above
        above, left, skips = self.first(shifted, image, condition)

        def layer(layer: GatedLayer, carry: tuple[Array, Array, Array], _: None) -> tuple[tuple[Array, ...], None]:
            above, left, skips = carry
            above, added, skip = layer(above, left, condition)
            return (above, left + added, skips + skip), None

        result: Array = run(layer, self.layers, (above, left, skips))[0][2]
        return result

    def start(self, condition: Array | None = None) -> Any:
        width, condition = self.sides[1], given(condition, self.cond_shape)
        layers = jax.vmap(lambda layer: layer.start(width))(self.layers)
        return self.first.start(width), layers, condition

    def row(self, state: Any, above: Array) -> Any:
        first, kept, condition = state
        first, above = self.first.row(first, above.reshape(len(above), -1), condition)

        def layer(layer: GatedLayer, above: Array, kept: GatedKept) -> tuple[Array, GatedKept]:
            kept, above = layer.row(kept, above, condition)
            return above, kept

        return first, run(layer, self.layers, above, kept)[1], condition

    def step(self, state: Any, column: Array, before: Array) -> tuple[Any, Array]:
        first, kept, condition = state
        first, left, skips = self.first.step(first, column, before.reshape(-1))

        def layer(layer: GatedLayer, carry: tuple[Array, Array], kept: GatedKept) -> tuple[tuple[Array, Array], Any]:
            left, skips = carry
            kept, added, skip = layer.step(kept, column, left)
            return (left + added, skips + skip), kept

        (_, skips), kept = run(layer, self.layers, (left, skips), kept)
        return (first, kept, condition), skips

    def reach(self) -> Reach:
        height, width, _ = self.sides
        image = itself(height, width)
        above = reach_at(shifted_reach(image, -1, 0), self.first.vertical.taps)
        left = self.first.horizontal.reach(image) | above
        for i in range(self.layers.link.shape[0]):
            layer = trees.unstack(self.layers, i)
            above = reach_at(above, layer.vertical.taps)
            left = left | layer.horizontal.reach(left) | above
        return left
