"""What series estimators are given: series of equal or unequal length, conditions, and the units of their values."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pushforward.checks import check_choice
from pushforward.data.columns import FloatArray
from pushforward.data.ties import grid_step
from pushforward.distributions import AbstractValue, Bernoulli, Categorical, DiscretisedLogistics, Real, Students
from pushforward.estimators.containers import as_missing

VALUES = ("auto", "real", "levels")
FEW_LEVELS, MOST_LEVELS = 16, 256  # that get a logit each; that are levels at all, where nobody says
LARGEST_LEVELS = 2**16
LEAST_SCALE = 1e-3  # of a real value, in standard deviations


class Units(NamedTuple):
    """How values of each channel become what the model sees, (x − shift) / scale.

    Arguments:
        shift, scale: shape (C,); of levels, the lowest and 1.
    """

    shift: FloatArray
    scale: FloatArray

    def standardise(self, x: FloatArray) -> FloatArray:
        """To what the model sees, shape (..., C)."""
        return (x - self.shift) / self.scale

    def restore(self, x: FloatArray) -> FloatArray:
        """The inverse."""
        return x * self.scale + self.shift


def as_series(X: Any, n_channels: int | None = None, name: str = "X") -> list[FloatArray]:
    """Series as arrays of shape (T, C), NaN where nothing was observed.

    Arguments:
        X: shape (n, T), (n, T, C), or a list of n arrays of shape (T,) or (T, C).
        n_channels: C of a fitted model; None for any.
        name: what messages call it.

    Raises:
        ValueError: there is no series, one has no steps or other channels, or cells are infinite or no numbers.
    """
    given = X if isinstance(X, list | tuple) else np.asarray(as_missing(X))
    if isinstance(given, np.ndarray) and given.dtype == object and given.ndim == 1:
        given = list(given)
    if (isinstance(given, np.ndarray) and given.ndim not in (2, 3)) or np.ndim(given[0] if len(given) else [0]) == 0:
        raise ValueError(
            f"{name} of shape {np.shape(given)}: expected (n_series, n_steps), (n_series, n_steps, n_channels) or a "
            f"list of series; for a single one give [{name}]"
        )
    if not len(given):
        raise ValueError(f"{name} holds no series; give at least one")
    series = [_one_series(one, i, name) for i, one in enumerate(given)]
    widths = {one.shape[1] for one in series}
    if len(widths) > 1:
        raise ValueError(f"{name} has series of {sorted(widths)} channels; all must have the same")
    width = series[0].shape[1]
    if n_channels is not None and width != n_channels:
        raise ValueError(f"{name} has {width} channels, and the model was fitted to {n_channels}")
    return series


def _one_series(one: Any, i: int, name: str) -> FloatArray:
    """A series of shape (T, C)."""
    try:
        x = np.asarray(as_missing(one), dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"series {i} of {name} holds cells that are not numbers; leave out or encode them") from None
    x = x[:, None] if x.ndim == 1 else x
    if x.ndim != 2 or 0 in x.shape:
        raise ValueError(f"series {i} of {name} has shape {x.shape}; expected (n_steps, n_channels), at least 1 x 1")
    if np.isinf(x).any():
        step, channel = np.argwhere(np.isinf(x))[0]
        raise ValueError(
            f"series {i} of {name} is infinite at step {step}, channel {channel}; a value nobody knows is NaN"
        )
    return x


def trimmed(series: list[FloatArray]) -> list[FloatArray]:
    """Series without the steps at their ends at which nothing was observed, which only fill them up.

    Raises:
        ValueError: nothing was observed of one, or of a channel of all.
    """
    result = []
    for i, one in enumerate(series):
        observed = np.flatnonzero(np.isfinite(one).any(1))
        if not len(observed):
            raise ValueError(f"series {i} of X holds no value at all, NaN alone; leave it out")
        result.append(one[: observed[-1] + 1])
    return result


def as_conditions(
    condition: Any, lengths: list[int], kind: tuple[int, bool] | None = None, fitted: bool = True
) -> list[FloatArray] | None:
    """Conditions of each series, shape (K,), or of each of its steps, shape (T, K).

    Arguments:
        condition: shape (n,) or (n, K), one for each series; (n, T, K) or a list of arrays of shape (T, K), one for
            each step; or None.
        lengths: of the series, T of each.
        kind: K, and whether conditions are of steps, of a fitted model; None where there are none.
        fitted: whether they have to be of that kind.

    Raises:
        ValueError: they do not fit the series, or the model.
    """
    if condition is None:
        if fitted and kind is not None:
            raise ValueError(f"this model was fitted with condition= of {_kind_text(kind)}; give it for every series")
        return None
    if fitted and kind is None:
        raise ValueError("this model was fitted without condition=; leave it out")
    each = [np.asarray(as_missing(one), dtype=np.float64) for one in condition]
    if each and each[0].ndim == 0:
        each = [one.reshape(1) for one in each]
    if len(each) != len(lengths):
        raise ValueError(f"condition is of {len(each)} series, and there are {len(lengths)}; they must agree")
    kinds = {(one.shape[-1], one.ndim == 2) for one in each}
    if len(kinds) > 1 or each[0].ndim > 2:
        raise ValueError(
            "condition must be numbers of each series, (n_series, K), or of each step, (n_series, n_steps, K) or a list"
            f" of arrays (n_steps, K); got arrays of shapes {sorted({one.shape for one in each})[:4]}"
        )
    if fitted and kinds != {kind}:
        raise ValueError(f"condition is of {_kind_text(*kinds)}, and the model was fitted with {_kind_text(kind)}")
    for i, (one, n) in enumerate(zip(each, lengths, strict=True)):
        if one.ndim == 2 and len(one) != n:
            raise ValueError(f"condition of series {i} has {len(one)} steps; expected {n}")
        if not np.isfinite(one).all():
            raise ValueError(f"condition of series {i} has missing or infinite cells; conditions must all be known")
    return each


def _kind_text(kind: tuple[int, bool] | None) -> str:
    n, by_step = kind or (0, False)
    return f"{n} numbers for each {'step' if by_step else 'series'}"


def learn_units(value: Any, series: list[FloatArray]) -> tuple[AbstractValue, Units]:
    """What values can be, and their units.

    Arguments:
        value: "auto", "real", "levels", or a value of one's own.
        series: shape (T, C) each, NaN where nothing was observed.

    Raises:
        ValueError: a channel was never observed, does not vary, or holds what the value asked for cannot be.
    """
    flat = np.concatenate(series)
    seen = np.isfinite(flat)
    for channel in range(flat.shape[1]):
        cells = flat[seen[:, channel], channel]
        if not len(cells):
            raise ValueError(f"channel {channel} of X was never observed; leave it out")
        if (cells == cells[0]).all() and not isinstance(value, AbstractValue):
            raise ValueError(
                f"channel {channel} of X is {cells[0]:g} at every step; what never varies has no density: leave it out"
            )
    observed = flat[seen]
    low, high = observed.min(), observed.max()
    whole = bool((observed == np.round(observed)).all())
    if isinstance(value, AbstractValue):
        if not isinstance(value, Real | Students):
            value.check(observed)
            return value, Units(np.zeros(flat.shape[1]), np.ones(flat.shape[1]))
        return value, _standard(flat)
    check_choice("value", value, VALUES)
    if value == "levels" and not (whole and high - low < LARGEST_LEVELS):
        what = f"values from {low:g} to {high:g}" if whole else f"{observed[observed != np.round(observed)][0]:g}"
        raise ValueError(f"value='levels' takes whole numbers of at most {LARGEST_LEVELS:,} levels; X has {what}")
    if value == "levels" or (value == "auto" and whole and high - low < MOST_LEVELS):
        n = int(high - low) + 1
        levels = Categorical(n) if n <= FEW_LEVELS else DiscretisedLogistics(n)
        return levels, Units(np.full(flat.shape[1], low), np.ones(flat.shape[1]))
    units = _standard(flat)
    steps = [grid_step(flat[seen[:, c], c][:, None]) / units.scale[c] for c in range(flat.shape[1])]
    return Students(least_scale=float(max(LEAST_SCALE, min(steps) / 2))), units


def _standard(flat: FloatArray) -> Units:
    return Units(np.nanmean(flat, axis=0), np.nanstd(flat, axis=0))


def moved(value: AbstractValue) -> tuple[bool, ...] | None:
    """Which raw numbers are places of a distribution, in the numbers that networks see; None where there are none."""
    if not isinstance(value, DiscretisedLogistics | Students):
        return None
    third = value.n_params // 3
    return (False,) * third + (True,) * third + (False,) * third


def of_levels(value: AbstractValue) -> bool:
    """Whether values are whole numbers."""
    return isinstance(value, Bernoulli | Categorical | DiscretisedLogistics)
