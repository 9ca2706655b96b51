"""Even grids of time: what they are, how they go on, what the calendar says."""

import datetime

import numpy as np
import pyarrow as pa
import pytest

from pushforward.data import DataError
from pushforward.data.clocks import DAY, Clock, SeriesColumns, learn_clock, read_stamps


def stamps_of(values: list) -> tuple[np.ndarray, str]:
    return read_stamps(pa.chunked_array([pa.array(values)]), "when", "table")


@pytest.mark.parametrize(
    ("values", "form"),
    [
        ([1, 2, 3], "number"),
        ([0.5, 0.75], "number"),
        (["1749-01", "1749-02"], "month"),
        (["2016-07-01", "2016-07-02"], "date"),
        (["2016-07-01 00:00:00", "2016-07-01 01:00:00"], "timestamp"),
        ([datetime.date(2016, 7, 1)], "date"),
        ([datetime.datetime(2016, 7, 1, 3)], "timestamp"),
    ],
)
def test_stamps_go_back_to_what_they_were(values: list, form: str) -> None:
    stamps, found = stamps_of(values)
    assert found == form
    assert [str(v) for v in Clock("when", form, 1.0).column_of(stamps).to_pylist()] == [str(v) for v in values]


def test_an_empty_stamp_and_text_are_refused() -> None:
    with pytest.raises(DataError, match="1 cells of the column of time 'when' are empty"):
        stamps_of(["2016-07-01", None])
    with pytest.raises(DataError, match="'1.7.2016'; expected numbers or dates .*strptime"):
        stamps_of(["1.7.2016", "2.7.2016"])


def test_months_of_unequal_length_are_one_step_each() -> None:
    stamps, form = stamps_of(["2015-12", "2016-01", "2016-02", "2016-03", "2016-05"])
    clock = learn_clock([stamps], "when", form, "table")
    assert (clock.months, clock.step, clock.seasons, clock.step_text) == (True, 1.0, (12,), "1 month")
    np.testing.assert_allclose(clock.places(stamps, stamps[0]), [0, 1, 2, 3, 5])
    assert clock.column_of(clock.stamps(stamps[0], np.arange(5, 8))).to_pylist() == ["2016-05", "2016-06", "2016-07"]


def test_hours_have_days_and_weeks() -> None:
    stamps = 3600.0 * np.arange(24 * 14)
    clock = learn_clock([stamps], "when", "timestamp", "table")
    assert (clock.step, clock.seasons, clock.features) == (3600.0, (24, 168), ("hour", "weekday"))
    calendar = clock.calendar(stamps)
    assert calendar.shape == (24 * 14, 10)
    np.testing.assert_allclose(calendar[:168], calendar[168:], atol=1e-9)
    assert np.abs(calendar[:24] - calendar[24:48]).max() > 0.5


def test_the_year_is_asked_only_where_more_than_two_were_seen() -> None:
    short, long = (learn_clock([DAY * np.arange(n)], "when", "date", "table") for n in (700, 800))
    assert (short.features, long.features) == (("weekday",), ("weekday", "year"))


def test_numbers_have_no_calendar() -> None:
    clock = learn_clock([np.array([0.0, 2, 4, 8])], "when", "number", "table")
    assert (clock.step, clock.seasons, clock.features) == (2.0, (), ())
    assert clock.calendar(np.arange(3.0)).shape == (3, 0)
    assert clock.column_of(clock.stamps(8.0, np.array([1]))).to_pylist() == [10]


def test_the_state_comes_back() -> None:
    columns = SeriesColumns(("a",), None, Clock("when", "date", DAY, False, ("weekday",)))
    assert SeriesColumns.of_state(columns.state()) == columns
