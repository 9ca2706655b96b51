"""Tables as people have them, categories, dates and gaps among numbers: fitted, scored, sampled, filled in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple
from zlib import crc32

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray
from scipy.special import logsumexp

from pushforward.data.columns import FloatArray, as_float
from pushforward.data.fields import Encoded, Fields
from pushforward.distributions import GapFiller, Layout, MixedRows
from pushforward.distributions.base import AbstractDistribution
from pushforward.distributions.mixed import CODE, HIGH, INFINITE, LOW, started
from pushforward.estimators.defaults import default_settings
from pushforward.estimators.preparing import host_float, training_settings
from pushforward.objectives import HiddenCells, NegativeLogLikelihood, Rows
from pushforward.training import Checkpoint, Fit, Resident, named_phase, train
from pushforward.training.feeds import bucket

if TYPE_CHECKING:
    pass

SIZES = (128, 128)  # hidden layers
RATE = 3e-3
STEPS = 2500  # of training, about
LONGEST, MANY_ROWS = 2, 20_000  # times as many epochs where validation asks for them, and rows from which on it may not
PATIENCE, LEAST_PATIENCE = 30, 8  # epochs, fewer where rows are filled in several times
PRECISION = 4.0  # of the prior on every parameter
FEW_GAPS = 0.1  # share of rows with gaps below which what fills them is learned
BRIEFLY, LEAST_EPOCHS = 0.25, 20  # in such a share of the epochs
FILLS, MOST_FILLED = 20, 20_000  # draws of a row with gaps in training, at most, and of all such rows together
DRAWS = 64  # of a row with gaps, in scoring
AT_ONCE = 4096  # rows of one call
GAPS_AT_ONCE = 1024  # rows with gaps, of each of which many draws are held
CONCENTRATIONS = 10


class Filled(NamedTuple):
    """Rows drawn for some that have gaps.

    Arguments:
        x: shape (n, S, D, 4).
        log_q: of what was drawn, shape (n, S).
    """

    x: FloatArray
    log_q: FloatArray


def layout_of(fields: Fields) -> Layout:
    """The columns of rows as models take them."""
    used = fields.modelled
    return Layout(tuple(f.n_codes for f in used), tuple(f.is_number for f in used))


def fit_rows(
    estimator: Any,
    fields: Fields,
    x: FloatArray,
    weight: FloatArray | None,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    seed: int,
    checkpoint: Checkpoint | None,
    precision: float = PRECISION,
) -> tuple[Fit[Any], GapFiller]:
    """Fit rows, and first what fills gaps, of these rows or of others that come later.

    Arguments:
        estimator: whose parameters say how.
        fields: of the table.
        x: encoded rows, shape (n, D, 4).
        weight: of rows, shape (n,), or None.
        split: numbers of rows to train on and to validate on.
        seed: of everything random.
        checkpoint: where to keep the state of training, or None.
        precision: of the prior on every parameter, where the user says nothing.
    """
    filler, parts = fill_gaps(estimator, fields, x, weight, split, seed)
    blank = MixedRows.init(jax.random.key(seed), layout_of(fields), _sizes(estimator), fields.masses)
    model = started(blank, *parts[0][:2])
    fit = train(
        model,
        NegativeLogLikelihood(),
        parts[0].feed,
        key=jax.random.key(seed),
        settings=training_settings(estimator, mixed_settings(len(split[0]), len(parts[0].x), precision, LONGEST)),
        validation=parts[1].feed if len(parts[1].x) else None,
        checkpoint=checkpoint,
        show_progress=bool(estimator.verbose),
    )
    return fit, filler


def fill_gaps(
    estimator: Any,
    fields: Fields,
    x: FloatArray,
    weight: FloatArray | None,
    split: tuple[NDArray[np.intp], NDArray[np.intp]],
    seed: int,
) -> tuple[GapFiller, list[Complete]]:
    """What fills gaps, and both parts of encoded rows, complete."""
    weights = np.ones(len(x)) if weight is None else weight
    with named_phase("learning to fill gaps"):
        filler = _fit_filler(estimator, fields, x, weights, split, seed)
    return filler, [complete(fields, filler, x[part], weights[part], seed) for part in split]


def mixed_settings(
    n: int, n_filled: int | None = None, precision: float = PRECISION, longest: int | None = None
) -> dict[str, Any]:
    """Training settings where the user says nothing.

    Arguments:
        n: rows.
        n_filled: rows after gaps are filled in, several times.
        precision: of the prior on every parameter.
        longest: how many times as many epochs validation may ask for; None for what rows are few enough for.
    """
    longest = (1 if n > MANY_ROWS else LONGEST) if longest is None else longest
    n_filled = n if n_filled is None else n_filled
    chosen = default_settings(n_filled, learning_rate=RATE, precision=precision, steps=STEPS, longest=longest)
    patience = max(LEAST_PATIENCE, round(PATIENCE * n / n_filled))
    return chosen | {"weight_decay": precision / n, "patience": patience}


def _sizes(estimator: Any) -> tuple[int, ...]:
    return SIZES if estimator.hidden_sizes is None else tuple(estimator.hidden_sizes)


def _fit_filler(estimator: Any, fields: Fields, x: FloatArray, weight: FloatArray, split: Any, seed: int) -> GapFiller:
    parts = [Complete(x[part], weight[part], part) for part in split]  # but for their gaps
    blank = GapFiller.init(jax.random.key(seed + 1), layout_of(fields), SIZES, fields.masses)
    model = started(blank, *parts[0][:2])
    defaults = mixed_settings(len(split[0]))
    if np.isnan(x[:, :, CODE]).any(axis=1).mean() < FEW_GAPS:  # draws are weighted, so that a fair guess will do
        epochs = max(LEAST_EPOCHS, round(defaults["max_epochs"] * BRIEFLY))
        defaults |= {"max_epochs": epochs, "most_epochs": epochs}
    fit: Fit[GapFiller] = train(
        model,
        HiddenCells(),
        parts[0].feed,
        key=jax.random.key(seed + 1),
        settings=training_settings(estimator, defaults),
        validation=parts[1].feed if len(split[1]) else None,
        show_progress=bool(estimator.verbose),
    )
    return fit.completed()


class Complete(NamedTuple):
    """Rows without gaps, those that have some filled in several times, at a part of their weight each.

    Arguments:
        x: shape (m, D, 4).
        weight: shape (m,).
        of: which row each was made of, shape (m,).
    """

    x: FloatArray
    weight: FloatArray
    of: NDArray[np.intp]

    @property
    def feed(self) -> Resident:
        """For the engine."""
        return self.feed_of(Rows(host_float(self.x)))

    def feed_of(self, rows: Rows) -> Resident:
        """These rows with what else belongs to them, for the engine."""
        return Resident.of(rows, self.weight)


def complete(fields: Fields, filler: GapFiller, x: FloatArray, weight: FloatArray, seed: int) -> Complete:
    """Rows as they are where they have no gaps, and several draws of those that do."""
    gaps, of = np.isnan(x[:, :, CODE]).any(axis=1), np.arange(len(x))
    if not gaps.any():
        return Complete(x, weight, of)
    n_fills = int(np.clip(MOST_FILLED // gaps.sum(), 1, FILLS))
    drawn = fill(fields, filler, x[gaps], n_fills, seed).x
    rows = np.concatenate([x[~gaps], drawn.reshape(-1, *x.shape[1:])])
    shared = np.repeat(weight[gaps] / n_fills, n_fills)
    return Complete(
        rows, np.concatenate([weight[~gaps], shared]), np.concatenate([of[~gaps], np.repeat(of[gaps], n_fills)])
    )


def fill(fields: Fields, filler: GapFiller, x: FloatArray, n_fills: int, seed: int) -> Filled:
    """Draws of what is missing of rows, shape (n, D, 4), given what is known, and their log-probabilities."""
    keys = jax.random.split(jax.random.key(seed), n_fills)
    some = np.asarray(np.isnan(x[:, :, CODE]).any(axis=0))
    own = own_numbers(x)
    filled, log_q = np.empty((len(x), n_fills, *x.shape[1:])), np.empty((len(x), n_fills))
    for s, key in enumerate(keys):
        filled[:, s], log_q[:, s] = fill_columns(fields, filler, x, some, key, own, seed + s)
    return Filled(filled, log_q)


def own_numbers(x: FloatArray) -> NDArray[np.uint32]:
    """A number of each row by what is in it, so that its draws are alike in any company."""
    return np.array([crc32(row.tobytes()) for row in np.ascontiguousarray(x)], dtype=np.uint32)


def fill_columns(
    fields: Fields, filler: GapFiller, x: FloatArray, some: NDArray[np.bool_], key: Array, own: NDArray[Any], seed: int
) -> Filled:
    """One draw of what is missing in some columns of rows with gaps, those of other columns left, (n, D, 4) and (n,).

    Arguments:
        fields: of the table.
        filler: of gaps.
        x: rows, shape (n, D, 4).
        some: which columns, shape (D,).
        key: a JAX random key.
        own: a number of each row, that its draws hang on, shape (n,).
        seed: of which of the rare levels.
    """
    gaps = np.isnan(x[:, :, CODE]) & some
    where = jax.numpy.asarray(np.argsort(~some, kind="stable"), jax.numpy.int32), jax.numpy.asarray(some.sum())
    drawn = _batched(_fill, (filler, where, key), x, own)
    again = fields.encode_again(drawn[:, :, CODE], middle(drawn), seed)
    rows = np.where(gaps[:, :, None], again, x)
    return Filled(rows, _batched(_log_q, (filler, where), x, rows))


def middle(x: FloatArray) -> FloatArray:
    """Where numbers are, in standard units."""
    low, high = x[..., LOW], x[..., HIGH]
    within = 1e-6 * (1 + abs(x[..., LOW : HIGH + 1]).min(axis=-1))  # on the edge, rounding tells which cell it is in
    return np.where(low < -INFINITE, high - within, np.where(high > INFINITE, low + within, (low + high) / 2))


def batched(function: Any, model: Any, *rows: NDArray[Any]) -> list[FloatArray]:
    """Run a compiled function on rows of padded sizes, and give its outputs back in float64."""
    parts = []
    for start in range(0, len(rows[0]), AT_ONCE):
        some = [r[start : start + AT_ONCE] for r in rows]
        n = len(some[0])
        size = bucket(n)
        padded = [_on_device(np.concatenate([r, np.repeat(r[:1], size - n, axis=0)])) for r in some]
        outputs = jax.tree.leaves(function(model, *padded))
        parts.append([np.asarray(out, dtype=np.float64)[:n] for out in outputs])
    return [np.concatenate(outputs) for outputs in zip(*parts, strict=True)]


def _on_device(a: np.ndarray) -> Array:
    return jax.device_put(a) if a.dtype.kind == "u" else as_float(a)


def _batched(function: Any, model: Any, *rows: NDArray[Any]) -> FloatArray:
    (output,) = batched(function, model, *rows)
    return output


@eqx.filter_jit
def _fill(given: tuple[GapFiller, tuple[Array, Array], Array], x: Array, own: Array) -> Array:
    filler, where, key = given
    return jax.vmap(lambda row, number: filler.fill(jax.random.fold_in(key, number), row, *where))(x, own)


@eqx.filter_jit
def _log_q(given: tuple[GapFiller, tuple[Array, Array]], x: Array, filled: Array) -> Array:
    filler, where = given
    return jax.vmap(lambda row, full: filler.log_prob(row, full, *where))(x, filled)


@eqx.filter_jit
def _log_p(model: AbstractDistribution, x: Array) -> Array:
    return jax.vmap(lambda row: model.log_weight(row, None))(x)


def concentrated_rows(layout: Layout, x: FloatArray, fraction: float, weight: FloatArray | None) -> NDArray[np.bool_]:
    """The share of rows that are most alike, by what can be said of columns without a network, shape (n,).

    As `concentrated` does for numbers: what is said is read off the rows kept, and these are chosen by what is said.
    """
    w = np.ones(len(x)) if weight is None else weight
    kept = np.ones(len(x), dtype=bool)
    model = MixedRows.init(jax.random.key(0), layout, (1,))
    for _ in range(CONCENTRATIONS if fraction < 1 else 0):
        (said,) = batched(_columnwise, started(model, x[kept], w[kept]), x)
        known = ~np.isnan(x[:, :, CODE])
        excess = np.where(known, said - (said * known).sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0).sum(axis=1)
        order = np.argsort(-excess, kind="stable")
        best = np.zeros(len(x), dtype=bool)
        best[order[np.cumsum(w[order]) - w[order] < fraction * w.sum() * (1 - 1e-9)]] = True
        if (best == kept).all():
            break
        kept = best
    return kept


@eqx.filter_jit
def _columnwise(model: MixedRows, x: Array) -> Array:
    return jax.vmap(lambda row: model.columnwise(row).log_probs(row))(x)


def log_density(fields: Fields, model: Any, filler: GapFiller, rows: Encoded) -> FloatArray:
    """Log-density of every row, in nats per unit volume of its numbers that are points, shape (n,).

    Of rows with gaps it is the logarithm of the mean of importance weights of draws of what is missing; of rows without
    any value it is zero.
    """
    missing = np.isnan(rows.x[:, :, CODE])
    gaps, empty = missing.any(axis=1), missing.all(axis=1)
    values: FloatArray = rows.log_extra.sum(axis=1)
    if (~gaps).any():
        values[~gaps] += _batched(_log_p, model, rows.x[~gaps])
    for some in chunks(np.flatnonzero(gaps & ~empty)):
        drawn = fill(fields, filler, rows.x[some], DRAWS, 0)
        values[some] += logsumexp(log_weights(model, drawn), axis=1) - np.log(DRAWS)
    return values


def chunks(places: NDArray[np.intp]) -> list[NDArray[np.intp]]:
    """Places of rows with gaps, a few at a time, as many draws are held of each."""
    return [places[start : start + GAPS_AT_ONCE] for start in range(0, len(places), GAPS_AT_ONCE)]


def log_weights(model: Any, drawn: Filled) -> FloatArray:
    """Logarithms of importance weights of draws of gaps, shape (n, S)."""
    weights: FloatArray = _batched(_log_p, model, drawn.x.reshape(-1, *drawn.x.shape[2:])).reshape(drawn.log_q.shape)
    return weights - drawn.log_q


def draw_rows(model: AbstractDistribution, n: int, key: Array) -> FloatArray:
    """New rows, encoded, shape (n, D, 4)."""
    return np.asarray(model.sample(key, (bucket(n),)), dtype=np.float64)[:n]
