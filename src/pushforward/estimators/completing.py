"""Rows completed: gaps filled by draws from p(missing | observed) that keep to what known columns ask of them."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray
from scipy.special import logsumexp

from pushforward.data.columns import FloatArray
from pushforward.data.fields import Field, Fields
from pushforward.data.rules import as_objects
from pushforward.data.settling import Demand
from pushforward.data.sources import listing
from pushforward.distributions import GapFiller
from pushforward.distributions.mixed import CODE
from pushforward.estimators.mixed import (
    DRAWS,
    Filled,
    batched,
    chunks,
    fill,
    fill_columns,
    layout_of,
    log_weights,
    middle,
    own_numbers,
)

ASKED_DRAWS = (256, 4096)  # of a row that something is asked of, and of one of which none of them did it
DRAWS_AT_ONCE = 2**16  # of rows together
CELLS_AT_ONCE = 2**23  # draws times levels of a column


class Step(NamedTuple):
    """What is drawn next of rows that something is asked of.

    Arguments:
        columns: drawn from what fills gaps, numbers of them.
        told: the column that then follows, or is one of the levels that are left; None for none.
        by: which demands tell it.
    """

    columns: tuple[int, ...]
    told: int | None = None
    by: tuple[int, ...] = ()


def impute_rows(
    fields: Fields, model: Any, filler: GapFiller, x: FloatArray, demands: Sequence[Demand], n_samples: int, seed: int
) -> FloatArray:
    """Rows with gaps filled in by draws from p(missing | observed), shape (n_samples, n, D, 4).

    Draws of what fills gaps are drawn again by their importance weights. Of rows that a known copy or sum asks
    something of, levels are drawn among those that go with the copy, and the last term of a sum is what the others
    leave; weights make up for both. Rows of which no draw does what is asked are filled in without regard to it, with
    a warning that names them.

    Arguments:
        fields: of the table.
        model: of rows.
        filler: of gaps.
        x: encoded rows, shape (n, D, 4).
        demands: what is asked of gaps.
        n_samples: of each row.
        seed: of everything random.
    """
    missing = np.isnan(x[:, :, CODE]).any(axis=1)
    asked = missing & np.any([np.zeros(len(x), dtype=bool), *(demand.rows for demand in demands)], axis=0)
    out = np.repeat(x[None], n_samples, axis=0)
    rng = np.random.default_rng(seed)
    left = [np.zeros(0, dtype=np.intp)]
    for some, steps in _alike(fields, x, demands, asked):
        left.append(_fill_asked(fields, model, filler, demands, steps, some, out, seed))
    unkept = np.sort(np.concatenate(left))
    _warn_unkept(unkept, demands)
    for some in chunks(np.union1d(np.flatnonzero(missing & ~asked), unkept)):
        drawn = fill(fields, filler, x[some], max(DRAWS, 2 * n_samples), seed)
        weights = _without_far(fields, x[some], drawn.x, log_weights(model, drawn))
        chosen = resampled(weights, n_samples, rng)
        out[:, some] = drawn.x[np.arange(len(some)), chosen]
    return out


def _without_far(fields: Fields, x: FloatArray, drawn: FloatArray, weights: FloatArray) -> FloatArray:
    """Weights, shape (n, S), of which draws with a number further out than samples may lie have none, if others do."""
    flat = drawn.reshape(-1, *x.shape[1:])
    beyond = fields.beyond(flat[:, :, CODE], middle(flat)).reshape(*weights.shape, -1) & np.isnan(x[:, None, :, CODE])
    within = np.where(beyond.any(axis=2), -np.inf, weights)
    return np.where(np.isfinite(within).any(axis=1, keepdims=True), within, weights)


def _warn_unkept(rows: NDArray[np.intp], demands: Sequence[Demand]) -> None:
    if len(rows):
        names = listing([repr(d.field.name) for d in demands if d.rows[rows].any()])
        numbers = listing([f"{row + 1:,}" for row in rows])
        warnings.warn(
            f"row{'' if len(rows) == 1 else 's'} {numbers}: no draw of what is missing agrees with {names}, which "
            "follows from it; the gaps are filled without regard to that",
            UserWarning,
            stacklevel=4,
        )


def _alike(
    fields: Fields, x: FloatArray, demands: Sequence[Demand], asked: NDArray[np.bool_]
) -> Iterator[tuple[NDArray[np.intp], list[Step]]]:
    """Rows of which the same is asked, and how they are drawn."""
    rows = np.flatnonzero(asked)
    if not len(rows):
        return
    missing = np.isnan(x[rows][:, :, CODE])
    told = np.column_stack([missing, *(demand.rows[rows] for demand in demands)])
    patterns, which = np.unique(told, axis=0, return_inverse=True)
    for i, pattern in enumerate(patterns):
        gap, active = pattern[: missing.shape[1]], np.flatnonzero(pattern[missing.shape[1] :])
        yield rows[which.ravel() == i], _steps(fields, gap, [(d, demands[d]) for d in active.tolist()])


def _steps(fields: Fields, gap: NDArray[np.bool_], demands: Sequence[tuple[int, Demand]]) -> list[Step]:
    """In what order the gaps of rows are drawn: what has copies, terms of sums, and all else."""
    places = {field.name: j for j, field in enumerate(fields.modelled)}
    copies: dict[int, list[int]] = {}
    for d, demand in demands:
        if demand.rule.pairs:
            copies.setdefault(places[demand.rule.of[0]], []).append(d)
    steps = [Step((), source, tuple(by)) for source, by in copies.items()]
    open_ = set(np.flatnonzero(gap).tolist()) - set(copies)
    for d, demand in demands:
        factors = dict(zip((places[name] for name in demand.rule.of), demand.rule.factors, strict=False))
        terms = sorted(open_ & set(factors))
        if terms:
            last = min(terms, key=lambda j: _varies(fields.modelled[j], factors[j]))
            steps.append(Step(tuple(j for j in terms if j != last), last, (d,)))
            open_ -= set(terms)
    return [*steps, Step(tuple(sorted(open_)))] if open_ else steps


def _varies(field: Field, factor: float) -> tuple[bool, bool, float]:
    """Sorts first the term that best takes what others leave: on no grid, without masses, and of a wide range."""
    return field.step > 0, bool(field.levels), -abs(factor) * (field.reach[1] - field.reach[0])


def _fill_asked(
    fields: Fields,
    model: Any,
    filler: GapFiller,
    demands: Sequence[Demand],
    steps: Sequence[Step],
    some: NDArray[np.intp],
    out: FloatArray,
    seed: int,
) -> NDArray[np.intp]:
    """Fill rows in of which the same is asked; those of which no draw does it are given back."""
    rng = np.random.default_rng(seed)
    levels = max((len(fields.modelled[s.told].levels) for s in steps if s.told is not None), default=1)
    for n_draws in ASKED_DRAWS:
        n_draws, left = max(n_draws, 2 * len(out)), []
        at_once = max(1, min(DRAWS_AT_ONCE, CELLS_AT_ONCE // max(levels, 1)) // n_draws)
        for start in range(0, len(some), at_once):
            part = some[start : start + at_once]
            asking = [demand.take(part) for demand in demands]
            drawn, weights = _draw_asked(fields, model, filler, out[0, part], asking, steps, n_draws, seed)
            weights = _without_far(fields, out[0, part], drawn, weights)
            done = np.isfinite(weights).any(axis=1)
            if done.any():
                out[:, part[done]] = drawn[np.flatnonzero(done), resampled(weights[done], len(out), rng)]
            left.append(part[~done])
        some = np.concatenate(left)
        if not len(some):
            break
    return some


def _draw_asked(
    fields: Fields,
    model: Any,
    filler: GapFiller,
    x: FloatArray,
    demands: Sequence[Demand],
    steps: Sequence[Step],
    n_draws: int,
    seed: int,
) -> tuple[FloatArray, FloatArray]:
    """Draws of rows that something is asked of, shape (n, S, D, 4), and logarithms of their weights, shape (n, S)."""
    n, of = len(x), np.repeat(np.arange(len(x)), n_draws)
    rows, each = x[of], [demand.take(of) for demand in demands]
    own = own_numbers(x)[of] + np.tile(np.arange(n_draws, dtype=np.uint32), n)
    log_weight = np.zeros(len(rows))
    key, rng = jax.random.key(seed), np.random.default_rng((seed, int(own[0])))
    for i, step in enumerate(steps):
        if step.columns:
            some = np.isin(np.arange(x.shape[1]), step.columns)
            rows, log_q = fill_columns(fields, filler, rows, some, jax.random.fold_in(key, i), own, i)
            log_weight -= log_q
        if step.told is not None:
            field, by = fields.modelled[step.told], [each[d] for d in step.by]
            if by[0].rule.pairs:
                now, log_told = _one_level(field, filler, rows, step.told, by, layout_of(fields).code_columns, rng)
            else:
                terms = _values(fields, rows, by[0].rule.of, rng)
                now, log_told = field.encode(field.plain(by[0].rule.solved(field.name, terms, by[0].own)))
            rows[:, step.told] = now
            log_weight += log_told
    broken = np.any([d.broken(_values(fields, rows, d.rule.of, rng)) for d in each], axis=0)
    log_weight = np.where(broken, -np.inf, log_weight)
    weights = log_weights(model, Filled(rows[:, None], -log_weight[:, None]))
    return rows.reshape(n, n_draws, *x.shape[1:]), weights.reshape(n, n_draws)


def _values(fields: Fields, rows: FloatArray, names: Sequence[str], rng: np.random.Generator) -> dict[str, Any]:
    """Values of some columns of encoded rows, by name."""
    at = middle(rows)
    return {
        field.name: field.decode(rows[:, j, CODE], at[:, j], rng, within_reach=False)
        for j, field in enumerate(fields.modelled)
        if field.name in names
    }


def _one_level(
    field: Field,
    filler: GapFiller,
    rows: FloatArray,
    column: int,
    by: Sequence[Demand],
    code_columns: NDArray[Any],
    rng: np.random.Generator,
) -> tuple[FloatArray, FloatArray]:
    """A level for each row among those that known copies leave, encoded, (n, 4), and what its weight is to have, (n,).

    It is drawn by the probabilities of what fills gaps, of which the levels that are left have all.
    """
    levels = as_objects(field.levels)
    x = field.encode(levels if not field.is_number else np.asarray(field.levels, dtype=np.float64)).x
    rare = len(levels) - len(field.rare)
    shares = np.zeros(len(levels))
    if field.rare:
        shares[rare:] = np.log(np.array(field.rare) / sum(field.rare))
    (log_codes,) = batched(_log_codes, filler, rows)
    logs = log_codes[:, np.flatnonzero(code_columns == column)][:, x[:, CODE].astype(int)] + shares
    for demand in by:
        beside = dict(demand.rule.pairs)
        known, which = np.unique(np.array([str(value) for value in demand.own]), return_index=True)
        numbers = np.searchsorted(known, np.array([str(value) for value in demand.own]))
        goes = np.array([[beside.get(level) == demand.own[i] for level in levels] for i in which], dtype=bool)
        logs = np.where(goes[numbers] | ~demand.rows[:, None], logs, -np.inf)
    total = logsumexp(logs, axis=1)
    ends = np.cumsum(np.exp(logs - np.where(np.isfinite(total), total, 0)[:, None]), axis=1)
    chosen = (ends < rng.random((len(rows), 1)) * ends[:, -1:]).sum(axis=1).clip(max=len(levels) - 1)
    log_weight = np.where(np.isfinite(total), total - (logs - shares)[np.arange(len(rows)), chosen], -np.inf)
    return x[chosen], log_weight


@eqx.filter_jit
def _log_codes(filler: GapFiller, x: Array) -> Array:
    return jax.vmap(lambda row: filler.columnwise(row).log_codes)(x)


def resampled(log_weights: FloatArray, n_samples: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Which draws of each row stand for it, by their weights, shape (n_samples, n).

    Systematically: a draw that has a share p of its row's weight is there ⌊p n⌋ or ⌈p n⌉ times of n, in random order,
    so that means over them are nearer to weighted means than those of independent choices (Douc & Cappé 2005).

    Arguments:
        log_weights: shape (n, S).
        n_samples: of each row.
        rng: of everything random.

    Example:
        >>> import numpy as np
        >>> from pushforward.estimators.completing import resampled
        >>> np.sort(resampled(np.log([[0.25, 0.5, 0.25]]), 4, np.random.default_rng(0))[:, 0]).tolist()
        [0, 1, 1, 2]
    """
    n, n_draws = log_weights.shape
    shares = np.exp(log_weights - logsumexp(log_weights, axis=1, keepdims=True))
    row = np.arange(n)[:, None]
    ends = np.cumsum(shares, axis=1)
    places = (np.arange(n_samples) + rng.random((n, 1))) / n_samples
    # one search in all rows at once: row i ends at i + 1
    found = np.searchsorted((ends / ends[:, -1:] + row).ravel(), (places + row).ravel()).reshape(n, n_samples)
    chosen = np.clip(found - row * n_draws, 0, n_draws - 1)
    shuffled: NDArray[np.intp] = rng.permuted(chosen, axis=1).T
    return shuffled
