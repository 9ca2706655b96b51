"""Mixtures of tables as people have them: components that hold numbers and categories, and a posterior over them."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp, softmax

from pushforward import trees
from pushforward.clustering import nearest_neighbours, paired, partition_rows
from pushforward.clustering.latent import latent_classes
from pushforward.clustering.neighbours import MOST_ROWS
from pushforward.clustering.spectral import FEWEST_ROWS
from pushforward.data.columns import FloatArray, as_float
from pushforward.data.fields import Fields
from pushforward.distributions import GapFiller, MixedRows, MixtureOfFlows, RowNetwork
from pushforward.distributions.mixed import CODE, started
from pushforward.estimators.mixed import (
    DRAWS,
    Complete,
    batched,
    chunks,
    fill,
    fill_gaps,
    layout_of,
    middle,
    mixed_settings,
)
from pushforward.estimators.preparing import host_float, training_settings
from pushforward.estimators.scoring import joint_and_logits_of
from pushforward.objectives import MixtureBound, Rows
from pushforward.training import Checkpoint, Fit, named_phase, train

SIZES = (64, 64)  # hidden layers of a component
START = 10  # one in so many epochs is of the start


def codes_and_numbers(fields: Fields, x: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
    """What parts of complete rows are found by: numbers in standard units, and zeros and ones of every category.

    Of numbers on a grid a mass is but a value. Among points it is told as well, and what stands for its number are
    those of other rows, which tell nothing.
    """
    used, rng = fields.modelled, np.random.default_rng(0)
    numbers = np.clip(middle(x[:, [f.is_number for f in used]]), -4, 4)
    for i, j in enumerate(j for j, f in enumerate(used) if f.is_number):
        mass = (x[:, j, CODE] > 0) & (used[j].step == 0)
        if mass.any() and not mass.all():
            numbers[mass, i] = rng.choice(numbers[~mass, i], mass.sum())
    coded = [(j, f.n_codes) for j, f in enumerate(used) if f.n_codes > 1 and not (f.is_number and f.step)]
    return numbers, [np.eye(n)[x[:, j, CODE].astype(int)] * (x[:, j, CODE] >= 0)[:, None] for j, n in coded]


def features_of(fields: Fields, x: FloatArray) -> FloatArray:
    """Encoded rows as numbers to look for clusters in, shape (n, E); of rows with gaps, their middles."""
    numbers, codes = codes_and_numbers(fields, np.nan_to_num(x, nan=0.0))
    return np.concatenate([numbers, *codes], axis=1)


def fit_mixture(
    estimator: Any,
    fields: Fields,
    x: FloatArray,
    weight: FloatArray | None,
    label: np.ndarray | None,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    k: int,
    seed: int,
    checkpoint: Checkpoint | None,
) -> tuple[Fit[MixtureOfFlows], GapFiller]:
    """Fit a mixture to rows, and first what fills gaps; arguments as of `fit_rows`.

    Arguments:
        label: component of labelled rows, -1 elsewhere, shape (n,); or None.
        k: components.
    """
    layout = layout_of(fields)
    filler, (rows, held_out) = fill_gaps(estimator, fields, x, weight, split, seed)
    known = None if label is None else label[split[0]][rows.of]
    defaults = mixed_settings(len(split[0]), len(rows.x))
    settings = training_settings(estimator, defaults)
    start_epochs = max(settings.max_epochs // START, 1)
    with named_phase("starting"):
        _, first, row = np.unique(rows.of, return_index=True, return_inverse=True)  # one draw of each row will do
        numbers, codes = codes_and_numbers(fields, rows.x[first])
        near = np.concatenate([numbers, *codes], axis=1)
        if known is None:
            whole = np.ones(len(x)) if weight is None else weight
            part = latent_classes(numbers, codes, k, whole[split[0]][rows.of[first]], seed)[row]
        else:
            part = partition_rows(near, k, known[first], seed)[row]
        model = _placed(fields, rows, part, k, estimator, seed)
        agrees = k > 1 and len(near) >= FEWEST_ROWS and near.shape[1] > 0 and estimator.consistency != 0
        neighbours = first[nearest_neighbours(near, seed, MOST_ROWS)][row] if agrees else None
    consistency = 0.1 if estimator.consistency is None else estimator.consistency
    loss = MixtureBound(
        temperature=as_float(estimator.temperature),
        anneal_epochs=as_float((settings.max_epochs - start_epochs) // 2),
        start_epochs=as_float(start_epochs),
        consistency=as_float(consistency * layout.n_columns) if agrees else None,
        balance=as_float(estimator.balance),
    )
    data = Rows(host_float(rows.x), None, None if known is None else known.astype(np.int32), part.astype(np.int32))
    feed = rows.feed_of(data) if neighbours is None else paired(data, neighbours, rows.weight)
    fit = train(
        model,
        loss,
        feed,
        key=jax.random.key(seed),
        settings=training_settings(estimator, defaults, start_epochs=start_epochs),
        validation=held_out.feed if len(held_out.x) else None,
        checkpoint=checkpoint,
        show_progress=bool(estimator.verbose),
    )
    return fit, filler


def _placed(fields: Fields, rows: Complete, part: np.ndarray, k: int, estimator: Any, seed: int) -> MixtureOfFlows:
    """A mixture whose components say what can be said of their parts without a network."""
    keys = jax.random.split(jax.random.key(seed), k + 1)
    sizes = SIZES if estimator.hidden_sizes is None else tuple(estimator.hidden_sizes)
    shares = np.array([rows.weight[part == j].sum() for j in range(k)]) + 1e-3 * rows.weight.sum()
    some = [part == j if (part == j).any() else np.ones(len(part), dtype=bool) for j in range(k)]
    components = [
        started(MixedRows.init(key, layout_of(fields), sizes, fields.masses), rows.x[here], rows.weight[here])
        for key, here in zip(keys[:k], some, strict=True)
    ]
    posterior = RowNetwork.init(keys[k], layout_of(fields), k, tuple(estimator.posterior_hidden_sizes))
    log_shares = as_float(np.log(shares / shares.sum()))
    return MixtureOfFlows(trees.stack(components), posterior, log_shares, learn_weights=bool(estimator.learn_weights))


def joint_and_posterior(
    fields: Fields, mixture: MixtureOfFlows, filler: GapFiller, x: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """log p(x, k) and the posterior network's q(k|x) of encoded rows, both (n, K).

    Of rows with gaps, the former is estimated by importance weights, and the latter averaged by them; of rows without
    any value, both are the components' weights.
    """
    missing = np.isnan(x[:, :, CODE])
    gaps, empty = missing.any(axis=1), missing.all(axis=1)
    joint, q = (np.empty((len(x), mixture.n_components)) for _ in range(2))
    if (~gaps).any():
        joint[~gaps], q[~gaps] = _of_complete(mixture, x[~gaps])
    joint[empty] = np.asarray(mixture.log_weights, dtype=np.float64)
    q[empty] = np.exp(joint[empty])
    for some in chunks(np.flatnonzero(gaps & ~empty)):
        drawn = fill(fields, filler, x[some], DRAWS, 0)
        shape = (*drawn.log_q.shape, mixture.n_components)
        flat = _of_complete(mixture, drawn.x.reshape(-1, *x.shape[1:]))
        joints, each = flat[0].reshape(shape) - drawn.log_q[:, :, None], flat[1].reshape(shape)
        joint[some] = logsumexp(joints, axis=1) - np.log(shape[1])
        share = softmax(logsumexp(joints, axis=2), axis=1)
        q[some] = (share[:, :, None] * each).sum(axis=1)
    return joint, q


def _of_complete(mixture: MixtureOfFlows, x: FloatArray) -> tuple[FloatArray, FloatArray]:
    joint, logits = batched(_joint_and_logits, mixture, x)
    return joint, softmax(logits, axis=1)


def _joint_and_logits(mixture: MixtureOfFlows, x: Any) -> Any:
    return joint_and_logits_of(mixture, x, None)
