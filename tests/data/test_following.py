"""Columns that follow from others exactly: which are found, and which only look so."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pushforward.data import Fields, learn_fields, open_source

N = 500
RNG = np.random.default_rng(0)
FOUND = {
    "titanic": {
        "survived": "a copy of 'alive'",
        "pclass": "a copy of 'class'",
        "adult_male": "told by 'who'",
        "embark_town": "a copy of 'embarked'",
    },
    "adult-train": {"column04": "a copy of 'column03'"},  # years of education, and what it is called
    "taxis": {"pickup_borough": "told by 'pickup_zone'", "dropoff_borough": "told by 'dropoff_zone'"},
    "telco-churn": {"PhoneService": "told by 'MultipleLines'"},
    "horse-colic": {},
    "german-credit": {},
    "diamonds": {},
    "penguins": {},
}


def table(**columns: Any) -> pa.Table:
    return pa.table({name: pa.array(values, from_pandas=True) for name, values in columns.items()})


def found(given: pa.Table, kinds: dict[str, str] | None = None) -> dict[str, str]:
    return {field.name: field.follows for field in learn_fields(given, kinds).following}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_known_of_tables_is_found(name: str, data_dir: Path) -> None:
    given = open_source(str(data_dir / "mixed" / f"{name}.csv.gz")).read()
    assert found(given.slice(0, 3000)) == FOUND[name]


def bill(n: int = N) -> dict[str, Any]:
    """Fares, what is added to them, and what comes of it."""
    fare, tolls = RNG.integers(6, 60, n) / 2, np.where(RNG.uniform(size=n) < 0.9, 0, 5.76)
    tip = np.where(RNG.uniform(size=n) < 0.3, 0, np.round(RNG.gamma(2, 1, n), 2))
    return {
        "total": np.round(fare + tip + tolls + 2.5, 2),
        "fare": fare,
        "tip": tip,
        "tolls": tolls,
        "net": np.round(fare + tolls + 2.5, 2),
    }


def test_totals_are_rebuilt_and_not_their_parts() -> None:
    assert found(table(**bill())) == {"total": "'tip' + 'fare' + 'tolls' + 2.5", "net": "'fare' + 'tolls' + 2.5"}


@pytest.mark.parametrize(
    ("made", "follows"),
    [
        (lambda x: 3.7 * x + 2, "3.7 'x' + 2"),
        (lambda x: -x, "- 'x'"),
        (lambda x: x.astype(np.float32), "'x'"),
        (lambda x: np.round(10 * x), "10 'x'"),
    ],
)
def test_a_number_in_other_units_is_found(made: Any, follows: str) -> None:
    x = RNG.normal(size=N) * 5
    assert found(table(x=x, y=made(x))) == {"y": follows}


def test_shares_of_a_whole_and_counts_that_add_up() -> None:
    shares = RNG.dirichlet([1, 2, 3], N)
    assert found(table(a=shares[:, 0], b=shares[:, 1], c=shares[:, 2])) == {"c": "- 'a' - 'b' + 1"}
    adults, children = RNG.poisson(2, N), RNG.poisson(1, N)
    assert found(table(adults=adults, children=children, all=adults + children + 1)) == {
        "all": "'adults' + 'children' + 1"
    }


def test_a_day_a_month_later() -> None:
    day = np.datetime64("2020-01-01") + RNG.integers(0, 900, N)
    assert found(table(sent=day, due=day + np.timedelta64(30, "D"))) == {"due": "'sent' + 30 days"}
    at = np.datetime64("2020-01-01T00:00:00.000001") + RNG.integers(0, 10**12, N)
    assert found(table(left=at, came=at + RNG.integers(1, 10**9, N))) == {}  # within a quarter of an hour


def near(values: Any) -> Any:
    changed = np.array(values)
    changed[7] += 1
    return changed


@pytest.mark.parametrize(
    "columns",
    [
        {"x": range(N), "y": near(range(N))},  # but for one row
        {"key": RNG.permutation(N), "y": RNG.choice(["a", "b"], N)},  # every value once
        {"a": ["u", *["v"] * 299], "b": [0, *[7] * 299]},  # but one row differs
        {"a": ["u", "v"] * 20, "b": ["s", "t"] * 20},  # forty rows
        {"a": RNG.choice(["u", "v"], N), "b": RNG.choice(["s", "t"], N)},
        {"x": (x := RNG.normal(size=N)), "y": RNG.normal(size=N), "z": x**2},
        {"x": x, "y": x + 1e-4 * RNG.normal(size=N)},
        {"x": 1e12 + x, "y": 1e12 + RNG.normal(size=N)},
        {"n": [1] * N, "m": [2] * N, "g": RNG.choice(["s", "t"], N)},
    ],
)
def test_what_only_looks_so_is_not_found(columns: dict[str, Any]) -> None:
    assert found(table(**columns)) == {}


def test_gaps_beside_values_make_no_copy() -> None:
    one = RNG.choice(["a", "b", "c"], N).astype(object)
    other = np.where(one == "a", "x", np.where(one == "b", "y", "z")).astype(object)
    gap = RNG.uniform(size=N) < 0.1
    one[gap] = None
    assert found(table(one=one, other=other)) == {}
    other[gap] = None
    assert found(table(one=one, other=other)) == {"other": "a copy of 'one'"}


def test_what_is_said_to_be_of_a_kind_is_modelled() -> None:
    copies = table(
        flag=(flag := RNG.integers(0, 2, N)), word=np.where(flag, "yes", "no"), said=np.where(flag, "t", "f")
    )
    assert set(found(copies)) == {"flag", "said"}
    assert set(found(copies, {"said": "category"})) == {"flag"}
    assert "total" not in found(table(**bill()), {"total": "number"})


def rows() -> tuple[pa.Table, Fields]:
    """A bill with the class of each ride as a number and in words, and what is told by it."""
    ride = RNG.integers(1, 4, N)
    words = np.array(["first", "second", "third"])[ride - 1]
    given = table(**bill(), ride=ride, words=words, cheap=ride == 3)
    return given, learn_fields(given)


def test_they_are_rebuilt_with_their_types() -> None:
    given, fields = rows()
    assert {field.name for field in fields.following} == {"total", "net", "ride", "cheap"}
    encoded = fields.encode(given)
    assert np.isfinite(encoded.log_extra).all()
    low, high = encoded.x[:, :, 1], encoded.x[:, :, 2]
    middle = np.where(low < -1e3, high, np.where(high > 1e3, low, (low + high) / 2))
    back = fields.decode(encoded.x[:, :, 0], middle, seed=0)
    assert back.schema == given.schema
    for name in given.column_names:
        assert back.column(name).to_pylist() == pytest.approx(given.column(name).to_pylist()), name
    assert Fields.from_state(fields.to_state()) == fields


def test_rows_that_break_a_rule_are_as_rare_as_none_was_seen() -> None:
    given, fields = rows()
    broken = given.to_pylist()[:4]
    broken[0]["total"] += 1
    broken[1]["ride"] = broken[1]["ride"] % 3 + 1
    broken[2]["cheap"] = None
    extra = fields.encode(pa.Table.from_pylist(broken, schema=given.schema)).log_extra.sum(axis=1)
    whole = fields.encode(given.slice(0, 4)).log_extra.sum(axis=1)
    least = [np.log(2 * (len(given) + 1))] * 2  # and what they are spread over
    assert np.isfinite(extra).all() and (whole[:2] - extra[:2] > least).all()
    np.testing.assert_allclose(extra[2:], whole[2:], atol=0.02)


def test_sums_hold_after_rounding() -> None:
    inches = np.random.default_rng(0).normal(70, 4, 300)
    exact = {"inch": inches, "cm": 2.54 * inches, "lb": 2 * inches + np.random.default_rng(1).normal(size=300)}
    exact["both"] = exact["inch"] + exact["lb"]
    fields = learn_fields(pa.table(exact))
    assert {field.name for field in fields.following} == {"cm", "both"}
    rounded = pa.table({name: [float(f"{v:.6g}") for v in values] for name, values in exact.items()})
    single = pa.table({name: values.astype(np.float32) for name, values in exact.items()})
    whole = fields.encode(pa.table(exact)).log_extra
    for table in (rounded, single):
        np.testing.assert_allclose(fields.encode(table).log_extra, whole, atol=1e-3)


def test_what_need_not_be_there() -> None:
    given, fields = rows()
    fewer = given.drop_columns(["total", "net", "ride", "cheap"])
    np.testing.assert_array_equal(fields.encode(fewer).x, fields.encode(given).x)


def test_they_fill_gaps_of_what_they_follow_from() -> None:
    given, fields = rows()
    gappy = given.to_pylist()[:3]
    gappy[0]["words"] = gappy[1]["fare"] = gappy[2]["fare"] = gappy[2]["tolls"] = None
    filled = fields.encode(pa.Table.from_pylist(gappy, schema=given.schema)).x
    whole = fields.encode(given.slice(0, 3)).x
    np.testing.assert_allclose(filled[:2], whole[:2], rtol=1e-9)
    assert np.isnan(filled[2]).any()
    asked = fields.demands(fields.read(pa.Table.from_pylist(gappy, schema=given.schema)))
    assert {demand.field.name: demand.rows.tolist() for demand in asked}["total"] == [False, False, True]
