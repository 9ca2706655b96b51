"""The contract of a distribution, and the batching every distribution shares."""

import abc
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.special import logsumexp
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import EXACTNESS, NOISY, InexactError
from pushforward.checks import check_key, check_whole
from pushforward.distributions.estimates import Weigher, WeightedEstimate, log_mean_weight, mean_log_weight
from pushforward.trees import AbstractModel, Outlined


class AbstractDistribution(AbstractModel, Outlined):
    """A distribution over events of one shape, perhaps given a condition.

    A subclass guarantees `shape`, `cond_shape` (None: takes no condition) and the three methods on one
    point: `_log_prob`, `_sample`, and, where it is cheaper than both, `_sample_and_log_prob`.
    One without an exact density says so by `inexactness`, and gives `log_weight` and `sample_and_log_weight` instead
    of the densities. The public methods add batches: `sample_shape + condition batch + event`.
    """

    if not TYPE_CHECKING:  # equinox asks a subclass for fields or properties, which a type checker calls a property
        shape: eqx.AbstractVar[tuple[int, ...]]
        cond_shape: eqx.AbstractVar[tuple[int, ...] | None]

    @abc.abstractmethod
    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        """Log-density of one point, a scalar; -inf outside the support, never NaN."""

    @abc.abstractmethod
    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        """One draw, of shape `shape`."""

    def _sample_and_log_prob(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        """One draw and its log-density."""
        x = self._sample(key, condition)
        return x, self._log_prob(x, condition)

    @property
    def inexactness(self) -> frozenset[str]:
        """Which of `EXACTNESS` besides "exact" apply to what stands for log-densities; empty where they are exact."""
        return frozenset()

    @property
    def exactness(self) -> str:
        """What stands for log-densities: "exact", or what `elbo` and `log_prob_estimate` are made of."""
        return max(self.inexactness, key=EXACTNESS.index, default="exact")

    def log_weight(self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None) -> Array:
        """What stands for log p(x) at one draw of the model's own numbers: log p(x) itself if it is exact.

        Arguments:
            x: one point, of shape `shape`.
            key: a JAX random key; None will do for an exact density.
            condition: shape `cond_shape`, or None.
        """
        return self._log_prob(x, condition)

    def sample_and_log_weight(self, key: PRNGKeyArray, condition: Array | None = None) -> tuple[Array, Array]:
        """One draw, and what stands for its log-density, at one draw of the model's own numbers.

        The mean of exp(−log-weight) p(x) over draws is the integral of p, whatever p, so importance weights stay right;
        not so where log-determinants are estimates (`require_weights`).
        """
        return self._sample_and_log_prob(key, condition)

    def _require_exact(self) -> None:
        if self.inexactness:
            estimate = "" if self.inexactness & NOISY else ", or log_prob_estimate(x, key=key, n_samples=100)"
            raise InexactError(
                f"this {type(self).__name__} has no exact log-density ({self.exactness}); "
                f"call elbo(x, key=key) for a bound{estimate}"
            )

    def require_weights(self, instead: str) -> None:
        """Refuse importance weights where they would be wrong in the mean.

        Arguments:
            instead: what to do, for the message.

        Raises:
            InexactError: log-determinants are estimates, which would bias the weights upward.
        """
        noisy = self.inexactness & NOISY
        if noisy:
            raise InexactError(
                f"log-determinants of this {type(self).__name__} are estimates ({max(noisy, key=EXACTNESS.index)}), "
                f"which bias importance weights upward; {instead}"
            )

    def elbo(self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 1) -> Array:
        """Estimates of a lower bound on log p(x), unbiased for the bound; log p(x) itself where it is exact.

        Arguments:
            x: shape (*batch, *shape).
            condition: shape (*batch, *cond_shape), or None.
            key: a JAX random key.
            n_samples: draws that the estimate of each point averages.

        Returns:
            Shape (*batch,), nats per unit volume of x.

        Raises:
            ValueError: a shape does not fit, there is no key, or `n_samples` is below 1.
        """
        rows, batch = self._flat(x, condition)
        return _elbos(self, rows, check_key(key), check_whole("n_samples", n_samples, 1)).reshape(batch)

    def log_prob_estimate(
        self, x: Any, condition: Any = None, *, key: PRNGKeyArray | None = None, n_samples: int = 100
    ) -> WeightedEstimate:
        """Importance-weighted estimates of log p(x), in the mean below it and the nearer the more draws.

        (Burda et al. 2016). Rows and draws are taken in parts, so memory does not grow with `n_samples`.

        Arguments:
            x: shape (*batch, *shape).
            condition: shape (*batch, *cond_shape), or None.
            key: a JAX random key.
            n_samples: draws for each point, at least 2.

        Returns:
            Estimates, standard errors and effective draws, shape (*batch,), nats per unit volume of x.

        Raises:
            ValueError: a shape does not fit, there is no key, or `n_samples` is below 2.
            InexactError: log-determinants are estimates, which would bias the weights upward.
        """
        self.require_weights("call elbo(x, key=key)")
        rows, batch = self._flat(x, condition)
        result = _weighted(self, rows, check_key(key), check_whole("n_samples", n_samples, 2))
        return WeightedEstimate(*(part.reshape(batch) for part in result))

    def log_prob(self, x: Any, condition: Any = None) -> Array:
        """Log-density of points.

        Arguments:
            x: floating, shape (*batch, *shape).
            condition: floating, shape (*batch, *cond_shape) or broadcasting with it; None if not conditional.

        Returns:
            Shape (*batch,), in nats per unit volume of x; -inf outside the support.

        Raises:
            ValueError: a shape does not fit, or a condition is missing or unexpected.
            InexactError: there are only estimates; the message names the methods.
        """
        self._require_exact()
        (flat, given), batch = self._flat(x, condition)
        return _log_probs(self, flat, given).reshape(batch)

    def sample(self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = (), condition: Any = None) -> Array:
        """Independent draws.

        Arguments:
            key: a JAX random key.
            sample_shape: how many draws for each condition.
            condition: shape (*batch, *cond_shape), or None.

        Returns:
            Shape (*sample_shape, *batch, *shape).
        """
        keys, condition, batch = self._spread(key, sample_shape, condition)
        return _samples(self, keys, condition).reshape(batch + self.shape)

    def sample_and_log_prob(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...] = (), condition: Any = None
    ) -> tuple[Array, Array]:
        """Independent draws with their log-densities, often cheaper than the two calls."""
        self._require_exact()
        keys, condition, batch = self._spread(key, sample_shape, condition)
        x, log_prob = _samples_and_log_probs(self, keys, condition)
        return x.reshape(batch + self.shape), log_prob.reshape(batch)

    def calibrate(
        self,
        x: Array,
        condition: Array | None = None,
        weights: Array | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[Self, Array]:
        """Read off a batch what this distribution takes from data; most read nothing and return themselves.

        Arguments:
            x: a batch, shape (n, *shape).
            condition: shape (n, *cond_shape), or None.
            weights: non-negative row weights, shape (n,), or None for equal ones.
            key: a JAX random key; None will do for an exact density.

        Returns:
            The calibrated distribution and `log_weight` of the batch under it, shape (n,).
        """
        keys = None if key is None else jax.random.split(key, len(x))
        return self, jax.vmap(self.log_weight, in_axes=(0, _axes(keys), _axes(condition)))(x, keys, condition)

    def _flat(self, x: Any, condition: Any) -> tuple[tuple[Array, Array | None], tuple[int, ...]]:
        """Points and their conditions along one axis, and the batch shape to give back."""
        x = _floating(x)
        condition = self._check_condition(condition)
        batch = _batch_shape("x", x, self.shape)
        if condition is not None:
            batch = jnp.broadcast_shapes(batch, _batch_shape("condition", condition, self._cond_shape))
            condition = jnp.broadcast_to(condition, batch + self._cond_shape).reshape(-1, *self._cond_shape)
        return (jnp.broadcast_to(x, batch + self.shape).reshape(-1, *self.shape), condition), batch

    @property
    def _cond_shape(self) -> tuple[int, ...]:
        return () if self.cond_shape is None else self.cond_shape

    def _check_condition(self, condition: Any) -> Array | None:
        name = type(self).__name__
        if self.cond_shape is None:
            if condition is not None:
                raise ValueError(f"{name} takes no condition, but one was given; leave it out")
            return None
        if condition is None:
            raise ValueError(f"{name} needs condition= of shape (..., {', '.join(map(str, self.cond_shape))})")
        return _floating(condition)

    def _spread(
        self, key: PRNGKeyArray, sample_shape: tuple[int, ...], condition: Any
    ) -> tuple[Array, Array | None, tuple[int, ...]]:
        """One key and one condition for each draw, flat, and the batch shape to give back."""
        condition = self._check_condition(condition)
        batch = tuple(sample_shape)
        if condition is not None:
            batch = batch + _batch_shape("condition", condition, self._cond_shape)
            condition = jnp.broadcast_to(condition, batch + self._cond_shape).reshape(-1, *self._cond_shape)
        return jax.random.split(check_key(key), math.prod(batch)), condition, batch


def _floating(x: Any) -> Array:
    array = jnp.asarray(x)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(jnp.result_type(float))


def _batch_shape(name: str, x: Array, event: tuple[int, ...]) -> tuple[int, ...]:
    split = x.ndim - len(event)
    if split < 0 or x.shape[split:] != event:
        raise ValueError(f"{name} has shape {x.shape}; expected its last axes to be {event}")
    return x.shape[:split]


def _axes(condition: Array | None) -> int | None:
    return None if condition is None else 0


@eqx.filter_jit
def _log_probs(distribution: AbstractDistribution, x: Array, condition: Array | None) -> Array:
    return jax.vmap(distribution._log_prob, in_axes=(0, _axes(condition)))(x, condition)


def weigher(distribution: AbstractDistribution) -> Weigher:
    """Of a point and its condition."""

    def of_row(row: tuple[Array, Array | None]) -> Callable[[Array], Array]:
        return lambda keys: jax.vmap(lambda key: distribution.log_weight(row[0], key, row[1]))(keys)

    return of_row


@eqx.filter_jit
def _elbos(
    distribution: AbstractDistribution, rows: tuple[Array, Array | None], key: PRNGKeyArray, n_samples: int
) -> Array:
    return mean_log_weight(weigher(distribution), rows, key, n_samples)


@eqx.filter_jit
def _weighted(
    distribution: AbstractDistribution, rows: tuple[Array, Array | None], key: PRNGKeyArray, n_samples: int
) -> WeightedEstimate:
    return log_mean_weight(weigher(distribution), rows, key, n_samples)


@eqx.filter_jit
def _samples(distribution: AbstractDistribution, keys: Array, condition: Array | None) -> Array:
    return jax.vmap(distribution._sample, in_axes=(0, _axes(condition)))(keys, condition)


@eqx.filter_jit
def _samples_and_log_probs(
    distribution: AbstractDistribution, keys: Array, condition: Array | None
) -> tuple[Array, Array]:
    return jax.vmap(distribution._sample_and_log_prob, in_axes=(0, _axes(condition)))(keys, condition)


def safe_logsumexp(terms: Array) -> Array:
    """logsumexp over the last axis; -inf with zero gradient where every term is -inf."""
    none = jnp.all(terms == -jnp.inf, axis=-1, keepdims=True)
    total: Array = logsumexp(jnp.where(none, 0, terms), axis=-1)
    return jnp.where(none[..., 0], -jnp.inf, total)


def log_mean_exp(terms: Array) -> Array:
    """The log of the mean of exp over the last axis; -inf with zero gradient where every term is -inf."""
    return safe_logsumexp(terms) - math.log(terms.shape[-1])
