"""A bijection picked by a continuous index that it draws itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap, over_batch, require_map
from pushforward.networks import MLP, Gaussian

INDEX_SCALE = 0.1  # of last layers' weights: an index that does not matter at first is never used


class Indexed(AbstractMap):
    """x = F(z; u) with an index u drawn given z, and F(·; u) a bijection for each u: one continuously-indexed layer.

    The index is u ~ p(u|z) on the way to data and u ~ q(u|x) on the way back, both Gaussians with network moments, so
    the log-weight is log|det| + log p(u|z) − log q(u|x), whose exp is right in the mean (Cornish et al. 2020, "Relaxing
    bijectivity constraints with continuously indexed normalising flows"). F is any map that takes the index as its
    condition, one layer or a whole flow. Each direction costs what the map's costs, and two networks.

    Arguments:
        prior: a module from z (and the layer's own condition after it), shape (D + C,), to 2U raw moments of u.
        posterior: a module from x (and the condition after it) to 2U raw moments of u.
        bijection: a map of event shape (D,) and condition shape (U + C,): the index, then the condition.

    Raises:
        ValueError: the networks and the map do not fit each other.

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

    prior: Callable[[Array], Array]
    posterior: Callable[[Array], Array]
    bijection: AbstractMap
    index_dim: int = eqx.field(static=True)

    def __init__(
        self,
        prior: Callable[[Array], Array],
        posterior: Callable[[Array], Array],
        bijection: AbstractMap,
        index_dim: int,
    ):
        require_map(bijection)
        _check_vectors(bijection, index_dim)
        self.prior, self.posterior, self.bijection, self.index_dim = prior, posterior, bijection, int(index_dim)
        seen = jnp.zeros(bijection.shape[0] + (self.cond_shape or (0,))[0])
        found = [eqx.filter_eval_shape(network, seen).shape for network in (prior, posterior)]
        if found != [(2 * index_dim,)] * 2:
            raise ValueError(
                f"prior and posterior must give {2 * index_dim} moments of the {index_dim} numbers of the index; "
                f"got shapes {found}"
            )

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        bijection: AbstractMap,
        index_dim: int,
        hidden_sizes: Sequence[int],
        activation: str = "silu",
    ) -> Indexed:
        """Draw the networks of the index, both not far from a standard normal at first.

        Arguments:
            key: a JAX random key.
            bijection: a map of event shape (D,) and condition shape (U + C,): the index, then the layer's condition.
            index_dim: U.
            hidden_sizes: units of each network's hidden layers.
            activation: its name.

        Raises:
            ValueError: the map takes no condition of at least U numbers, or its points are no vectors.
        """
        require_map(bijection)
        n_given = _check_vectors(bijection, index_dim)
        n_seen = bijection.shape[0] + n_given
        prior, posterior = (
            MLP.init(k, n_seen, 2 * index_dim, hidden_sizes, activation, INDEX_SCALE) for k in jax.random.split(key)
        )
        return cls(prior, posterior, bijection, index_dim)

    @property
    def shape(self) -> tuple[int, ...]:
        return self.bijection.shape

    @property
    def cond_shape(self) -> tuple[int, ...] | None:
        rest = _check_vectors(self.bijection, self.index_dim)
        return (rest,) if rest else None

    @property
    def inexactness(self) -> frozenset[str]:
        return self.bijection.inexactness | {"lower bound"}

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        condition = self._own(condition)
        key_index, key_map = _two(key)
        prior = self._index(self.prior, z, condition)
        u = _draw(prior, key_index)
        x, log_weight = self.bijection.forward_and_log_weight(z, key_map, _joined(u, condition))
        return x, log_weight + self._index(self.posterior, x, condition).log_prob(u) - prior.log_prob(u)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        condition = self._own(condition)
        key_index, key_map = _two(key)
        u, log_q = self._inferred(x, key_index, condition)
        z, log_weight = self.bijection.inverse_and_log_weight(x, key_map, _joined(u, condition))
        return z, log_weight + self._index(self.prior, z, condition).log_prob(u) - log_q

    def pinned(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        """The condition that the bijection inside gets for an index drawn for x.

        Arguments:
            x: shape (D,).
            key: a JAX random key.
            condition: the layer's own, shape (C,), or None.

        Returns:
            The index and the condition after it, shape (U + C,).
        """
        condition = self._own(condition)
        return _joined(self._inferred(x, key, condition)[0], condition)

    def inverse_batch(
        self, x: Array, key: PRNGKeyArray | None = None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        key_index, key_map = _two(key)
        given, log_q = self._given(x, key_index, self._own(condition))
        z, log_weight = self.bijection.inverse_batch(x, key_map, given)
        return z, log_weight + self._log_prior(z, given) - log_q

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
        key_index, key_map = _two(key)
        given, log_q = self._given(x, key_index, self._own(condition), scored=lax.stop_gradient)
        bijection, z, log_weight = self.bijection.calibrate(x, given, weights, key_map)
        found = eqx.tree_at(lambda m: m.bijection, self, bijection)
        return found, z, log_weight + self._log_prior(z, given) - log_q

    def _own(self, condition: Array | None) -> Array | None:
        """The condition, or None where this layer takes none but a chain of it does."""
        if self.cond_shape is None:
            return None
        if condition is None:
            raise ValueError(f"this map needs a condition of shape {self.cond_shape}; got none")
        return condition

    def _given(
        self,
        x: Array,
        key: PRNGKeyArray,
        condition: Array | None,
        scored: Callable[[Gaussian], Gaussian] = lambda posterior: posterior,
    ) -> tuple[Array, Array]:
        """Conditions of the bijection for indices drawn for a batch, shape (n, U + C), and the indices' log q(u|x)."""

        def one(x: Array, key: PRNGKeyArray | None, condition: Array | None) -> tuple[Array, Array]:
            u, log_q = self._inferred(x, key, condition, scored)
            return _joined(u, condition), log_q

        return over_batch(one, x, key, condition)

    def _log_prior(self, z: Array, given: Array) -> Array:
        """log p(u|z) of a batch, from what `_given` gives."""

        def one(z: Array, given: Array) -> Array:
            u, own = given[: self.index_dim], given[self.index_dim :]
            return self._index(self.prior, z, own).log_prob(u)

        found: Array = jax.vmap(one)(z, given)
        return found

    def _inferred(
        self,
        x: Array,
        key: PRNGKeyArray | None,
        condition: Array | None,
        scored: Callable[[Gaussian], Gaussian] = lambda posterior: posterior,
    ) -> tuple[Array, Array]:
        """u ~ q(u|x), and its log-density under `scored(q)`."""
        posterior = self._index(self.posterior, x, condition)
        u = _draw(posterior, key)
        return u, scored(posterior).log_prob(u)

    def _index(self, network: Callable[[Array], Array], point: Array, condition: Array | None) -> Gaussian:
        """The distribution of the index that a network gives at a point."""
        return Gaussian(network(_joined(point, condition)))


def _check_vectors(bijection: AbstractMap, index_dim: int) -> int:
    """C, what the condition of a map has beside the index.

    Raises:
        ValueError: the size is no whole number, there is no room for the index, or the map's points are no vectors.
    """
    given = bijection.cond_shape
    if not isinstance(index_dim, int | np.integer) or isinstance(index_dim, bool):
        raise ValueError(f"index_dim must be a whole number of at least 1; got {index_dim!r}")
    if len(bijection.shape) != 1 or given is None or len(given) != 1 or not 1 <= index_dim <= given[0]:
        raise ValueError(
            f"an index of {index_dim} numbers needs a map of vectors whose condition is a vector of at least as many; "
            f"got event shape {bijection.shape} and condition shape {given}"
        )
    return given[0] - index_dim


def _two(key: PRNGKeyArray | None) -> tuple[PRNGKeyArray, PRNGKeyArray]:
    """Keys of the index and of the map inside."""
    if key is None:
        raise ValueError("an Indexed layer draws its index; give it a key")
    first, second = jax.random.split(key)
    return first, second


def _draw(index: Gaussian, key: PRNGKeyArray | None) -> Array:
    if key is None:
        raise ValueError("an Indexed layer draws its index; give it a key")
    return index.at(jax.random.normal(key, index.loc.shape, index.loc.dtype))


def _joined(point: Array, condition: Array | None) -> Array:
    """A vector, and the condition after it if there is one."""
    return point if condition is None else jnp.concatenate([point, condition])
