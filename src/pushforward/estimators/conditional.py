"""The density of one column given others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from pushforward.data.cells import DAY
from pushforward.data.columns import FloatArray
from pushforward.data.fields import Field, Fields, to_arrow
from pushforward.data.sources import DataError, listing
from pushforward.distributions import GapFiller
from pushforward.estimators import mixed
from pushforward.estimators.mixed_tables import encode_given

if TYPE_CHECKING:
    import pyarrow as pa


class ConditionalDensity(NamedTuple):
    """What is known of a column, of each of some rows.

    Arguments:
        values: of the column, ascending, (G,): numbers, dates in seconds since 1970, or levels.
        shares: the probability that each of them stands for, in each row, shape (n, G).
        widths: of what each stands for, in the units of the column (of dates, seconds), (G,): 1 for a level, a whole
            number, and a mass among points.
    """

    values: np.ndarray
    shares: FloatArray
    widths: FloatArray

    @property
    def density(self) -> FloatArray:
        """Per unit of the column, shape (n, G): of levels, whole numbers and masses among points, probabilities."""
        density: FloatArray = self.shares / self.widths
        return density

    @property
    def mean(self) -> FloatArray:
        """Of numbers, shape (n,)."""
        mean: FloatArray = self.shares @ np.asarray(self.values, dtype=np.float64)
        return mean

    def quantile(self, q: float) -> FloatArray:
        """Of numbers, the first of the values that a share q lies at or below, shape (n,)."""
        places = (np.cumsum(self.shares, axis=1) < q).sum(axis=1).clip(max=len(self.values) - 1)
        quantile: FloatArray = np.asarray(self.values, dtype=np.float64)[places]
        return quantile


def conditional_density(
    fields: Fields, model: Any, filler: GapFiller, column: str, given: pa.Table, values: Any, n_values: int
) -> ConditionalDensity:
    """The density of a column given others; arguments as of the estimators' method, and what they are made of."""
    if column in fields.rules:
        raise DataError(f"{column!r} follows from others; ask for {' or '.join(map(repr, fields.rules[column].of))}")
    if column not in fields.names:
        raise DataError(f"no column {column!r}; the model has {listing(fields.names)}")
    field = next(field for field in fields.modelled if field.name == column)
    at = grid(field, n_values) if values is None else _asked(field, values)
    widths = _widths(field, at)
    rest = given.drop_columns([column]) if column in given.column_names else given
    each = rest.take(np.repeat(np.arange(len(rest)), len(at)))
    if any(column in rule.of for rule in fields.rules.values()):  # what follows from it tells of it
        rows, demands = encode_given(fields, each.append_column(column, to_arrow(np.tile(at, len(rest)), field)))
    else:
        rows, demands = encode_given(fields, each)
        place, own = [field.name for field in fields.modelled].index(column), field.encode(np.tile(at, len(rest)))
        rows.x[:, place], rows.log_extra[:, place] = own.x, own.log_extra
    if demands:
        asking = demands[0].field.name, listing(list(map(repr, demands[0].rule.of)))
        raise DataError(f"given= has {asking[0]!r}, which follows from {asking[1]}; give these, or leave it out")
    logs = mixed.log_density(fields, model, filler, rows).reshape(len(rest), len(at)) + np.log(widths)
    if np.isneginf(logs).all(axis=1).any():
        raise DataError(f"no value of {column!r} that was asked for goes with what is given, from which others follow")
    per = DAY if field.kind == "date" else 1.0  # log-densities of dates are per day
    return ConditionalDensity(at, np.exp(logs - logsumexp(logs, axis=1, keepdims=True)), widths * per)


def grid(field: Field, n_values: int) -> np.ndarray:
    """Values of a column from end to end: all levels; or masses, and numbers on its grid, about `n_values` of them."""
    if not field.is_number:
        return np.array([level for level in field.levels if level is not None], dtype=object)
    low, high = max(field.reach[0], field.lowest), field.reach[1]
    if field.step:
        every = max(1, round((high - low) / field.step / n_values)) * field.step
        at = np.round(np.arange(np.ceil(low / every), np.floor(high / every) + 1) * every, 6)
    elif field.logarithmic:
        bottom = np.exp(field.shift - 5 * field.scale)
        at = np.geomspace(max(bottom, 1e-300), max(high, 2 * bottom), n_values)
    else:
        at = np.linspace(low, high, n_values)
    return np.union1d(at, np.asarray(field.levels, dtype=np.float64))


def _asked(field: Field, values: Any) -> np.ndarray:
    """Values that a user gives, ascending."""
    if not field.is_number:
        return np.array(list(values), dtype=object)
    given = np.asarray(values)
    if given.dtype.kind == "M":
        given = given.astype("datetime64[us]").astype(np.int64) / 1e6
    return np.unique(given.astype(np.float64))


def _widths(field: Field, at: np.ndarray) -> FloatArray:
    """How much of the column each value stands for: the middles between its neighbours; of dates, in days."""
    if not field.is_number:
        return np.ones(len(at))
    unit = DAY if field.kind == "date" else 1.0
    mass = np.isin(at, field.levels)
    others = at[~mass]
    widths = np.full(len(at), field.step or unit)
    if len(others) > 1:
        between = np.diff(others)
        widths[~mass] = np.concatenate([between[:1], (between[1:] + between[:-1]) / 2, between[-1:]])
    return widths / unit
