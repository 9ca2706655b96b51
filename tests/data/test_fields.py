"""What columns are taken to be, and that values come back as they went in."""

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pushforward.data import DataError, Fields, learn_fields
from pushforward.data.fields import to_arrow, values_of

N = 400
RNG = np.random.default_rng(0)


def table(**columns: Any) -> pa.Table:
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def kind(values: Any, said: str | None = None) -> str:
    return learn_fields(table(a=values), None if said is None else {"a": said}).all[0].kind


def test_kinds_are_what_people_would_call_them() -> None:
    assert kind(RNG.normal(size=N)) == "real"
    assert kind(np.exp(RNG.normal(size=N))) == "positive"
    assert kind(RNG.poisson(5, N)) == "whole"
    assert kind(RNG.choice(["a", "b"], N)) == "category"
    assert kind(RNG.uniform(size=N) < 0.5) == "boolean"
    assert kind([datetime.date(2020, 1, 1 + i % 28) for i in range(N)]) == "date"
    assert kind(pa.array(RNG.choice(["a", "b"], N)).dictionary_encode()) == "category"
    assert kind(["1", " 2.5", "?", ""] * 50) == "positive"
    assert kind(RNG.poisson(5, N), "category") == "category"


def test_what_cannot_be_modelled_is_left_out_with_a_reason() -> None:
    fields = learn_fields(
        table(
            key=[f"k{i:05}" for i in range(N)],
            empty=pa.nulls(N, pa.string()),
            note=["a text that is long enough to be no category, number " + str(i // 2) for i in range(N)],
            parts=[[1, 2]] * N,
            x=RNG.normal(size=N),
        )
    )
    left = {field.name: field.why for field in fields.all if field.kind == "left out"}
    assert set(left) == {"key", "empty", "note", "parts"}
    assert all(left.values())
    assert fields.names == ("x",)


def mixed_table() -> pa.Table:
    stamps = np.datetime64("2021-03-01T00:00:00") + RNG.integers(0, 10**7, N).astype("timedelta64[s]")
    zoned = pa.array(stamps.astype("datetime64[us]")).cast(pa.timestamp("us", tz="Europe/Lisbon"))
    gaps = RNG.uniform(size=N) < 0.1
    return pa.table(
        {
            "price": np.round(np.exp(RNG.normal(3, 1, N)), 2),
            "share": np.where(RNG.uniform(size=N) < 0.3, 0.0, RNG.uniform(size=N)),
            "visits": pa.array(RNG.poisson(2, N), mask=gaps),
            "delta": RNG.normal(size=N).astype(np.float32),
            "city": pa.array(RNG.choice(["Porto", "Lisboa", "Faro"], N), mask=gaps),
            "size": pa.DictionaryArray.from_arrays(pa.array(RNG.integers(0, 3, N)), ["S", "M", "L"], ordered=True),
            "member": pa.array(RNG.uniform(size=N) < 0.5, mask=gaps),
            "day": pa.array((np.datetime64("2020-01-01") + RNG.integers(0, 900, N)).astype("datetime64[D]")),
            "old": pa.array([datetime.date(1500 + int(i), 1, 1) for i in RNG.integers(0, 400, N)]),
            "at": stamps.astype("datetime64[s]"),
            "zoned": zoned,
        }
    )


def test_values_come_back_as_they_went_in() -> None:
    given = mixed_table()
    fields = learn_fields(given)
    rows = fields.encode(given)
    low, high = rows.x[:, :, 1], rows.x[:, :, 2]
    middle = np.where(low < -1e3, high, np.where(high > 1e3, low, (low + high) / 2))
    back = fields.decode(rows.x[:, :, 0], middle, seed=0)
    assert back.schema.names == given.schema.names
    for name in given.schema.names:
        was, now = given.column(name), back.column(name)
        assert now.type == was.type or (name == "size" and now.type.ordered), name
        if pa.types.is_floating(was.type):
            np.testing.assert_allclose(now.to_numpy(), was.to_numpy(), rtol=1e-6)
        else:
            assert now.to_pylist() == was.to_pylist(), name
    again = Fields.from_state(fields.to_state())
    np.testing.assert_array_equal(again.encode(given).x, rows.x)


def test_masses_do_not_hide_those_beside_them() -> None:
    hours = np.concatenate([np.repeat([40, 50, 45, 48, 35], [5000, 1000, 600, 200, 300]), np.repeat(range(1, 80), 12)])
    (field,) = learn_fields(pa.table({"hours": hours})).all
    assert set(field.levels) == {40, 50, 45, 48, 35}


def test_a_value_that_repeats_among_others_is_a_mass() -> None:
    share = np.where(np.arange(N) % 4 == 0, 0.0, RNG.uniform(size=N))
    (field,) = learn_fields(table(share=share)).all
    assert field.levels == (0.0,)
    assert field.step == 0
    rows = field.encode(share)
    assert (rows.x[share == 0, 0] == 1).all()
    assert (rows.x[share > 0, 0] == 0).all()
    # a point has the density of its units, a mass none
    np.testing.assert_allclose(rows.log_extra[share == 0], 0)
    assert np.isfinite(rows.log_extra).all()


def test_whole_numbers_fill_cells_that_leave_nothing_out() -> None:
    counts = RNG.poisson(3, N).astype(float)
    (field,) = learn_fields(table(counts=counts)).all
    rows = field.encode(np.arange(0.0, 30.0)).x
    np.testing.assert_allclose(rows[1:, 1], rows[:-1, 2], rtol=1e-9)
    assert rows[0, 1] < -1e3  # what is below is no number that there could be
    assert field.encode(np.array([-1.0])).log_extra[0] == -np.inf


def test_levels_not_seen_have_what_is_left_for_them() -> None:
    levels = [*RNG.choice(["a", "b", "c"], N), "once"]
    (field,) = learn_fields(table(a=levels)).all
    rows = field.encode(["new", "a", None])
    assert rows.x[0, 0] == -1
    assert np.isnan(rows.x[2, 0])
    np.testing.assert_allclose(np.exp(rows.log_extra[:2]).sum(), 1)


def test_rare_levels_share_a_code_by_their_frequencies() -> None:
    levels = [f"l{i}" for i in range(1000) for _ in range(1 + (i < 10))]
    (field,) = learn_fields(table(a=levels), {"a": "category"}).all
    assert field.n_codes == 256
    rare = field.encode([level for level in field.levels if level not in field.levels[:255]])
    assert (rare.x[:, 0] == 255).all()
    np.testing.assert_allclose(np.exp(rare.log_extra - np.log1p(-field.unseen)).sum(), 1)
    back = field.decode(np.full(50, 255.0), np.zeros(50), np.random.default_rng(0))
    assert set(back) <= set(field.levels[255:])


@pytest.mark.parametrize(
    ("columns", "kinds", "says"),
    [
        ({"a": [1.0, np.inf, 2.0]}, None, "infinite"),
        ({"a": ["x", "y", "x"]}, {"a": "number"}, "no numbers"),
        ({"a": [1.0, 2.0]}, {"b": "category"}, "no column 'b'"),
        ({"a": [1.0, 2.0]}, {"a": "colour"}, "no kind 'colour'"),
    ],
)
def test_bad_columns_are_named(columns: dict[str, Any], kinds: dict[str, str] | None, says: str) -> None:
    with pytest.raises(DataError, match=says):
        learn_fields(table(**columns), kinds)


def test_another_type_than_before_is_refused() -> None:
    (field,) = learn_fields(table(a=RNG.normal(size=N))).all
    with pytest.raises(DataError, match="numbers are expected"):
        values_of(table(a=["x", "y"]).column("a"), field)


@pytest.mark.parametrize("zone", ["America/New_York", "Asia/Kolkata", "Europe/Lisbon"])
def test_days_of_a_zone_are_those_of_its_clocks(zone: str) -> None:
    """Midnights are at two times of the day in Greenwich, as clocks change; and hours of India between two there."""
    for unit, step in (("D", 86400.0), ("h", 3600.0)):
        at = (np.datetime64("2020-01-01", unit) + RNG.integers(0, 900, N)).astype("datetime64[us]")
        local = pc.assume_timezone(pa.array(at), zone, ambiguous="earliest", nonexistent="latest")
        given = pa.table({"at": local})
        (field,) = learn_fields(given).all
        assert field.step == step
        seconds = values_of(given.column("at"), field)
        assert to_arrow(seconds, field).equals(local)
        naive = values_of(pa.table({"at": at}).column("at"), field)  # as a user writes them
        if field.local:
            np.testing.assert_array_equal(naive, at.astype(np.int64) / 1e6)
    assert not learn_fields(pa.table({"at": pa.array(at).cast(pa.timestamp("us", tz="UTC"))})).all[0].local


def test_dates_stay_within_what_their_type_holds() -> None:
    ends = pa.array(RNG.choice(np.array(["1800-01-01", "2262-04-01"], dtype="datetime64[ns]"), N))
    (field,) = learn_fields(table(a=ends)).all
    assert field.reach[1] * 1e9 < 2**63
    (field,) = learn_fields(table(a=[datetime.date(9999, 12, 31), datetime.date(1, 1, 1)] * 50)).all
    assert to_arrow(np.array(field.reach), field).to_pylist() == [datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]


def test_texts_of_numbers_and_dates_are_texts_again() -> None:
    days = ["2021-03-04", None, "1500-01-01"] * 40
    fields = learn_fields(table(n=["7", "12", None] * 40, d=days, v=["0.5", "1e3", "-2"] * 40), {"d": "date"})
    back = [
        to_arrow(values_of(table(a=v).column("a"), f), f).to_pylist()[:3]
        for f, v in zip(fields.all, (["7", "12", None], days, ["0.5", "1e3", "-2"]), strict=True)
    ]
    assert back == [["7", "12", None], ["2021-03-04", None, "1500-01-01"], ["0.5", "1000", "-2"]]
    assert [str(pa.array(["0"]).type)] * 3 == [field.dtype for field in fields.all]


def test_words_and_codes_are_met_again_as_what_a_file_made_of_them() -> None:
    levels = {"yes": ["Yes", "No"], "sex": ["F", "M"], "zip": ["00123", "12345"], "both": ["0123", "00123"]}
    fields = {f.name: f for f in learn_fields(table(**{name: two * 50 for name, two in levels.items()})).all}
    assert {f.kind for f in fields.values()} == {"category"}
    assert list(fields["yes"].plain([True, False, None])) == ["Yes", "No", None]
    assert list(fields["sex"].plain([False])) == ["False"]  # no F
    assert list(fields["zip"].plain([123, 123.0, 12345, 7])) == ["00123", "00123", "12345", "7"]
    assert list(fields["both"].plain([123])) == ["123"]  # which of them is not told


def test_codes_are_numbers_where_that_is_said_or_known() -> None:
    codes = [f"{i:03}" for i in range(1, 41)] * 5
    assert kind(codes) == "category"
    assert kind(codes, "number") == "whole"
    (field,) = learn_fields(table(a=[int(code) for code in codes])).all
    assert values_of(pa.array(codes), field).tolist() == [int(code) for code in codes]
