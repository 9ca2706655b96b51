"""Estimates of log p(x) from log-weights whose exp has the mean p(x): their mean, a bound, and the log of that mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, PRNGKeyArray

CHUNK = 50  # draws of a row that are held at once
ROWS = 32  # rows beside each other
# of one row: what gives a log-weight for each of some keys, so that what does not depend on the draw is computed once
Weigher = Callable[[Any], Callable[[Array], Array]]


class Estimate(NamedTuple):
    """What Monte Carlo gives in the place of an exact value, and its standard error over the draws."""

    value: Any
    standard_error: Any


class WeightedEstimate(NamedTuple):
    """What importance weights give: an estimate, its standard error, and how many even draws its weights are worth.

    Few effective draws mean that a few draws decide the estimate, which is then far below the truth, and its standard
    error too small; none, that no draw found any density.
    """

    value: Any
    standard_error: Any
    effective_draws: Any


def each_row(estimate: Callable[[Array, Array | None, Array], Any], rows: Array, conditions: Array | None) -> Any:
    """Estimates of rows, some at a time, with keys that follow from a row's numbers: alike in any company.

    Arguments:
        estimate: of a row, its condition and a key.
        rows: floating, shape (n, D).
        conditions: shape (n, C), or None.
    """
    return lax.map(lambda given: estimate(*given), (rows, conditions, _row_keys(rows)), batch_size=ROWS)


def _row_keys(rows: Array) -> Array:
    words = lax.bitcast_convert_type(rows, jnp.uint32).reshape(len(rows), -1)

    def mix(hashed: Array, word: Array) -> tuple[Array, None]:  # Fowler, Noll and Vo's, on words
        return (hashed ^ word) * jnp.uint32(16777619), None

    hashed, _ = lax.scan(mix, jnp.full(len(rows), 2166136261, jnp.uint32), words.T)
    keys: Array = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(0), number))(hashed)
    return keys


def mean_log_weight(weigher: Weigher, rows: Any, key: PRNGKeyArray, n: int) -> Array:
    """The mean log-weight of each row, whose expectation is a lower bound on log p.

    Arguments:
        weigher: of one row.
        rows: arrays with a row axis.
        key: a JAX random key.
        n: draws for each row.

    Returns:
        Shape (n_rows,).
    """

    def row(weights: Callable[[Array], Array], key: PRNGKeyArray) -> Array:
        total: Array = _over_draws(weights, key, n, lambda sofar, result: sofar + result.sum(), 0.0)
        return total / n

    result: Array = _over_rows(row, weigher, rows, key)
    return result


def log_mean_weight(weigher: Weigher, rows: Any, key: PRNGKeyArray, n: int) -> WeightedEstimate:
    """The log of the mean weight of each row (Burda et al. 2016), with its standard error by the delta method.

    Arguments:
        weigher: of one row.
        rows: arrays with a row axis.
        key: a JAX random key.
        n: draws for each row, at least 2.

    Returns:
        An estimate for each row, shape (n_rows,).
    """

    def add(sofar: tuple[Array, Array], result: Array) -> tuple[Array, Array]:
        sums = jax.nn.logsumexp(result), jax.nn.logsumexp(2 * result)
        return jnp.logaddexp(sofar[0], sums[0]), jnp.logaddexp(sofar[1], sums[1])

    def row(weights: Callable[[Array], Array], key: PRNGKeyArray) -> WeightedEstimate:
        first, second = _over_draws(weights, key, n, add, (-jnp.inf, -jnp.inf))
        # of the mean weight: its variance, relative to its square
        spread = jnp.where(first == -jnp.inf, 0, jnp.maximum(jnp.exp(second - 2 * first) - 1 / n, 0))
        worth = jnp.where(first == -jnp.inf, 0, jnp.exp(2 * first - second))  # Kish's effective sample size
        return WeightedEstimate(first - math.log(n), jnp.sqrt(spread * n / (n - 1)), worth)

    result: WeightedEstimate = _over_rows(row, weigher, rows, key)
    return result


def _over_rows(row: Callable[[Any, PRNGKeyArray], Any], weigher: Weigher, rows: Any, key: PRNGKeyArray) -> Any:
    """`row` of each row with a key of its own, some rows at a time."""
    keys = jax.random.split(key, len(jax.tree.leaves(rows)[0]))
    return lax.map(lambda given: row(weigher(given[0]), given[1]), (rows, keys), batch_size=ROWS)


def _over_draws(
    weights: Callable[[Array], Array], key: PRNGKeyArray, n: int, add: Callable[[Any, Array], Any], start: Any
) -> Any:
    """Fold the log-weights of n draws, some at a time."""
    chunk = max(size for size in range(1, CHUNK + 1) if n % size == 0)

    keys = jax.random.split(key, (n // chunk, chunk))
    dtype = jax.eval_shape(weights, keys[0]).dtype

    def body(sofar: Any, keys: Array) -> tuple[Any, None]:
        return add(sofar, weights(keys)), None

    return lax.scan(body, jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), start), keys)[0]
