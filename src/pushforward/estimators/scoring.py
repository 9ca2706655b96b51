"""Rows through a fitted model, a few padded sizes at a time, so that tables of any size share compiled programs."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.special import logsumexp
from sklearn.utils.validation import check_is_fitted

from pushforward.bijections.base import NOISY
from pushforward.checks import check_whole
from pushforward.data.columns import Columns, FloatArray, as_float
from pushforward.distributions import MixtureOfFlows, Pushforward
from pushforward.distributions.estimates import each_row
from pushforward.estimators.images import image_rows
from pushforward.estimators.preparing import standard_condition
from pushforward.estimators.validation import (
    check_known_condition,
    check_rows,
    check_whole_columns,
    require_solved,
)
from pushforward.training.feeds import bucket

SCORE_ROWS = 4096  # rows of one call,
CALL_NUMBERS = 2**19  # numbers of them at most, as networks of images have many for each in memory,
LEVEL_NUMBERS = 2**18  # and logits of all levels
ESTIMATE_DRAWS = 64  # of a log-density that has no closed form


def rows_at_once(columns: Columns) -> int:
    """Rows of one call of a model of such columns."""
    return rows_of_width(columns.n, LEVEL_NUMBERS if columns.flat else CALL_NUMBERS)


def rows_of_width(width: int, most: int = CALL_NUMBERS) -> int:
    """How many rows have at most so many numbers, a power of two."""
    return int(2 ** np.floor(np.log2(np.clip(most // max(width, 1), 16, SCORE_ROWS))))


def in_batches(
    function: Callable[..., Any], rows: Any, other: Any = None, at_once: int | None = None
) -> list[FloatArray]:
    """Run a compiled function on rows, and give its outputs back in float64.

    Arguments:
        function: of rows, and of another table or None; to arrays with a row axis.
        rows: shape (n, ...).
        other: what goes with them, such as their conditions, shape (n, ...); or None.
        at_once: rows of one call, at most; None for as many as their width allows.
    """
    at_once = rows_of_width(math.prod(rows.shape[1:])) if at_once is None else at_once
    parts = []
    for start in range(0, len(rows), at_once):
        part = slice(start, start + at_once)
        n = len(rows[part])
        outputs = function(_padded(rows[part], bucket(n)), None if other is None else _padded(other[part], bucket(n)))
        parts.append([np.asarray(out, dtype=np.float64)[:n] for out in jax.tree.leaves(outputs)])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _padded(a: Any, size: int) -> Any:
    return as_float(np.concatenate([a, np.broadcast_to(a[:1], (size - len(a), *a.shape[1:]))]))


def fitted_rows(estimator: Any, X: Any, condition: Any) -> tuple[FloatArray, Any]:
    """Checked rows in the data's units, and their conditions in standard units, for a fitted estimator."""
    check_is_fitted(estimator)
    rows = X if estimator.image_shape_ is None else image_rows(X, estimator.image_shape_)[0]
    x = check_rows(estimator, rows, fitting=False)
    table = check_known_condition(condition, estimator.condition_columns_, len(x))
    return x, standard_condition(table, estimator.condition_columns_)


def for_each_draw(
    function: Callable[..., Any], columns: Columns, x: FloatArray, c: Any, n_draws: int | None = None
) -> list[list[FloatArray]]:
    """Run a compiled function of rows and conditions in standard units, for each fixed draw of whole-number columns.

    Arguments:
        function: of rows and conditions, as of `in_batches`.
        columns: that the rows have.
        x: checked rows in the data's units, shape (n, D).
        c: their conditions in standard units, shape (n, C), or None.
        n_draws: how many; None for as many as `Columns.draws` chooses.

    Returns:
        For each draw, the outputs as arrays of n rows.
    """
    check_whole_columns(x, columns)
    n_draws = None if n_draws is None else check_whole("n_samples", n_draws, 1)
    s = columns.standardize(x)
    return [in_batches(function, s + draw, c, rows_at_once(columns)) for draw in columns.draws(n_draws)]


def log_mean_of_cells(
    function: Callable[..., Any], columns: Columns, x: FloatArray, c: Any, n_draws: int | None = None
) -> tuple[FloatArray, list[list[FloatArray]]]:
    """Log-densities averaged over the cells of rows, with what lies below values at which whole numbers stop.

    Arguments:
        function, columns, x, c, n_draws: as of `for_each_draw`; the first output is log-densities in standard units.

    Returns:
        Log-densities in nats per unit volume of the data's units, and all outputs for each draw within cells.
    """
    draws = for_each_draw(function, columns, x, c, n_draws)
    values = _log_mean([draw[0] for draw in draws])
    at = (columns.stops & (x == columns.low)).any(axis=1)
    if at.any():
        given = None if c is None else c[at]
        below = [(in_batches(function, s, given)[0].T + weight).T for s, weight in columns.draws_below(x[at], n_draws)]
        values[at] = np.logaddexp(values[at], _log_mean(below))
    return values - columns.log_scale, draws


@eqx.filter_jit
def log_prob_of(flow: Pushforward, s: Array, c: Array | None) -> Any:
    """Log-densities of rows in standard units; of an importance-weighted estimate, the effective draws too."""
    if not flow.inexactness:
        return flow.log_prob(s, c)

    def estimate(s: Array, c: Array | None, key: Array) -> Any:
        if flow.inexactness & NOISY:
            return flow.elbo(s, c, key=key, n_samples=ESTIMATE_DRAWS)
        weighted = flow.log_prob_estimate(s, c, key=key, n_samples=ESTIMATE_DRAWS)
        return weighted.value, weighted.effective_draws

    return each_row(estimate, s, c)


@eqx.filter_jit
def joint_and_logits_of(mixture: MixtureOfFlows, s: Array, c: Array | None) -> tuple[Array, Array]:
    """log p(x, k) of rows in standard units, or estimates of it, and the logits of the posterior network."""
    if not mixture.inexactness:
        return mixture.joint_and_logits(s, c)

    def estimate(s: Array, c: Array | None, key: Array) -> tuple[Array, Array]:
        joint, logits = mixture.joint_and_logits(
            s[None], None if c is None else c[None], key=key, n_samples=ESTIMATE_DRAWS
        )
        return joint[0], logits[0]

    estimates: tuple[Array, Array] = each_row(estimate, s, c)
    return estimates


def _log_mean(log_values: list[FloatArray]) -> FloatArray:
    mean: FloatArray = logsumexp(np.stack(log_values), axis=0) - np.log(len(log_values))
    return mean


def in_precision(values: FloatArray, X: Any = None) -> np.ndarray:
    """Results in JAX's dtype, or in single precision where the rows are.

    Raises:
        SolveError: there are rows that a map gave up on.
    """
    require_solved(values)
    single = isinstance(X, np.ndarray | jax.Array) and X.dtype == np.float32
    return values.astype(np.float32 if single else np.dtype(jnp.result_type(float)), copy=False)
