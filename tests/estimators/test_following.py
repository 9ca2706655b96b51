"""Estimators on tables of which columns follow exactly from others."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pushforward as pf
from pushforward.data import DataError

N = 300
QUICK: dict[str, Any] = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}
pd = pytest.importorskip("pandas")


def passengers() -> Any:
    """Passengers with a class in words and as a number, family that adds up, and gaps."""
    rng = np.random.default_rng(0)
    ride = rng.integers(1, 4, N)
    table = pd.DataFrame(
        {
            "ride": ride,
            "words": pd.Categorical(np.array(["first", "second", "third"])[ride - 1]),
            "cheap": ride == 3,
            "age": np.where(rng.uniform(size=N) < 0.1, np.nan, rng.normal(40, 9, N)),
            "old": rng.poisson(1, N),
            "young": rng.poisson(1, N),
        }
    )
    return table.assign(all=table["old"] + table["young"])


@pytest.fixture(scope="module")
def density() -> pf.FlowDensity:
    with pytest.warns(UserWarning, match=r"rebuilt .*'ride' \(a copy of 'words'\).*'all' \('old' \+ 'young'\)"):
        return pf.FlowDensity(**QUICK).fit(passengers())


def follows(table: Any) -> bool:
    words = {"first": 1, "second": 2, "third": 3}
    ride, cheap = table["words"].astype(str).map(words), table["words"].astype(str) == "third"
    return bool(
        (table["ride"] == ride).all()
        and (table["cheap"] == cheap).all()
        and (table["all"] == table["old"] + table["young"]).all()
    )


def test_samples_have_them_as_they_were(density: pf.FlowDensity) -> None:
    drawn = density.sample(200)
    assert density.columns_.names == ("words", "age", "old", "young")
    assert list(drawn.columns) == list(passengers().columns)
    assert drawn.dtypes.tolist() == passengers().dtypes.tolist()
    assert follows(drawn)


def test_rows_are_scored_with_them_and_without(density: pf.FlowDensity, tmp_path: Path) -> None:
    table = passengers()
    scores = density.score_samples(table)
    fewer = density.score_samples(table.drop(columns=["ride", "cheap", "all"]))
    np.testing.assert_allclose(fewer, scores, atol=3 / N)  # but for the little that is left for exceptions
    broken = table.assign(all=table["all"] + (table.index < 2))
    lost = scores - density.score_samples(broken)
    assert (lost[:2] > np.log(2 * N)).all() and np.isfinite(lost).all() and (lost[2:] == 0).all()
    unknown = table.assign(words=table["words"].astype(object).where(table.index >= 5))
    np.testing.assert_allclose(density.score_samples(unknown), scores, rtol=1e-4)  # which the copy tells
    density.save(tmp_path / "model")
    np.testing.assert_allclose(pf.load(tmp_path / "model").score_samples(table), scores, rtol=1e-5)


def test_gaps_are_filled_so_that_they_follow(density: pf.FlowDensity) -> None:
    table = passengers()
    table["words"] = table["words"].where(table.index >= 5)
    table["ride"] = table["ride"].astype("Int64").where((table.index < 3) | (table.index >= 8))
    table["cheap"] = table["cheap"].astype("boolean").where(table.index >= 5)
    table["old"] = table["old"].astype("Int64").where(table.index >= 9)
    filled = density.impute(table)
    assert not filled.isna().any().any()
    assert follows(filled)
    assert filled.loc[:2, "ride"].tolist() == passengers().loc[:2, "ride"].tolist()
    assert filled.loc[:8, "old"].tolist() == passengers().loc[:8, "old"].tolist()
    untold = table.assign(cheap=passengers()["cheap"], ride=None)
    assert follows(density.impute(untold))
    assert np.isfinite(density.score_samples(untold)).all()


def test_a_copy_alone_tells_what_it_follows_from(density: pf.FlowDensity) -> None:
    drawn = density.sample(4, given=pd.DataFrame({"ride": [3, 1]}))
    assert drawn["words"].tolist() == ["third"] * 4 + ["first"] * 4
    assert follows(drawn)
    part = density.sample(2, given=pd.DataFrame({"all": [2], "old": [2]}))
    assert part["young"].tolist() == [0, 0]
    with pytest.raises(DataError, match="ask for 'words'"):
        density.conditional_density("ride", pd.DataFrame({"old": [1]}))
    with pytest.raises(DataError, match="given= has 'all', which follows from 'old', 'young'"):
        density.conditional_density("age", pd.DataFrame({"all": [2]}))


def shares(values: Any, of: list[Any]) -> Any:
    return np.array([(values.astype(str) == str(value)).mean() for value in of])


def test_what_copies_and_sums_leave_open_is_drawn_as_the_model_has_it(density: pf.FlowDensity) -> None:
    drawn = density.sample(40_000)
    one = density.sample(1000, given=pd.DataFrame({"all": [2]}))
    assert follows(one) and (one["all"] == 2).all()
    expected = drawn[drawn["all"] == 2]
    np.testing.assert_allclose(shares(one["old"], [0, 1, 2]), shares(expected["old"], [0, 1, 2]), atol=0.05)
    one = density.sample(1000, given=pd.DataFrame({"cheap": [False], "all": [1]}))
    assert follows(one) and not one["cheap"].any()
    expected = drawn[~drawn["cheap"] & (drawn["all"] == 1)]
    for name, of in (("words", ["first", "second"]), ("old", [0, 1])):
        np.testing.assert_allclose(shares(one[name], of), shares(expected[name], of), atol=0.05)
    np.testing.assert_allclose(one["age"].mean(), expected["age"].mean(), atol=3)


@pytest.mark.long
def test_sums_of_points_and_of_what_is_often_zero() -> None:
    rng = np.random.default_rng(1)
    table = pd.DataFrame({"fare": np.exp(rng.normal(2, 0.5, 400)), "tip": rng.gamma(2.0, 1.0, 400)})
    table["tip"] = table["tip"].where(rng.uniform(size=400) < 0.6, 0.0)
    table["total"] = table["fare"] + table["tip"]
    fitted = pf.FlowDensity(columns={}, **QUICK).fit(table)
    assert fitted.columns_.following[0].name == "total"
    one, drawn = fitted.sample(2000, given=pd.DataFrame({"total": [10.0]})), fitted.sample(60_000)
    np.testing.assert_allclose(one["fare"] + one["tip"], 10, rtol=1e-9)
    assert (one["fare"] > 0).all() and (one["tip"] >= 0).all()
    expected = drawn[abs(drawn["total"] - 10) < 0.3]
    np.testing.assert_allclose((one["tip"] == 0).mean(), (expected["tip"] == 0).mean(), atol=0.07)
    np.testing.assert_allclose(one["tip"].mean(), expected["tip"].mean(), atol=0.25)


def test_rows_that_nothing_agrees_with_are_named_and_the_others_kept(density: pf.FlowDensity) -> None:
    table = passengers().astype({"old": "Int64", "young": "Int64"})
    table.loc[:3, ["old", "young"]] = pd.NA
    table.loc[[1, 3], "all"] = -5
    with pytest.warns(UserWarning, match="rows 2, 4: no draw of what is missing agrees with 'all'"):
        filled = density.impute(table)
    assert not filled.isna().any().any() and filled["all"].tolist() == table["all"].tolist()
    assert (filled["old"] + filled["young"] == filled["all"])[[0, 2]].all()
    (twice,) = {len(made) for made in density.impute(table.iloc[[0, 2]], n_samples=2)}
    assert twice == 2


@pytest.mark.long
def test_rare_levels_are_filled_in_as_their_copies_tell() -> None:
    rng = np.random.default_rng(0)
    city = rng.integers(0, 300, 3000)
    table = pd.DataFrame({"city": [f"c{i}" for i in city], "code": [f"k{i}" for i in city], "x": rng.normal(size=3000)})
    table["land"] = [f"l{i % 3}" for i in city]
    fitted = pf.FlowDensity(**QUICK).fit(table)
    told = {field.name: field.rule.of for field in fitted.columns_.following if field.rule is not None}
    assert told == {"code": ("city",), "land": ("city",)}
    gaps = table.iloc[:1000].assign(city=None)
    assert fitted.impute(gaps)["city"].tolist() == table["city"].iloc[:1000].tolist()
    lands = fitted.impute(gaps.iloc[:200].assign(code=None))
    assert all(
        int(row.city[1:]) % 3 == int(row.land[1:]) and row.code[1:] == row.city[1:] for row in lands.itertuples()
    )


@pytest.mark.long
def test_one_that_is_named_is_modelled() -> None:
    fitted = pf.FlowDensity(columns={"ride": "category", "all": "whole"}, **QUICK).fit(passengers())
    assert {"ride", "all"} <= set(fitted.columns_.names)


@pytest.mark.long
def test_gaps_that_are_levels_are_rebuilt_too() -> None:
    table = passengers()
    gap = table.index % 7 == 0
    table = table.assign(words=table["words"].where(~gap), ride=table["ride"].astype("Int64").where(~gap))
    fitted = pf.FlowMixture(2, missing="level", **QUICK).fit(table[["words", "ride", "age"]])
    assert fitted.columns_.names == ("words", "age")
    drawn, _ = fitted.sample(300)
    assert drawn["words"].isna().any()
    assert (drawn["words"].isna() == drawn["ride"].isna()).all()
    assert not fitted.sample(50, given=pd.DataFrame({"ride": [2]}))[0]["words"].isna().any()
