"""A layer whose map is picked by a continuous index that the layer draws itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap, over_batch
from pushforward.networks import MLP, Gaussian

BOUND = 1.0  # soft bound on log-scales, without which a deep stack overflows early in training
INDEX_SCALE, MOMENTS_SCALE = 0.1, 0.3  # of last layers' weights: an index that does not matter at first is never used


class Indexed(AbstractMap):
    """x = exp(s(u)) ⊙ z + t(u) with an index u drawn given z: the part of a continuously-indexed flow beside its flow.

    The index is u ~ p(u|z) on the way to data and u ~ q(u|x) on the way back, both Gaussians with network moments, so
    the log-weight is log|det| + log p(u|z) − log q(u|x), whose exp is right in the mean. In front of a bijection f it
    makes F(z; u) = f(exp(s(u)) ⊙ z + t(u)) (Cornish et al. 2020, "Relaxing bijectivity constraints with continuously
    indexed normalising flows"), where x stands for what f is given. Each direction costs two networks.

    Arguments:
        prior: a module from z (and the condition after it), shape (D + C,), to 2U raw moments of u.
        posterior: a module from x (and the condition after it) to 2U raw moments of u.
        moments: a module from u to s and t, shape (2D,).
        dim: D.
        cond_dim: size of the condition, or None.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Indexed
        >>> layer = Indexed.init(jax.random.key(0), 2, index_dim=1, hidden_sizes=(8,))
        >>> z, log_weight = layer.inverse_and_log_weight(jnp.ones(2), jax.random.key(1))
        >>> z.shape, layer.exactness
        ((2,), 'lower bound')
    """

    prior: Callable[[Array], Array]
    posterior: Callable[[Array], Array]
    moments: Callable[[Array], Array]
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)

    def __init__(
        self,
        prior: Callable[[Array], Array],
        posterior: Callable[[Array], Array],
        moments: Callable[[Array], Array],
        dim: int,
        cond_dim: int | None = None,
    ):
        seen = jnp.zeros(dim + (cond_dim or 0))
        outputs = [eqx.filter_eval_shape(network, seen).shape for network in (prior, posterior)]
        if outputs[0] != outputs[1] or len(outputs[0]) != 1 or outputs[0][0] % 2:
            raise ValueError(f"prior and posterior must give the same even number of moments; got shapes {outputs}")
        found = eqx.filter_eval_shape(moments, jnp.zeros(outputs[0][0] // 2)).shape
        if found != (2 * dim,):
            raise ValueError(f"moments must give {2 * dim} numbers, log-scales and shifts of z; got shape {found}")
        self.prior, self.posterior, self.moments = prior, posterior, moments
        self.shape = (dim,)
        self.cond_shape = None if cond_dim is None else (cond_dim,)

    @classmethod
    def init(
        cls,
        key: PRNGKeyArray,
        dim: int,
        index_dim: int,
        hidden_sizes: Sequence[int],
        cond_dim: int | None = None,
        activation: str = "silu",
    ) -> Indexed:
        """Draw a layer to train, not far from the identity.

        Arguments:
            key: a JAX random key.
            dim: D.
            index_dim: U.
            hidden_sizes: units of each network's hidden layers.
            cond_dim: size of the condition, or None.
            activation: its name.
        """
        n_seen = dim + (cond_dim or 0)
        sizes = (
            (n_seen, 2 * index_dim, INDEX_SCALE),
            (n_seen, 2 * index_dim, INDEX_SCALE),
            (index_dim, 2 * dim, MOMENTS_SCALE),
        )
        prior, posterior, moments = (
            MLP.init(k, n_in, n_out, hidden_sizes, activation, scale)
            for k, (n_in, n_out, scale) in zip(jax.random.split(key, 3), sizes, strict=True)
        )
        return cls(prior, posterior, moments, dim, cond_dim)

    @property
    def inexactness(self) -> frozenset[str]:
        return frozenset({"lower bound"})

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        prior = self._index(self.prior, z, condition)
        u = self._draw(prior, key)
        log_scale, shift = self._moments(u)
        x = jnp.exp(log_scale) * z + shift
        return x, log_scale.sum() + self._index(self.posterior, x, condition).log_prob(u) - prior.log_prob(u)

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        return self._inverse(x, key, condition)

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
        return self, *over_batch(partial(self._inverse, scored=lax.stop_gradient), x, key, condition)

    def _inverse(
        self,
        x: Array,
        key: PRNGKeyArray | None,
        condition: Array | None,
        scored: Callable[[Gaussian], Gaussian] = lambda posterior: posterior,
    ) -> tuple[Array, Array]:
        """The inverse and its log-weight, in which log q(u|x) is that of `scored(q)`."""
        posterior = self._index(self.posterior, x, condition)
        u = self._draw(posterior, key)
        log_scale, shift = self._moments(u)
        z = (x - shift) * jnp.exp(-log_scale)
        log_ratio = self._index(self.prior, z, condition).log_prob(u) - scored(posterior).log_prob(u)
        return z, log_ratio - log_scale.sum()

    def _index(self, network: Callable[[Array], Array], point: Array, condition: Array | None) -> Gaussian:
        """The distribution of the index that a network gives at a point."""
        if self.cond_shape is None or condition is None:
            return Gaussian(network(point))
        return Gaussian(network(jnp.concatenate([point, condition])))

    def _draw(self, index: Gaussian, key: PRNGKeyArray | None) -> Array:
        if key is None:
            raise ValueError("an Indexed layer draws its index; give it a key")
        return index.at(jax.random.normal(key, index.loc.shape, index.loc.dtype))

    def _moments(self, u: Array) -> tuple[Array, Array]:
        """log-scale and shift of z, the former softly bounded."""
        raw, shift = jnp.split(self.moments(u), 2)
        return BOUND * jnp.tanh(raw / BOUND), shift
