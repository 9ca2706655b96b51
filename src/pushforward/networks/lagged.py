"""A linear forecast from some steps back, beside a WaveNet."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from pushforward.checks import check_whole
from pushforward.networks.causal import AbstractCausalNetwork, ChannelHead, Reach, itself, shifted_reach
from pushforward.networks.wavenet import WaveNet
from pushforward.trees import Frozen


class LaggedHead(ChannelHead):
    """A head whose last features are a linear forecast of each channel, which shifts what is said of it.

    Arguments:
        routes: by how much the forecast of a channel moves each number that is said of it, shape (C, P); the others as
            of `ChannelHead`.
        alone: whether the forecast alone says those that it moves.
    """

    routes: Float[Array, "c p"]
    alone: bool = eqx.field(static=True, default=False)

    def __call__(self, features: Float[Array, "*places n_in"], x: Float[Array, "*places c e"]) -> Array:
        n = self.n_channels
        said = super().__call__(features[..., :-n], x)
        if self.alone:
            said = jnp.where(self.routes == 0, said, 0)
        return said + features[..., -n:, None] * self.routes


class LastValues(NamedTuple):
    """What is kept: the state of the network beside, and the last values, as many as the longest lag."""

    inner: Any
    ring: Array


class Lagged(AbstractCausalNetwork):
    """A WaveNet, and beside it a linear forecast from steps that lie some lags back.

    What is said of a value is the network's, moved by `Σ_l w_l x_{t-l}` of its own channel, so that the network says
    what else there is to say. Where the numbers moved are the places of a distribution, a Gaussian autoregression is a
    case of it, as in the highway of LSTNet (Lai et al. 2018). A gap counts as zero. What trains is how far the weights
    are from where they start, so that a penalty on parameters keeps them there.

    Arguments (of `beside`):
        network: whose values come as one number and an indicator.
        lags: in steps, such as (1, 2, 24).
        moved: which numbers that are said of a value are places, so that the forecast moves them; booleans, shape (P,).
        start: w, shape (lags, C), such as those of least squares; None for the last value alone.
        alone: whether the forecast alone says where values are, by the weights that it starts from.

    Raises:
        ValueError: values come as several numbers, lags repeat or are below 1, or a shape does not fit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.networks import Lagged, WaveNet
        >>> network = WaveNet.init(jax.random.key(0), (20, 1), 2, 2, channels=4, dilations=(1, 2))
        >>> lagged = Lagged.beside(network, (1, 12), (True, False))
        >>> lagged(jnp.ones((20, 1, 2))).shape, lagged.receptive_field
        ((20, 1, 2), 12)
    """

    network: WaveNet
    from_start: Float[Array, "lags c"]
    start_weights: Frozen[Array]
    routes: Frozen[Array]
    lags: tuple[int, ...] = eqx.field(static=True)
    alone: bool = eqx.field(static=True, default=False)

    @classmethod
    def beside(
        cls, network: WaveNet, lags: Sequence[int], moved: Sequence[bool], start: Any = None, alone: bool = False
    ) -> Lagged:
        """Put a linear forecast beside a network."""
        if network.n_features != 2:
            raise ValueError(
                f"network must take each value as a number and an indicator; got {network.n_features} numbers a value"
            )
        steps = tuple(check_whole("each of lags", lag, 1) for lag in lags)
        if not steps or len({*steps}) < len(steps):
            raise ValueError(f"lags must be at least one, and each once; got {steps}")
        c = network.shape[-1]
        last = np.repeat([[float(lag == 1)] for lag in steps], c, axis=1)
        first = jnp.asarray(last if start is None else start, jnp.result_type(float))
        if first.shape != (len(steps), c):
            raise ValueError(f"start has shape {first.shape}; expected ({len(steps)}, {c}), a number a lag and channel")
        routes = jnp.tile(jnp.asarray(moved, jnp.result_type(float)), (c, 1))
        return cls(network, jnp.zeros_like(first), Frozen(first), Frozen(routes), steps, alone)

    @property
    def weights(self) -> Array:
        """w, shape (lags, C)."""
        return self.start_weights.value + (0 if self.alone else self.from_start)

    @property
    def head(self) -> LaggedHead:
        """The network's own, and the routes of the forecast."""
        own = {field.name: getattr(self.network.head, field.name) for field in dataclasses.fields(self.network.head)}
        return LaggedHead(**own, routes=self.routes.value, alone=self.alone)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.network.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.network.cond_shape

    @property
    def n_features(self) -> int:
        return self.network.n_features

    @property
    def receptive_field(self) -> int:
        """Steps before a step that it sees."""
        return max(self.network.receptive_field, *self.lags)

    def features(self, x: Array, condition: Array | None = None) -> Array:
        values, longest, n = x[..., 0], max(self.lags), len(x)
        padded = jnp.pad(values, ((longest, 0), (0, 0)))
        past = jnp.stack([padded[longest - lag : longest - lag + n] for lag in self.lags], axis=1)
        forecast = jnp.einsum("nlc,lc->nc", past, self.weights)
        return jnp.concatenate([self.network.features(x, condition), forecast], axis=-1)

    def start(self, condition: Array | None = None) -> LastValues:
        nothing = jnp.zeros((max(self.lags), self.shape[-1]), self.weights.dtype)
        return LastValues(self.network.start(condition), nothing)

    def step(self, state: LastValues, column: Array, before: Array) -> tuple[LastValues, Array]:
        inner, features = self.network.step(state.inner, column, before)
        longest = max(self.lags)
        ring = lax.dynamic_update_slice_in_dim(state.ring, before[None, :, 0], (column - 1) % longest, 0)
        past = ring[(column - np.asarray(self.lags)) % longest]
        return LastValues(inner, ring), jnp.concatenate([features, (past * self.weights).sum(0)])

    def reach(self) -> Reach:
        seen, one = self.network.reach(), itself(1, self.shape[0])
        for lag in self.lags:
            seen = seen | shifted_reach(one, 0, -lag)
        return seen

    def resized(self, *places: int) -> Self:
        return dataclasses.replace(self, network=self.network.resized(*places))
