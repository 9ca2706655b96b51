"""A bijection picked by a continuous index that it draws itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.affine import Affine
from pushforward.bijections.amortized import Amortized
from pushforward.bijections.base import AbstractMap, over_batch, require_map
from pushforward.bijections.compose import Chain
from pushforward.bijections.conditional_coupling import ConditionalCoupling
from pushforward.checks import check_whole
from pushforward.networks import Gaussian, moments_network
from pushforward.networks.gaussian import LOG_SCALE_BOUND

INDEX_SCALE = 0.1  # of last layers' weights: an index that does not matter at first is never used


class Indexed(AbstractMap):
    """A map of the pair of a point and an index, of which data are the point: a continuously-indexed map.

    On the way to data the index enters as standard normal noise ε, (x, u) = f(z, ε), and is let go; on the way back it
    is drawn from q(u|x), Gaussian with network moments. So the log-weight is log|det| + log N(ε) − log q(u|x), whose
    exp is right in the mean. With f that first makes u = μ(z) + σ(z) ε, and then x = F(z; u) with F(·; u) a bijection
    for each u, as `init` draws it, this is a continuously-indexed layer with p(u|z) = N(μ(z), σ(z)²) (Cornish et al.
    2020, "Relaxing bijectivity constraints with continuously indexed normalising flows"); with several such steps, an
    augmented flow (Huang et al. 2020). Each direction costs what f's does, and one network.

    Arguments:
        posterior: a module from x (and the condition after it), shape (D + C,), to 2U raw moments of u.
        bijection: a map of event shape (D + U,), the point and the index after it, and condition shape (C,) or None.
        index_dim: U.

    Raises:
        ValueError: what the network gives and the map do not fit each other.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Indexed
        >>> from pushforward import flows
        >>> inside = flows.maf(jax.random.key(0), 2, cond_dim=1, n_layers=2, hidden_sizes=(8,)).bijection
        >>> layer = Indexed.init(jax.random.key(1), inside, index_dim=1, hidden_sizes=(8,))
        >>> z, log_weight = layer.inverse_and_log_weight(jnp.ones(2), jax.random.key(2))
        >>> z.shape, layer.exactness
        ((2,), 'lower bound')
    """

    posterior: Callable[[Array], Array]
    bijection: AbstractMap
    index_dim: int = eqx.field(static=True)

    def __init__(self, posterior: Callable[[Array], Array], bijection: AbstractMap, index_dim: int):
        require_map(bijection)
        self.index_dim = check_whole("index_dim", index_dim, 1)
        given = bijection.cond_shape
        vectors = len(bijection.shape) == 1 and bijection.noise_shape == bijection.shape
        if not vectors or bijection.shape[0] <= index_dim or (given is not None and len(given) != 1):
            raise ValueError(
                f"an index of {index_dim} numbers needs a map of vectors of more, whose condition is a vector or none; "
                f"got a map from {bijection.noise_shape} to {bijection.shape}, with condition shape {given}"
            )
        self.posterior, self.bijection = posterior, bijection
        seen = jnp.zeros(self.shape[0] + (given or (0,))[0])
        result = eqx.filter_eval_shape(posterior, seen).shape
        if result != (2 * index_dim,):
            raise ValueError(
                f"posterior must give {2 * index_dim} moments of the {index_dim} numbers of the index; "
                f"it gives shape {result}"
            )

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        bijection: AbstractMap,
        index_dim: int,
        hidden_sizes: Sequence[int],
        activation: str = "silu",
        pixels: tuple[int, int] | None = None,
    ) -> Indexed:
        """Draw one continuously-indexed layer around a map; p(u|z) and q(u|x) are near a standard normal at first.

        Arguments:
            key: a JAX random key.
            bijection: F, a map of event shape (D,) and condition shape (U + C,): the index, then the layer's condition.
            index_dim: U.
            hidden_sizes: units of each network's hidden layers.
            activation: its name.
            pixels: height and width of points that are flat images, whose index is one too, with channels of its own,
                and whose networks are convolutions; None for perceptrons.

        Raises:
            ValueError: the map takes no condition of at least U numbers, or its points are no vectors.
        """
        moved = ConditionalCoupling(bijection, check_whole("index_dim", index_dim, 1), "last")
        if bijection.cond_shape is None:
            raise ValueError(
                f"an index needs a map whose condition it can be; got a {type(bijection).__name__} of none"
            )
        dim, cond_dim = bijection.shape[0], (moved.cond_shape or (0,))[0]
        key_prior, key_posterior = jax.random.split(key)
        prior = index_step(key_prior, dim, index_dim, cond_dim, hidden_sizes, activation, pixels)
        posterior = moments_network(
            key_posterior, dim, index_dim, hidden_sizes, activation, INDEX_SCALE, cond_dim, pixels
        )
        return cls(posterior, Chain([prior, moved]), index_dim)

    @property
    def shape(self) -> tuple[int, ...]:
        return (self.bijection.shape[0] - self.index_dim,)

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        return self.bijection.cond_shape

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness | {"lower bound"}

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        condition = self._own(condition)
        key_index, key_map = _two(key)
        noise = jax.random.normal(key_index, (self.index_dim,), z.dtype)
        pair, log_weight = self.bijection.forward_and_log_weight(jnp.concatenate([z, noise]), key_map, condition)
        x, u = self._split(pair)
        return x, log_weight + self._index(x, condition).log_prob(u) - _normal_log_prob(noise)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        condition = self._own(condition)
        key_index, key_map = _two(key)
        pair, log_q = self._inferred(x, key_index, condition)
        pair, log_weight = self.bijection.inverse_and_log_weight(pair, key_map, condition)
        z, noise = self._split(pair)
        return z, log_weight + _normal_log_prob(noise) - log_q

    def with_index(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        """A point and an index drawn for it, as the map inside takes them.

        Arguments:
            x: shape (D,).
            key: a JAX random key.
            condition: the layer's own, shape (C,), or None.

        Returns:
            The point and the index after it, shape (D + U,).
        """
        return self._inferred(x, _needed(key), self._own(condition))[0]

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        condition = self._own(condition)
        key_index, key_map = _two(key)
        pairs, log_q = over_batch(self._inferred, x, key_index, condition)
        pairs, log_weight = self.bijection.inverse_batch(pairs, key_map, condition)
        z, noise = self._split(pairs)
        return z, log_weight + _normal_log_prob(noise) - log_q

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Indexed, Array, Array]:
        """What training passes a batch through: the inverse, its gradient without the score of q(u|x).

        The score has the mean zero: without it the gradient of a mean log-weight has the same mean and less noise, none
        where q(u|x) is the true posterior (Roeder et al. 2017, "Sticking the landing"). That holds for losses that are
        linear in log-weights, as bounds are; in a logarithm of several weights what is left out has a small mean.
        """
        condition = self._own(condition)
        key_index, key_map = _two(key)
        pairs, log_q = over_batch(self._unscored, x, key_index, condition)
        bijection, pairs, log_weight = self.bijection.calibrate(pairs, condition, weights, key_map)
        z, noise = self._split(pairs)
        result = eqx.tree_at(lambda m: m.bijection, self, bijection)
        return result, z, log_weight + _normal_log_prob(noise) - log_q

    def _own(self, condition: Array | None) -> Array | None:
        """The condition, or None where this layer takes none but a chain of it does."""
        if self.cond_shape is None:
            return None
        if condition is None:
            raise ValueError(f"this map needs a condition of shape {self.cond_shape}; got none")
        return condition

    def _split(self, pair: Array) -> tuple[Array, Array]:
        """A point and its index, or a batch of them."""
        return pair[..., : self.shape[0]], pair[..., self.shape[0] :]

    def _inferred(
        self,
        x: Array,
        key: PRNGKeyArray,
        condition: Array | None,
        scored: Callable[[Gaussian], Gaussian] = lambda posterior: posterior,
    ) -> tuple[Array, Array]:
        """The point with u ~ q(u|x) after it, and the index's log-density under `scored(q)`."""
        posterior = self._index(x, condition)
        u = posterior.at(jax.random.normal(key, posterior.loc.shape, posterior.loc.dtype))
        return jnp.concatenate([x, u]), scored(posterior).log_prob(u)

    def _unscored(self, x: Array, key: PRNGKeyArray, condition: Array | None) -> tuple[Array, Array]:
        return self._inferred(x, key, condition, lax.stop_gradient)

    def _index(self, x: Array, condition: Array | None) -> Gaussian:
        """q(u|x)."""
        return Gaussian(self.posterior(x if condition is None else jnp.concatenate([x, condition])))


