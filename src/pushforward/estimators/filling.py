"""Images of levels completed: missing pixels drawn given those that are known."""

from __future__ import annotations

import itertools
import warnings
from functools import partial
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Bool
from numpy.typing import NDArray

from pushforward.data.columns import Columns, FloatArray, as_float
from pushforward.distributions import Autoregressive, MixtureOfFlows
from pushforward.estimators.images import image_rows
from pushforward.estimators.preparing import standard_condition
from pushforward.estimators.scoring import in_batches, rows_at_once
from pushforward.estimators.validation import check_known_condition, check_rows

PROPOSALS = 32  # of a completion that is not exact
FEW_DRAWS = 2  # effective ones of them below which a completion is hardly told by all that is known
OFF_LEVEL = 1e-3  # of a step, by which arithmetic may move a level


def completed(estimator: Any, model: Any, X: Any, n: int, condition: Any, seed: int) -> FloatArray:
    """Images with their missing pixels drawn, in the data's units, shape (n, rows, D).

    Exact where all known pixels of an image come before all that are missing, as the upper part of an image; else one
    of several proposals, with a warning where few of them agree with what is known. Of a mixture, the component is
    drawn first, by how likely each makes what is known.

    Arguments:
        estimator: fitted, of levels.
        model: its own, a flow or a mixture.
        X: images or rows, NaN where a pixel is missing.
        n: draws of each.
        condition: of each, shape (rows, C), or None.
        seed: of everything random.

    Raises:
        ValueError: known pixels are no levels, or come after missing ones and the model is a mixture.
    """
    columns, conditions = estimator.columns_, estimator.condition_columns_
    x = check_rows(estimator, image_rows(X, estimator.image_shape_)[0], fitting=False, gaps=True)
    given = standard_condition(check_known_condition(condition, conditions, len(x)), conditions)
    y, known = _levels(columns, x), ~np.isnan(x)
    behind: Bool[np.ndarray, " n"] = np.any(known & (np.cumsum(~known, axis=1) > 0), axis=1)
    key_component, key = jax.random.split(jax.random.key(seed))
    flows, component = [model], np.zeros((n, len(x)), dtype=int)
    if isinstance(model, MixtureOfFlows):
        if behind.any():
            raise ValueError(
                f"{int(behind.sum())} images have known pixels after missing ones, which a mixture cannot complete: "
                "leave pixels open from one on, row by row, or take FlowDensity"
            )
        flows = model.components
        component = _components(model, columns, y, given, n, key_component)
    out, effective = np.repeat(y[None], n, axis=0), np.full(len(x), np.inf)
    draw, row = (index.reshape(-1) for index in np.indices((n, len(x))))
    for k, approximate in itertools.product(range(len(flows)), (False, True)):
        asked = (behind == approximate) & ~known.all(axis=1)
        chosen = np.flatnonzero((component.reshape(-1) == k) & asked[row])
        for some in _parts(chosen, rows_at_once(columns) // (PROPOSALS if approximate else 1)):
            key, own = jax.random.split(key)
            c = None if given is None else given[row[some]]
            out[draw[some], row[some]], found = _drawn(flows[k].base.model, y[row[some]], known[row[some]], c, own)
            if approximate:
                np.minimum.at(effective, row[some], found)
    _warn_of_few(effective)
    values = columns.levels[out.astype(int)] if len(columns.levels) else columns.low + columns.step * out
    return np.where(known, x, values)


def _levels(columns: Columns, x: FloatArray) -> FloatArray:
    """Rows as numbers of levels, NaN where they are missing.

    Raises:
        ValueError: a known value is none.
    """
    y = (x - columns.low) / columns.step
    whole = np.round(y)
    strange = ~np.isnan(y) & ((np.abs(y - whole) > OFF_LEVEL) | (whole < 0) | (whole > (columns.n_levels or 0) - 1))
    if strange.any():
        raise ValueError(
            f"known pixels must be levels from {columns.low[0]:g} to {columns.high[0]:g} in steps of "
            f"{columns.step:g}; got {x[strange][0]:g}"
        )
    return whole


@eqx.filter_jit
def _known_log_prob(model: Autoregressive, y: Array, c: Array | None) -> Array:
    """Of rows whose known pixels come before all missing ones, the log-probabilities of these."""
    return model.log_prob_terms(y.reshape(-1, *model.shape), c).reshape(len(y), -1).sum(axis=1)


def _components(
    mixture: MixtureOfFlows, columns: Columns, y: FloatArray, given: Any, n: int, key: Array
) -> NDArray[np.integer]:
    """Of each draw and row a component, by how likely it makes the known pixels, shape (n, rows)."""
    evidence = [
        in_batches(partial(_known_log_prob, flow.base.model), y, given, rows_at_once(columns))[0]
        for flow in mixture.components
    ]
    joint = as_float(np.stack(evidence, axis=1)) + mixture.log_weights
    return np.asarray(jax.random.categorical(key, joint, shape=(n, len(y))))


def _parts(chosen: NDArray[np.intp], size: int) -> list[NDArray[np.intp]]:
    return [chosen[start : start + max(size, 1)] for start in range(0, len(chosen), max(size, 1))]


def _drawn(
    model: Autoregressive, y: FloatArray, known: Bool[np.ndarray, "n d"], given: Any, key: Array
) -> tuple[FloatArray, FloatArray]:
    """Some rows completed, and their effective draws; rows are repeated up to a size that others share."""
    n = len(y)
    again = np.resize(np.arange(n), 1 << (n - 1).bit_length())
    shape, c = (len(again), *model.shape), None if given is None else as_float(given[again])
    found = model.complete(
        as_float(y[again].reshape(shape)), known[again].reshape(shape), key, c, n_proposals=PROPOSALS
    )
    filled: FloatArray = np.asarray(found.x, dtype=np.float64).reshape(len(again), -1)[:n]
    return filled, np.asarray(found.effective_draws, dtype=np.float64)[:n]


def _warn_of_few(effective: FloatArray) -> None:
    few = int((effective < FEW_DRAWS).sum())
    if few:
        warnings.warn(
            f"{few} of {len(effective)} images have known pixels after missing ones, and fewer than {FEW_DRAWS} of "
            f"{PROPOSALS} proposals agree with these: what was drawn may not fit them; known pixels that come before "
            "all missing ones are kept to exactly",
            UserWarning,
            stacklevel=4,
        )
