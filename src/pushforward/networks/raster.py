"""Networks of images made of a masked convolution and like layers, each added to what it is given."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from pushforward import trees
from pushforward.checks import check_whole
from pushforward.networks.causal import (
    AbstractCausalNetwork,
    ChannelHead,
    Reach,
    check_places,
    condition_weights,
    given,
    itself,
)
from pushforward.networks.layers import run, stacked
from pushforward.networks.masked import MaskedConvolution


class AbstractRasterLayer(eqx.Module):
    """A layer of an image whose outputs see their own pixel and those before it, at once or one after the other.

    A subclass brings with it what it keeps of the pixels before, a pytree of arrays; `step` gives what `__call__` does.
    """

    @classmethod
    @abc.abstractmethod
    def init(cls, key: PRNGKeyArray, channels: int) -> Self:
        """Draw a layer of 2 h channels, h = `channels`, to train."""

    @abc.abstractmethod
    def __call__(self, image: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        """The image with what this layer adds."""

    @abc.abstractmethod
    def start(self, width: int) -> Any:
        """What is kept before the first row of an image of so many columns."""

    @abc.abstractmethod
    def row(self, kept: Any) -> Any:
        """What is kept before a row, the one above being whole."""

    @abc.abstractmethod
    def step(self, kept: Any, column: Array, x: Float[Array, " c"]) -> tuple[Any, Float[Array, " c"]]:
        """What is kept after a pixel, and the pixel with what this layer adds."""

    @abc.abstractmethod
    def reach(self, seen: Reach) -> Reach:
        """What is seen through it, of what every pixel of its input sees."""


class AbstractRasterNetwork(AbstractCausalNetwork):
    """A masked convolution (A), then like layers. A subclass says of which kind.

    Arguments (of `init`):
        key: a JAX random key.
        shape: (H, W, C).
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        channels: h; images between layers have 2 h.
        n_layers: how many.
        first_side: of the first kernel, odd, at least 3.
        cond_dim: size of a condition, which is added after the first convolution, or None.

    Raises:
        ValueError: a size is out of its range.
    """

    first: MaskedConvolution
    context: Float[Array, "cond_dim two_h"] | None
    layers: AbstractRasterLayer
    head: ChannelHead
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True, default=None)

    @staticmethod
    @abc.abstractmethod
    def layer() -> type[AbstractRasterLayer]:
        """The kind of its layers."""

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: Sequence[int],
        n_features: int,
        n_params: int,
        *,
        channels: int = 32,
        n_layers: int = 7,
        first_side: int = 7,
        cond_dim: int | None = None,
    ) -> Self:
        """Draw a network to train."""
        sides, h = check_places(shape, 2), check_whole("channels", channels, 1)
        key_first, key_context, key_head, *keys = jax.random.split(key, check_whole("n_layers", n_layers, 1) + 3)
        return cls(
            MaskedConvolution.init(key_first, sides[2] * n_features, 2 * h, first_side, False),
            condition_weights(key_context, 2 * h, cond_dim),
            stacked(lambda key: cls.layer().init(key, h), keys),
            ChannelHead.init(key_head, 2 * h, sides[2], n_features, n_params, 2 * h),
            sides,
            None if cond_dim is None else (cond_dim,),
        )

    @property
    def n_features(self) -> int:
        return self.first.kernel.shape[-2] // self.shape[-1]

    @property
    def width(self) -> int:
        """Columns that the layers run over."""
        return self.sides[1]

    def _told(self, condition: Array | None) -> Array:
        """What a condition adds to every pixel."""
        condition = given(condition, self.cond_shape)
        if self.context is None or condition is None:
            return jnp.zeros_like(self.first.bias)
        return condition @ self.context

    def features(self, x: Array, condition: Array | None = None) -> Array:
        image = self.first(x.reshape(*x.shape[:2], -1)) + self._told(condition)
        result: Array = run(lambda layer, image, _: (layer(image), None), self.layers, image)[0]
        return result

    def start(self, condition: Array | None = None) -> Any:
        kept = jax.vmap(lambda layer: layer.start(self.width))(self.layers)
        return self.first.start(self.width), kept, self._told(condition)

    def row(self, state: Any, above: Array) -> Any:
        first, kept, told = state
        kept = jax.vmap(lambda layer, kept: layer.row(kept))(self.layers, kept)
        return self.first.row(first, above.reshape(len(above), -1)), kept, told

    def step(self, state: Any, column: Array, before: Array) -> tuple[Any, Array]:
        first, kept, told = state
        first, pixel = self.first.step(first, column, before.reshape(-1))

        def layer(layer: AbstractRasterLayer, pixel: Array, kept: Any) -> tuple[Array, Any]:
            kept, pixel = layer.step(kept, column, pixel)
            return pixel, kept

        pixel, kept = run(layer, self.layers, pixel + told, kept)
        return (first, kept, told), pixel

    def reach(self) -> Reach:
        seen = self.first.reach(itself(self.sides[0], self.width))
        for i in range(self.n_layers):
            seen = seen | trees.unstack(self.layers, i).reach(seen)
        return seen

    @property
    def n_layers(self) -> int:
        """How many layers there are."""
        return int(jax.tree.leaves(self.layers)[0].shape[0])