def index_step(
    key: PRNGKeyArray,
    dim: int,
    index_dim: int,
    cond_dim: int,
    hidden_sizes: Sequence[int],
    activation: str = "silu",
    pixels: tuple[int, int] | None = None,
) -> ConditionalCoupling:
    """Draw what a point makes of an index after it: u = μ(z) + σ(z) ε, not far from ε at first.

    Arguments:
        key: a JAX random key.
        dim: D, size of the point.
        index_dim: U, size of the index.
        cond_dim: C, size of the condition, 0 for none.
        hidden_sizes: units of the network's hidden layers.
        activation: its name.
        pixels: as of `Indexed.init`.

    Returns:
        A map of event shape (D + U,) and condition shape (C,), or None.
    """
    network = moments_network(key, dim, index_dim, hidden_sizes, activation, INDEX_SCALE, cond_dim, pixels)
    affine = Affine(jnp.zeros(index_dim), jnp.ones(index_dim), max_log_scale=LOG_SCALE_BOUND)
    return ConditionalCoupling(Amortized(affine, network, (dim + cond_dim,)), dim, "first")


def _needed(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("an Indexed layer draws its index; give it a key")
    return key


def _two(key: PRNGKeyArray | None) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Keys of the index and of the map inside."""
    first, second = jax.random.split(_needed(key))
    return first, second


def _normal_log_prob(noise: Array) -> Array:
    return (-0.5 * noise**2 - 0.5 * jnp.log(2 * jnp.pi)).sum(axis=-1)
