"""WaveNet: dilated causal convolutions of a series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
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
    shifted_reach,
)
from pushforward.networks.layers import gate, run, stacked


class DilatedLayer(eqx.Module):
    """A gated convolution of two steps, the present one and one some way back.

    Arguments:
        kernel: from the earlier step and the present one to the gate, shape (2 F, 2 F).
        bias: shape (2 F,).
        out: to what is added to the series and to the skip connection, shape (F, F + S).
        out_bias: shape (F + S,).
        context: of a condition, shape (cond_dim, 2 F), or None.
    """

    kernel: Float[Array, "two_f two_f"]
    bias: Float[Array, " two_f"]
    out: Float[Array, "f f_and_s"]
    out_bias: Float[Array, " f_and_s"]
    context: Float[Array, "cond_dim two_f"] | None

    @classmethod
    def init(cls, key: PRNGKeyArray, channels: int, skip_channels: int, cond_dim: int | None) -> DilatedLayer:
        """Draw a layer to train."""
        keys, f = jax.random.split(key, 3), channels
        return cls(
            jax.random.normal(keys[0], (2 * f, 2 * f)) / (2 * f) ** 0.5,
            jnp.zeros(2 * f),
            jax.random.normal(keys[1], (f, f + skip_channels)) / f**0.5,
            jnp.zeros(f + skip_channels),
            condition_weights(keys[2], 2 * f, cond_dim),
        )

    def __call__(self, earlier: Array, now: Array, condition: Array | None) -> tuple[Array, Array]:
        """The series with what this layer adds, and what it gives to the skip connection; of one step or of many."""
        inside = jnp.concatenate([earlier, now], axis=-1) @ self.kernel + self.bias
        if self.context is not None and condition is not None:
            inside = inside + condition @ self.context
        out = gate(inside) @ self.out + self.out_bias
        return now + out[..., : now.shape[-1]], out[..., now.shape[-1] :]


class Queues(NamedTuple):
    """What a WaveNet keeps: each layer's last inputs, as many as its dilation, and the condition."""

    queues: tuple[Array, ...]
    condition: Array | None


class WaveNet(AbstractCausalNetwork):
    """WaveNet: causal convolutions of two steps that lie 1, 2, 4, … steps apart, gated (van den Oord et al. 2016).

    `tanh(W_f ∗ x + V_f h) ⊙ σ(W_g ∗ x + V_g h)`, then a residual and a skip connection; skips are summed. A step sees
    the sum of the dilations and one more before it (`receptive_field`). Sampling keeps a queue as long as its dilation
    for each layer.

    Arguments (of `init`):
        key: a JAX random key.
        shape: (T, C).
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        channels: F, of every layer.
        skip_channels: of the skip connections, and of the layers after them; `channels` if None.
        dilations: of each layer.
        cond_dim: size of a condition, or None.
        local: whether the condition is a series too, shape (T, cond_dim), known for the step that is said something of.

    Raises:
        ValueError: a size is out of its range.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import WaveNet
        >>> network = WaveNet.init(jax.random.key(0), (20, 1), 2, 3, channels=8, dilations=(1, 2, 4))
        >>> network(jnp.zeros((20, 1, 2))).shape, network.receptive_field
        ((20, 1, 3), 8)
    """

    first: Float[Array, "n_in f"]
    first_bias: Float[Array, " f"]
    layers: DilatedLayer
    head: ChannelHead
    shape: tuple[int, ...] = eqx.field(static=True)
    dilations: tuple[int, ...] = eqx.field(static=True)
    cond_dim: int | None = eqx.field(static=True, default=None)
    local: bool = eqx.field(static=True, default=False)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        shape: Sequence[int],
        n_features: int,
        n_params: int,
        *,
        channels: int = 64,
        skip_channels: int | None = None,
        dilations: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512),
        cond_dim: int | None = None,
        local: bool = False,
    ) -> WaveNet:
        """Draw a network to train."""
        sides, f = check_places(shape, 1), check_whole("channels", channels, 1)
        if len(dilations) == 0:
            raise ValueError("dilations must be of at least one layer, such as (1, 2, 4, 8); got none")
        if local and cond_dim is None:
            raise ValueError("local=True says that the condition is a series; give cond_dim, its columns")
        steps = tuple(check_whole("each of dilations", d, 1) for d in dilations)
        s = f if skip_channels is None else check_whole("skip_channels", skip_channels, 1)
        key_first, key_head, *keys = jax.random.split(key, len(steps) + 2)
        n_in = sides[1] * n_features
        return cls(
            jax.random.normal(key_first, (n_in, f)) / n_in**0.5,
            jnp.zeros(f),
            stacked(lambda key: DilatedLayer.init(key, f, s, cond_dim), keys),
            ChannelHead.init(key_head, s, sides[1], n_features, n_params, s),
            sides,
            steps,
            cond_dim,
            local,
        )

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        if self.cond_dim is None:
            return None
        return (self.shape[0], self.cond_dim) if self.local else (self.cond_dim,)

    @property
    def n_features(self) -> int:
        return self.first.shape[-2] // self.shape[-1]

    @property
    def receptive_field(self) -> int:
        """Steps before a step that it sees."""
        return sum(self.dilations) + 1

    def features(self, x: Array, condition: Array | None = None) -> Array:
        condition, n = given(condition, self.cond_shape), len(x)
        before = jnp.pad(x.reshape(n, -1), ((1, 0), (0, 0)))[:-1]
        series, longest = before @ self.first + self.first_bias, max(self.dilations)

        def layer(layer: DilatedLayer, carry: tuple[Array, Array], dilation: Array) -> tuple[tuple[Array, Array], None]:
            series, skips = carry
            padded = jnp.pad(series, ((longest, 0), (0, 0)))
            earlier = lax.dynamic_slice_in_dim(padded, longest - dilation, n, 0)
            series, skip = layer(earlier, series, condition)
            return (series, skips + skip), None

        skips = jnp.zeros((n, self.layers.out.shape[-1] - series.shape[-1]), series.dtype)
        (_, skips), _ = run(layer, self.layers, (series, skips), jnp.asarray(self.dilations))
        result: Array = skips
        return result

    def start(self, condition: Array | None = None) -> Queues:
        width, dtype = self.first.shape[-1], self.first.dtype
        return Queues(tuple(jnp.zeros((d, width), dtype) for d in self.dilations), given(condition, self.cond_shape))

    def step(self, state: Queues, column: Array, before: Array) -> tuple[Queues, Array]:
        condition = state.condition
        if condition is not None and self.local:
            condition = lax.dynamic_index_in_dim(condition, column, 0, keepdims=False)
        now = before.reshape(-1) @ self.first + self.first_bias
        skips, queues = jnp.zeros(self.layers.out.shape[-1] - now.shape[-1], now.dtype), []
        for i, (dilation, queue) in enumerate(zip(self.dilations, state.queues, strict=True)):
            place = column % dilation  # of the oldest entry, which makes room for the present one
            earlier = lax.dynamic_index_in_dim(queue, place, 0, keepdims=False)
            queues.append(lax.dynamic_update_slice_in_dim(queue, now[None], place, 0))
            now, skip = trees.unstack(self.layers, i)(earlier, now, condition)
            skips = skips + skip
        return Queues(tuple(queues), state.condition), skips

    def reach(self) -> Reach:
        seen = shifted_reach(itself(1, self.shape[0]), 0, -1)
        for dilation in self.dilations:
            seen = seen | shifted_reach(seen, 0, -dilation)
        return seen
