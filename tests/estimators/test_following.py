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
    with pytest.raises(DataError, match="5 rows have 'cheap', which follows from 'words'"):
        density.impute(untold)
    assert np.isfinite(density.score_samples(untold)).all()


def test_a_copy_alone_tells_what_it_follows_from(density: pf.FlowDensity) -> None:
    drawn = density.sample(4, given=pd.DataFrame({"ride": [3, 1]}))
    assert drawn["words"].tolist() == ["third"] * 4 + ["first"] * 4
    assert follows(drawn)
    with pytest.raises(DataError, match="'all', which follows from"):
        density.sample(1, given=pd.DataFrame({"all": [2]}))
    part = density.sample(2, given=pd.DataFrame({"all": [2], "old": [2]}))
    assert part["young"].tolist() == [0, 0]
    with pytest.raises(DataError, match="ask for 'words'"):
        density.conditional_density("ride", pd.DataFrame({"old": [1]}))


def test_one_that_is_named_is_modelled() -> None:
    fitted = pf.FlowDensity(columns={"ride": "category", "all": "whole"}, **QUICK).fit(passengers())
    assert {"ride", "all"} <= set(fitted.columns_.names)


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
