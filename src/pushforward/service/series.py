"""Tables of series: rows put on an even grid of time, a model fitted, each step scored, forecasts written down."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.clocks import Clock, SeriesColumns, Stamps, learn_clock, read_stamps
from pushforward.data.sources import DataError, Source, listing
from pushforward.data.tables import to_numbers
from pushforward.data.writing import append_columns
from pushforward.estimators import SeriesDensity
from pushforward.service.kinds import RequestError
from pushforward.training import Checkpoint

if TYPE_CHECKING:
    import pyarrow as pa

OFF_GRID = 0.25  # steps from the grid beyond which a stamp is told of
MOST_GAPS = 20  # steps of the grid for each row


@dataclass(frozen=True)
class SeriesTable:
    """A table as series on an even grid of time.

    Arguments:
        source: what messages call the table.
        names: the channels.
        clock: the grid.
        by: the column that tells series apart, or None.
        table: all its rows.
        groups: what each series is called; one None without `by`.
        x: of each series its values, shape (T, C), NaN where there is no row or an empty cell.
        origins: the first stamp of each.
        rows: of each series the numbers of its rows in the table, by their steps, and these steps.
    """

    source: str
    names: tuple[str, ...]
    clock: Clock
    by: str | None
    table: pa.Table
    groups: tuple[Any, ...]
    x: tuple[NDArray[np.float64], ...]
    origins: tuple[float, ...]
    rows: tuple[tuple[NDArray[np.intp], NDArray[np.intp]], ...]

    def conditions(self, ahead: int = 0) -> list[NDArray[np.float64]] | None:
        """What the calendar says of each step, and of so many after the last; None where it is not asked."""
        if not self.clock.features:
            return None
        each = zip(self.origins, self.x, strict=True)
        return [self.clock.calendar(self.clock.stamps(origin, np.arange(len(x) + ahead))) for origin, x in each]


def read_series(
    source: Source,
    time: str,
    *,
    by: str | None = None,
    columns: Sequence[str] | None = None,
    clock: Clock | None = None,
) -> SeriesTable:
    """Read a table whose rows are steps of one series, or of several.

    Rows are put in the order of time. What has no row on the grid of the usual step, or an empty cell, is a gap.

    Arguments:
        source: the table, as `pushforward.data.open_source` opens it.
        time: its column of dates, or of numbers.
        by: the column that tells series apart.
        columns: to model; all others if None.
        clock: of a fitted model, whose grid the rows have to keep to.

    Raises:
        DataError: stamps are missing or repeat, columns are not numbers or infinite, or the grid is far finer than the
            rows.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT range AS day, sin(range) AS a FROM range(60)")
        >>> service.read_series(rows, "day").x[0].shape
        (60, 1)
    """
    beside = [time] if by is None else [time, by]
    source.check_columns(beside)
    names = source.choose(columns, set(beside))
    source.check_columns(names)
    if not names or {*names} & {*beside}:
        raise DataError(
            f"{source.name}: give columns to model beside {' and '.join(beside)}; got {listing(names) or 'none'}"
        )
    table = source.read()
    numbers = to_numbers(table, names, source.name, beside)
    if np.isinf(numbers).any():
        row, column = np.argwhere(np.isinf(numbers))[0]
        raise DataError(
            f"{source.name}: column {names[column]!r} is infinite in row {row + 1}; leave what nobody knows empty"
        )
    stamps, form = read_stamps(table.column(time), time, source.name)
    groups, members = _groups(table, by)
    ordered = [_in_order(stamps, rows, time, group, source.name) for group, rows in zip(groups, members, strict=True)]
    if any((own != rows).any() for own, rows in zip(ordered, members, strict=True)):
        warnings.warn(f"{source.name}: rows are not in the order of {time!r}, and were put in it", stacklevel=2)
    own_clock = learn_clock([stamps[rows] for rows in ordered], time, form, source.name) if clock is None else clock
    if (own_clock.form == "number") != (form == "number"):
        raise DataError(f"{source.name}: the column of time {time!r} holds {form}s, and the model's {own_clock.form}s")
    x, origins, places = [], [], []
    for rows in ordered:
        step = _places(own_clock, stamps[rows], source.name)
        values = np.full((step[-1] + 1, len(names)), np.nan)
        values[step] = numbers[rows]
        x.append(values)
        origins.append(float(stamps[rows[0]]))
        places.append((rows, step))
    gaps = sum(map(len, x)) - len(stamps)
    if gaps:
        warnings.warn(f"{source.name}: {gaps:,} steps of the grid have no row, and are gaps", stacklevel=2)
    return SeriesTable(source.name, names, own_clock, by, table, groups, tuple(x), tuple(origins), tuple(places))


def _groups(table: pa.Table, by: str | None) -> tuple[tuple[Any, ...], list[NDArray[np.intp]]]:
    """What series are called, in the order of their first rows, and the rows of each."""
    if by is None:
        return (None,), [np.arange(len(table))]
    codes = table.column(by).combine_chunks().dictionary_encode(null_encoding="encode")
    names, numbers = codes.dictionary.to_pylist(), codes.indices.to_numpy()
    return tuple(names), [np.flatnonzero(numbers == i) for i in range(len(names))]


def _in_order(stamps: Stamps, rows: NDArray[np.intp], time: str, group: Any, source: str) -> NDArray[np.intp]:
    """Rows of a series in the order of time.

    Raises:
        DataError: a stamp repeats.
    """
    ordered: NDArray[np.intp] = rows[np.argsort(stamps[rows], kind="stable")]
    twice = np.flatnonzero(np.diff(stamps[ordered]) == 0)
    if len(twice):
        a, b = sorted((int(ordered[twice[0]]), int(ordered[twice[0] + 1])))
        of = "" if group is None else f" of series {group!r}"
        raise DataError(
            f"{source}: {len(twice):,} stamps of {time!r}{of} repeat, first in rows {a + 1} and {b + 1}; keep one row "
            "of each (GROUP BY in a SQL query), or tell several series apart by a column (by=)"
        )
    return ordered


def _places(clock: Clock, stamps: Stamps, source: str) -> NDArray[np.intp]:
    """The step of each row.

    Raises:
        DataError: two rows fall on one step, or there are far more steps than rows.
    """
    exact = clock.places(stamps, stamps[0])
    step: NDArray[np.intp] = np.round(exact).astype(np.intp)
    if (np.diff(step) == 0).any():
        raise DataError(
            f"{source}: stamps of {clock.column!r} lie nearer to each other than the step of the grid, "
            f"{clock.step_text}; bring them onto an even grid in a SQL query (time_bucket)"
        )
    if step[-1] + 1 > MOST_GAPS * len(step) + 100:
        raise DataError(
            f"{source}: {len(step):,} rows lie on {step[-1] + 1:,} steps of {clock.step_text}; "
            "bring them onto a coarser grid, or cut the series where nothing was recorded for long"
        )
    off = int((np.abs(exact - step) > OFF_GRID).sum())
    if off:
        warnings.warn(f"{source}: {off:,} rows lie off the grid, and were moved to its nearest step", stacklevel=3)
    return step


def fit_series(inputs: SeriesTable, *, checkpoint: Checkpoint | None = None, **parameters: Any) -> SeriesDensity:
    """Fit a model to the series of a table; it knows their columns, their grid of time and the calendar.

    Arguments:
        inputs: what `read_series` read.
        checkpoint: where and how often to keep the state of training.
        parameters: of `SeriesDensity`, by name; `seasons` are those of the grid where they are not given.

    Raises:
        DataError: the estimator refuses the table or a parameter.
        TrainingError: training diverged.
    """
    longest = max(map(len, inputs.x))
    parameters = {"seasons": tuple(s for s in inputs.clock.seasons if 2 * s < longest), **parameters}
    estimator = SeriesDensity(**parameters)
    if checkpoint is not None:
        columns = {"the columns": inputs.names, "the time": inputs.clock.column, "the series by": inputs.by}
        checkpoint = dataclasses.replace(checkpoint, fingerprint={**checkpoint.fingerprint, **columns})
    try:
        estimator.fit(list(inputs.x), condition=inputs.conditions(), checkpoint=checkpoint)
    except ValueError as error:
        raise DataError(f"{inputs.source}: {_named(str(error), inputs)}") from error
    estimator.table_ = SeriesColumns(inputs.names, inputs.by, inputs.clock)
    return estimator


def _named(message: str, inputs: SeriesTable) -> str:
    """A message with the names of columns and series in place of their numbers."""
    for i, name in enumerate(inputs.names):
        message = message.replace(f"channel {i} of X", f"column {name!r}")
    for i, group in enumerate(inputs.groups):
        message = message.replace(f"series {i} of X", "the series" if group is None else f"series {group!r}")
    return message


def require_table(model: SeriesDensity) -> SeriesColumns:
    """The columns of the table that a model was fitted to.

    Raises:
        RequestError: it was fitted to arrays.
    """
    if model.table_ is None:
        raise RequestError("the model was fitted to arrays in Python, and knows no columns; apply it there")
    return model.table_


def read_like(model: SeriesDensity, source: Source) -> SeriesTable:
    """Read a table like the one that a model was fitted to.

    Raises:
        RequestError: the model was fitted to arrays.
        DataError: a column is missing, or as of `read_series`.
    """
    names, by, clock = require_table(model)
    return read_series(source, clock.column, by=by, columns=names, clock=clock)


def score_series(model: SeriesDensity, inputs: SeriesTable) -> pa.RecordBatch:
    """The rows of a table, in their order, with the log-density of each given those before it; null where all is empty.

    Arguments:
        model: fitted by `fit_series`.
        inputs: what `read_like` read.

    Raises:
        DataError: a column named log_density is there already, or values are none of the model's.
    """
    import pyarrow as pa

    try:
        surprise = model.score_steps(list(inputs.x), condition=inputs.conditions())
    except ValueError as error:
        raise DataError(f"{inputs.source}: {_named(str(error), inputs)}") from error
    log_density = np.empty(len(inputs.table))
    for (rows, step), steps in zip(inputs.rows, surprise, strict=True):
        log_density[rows] = -steps[step]
    column = pa.array(log_density, from_pandas=True)  # NaN is null
    return append_columns(inputs.table.combine_chunks().to_batches()[0], {"log_density": column}, inputs.source)


def forecast_series(
    model: SeriesDensity,
    inputs: SeriesTable,
    horizon: int,
    n_samples: int = 200,
    quantiles: Sequence[float] = (0.05, 0.5, 0.95),
    seed: int = 0,
) -> pa.RecordBatch:
    """Quantiles of the steps that follow the last row of each series, a row a step, stamps going on.

    Arguments:
        model: fitted by `fit_series`.
        inputs: what `read_like` read.
        horizon: steps ahead.
        n_samples: draws that quantiles are taken of.
        quantiles: levels between 0 and 1.
        seed: of the draws.

    Returns:
        The column that tells series apart, where there is one, the column of time, and for each channel A and level q a
        column A_q, such as A_0.05.
    """
    import pyarrow as pa

    drawn = model.forecast(
        list(inputs.x),
        horizon,
        n_samples,
        quantiles=quantiles,
        condition=inputs.conditions(horizon),
        random_state=seed,
    )
    each = zip(inputs.origins, inputs.x, strict=True)
    stamps = [inputs.clock.stamps(origin, np.arange(len(x), len(x) + horizon)) for origin, x in each]
    columns: dict[str, Any] = {}
    if inputs.by is not None:
        kind = inputs.table.schema.field(inputs.by).type
        columns[inputs.by] = pa.array([group for group in inputs.groups for _ in range(horizon)]).cast(kind)
    columns[inputs.clock.column] = inputs.clock.column_of(np.concatenate(stamps))
    for c, name in enumerate(inputs.names):
        for q, level in enumerate(quantiles):
            columns[f"{name}_{level:g}"] = pa.array(drawn[q, :, :, c].reshape(-1))
    return pa.RecordBatch.from_pydict(columns)
