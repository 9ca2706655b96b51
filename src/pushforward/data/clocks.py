"""Columns of time: where each row lies on an even grid, how the grid goes on, and what the calendar says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pushforward.data.cells import is_text, seconds_of
from pushforward.data.sources import DataError

if TYPE_CHECKING:
    import pyarrow as pa

DAY = 86_400.0  # seconds
YEAR = 365.2425 * DAY
LONGEST_SEASON = 1024  # steps

Stamps = NDArray[np.float64]  # dates as seconds since 1970; or numbers


class Clock(NamedTuple):
    """An even grid of time.

    Arguments:
        column: of a table.
        form: what stamps are: "timestamp", "date", "month" (texts such as 1749-01) or "number".
        step: between two: seconds, months where `months`, or the unit of the numbers.
        months: whether steps are so many months, which are not all of one length.
        features: of the calendar, that conditions are made of: some of "hour", "weekday" and "year".
    """

    column: str
    form: str
    step: float
    months: bool = False
    features: tuple[str, ...] = ()

    def places(self, stamps: Stamps, origin: float) -> NDArray[np.float64]:
        """How many steps stamps lie after an origin; whole on the grid."""
        if self.months:
            stamps, origin = _in_months(stamps), float(_in_months(np.array([origin])).item())
        places: NDArray[np.float64] = (stamps - origin) / self.step
        return places

    def stamps(self, origin: float, places: NDArray[np.integer]) -> Stamps:
        """The stamps of steps after an origin."""
        if not self.months:
            return origin + places.astype(np.float64) * self.step
        month = _month(np.array([origin]))
        moved = month + (places * round(self.step)).astype("timedelta64[M]")
        result: Stamps = _start(moved) + (origin - _start(month))
        return result

    @property
    def step_text(self) -> str:
        """How long a step is, in words."""
        if self.months:
            return f"{self.step:g} month{'' if self.step == 1 else 's'}"
        if self.form == "number":
            return f"{self.step:g}"
        for unit, name in ((DAY, "day"), (3600.0, "hour"), (60.0, "minute")):
            if self.step >= unit:
                return f"{self.step / unit:g} {name}{'' if self.step == unit else 's'}"
        return f"{self.step:g} seconds"

    @property
    def seasons(self) -> tuple[int, ...]:
        """Lengths of the day and the week, or of the year, in steps, where they are whole and not too long."""
        if self.form == "number":
            return ()
        cycles = [12 / self.step] if self.months else [DAY / self.step, 7 * DAY / self.step]
        return tuple(round(n) for n in cycles if 2 <= n <= LONGEST_SEASON and abs(n - round(n)) < 1e-6)

    def calendar(self, stamps: Stamps) -> NDArray[np.float64]:
        """What the calendar says of stamps, shape (T, K): two waves of the day and of the year each, the weekday."""
        parts = [np.empty((len(stamps), 0))]
        for name in self.features:
            if name == "weekday":
                days = np.floor(stamps / DAY) % 7
                parts.append((days[:, None] == np.arange(6)).astype(np.float64))  # the seventh is none of them
                continue
            angle = 2 * np.pi * stamps / (DAY if name == "hour" else YEAR)
            parts.append(np.stack([wave(i * angle) for i in (1, 2) for wave in (np.sin, np.cos)], axis=1))
        return np.concatenate(parts, axis=1)

    def column_of(self, stamps: Stamps) -> pa.Array:
        """Stamps in the type that the column had."""
        import pyarrow as pa

        if self.form == "number":
            whole = bool((stamps == np.round(stamps)).all())
            return pa.array(stamps.astype(np.int64) if whole else stamps)
        dates = _dates(stamps)
        if self.form == "month":
            return pa.array([str(month) for month in dates.astype("datetime64[M]")])
        if self.form == "date":
            return pa.array(dates.astype("datetime64[D]"))
        return pa.array(dates if (stamps % 1).any() else dates.astype("datetime64[s]"))


class SeriesColumns(NamedTuple):
    """The columns of a table of series.

    Arguments:
        names: the channels.
        by: the column that tells series apart, or None.
        clock: the grid of its column of time.
    """

    names: tuple[str, ...]
    by: str | None
    clock: Clock

    @classmethod
    def of_state(cls, state: dict[str, Any]) -> SeriesColumns:
        """The inverse of `state`."""
        return cls(state["names"], state["by"], Clock(**state["clock"]))

    def state(self) -> dict[str, Any]:
        """As plain values, for a model file."""
        return {"names": self.names, "by": self.by, "clock": self.clock._asdict()}


def read_stamps(values: pa.ChunkedArray, column: str, source: str) -> tuple[Stamps, str]:
    """A column of time as numbers, and their form.

    Arguments:
        values: dates, texts such as 2016-07-01 or 1749-01, or numbers.
        column: its name.
        source: what messages call the table.

    Raises:
        DataError: it holds something else, or a cell is empty.
    """
    import pyarrow as pa

    kind, form = values.type, "timestamp"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        stamps, form = np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64), "number"
    else:
        try:
            stamps = seconds_of(values, column)
        except DataError:
            raise DataError(
                f"{source}: the column of time {column!r} holds {kind}, such as {values[0].as_py()!r}; expected "
                "numbers or dates such as 2016-07-01 13:00:00; convert others in a SQL query (strptime)"
            ) from None
        length = max((len(str(text)) for text in values.to_pylist()), default=0) if is_text(values) else 0
        form = {7: "month", 10: "date"}.get(length, "date" if pa.types.is_date(kind) else form)
    empty = int((~np.isfinite(stamps)).sum())
    if empty:
        raise DataError(f"{source}: {empty} cells of the column of time {column!r} are empty; fill them in")
    return stamps, form


def learn_clock(groups: list[Stamps], column: str, form: str, source: str) -> Clock:
    """The grid that most stamps keep to: their median step, in months where all lie alike in theirs.

    Arguments:
        groups: stamps of each series, ascending.
        column: of the table.
        form: as `read_stamps` tells.
        source: what messages call the table.

    Raises:
        DataError: no series has two stamps.
    """
    steps = np.concatenate([np.diff(stamps) for stamps in groups])
    if not len(steps):
        raise DataError(f"{source}: no series has two rows; a fit needs some hundred to be of use")
    step, every = float(np.median(steps)), np.concatenate(groups)
    if form == "number":
        return Clock(column, form, step)
    year = ("year",) if np.ptp(every) > 2 * YEAR else ()  # of which more than two were seen
    if step >= 28 * DAY and np.ptp(every - _start(_month(every))) == 0:
        months = np.concatenate([np.diff(_in_months(stamps)) for stamps in groups])
        return Clock(column, form, float(np.median(months)), True, year)
    hour, weekday = ("hour",) if step <= DAY / 4 else (), ("weekday",) if step <= DAY else ()
    return Clock(column, form, step, False, hour + weekday + (year if step <= 31 * DAY else ()))


def _dates(stamps: Stamps) -> NDArray[Any]:
    return np.round(stamps * 1e6).astype(np.int64).astype("datetime64[us]")


def _month(stamps: Stamps) -> NDArray[Any]:
    months: NDArray[Any] = _dates(stamps).astype("datetime64[M]")
    return months


def _start(months: NDArray[Any]) -> Stamps:
    """The first second of months."""
    return months.astype("datetime64[s]").astype(np.float64)


def _in_months(stamps: Stamps) -> NDArray[np.float64]:
    """Stamps in months since 1970."""
    month = _month(stamps)
    share: NDArray[np.float64] = (stamps - _start(month)) / (_start(month + 1) - _start(month))
    return month.astype(np.float64) + share
