"""The density of one column given others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import logsumexp

from pushforward.data.columns import FloatArray
from pushforward.data.fields import Field, Fields, to_arrow
from pushforward.data.sources import DataError, listing
from pushforward.distributions import GapFiller
from pushforward.estimators import mixed

if TYPE_CHECKING:
    import pyarrow as pa


class ConditionalDensity(NamedTuple):
    """What is known of a column, of each of some rows.

    Arguments:
        values: of the column, (G,): numbers, dates in seconds since 1970, or levels.
        density: in each row, shape (n, G): of numbers per unit of the column, and integrating to one over the grid; of
            whole numbers and levels probabilities.
    """

    values: np.ndarray
    density: FloatArray

    @property
    def mean(self) -> FloatArray:
        """Of numbers, shape (n,)."""
        mean: FloatArray = self._shares @ np.asarray(self.values, dtype=np.float64)
        return mean

    def quantile(self, q: float) -> FloatArray:
        """Of numbers, the value of the grid that a share q lies at or below, shape (n,)."""
        at: FloatArray = np.asarray(self.values)[
            (np.cumsum(self._shares, axis=1) < q).sum(axis=1).clip(max=len(self.values) - 1)
        ]
        return at

    @property
    def _shares(self) -> FloatArray:
        shares: FloatArray = self.density / self.density.sum(axis=1, keepdims=True)
        return shares


def conditional_density(
    fields: Fields, model: Any, filler: GapFiller, column: str, given: pa.Table, values: Any, n_values: int
) -> ConditionalDensity:
    """The density of a column given others; arguments as of the estimators' method, and what they are made of."""
    if column not in fields.names:
        raise DataError(f"no column {column!r}; the model has {listing(fields.names)}")
    field = next(field for field in fields.modelled if field.name == column)
    at = grid(field, n_values) if values is None else np.asarray(values)
    rest = mixed.widened(given.drop_columns([column]) if column in given.column_names else given, fields)
    n, g = len(rest), len(at)
    rows = rest.take(np.repeat(np.arange(n), g))
    place = rows.column_names.index(column)
    cells = np.tile(np.asarray(at, dtype=np.float64 if field.is_number else object), n)
    encoded = fields.encode(rows.set_column(place, column, to_arrow(cells, field)))
    logs = mixed.log_density(fields, model, filler, encoded).reshape(n, g)
    shares = np.exp(logs - logsumexp(logs, axis=1, keepdims=True))
    if field.is_number and field.step != 1.0:
        shares = shares / np.gradient(np.asarray(at, dtype=np.float64))
    return ConditionalDensity(at, shares)


def grid(field: Field, n_values: int) -> np.ndarray:
    """Values of a column from end to end: all levels, or numbers on its grid, `n_values` of them at most."""
    if not field.is_number:
        return np.array([level for level in field.levels if level is not None], dtype=object)
    low, high = max(field.reach[0], field.lowest), field.reach[1]
    if field.step and (high - low) / field.step < n_values:
        return np.round(np.arange(np.ceil(low / field.step), np.floor(high / field.step) + 1) * field.step, 6)
    at: np.ndarray = np.linspace(low, high, n_values)
    return at
