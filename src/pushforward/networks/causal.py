"""Networks whose outputs at a place of an image or a series see only what comes before it."""

import abc
import dataclasses
import math
from typing import TYPE_CHECKING, Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from numpy.typing import NDArray

from pushforward.checks import check_whole

Reach = NDArray[np.bool_]  # of every place, what it sees of all, (H, W, H · W)


class ChannelHead(eqx.Module):
    """What is said of the values of one place, channels in turn: each sees those before it, and features of the place.

    Two layers whose units come in one group for each channel: a group of the first sees the features and the values of
    the channels before its own, one of the second the group of its channel (the colour order of van den Oord et al.
    2016, in the 1 x 1 layers at the end).

    Arguments (of `init`):
        key: a JAX random key.
        n_in: features of a place.
        n_channels: C, values of a place.
        n_features: E, numbers in which a value comes.
        n_params: P, numbers that are said of a value.
        width: units of a group.
        output_scale: scale of the last layer's weights.
    """

    first: Float[Array, "n_in units"]
    within: Float[Array, "c_in e c width"] | None
    bias: Float[Array, "c width"]
    last: Float[Array, "c width p"]
    last_bias: Float[Array, "c p"]

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        n_in: int,
        n_channels: int,
        n_features: int,
        n_params: int,
        width: int,
        output_scale: float = 0.01,
    ) -> "ChannelHead":
        """Draw a head to train."""
        keys, n, e = jax.random.split(key, 3), n_channels, n_features
        first = jax.random.normal(keys[0], (n_in, n * width)) * (2 / n_in) ** 0.5
        within = jax.random.normal(keys[1], (n, e, n, width)) * (1 / (n * e)) ** 0.5 if n > 1 else None
        last = jax.random.normal(keys[2], (n, width, n_params)) * (output_scale / width**0.5)
        return cls(first, within, jnp.zeros((n, width)), last, jnp.zeros((n, n_params)))

    @property
    def n_channels(self) -> int:
        """C."""
        return self.bias.shape[-2]

    def __call__(self, features: Float[Array, "*places n_in"], x: Float[Array, "*places c e"]) -> Array:
        """What is said of every value, shape (*places, C, P)."""
        seen = jax.nn.relu(features) @ self.first
        hidden = jax.nn.relu(seen.reshape(*seen.shape[:-1], *self.bias.shape) + self._before(x) + self.bias)
        if self.n_channels == 1:
            return (hidden[..., 0, :] @ self.last[0])[..., None, :] + self.last_bias
        return jnp.einsum("...cw,cwp->...cp", hidden, self.last) + self.last_bias

    def _before(self, x: Array) -> Array | float:
        """What the values of a place add to the groups of channels after them."""
        if self.within is None:
            return 0.0
        earlier = np.triu(np.ones((self.n_channels, self.n_channels)), 1)[:, None, :, None]
        weight = (self.within * earlier.astype(self.within.dtype)).reshape(-1, self.bias.size)
        flat = x.reshape(*x.shape[:-2], -1) @ weight
        return flat.reshape(*flat.shape[:-1], *self.bias.shape)


