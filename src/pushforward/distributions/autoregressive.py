"""Images and series, one value after the other: p(x) = Π p(x_i | x_<i)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, PRNGKeyArray

from pushforward.checks import check_key, check_whole
from pushforward.distributions.base import AbstractDistribution
from pushforward.distributions.values import AbstractValue
from pushforward.networks import AbstractCausalNetwork


class Completions(NamedTuple):
    """Arrays whose missing values were drawn, and how well.

    Attributes:
        x: what was known, and draws of the rest.
        exactness: "exact" where all that was known comes before all that was not; else "approximate", draws among
            several proposals by how likely they make what is known.
        effective_draws: how many even proposals the weights are worth, of each array; few of many are a bad sign.
    """

    x: Any
    exactness: str
    effective_draws: Any


class Autoregressive(AbstractDistribution):
    """Every value of an image or a series given those before it, by one causal network, p(x) = Π p(x_i | x_<i).

    Log-probabilities take one pass of the network, exact, of whole numbers or densities of reals. Draws take one step a
    value, which keeps what later ones need (van den Oord et al. 2016). A gap is NaN: the network is told that nothing
    is known there, and its own term is left out; so series of unequal lengths are filled up with NaN at their ends.

    Arguments:
        network: from the values before to what is said of each; `networks.GatedPixelCNN`, `networks.WaveNet`, ….
        value: what one value can be: `Bernoulli()`, `Categorical(n)`, `DiscretisedLogistics(n)` or `Real()`.

    Raises:
        ValueError: the network gives other numbers than the values ask for, or takes others than they come in.

    Example:
        >>> import jax
        >>> from pushforward.distributions import Autoregressive, Bernoulli
        >>> from pushforward.networks import GatedPixelCNN
        >>> sizes = {"channels": 4, "n_layers": 2}
        >>> images = Autoregressive.init(jax.random.key(0), GatedPixelCNN, (4, 4, 1), Bernoulli(), **sizes)
        >>> x = images.sample(jax.random.key(1), (3,))
        >>> x.shape, images.log_prob(x).shape
        ((3, 4, 4, 1), (3,))
    """

    network: AbstractCausalNetwork
    value: AbstractValue

    def __check_init__(self) -> None:
        ours, asked = (self.network.n_features, self.network.n_params), (self.value.n_features, self.value.n_params)
        if ours != asked:
            raise ValueError(
                f"{type(self.network).__name__} takes {ours[0]} and gives {ours[1]} numbers a value; "
                f"{type(self.value).__name__} comes in {asked[0]} and asks for {asked[1]}"
            )

    @classmethod
    def init(
        cls, key: PRNGKeyArray, network: type[Any], shape: tuple[int, ...], value: AbstractValue, **sizes: Any
    ) -> Autoregressive:
        """Draw a model to train.

        Arguments:
            key: a JAX random key.
            network: its class.
            shape: (H, W, C) of images, (T, C) of series.
            value: what one value can be.
            **sizes: of the network, for its `init`.
        """
        return cls(network.init(key, shape, value.n_features, value.n_params, **sizes), value)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.network.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.network.cond_shape

    def resized(self, *places: int) -> Autoregressive:
        """The same model of images of other sides, or of series of another length.

        Raises:
            ValueError: there are not as many axes of places, or they are not whole numbers of at least 1.
        """
        return Autoregressive(self.network.resized(*places), self.value)

    def log_prob_terms(self, x: Any, condition: Any = None) -> Array:
        """What each value adds to the log-probability: log p(x_i | x_<i).

        Arguments:
            x: shape (*batch, *shape); NaN where there is a gap.
            condition: shape (*batch, *cond_shape), or None.

        Returns:
            Shape (*batch, *shape), nats; 0 at gaps, -inf for what is no value.

        Raises:
            ValueError: a shape does not fit, or a condition is missing or unexpected.
        """
        (flat, given), batch = self._flat(x, condition)
        return _terms(self, flat, given).reshape(batch + self.shape)

    def complete(
        self,
        x: Any,
        known: Any,
        key: PRNGKeyArray,
        condition: Any = None,
        *,
        sample_shape: tuple[int, ...] = (),
        n_proposals: int = 32,
    ) -> Completions:
        """Draw what is missing of arrays, given what is known.

        Exact where all that is known comes before all that is not, as the upper part of an image, or the past of a
        series. Else several proposals are drawn in the order, and of those one by Π p(known_j | before it), over the
        known values that come after missing ones: right in the limit of many proposals.

        Arguments:
            x: shape (*batch, *shape); NaN among what is known is a gap, and stays one.
            known: which values are known, shape (*batch, *shape) or broadcasting to it.
            key: a JAX random key.
            condition: shape (*batch, *cond_shape), or None.
            sample_shape: completions of each array; its known beginning is then run through only once.
            n_proposals: of each completion that is not exact.

        Returns:
            Completions of shape (*sample_shape, *batch, *shape), what they are, and effective draws, (*sample_shape,
            *batch).

        Raises:
            ValueError: a shape does not fit, a known value is none that can be, or `n_proposals` is below 1.
        """
        (flat, given), batch = self._flat(x, condition)
        mask = np.asarray(known, bool)
        whole = batch + self.shape
        if mask.ndim > len(whole) or any(n not in (1, m) for n, m in zip(mask.shape[::-1], whole[::-1], strict=False)):
            raise ValueError(f"known has shape {mask.shape}; expected {whole}, as x has, or what broadcasts to it")
        mask = np.broadcast_to(mask, whole).reshape(len(flat), math.prod(self.shape))
        values = np.asarray(flat).reshape(mask.shape)
        self.value.check(np.where(mask, values, np.nan))
        gap = np.isnan(values)
        first_missing = np.where(mask.all(1), mask.shape[1], (~mask).argmax(1))
        later = np.arange(mask.shape[1]) > first_missing[:, None]
        exact = not (mask & later & ~gap).any()
        n = 1 if exact else check_whole("n_proposals", n_proposals, 1)
        n_known = int(first_missing.min(initial=mask.shape[1])) // self.shape[-1]
        keys = jax.random.split(check_key(key), (len(flat), math.prod(sample_shape)))
        drawn, effective = _completed(self, flat, jnp.asarray(mask).reshape(flat.shape), given, keys, n_known, n)
        drawn, effective = (jnp.moveaxis(a, 1, 0) for a in (drawn, effective))
        drawn, effective = drawn.reshape(*sample_shape, *whole), effective.reshape(*sample_shape, *batch)
        return Completions(drawn, "exact" if exact else "approximate", effective)

    def _each(self, function: Any, *arrays: Array) -> Array:
        """A function of one value, of every value."""
        for _ in self.shape:
            function = jax.vmap(function)
        result: Array = function(*arrays)
        return result

    def _terms(self, x: Array, condition: Array | None) -> Array:
        params = self.network(self._each(self.value.encode, x), condition)
        gap = jnp.isnan(x)
        return jnp.where(gap, 0, self._each(self.value.log_prob, params, jnp.where(gap, 0, x)))

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        return self._terms(x, condition).sum()

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        dtype = self.network.head.bias.dtype
        nothing = jnp.full(self.shape, jnp.nan, dtype)
        noise, n = self.value.noise(key, self.shape, dtype), math.prod(self.shape[:-1])
        roll = Roll(self.network.start(condition), nothing, jnp.zeros((), dtype))
        return self._rolled(roll, noise, jnp.zeros(self.shape, bool), 0, n).x

    def _rolled(self, roll: Roll, noise: Array, known: Array, first: Any, end: Any) -> Roll:
        """What places from the first to before the end make of it: what is known of them stays, the rest is drawn."""
        width, n_channels = self.network.sides[1:]
        encode = jax.vmap(self.value.encode)
        flat_noise, flat_known = noise.reshape(-1, n_channels, noise.shape[-1]), known.reshape(-1, n_channels)

        def place(i: Array, roll: Roll) -> Roll:
            state, x = roll.state, roll.x.reshape(-1, n_channels)
            column = i % width
            if len(self.shape) == 3:
                state = lax.cond(column == 0, lambda s: self._row(s, x, i), lambda s: s, state)
            left = jnp.where(column == 0, jnp.nan, lax.dynamic_index_in_dim(x, i - 1, 0, keepdims=False))
            state, features = self.network.step(state, column, encode(left))
            here, fixed, drawn = (
                lax.dynamic_index_in_dim(a, i, 0, keepdims=False) for a in (x, flat_known, flat_noise)
            )
            here, added = self._channels(features, here, fixed, drawn)
            x = lax.dynamic_update_slice_in_dim(x, here[None], i, 0)
            return Roll(state, x.reshape(self.shape), roll.log_weight + added)

        result: Roll = lax.fori_loop(first, end, place, roll)
        return result

    def _row(self, state: Any, x: Array, i: Array) -> Any:
        """What the network keeps before a row, whose first place is the i-th."""
        width = self.network.sides[1]
        above = lax.dynamic_slice_in_dim(x, i - width, width, 0)
        return self.network.row(state, jax.vmap(jax.vmap(self.value.encode))(jnp.where(i == 0, jnp.nan, above)))

    def _channels(self, features: Array, here: Array, known: Array, noise: Array) -> tuple[Array, Array]:
        """The values of a place, channels in turn, and the log-probability of those that are known."""
        encode = jax.vmap(self.value.encode)

        def channel(c: Any, carry: tuple[Array, Array]) -> tuple[Array, Array]:
            here, total = carry
            params = self.network.head(features, encode(here))[c]
            x = jnp.where(known[c], here[c], self.value.draw(params, noise[c]))
            counts = known[c] & ~jnp.isnan(x)
            term = jnp.where(counts, self.value.log_prob(params, jnp.where(counts, x, 0)), 0)
            return here.at[c].set(x), total + term

        start = (here, jnp.zeros((), here.dtype))
        if len(here) == 1:
            return channel(0, start)
        result: tuple[Array, Array] = lax.fori_loop(0, len(here), channel, start)
        return result


class Roll(NamedTuple):
    """Where drawing stands: what the network keeps, the values up to here, the log-probability of the known ones."""

    state: Any
    x: Array
    log_weight: Array


@eqx.filter_jit
def _terms(model: Autoregressive, x: Array, condition: Array | None) -> Array:
    return jax.vmap(model._terms, in_axes=(0, None if condition is None else 0))(x, condition)


@eqx.filter_jit
def _completed(
    model: Autoregressive,
    x: Array,
    known: Bool[Array, ...],
    condition: Array | None,
    keys: Array,
    n_known: Any,
    n_proposals: int,
) -> tuple[Array, Array]:
    """Completions of rows, (n, draws, *shape), and their effective draws; the first `n_known` places are all known."""
    n = math.prod(model.shape[:-1])
    dtype = model.network.head.bias.dtype

    def row(x: Array, known: Array, condition: Array | None, keys: Array) -> tuple[Array, Array]:
        noise = jax.eval_shape(lambda key: model.value.noise(key, model.shape, dtype), keys[0])
        roll = Roll(model.network.start(condition), x.astype(dtype), jnp.zeros((), dtype))
        begun = model._rolled(roll, jnp.zeros(noise.shape, dtype), known, 0, n_known)._replace(
            log_weight=jnp.zeros((), dtype)
        )

        def proposal(key: Array) -> tuple[Array, Array]:
            end = model._rolled(begun, model.value.noise(key, model.shape, dtype), known, n_known, n)
            return end.x, end.log_weight

        def draw(key: Array) -> tuple[Array, Array]:
            key_chosen, key = jax.random.split(key)
            if n_proposals == 1:
                return proposal(key)[0], jnp.ones((), dtype)
            proposals, log_weights = jax.vmap(proposal)(jax.random.split(key, n_proposals))
            none = jnp.all(log_weights == -jnp.inf)
            shares = jax.nn.softmax(jnp.where(none, 0, log_weights))
            chosen = proposals[jax.random.categorical(key_chosen, jnp.log(shares))]
            return chosen, jnp.where(none, 0, 1 / (shares**2).sum())

        return jax.vmap(draw)(keys)

    completed: tuple[Array, Array] = jax.vmap(row, in_axes=(0, 0, None if condition is None else 0, 0))(
        x, known, condition, keys
    )
    return completed
