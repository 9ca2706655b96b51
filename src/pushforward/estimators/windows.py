"""Series as windows: what training draws anew in every epoch, and what is scored part by part."""

from __future__ import annotations

from typing import NamedTuple, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from pushforward.distributions import AbstractValue, Autoregressive
from pushforward.estimators.preparing import host_float
from pushforward.objectives import AbstractLoss, Batch, Rows
from pushforward.training import Resident
from pushforward.training.feeds import pick

ENOUGH = 200_000  # steps that least squares are read off
RIDGE = 1e-4  # of the mean square of a channel


class Part(NamedTuple):
    """A stretch of a series whose steps count, and what lies before them.

    Arguments:
        before: steps that are seen and do not count, shape (at most the context, C); NaN is filled in before them.
        x: steps that count, shape (T, C), NaN where there is a gap.
        condition: of the whole series, shape (K,), or of its steps, those before among them, shape (B + T, K); or None.
        weight: of the series.
    """

    before: NDArray[np.float64]
    x: NDArray[np.float64]
    condition: NDArray[np.float64] | None = None
    weight: float = 1.0


class Windows(Resident):
    """Windows of series: so many steps of context, which do not count, and as many as count after them.

    Windows tile each series, so that an epoch visits each step once; where the tiles of whole series begin is drawn
    anew in every epoch. What counts in a window is its weight. `Windows.over` makes one.

    Arguments:
        steps: all series one after the other, NaN between them, shape (S, C).
        local: conditions of steps, shape (S, K), or None.
        context, counted: steps of a window.
    """

    steps: Array
    local: Array | None
    context: int = eqx.field(static=True)
    counted: int = eqx.field(static=True)

    @classmethod
    def over(cls, parts: list[Part], context: int, counted: int) -> Self:
        """Lay out parts of series, in standard units, and the windows that tile them."""
        room, width = context + 2 * counted, parts[0].x.shape[1]  # a shifted tile ends so far behind its series
        condition = parts[0].condition
        gap, steps, local, starts, shifts, own, weights = np.full((room, width), np.nan), [], [], [], [], [], []
        at = 0
        for part in parts:
            n, b = len(part.x), len(part.before)
            steps += [gap, part.before, part.x]
            first = at + room + b
            moves = n > counted and not b  # else what lies before would count
            places = first + counted * np.arange(-(-(n - 1) // counted) + 1 if moves else -(-n // counted))
            starts.append(places - context)
            shifts.append(np.full(len(places), float(moves)))
            weights.append(np.full(len(places), part.weight))
            if part.condition is not None and part.condition.ndim == 2:
                local += [np.zeros((room, part.condition.shape[1])), part.condition]
            elif part.condition is not None:
                own.append(np.broadcast_to(part.condition, (len(places), len(part.condition))))
            at = first + n
        by_step = condition is not None and condition.ndim == 2
        if by_step and condition is not None:
            local.append(np.zeros((room, condition.shape[1])))
        data = {
            "start": np.concatenate(starts),
            "shift": np.concatenate(shifts),
            "condition": host_float(np.concatenate(own)) if own else None,
        }
        return cls.of(
            data,
            np.concatenate(weights),
            steps=jnp.asarray(host_float(np.concatenate([*steps, gap]))),
            local=jnp.asarray(host_float(np.concatenate(local))) if by_step else None,
            context=context,
            counted=counted,
        )

    def start_epoch(self, key: PRNGKeyArray, batch_size: int) -> Array:
        """Windows in random order; and last, by how many steps their tiles are shifted."""
        key_order, key_phase = jax.random.split(key)
        order = super().start_epoch(key_order, batch_size)
        return jnp.append(order, jax.random.randint(key_phase, (), 0, self.counted, order.dtype))

    def in_order(self, batch_size: int) -> tuple[Self, Array]:
        feed, order = super().in_order(batch_size)
        return feed, jnp.append(order, jnp.zeros((), order.dtype))

    def batch(self, order: Array, i: Array, batch_size: int, epoch: Array) -> tuple[Rows, Array]:
        index, inside = self.places(order, i, batch_size)
        data, weight = jax.tree.map(lambda leaf: pick(leaf, index), (self.data, self.weight))
        starts = data["start"] - (data["shift"] * order[-1]).astype(data["start"].dtype)

        def cut(steps: Array) -> Array:
            return jax.vmap(lambda start: lax.dynamic_slice_in_dim(steps, start, self.context + self.counted))(starts)

        x = cut(self.steps)
        condition = data["condition"] if self.local is None else cut(self.local)
        n_values = jnp.isfinite(x[:, self.context :]).sum((1, 2))
        return Rows(x, condition), jnp.where(inside, weight * n_values / self.steps.shape[-1], 0)


class SeriesLikelihood(AbstractLoss):
    """The mean of −log p over the steps that count, in nats a step of all channels.

    Arguments:
        context: steps at the beginning of every window that do not count.
    """

    context: int = eqx.field(static=True)

    def __call__(self, model: Autoregressive, batch: Batch, key: PRNGKeyArray) -> Array:
        rows = batch.rows
        counted = rows.x[:, self.context :]
        terms = model.log_prob_terms(rows.x, rows.condition)[:, self.context :]
        steps = jnp.isfinite(counted).sum((1, 2)) / counted.shape[-1]
        share = batch.weight / jnp.maximum(steps, 1 / counted.shape[-1])  # each window's weight is its steps, weighed
        return -(terms.sum((1, 2)) @ share) / jnp.maximum(batch.weight.sum(), 1e-6)


def least_squares(parts: list[Part], lags: tuple[int, ...], value: AbstractValue) -> NDArray[np.float64]:
    """Weights by which values some lags back forecast each channel best, by least squares, shape (lags, C).

    Arguments:
        parts: of series, in standard units.
        lags: in steps.
        value: how networks see values; a gap, and what lies before a series, is zero as there.
    """
    n_channels, done = parts[0].x.shape[1], 0
    gram, target = np.zeros((n_channels, len(lags), len(lags))), np.zeros((n_channels, len(lags)))
    for part in parts:
        known = np.isfinite(part.x)
        seen = np.asarray(jax.vmap(jax.vmap(value.seen))(jnp.asarray(np.where(known, part.x, 0)))[..., 0], np.float64)
        seen = np.where(known, seen, 0)
        padded = np.concatenate([np.zeros((max(lags), n_channels)), seen])
        past = np.stack([padded[max(lags) - lag :][: len(seen)] for lag in lags], axis=-1)  # (T, C, lags)
        counts = past * (known * part.weight)[..., None]
        gram += np.einsum("tcl,tcm->clm", counts, past)
        target += np.einsum("tcl,tc->cl", counts, seen)
        done += len(seen)
        if done > ENOUGH:
            break
    scale = np.einsum("cll->c", gram)[:, None, None] / len(lags)
    return np.linalg.solve(gram + (RIDGE * scale + 1e-12) * np.eye(len(lags)), target[..., None])[..., 0].T


def tiles(part: Part, context: int, counted: int) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    """A part of a series as windows one after the other, shape (W, context + counted, C), and their conditions."""
    n = len(part.x)
    n_tiles = -(-n // counted)
    places = np.arange(context + counted) + counted * np.arange(n_tiles)[:, None]

    def cut(steps: NDArray[np.float64], filling: float) -> NDArray[np.float64]:
        after = n_tiles * counted - n
        front = np.full((context - len(part.before), steps.shape[1]), filling)
        whole = np.concatenate([front, steps, np.full((after, steps.shape[1]), filling)])
        windows: NDArray[np.float64] = whole[places]
        return windows

    condition = part.condition
    if condition is not None:
        condition = np.tile(condition, (n_tiles, 1)) if condition.ndim == 1 else cut(condition, 0.0)
    return cut(np.concatenate([part.before, part.x]), np.nan), condition