class AbstractCausalNetwork(eqx.Module):
    """A network on an image or a series that says P numbers of every value, from what comes before it in the order.

    The order is the raster's: rows from the top, from left to right, the channels of a place in turn; a series (T, C)
    is an image of one row. A value comes as E numbers, all zero where nothing is known, as outside of the image.
    A subclass gives features of every place from the places before it, all in one pass (`features`), and once more one
    place after the other (`start`, `row`, `step`), keeping in its state what later places need; a `ChannelHead` makes
    of features what is said of the channels.
    """

    if TYPE_CHECKING:  # equinox asks a subclass for fields or properties, which a type checker calls a property

        @property
        def head(self) -> ChannelHead: ...

        @property
        def shape(self) -> tuple[int, ...]: ...

        @property
        def cond_shape(self) -> tuple[int, ...] | None: ...
    else:
        head: eqx.AbstractVar[ChannelHead]
        shape: eqx.AbstractVar[tuple[int, ...]]
        cond_shape: eqx.AbstractVar[tuple[int, ...] | None]

    @property
    def n_params(self) -> int:
        """P, numbers that are said of every value."""
        return self.head.last.shape[-1]

    @property
    @abc.abstractmethod
    def n_features(self) -> int:
        """E, numbers in which a value comes."""

    @property
    def sides(self) -> tuple[int, int, int]:
        """Rows, columns and channels; a series has one row."""
        height, width, channels = (1, *self.shape)[-3:]
        return height, width, channels

    def __call__(self, x: Float[Array, "*places e"], condition: Array | None = None) -> Array:
        """What is said of every value, in one pass.

        Arguments:
            x: values as numbers, shape (*shape, E).
            condition: shape `cond_shape`, or None.

        Returns:
            Shape (*shape, P).

        Raises:
            ValueError: the network needs a condition, and there is none.
        """
        return self.head(self.features(x, condition), x)

    @abc.abstractmethod
    def features(self, x: Array, condition: Array | None = None) -> Array:
        """Features of every place, each from what comes before it, shape (*places, F)."""

    @abc.abstractmethod
    def start(self, condition: Array | None = None) -> Any:
        """What is kept before the first row: a pytree of arrays."""

    def row(self, state: Any, above: Float[Array, "w c e"]) -> Any:
        """What is kept before the first place of a row, given the whole row above it, zeros above the first."""
        return state

    @abc.abstractmethod
    def step(self, state: Any, column: Array, before: Float[Array, "c e"]) -> tuple[Any, Array]:
        """What is kept after a place, and its features, shape (F,).

        Arguments:
            state: what was kept.
            column: of the place in its row.
            before: the values of the place to the left, as numbers, zeros for the first of a row.
        """

    @abc.abstractmethod
    def reach(self) -> Reach:
        """Which places each place claims to see: of every place, which of all, shape (H, W, H · W)."""

    @property
    def sees(self) -> Reach:
        """Which places each place claims to see, shape (N, N): row i says of which places the i-th hangs on."""
        n = math.prod(self.sides[:2])
        return self.reach().reshape(n, n)

    def resized(self, *places: int) -> Self:
        """The same weights for images of other sides, or series of another length.

        Arguments:
            places: rows and columns, or steps.

        Raises:
            ValueError: they are not as many as before, or not whole numbers of at least 1.
        """
        if len(places) != len(self.shape) - 1:
            raise ValueError(f"this network has {len(self.shape) - 1} axes of places; got {len(places)}: {places}")
        sides = (*(check_whole("places", n, 1) for n in places), self.shape[-1])
        replaced: Self = dataclasses.replace(self, **{"shape": sides})
        return replaced


def check_places(shape: Any, axes: int) -> tuple[int, ...]:
    """The event shape of a network, axes of places and one of channels.

    Raises:
        ValueError: it has other axes, or an empty one.
    """
    sides = tuple(shape)
    names = "(H, W, C), an image's rows, columns and channels" if axes == 2 else "(T, C), a series' steps and channels"
    if len(sides) != axes + 1:
        raise ValueError(f"shape must be {names}; got {sides}")
    return tuple(check_whole(f"each of shape {names}", n, 1) for n in sides)


def nothing(height: int, width: int) -> Reach:
    """No place sees any."""
    return np.zeros((height, width, height * width), bool)


def itself(height: int, width: int) -> Reach:
    """Every place sees itself alone."""
    return np.eye(height * width, dtype=bool).reshape(height, width, -1)


def shifted_reach(reach: Reach, i: int, j: int) -> Reach:
    """What is seen where one looks at what is i rows and j columns away."""
    height, width, _ = reach.shape
    result = np.zeros_like(reach)
    rows, columns = (range(max(0, -k), min(size, size - k)) for k, size in ((i, height), (j, width)))
    if len(rows) and len(columns):
        to = np.ix_(rows, columns)
        result[to] = reach[np.ix_([r + i for r in rows], [c + j for c in columns])]
    return result


def reach_at(reach: Reach, taps: Any) -> Reach:
    """What is seen through a convolution with these taps."""
    seen = nothing(*reach.shape[:2])
    for i, j in taps:
        seen |= shifted_reach(reach, i, j)
    return seen


def condition_weights(key: PRNGKeyArray, n_out: int, cond_dim: int | None) -> Array | None:
    """Weights of a condition, shape (cond_dim, n_out), or None where there is none."""
    if cond_dim is None:
        return None
    weights: Array = jax.random.normal(key, (check_whole("cond_dim", cond_dim, 1), n_out)) / cond_dim**0.5
    return weights


def given(condition: Array | None, cond_shape: tuple[int, ...] | None) -> Array | None:
    """The condition, if the network takes one.

    Raises:
        ValueError: it needs one, and there is none.
    """
    if cond_shape is None:
        return None
    if condition is None:
        raise ValueError(f"this network needs a condition of shape {cond_shape}; got none")
    return condition
