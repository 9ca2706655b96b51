"""Synthetic rows beside real ones: what is alike, what gives them away, what is a copy."""

import builtins
import datetime
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import pushforward as pf
from pushforward.data import DataError

N = 600


def customers(seed: int, n: int = N) -> pd.DataFrame:
    """Numbers, categories, dates and gaps that belong together."""
    rng = np.random.default_rng(seed)
    city = rng.choice(["Porto", "Faro", "Beja"], size=n, p=[0.5, 0.3, 0.2])
    age = np.round(rng.gamma(9, 5, size=n))
    spent = np.where(city == "Faro", 0.0, np.exp(0.3 * rng.normal(size=n) + age / 20))
    city = np.where(rng.random(n) < 0.1, None, city)
    day = np.datetime64("2024-01-01") + rng.integers(0, 300, size=n)
    return pd.DataFrame({"city": city, "age": age, "spent": spent, "day": day.astype("datetime64[s]")})


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    return customers(0)


@pytest.fixture(scope="module")
def like(real: pd.DataFrame) -> pf.Quality:
    """Of rows of the same distribution."""
    return pf.quality(real, customers(1), held_out=customers(2), random_state=0)


@pytest.fixture(scope="module")
def shuffled(real: pd.DataFrame) -> pf.Quality:
    """Of rows whose columns are right, each by itself, and independent."""
    rng = np.random.default_rng(3)
    apart = {name: real[name].to_numpy()[rng.permutation(N)] for name in real}
    return pf.quality(real, pd.DataFrame(apart), held_out=customers(2), random_state=0)


def test_rows_of_the_same_distribution_are_alike_and_not_told_apart(like):
    assert abs(like.detection - 0.5) < 0.06
    assert like.columns_alike > 0.94 and like.pairs_alike > 0.9
    assert {c.name: c.kind for c in like.columns} == {
        "city": "category", "age": "whole", "spent": "real", "day": "date"
    }  # fmt: skip
    error = np.sqrt(2 * 0.05 * 0.95 / N)
    assert abs(like.near_copies - like.held_out_near_copies) < 4 * error
    assert 0 < like.held_out_near_copies < 0.15


def test_columns_that_do_not_belong_together_are_found_in_pairs_and_told_apart(like, shuffled):
    assert shuffled.columns_alike == pytest.approx(1)
    assert shuffled.detection > 0.75
    pairs = {(p.first, p.second): p.alike for p in shuffled.pairs}
    assert len(pairs) == 6
    assert min(pairs, key=pairs.__getitem__) == ("city", "spent")
    assert shuffled.pairs_alike < like.pairs_alike


def test_one_wrong_column_is_the_least_alike_and_named(real):
    wrong = customers(1)
    wrong["age"] += 30
    wrong["city"] = wrong["city"].fillna("Porto")
    found = pf.quality(real, wrong, random_state=0)
    columns = {c.name: c for c in found.columns}
    assert min(found.columns, key=lambda c: c.alike).name == "age"
    assert columns["age"].alike < 0.4 < 0.8 < columns["city"].alike < 0.95  # a tenth of its rows were gaps
    assert columns["city"].gaps == pytest.approx(0.1, abs=0.05) and columns["city"].synthetic_gaps == 0
    assert "least age" in str(found)


def test_likenesses_are_one_minus_known_distances():
    ours = pd.DataFrame({"c": ["a"] * 60 + ["b"] * 40, "x": np.arange(100.0)})
    theirs = pd.DataFrame({"c": ["a"] * 30 + ["b"] * 50 + ["new"] * 20, "x": np.arange(100.0) + 25})
    found = pf.quality(ours, theirs, random_state=0)
    assert [c.alike for c in found.columns] == pytest.approx([0.7, 0.75])


def test_copies_of_training_rows_are_found(real, like):
    copied = pf.quality(real, real.sample(N, replace=True, random_state=0), held_out=customers(2), random_state=0)
    assert copied.near_copies == 1
    assert copied.held_out_near_copies == like.held_out_near_copies
    assert (copied.distances.synthetic == 0).all()


def test_without_held_out_rows_half_of_the_real_ones_stand_for_them(real):
    copied = pf.quality(real, real, random_state=0)
    assert len(copied.distances.held_out) == N / 2
    assert copied.near_copies > 0.5 > 0.2 > copied.held_out_near_copies
    fresh = pf.quality(real, customers(1), random_state=0)
    assert abs(fresh.near_copies - fresh.held_out_near_copies) < 4 * np.sqrt(3 * 0.05 * 0.95 / N)


def test_distances_are_means_over_columns_of_ranks_and_of_what_differs():
    real = pd.DataFrame({"c": ["a", "b"] * 50, "x": np.arange(100.0)})
    theirs = real.iloc[:20].assign(x=lambda t: t["x"] + 10)  # the other level is one row away
    found = pf.quality(real, theirs, held_out=real.assign(c=None).iloc[:20].assign(c=["a"] + [None] * 19))
    np.testing.assert_allclose(found.distances.synthetic, 0, atol=1e-6)
    np.testing.assert_allclose(found.distances.held_out, [0] + [0.5] * 19, atol=1e-6)
    moved = pf.quality(real, theirs.assign(c="new"))
    assert (moved.distances.synthetic >= 0.5).all()


@pytest.mark.parametrize(
    "container", [pl.from_pandas, lambda t: pa.Table.from_pandas(t, preserve_index=False)], ids=["polars", "arrow"]
)
def test_tables_of_every_kind_are_taken_together(real, like, container):
    other = pf.quality(container(real), customers(1), held_out=container(customers(2)), random_state=0)
    assert other.to_dict() == like.to_dict()


def test_identifiers_and_further_columns_are_left_out_and_named(real):
    ours = real.assign(id=[f"customer {i}" for i in range(N)], nothing=None)
    found = pf.quality(ours, customers(1).assign(component=1), random_state=0)
    assert set(found.left_out) == {"id", "nothing", "component"}
    assert "component (the synthetic table alone has it)" in str(found)
    assert len(found.columns) == 4


def test_a_number_that_does_not_vary_has_no_correlation_and_is_compared_all_the_same(real):
    found = pf.quality(real, customers(1).assign(spent=1.5), random_state=0)
    assert all(np.isfinite(pair.alike) for pair in found.pairs)
    assert found.detection > 0.95


def test_a_single_column_has_no_pairs():
    rng = np.random.default_rng(0)
    found = pf.quality(rng.normal(size=(50, 1)), rng.normal(size=(50, 1)), random_state=0)
    assert found.pairs == () and found.to_dict()["pairs_alike"] is None
    assert "pairs" not in str(found)
    assert found.plot().axes[1].get_title() == "pairs: there are none"


def test_the_same_seed_finds_the_same_and_all_of_it_is_json(real, like):
    again = pf.quality(real, customers(1), held_out=customers(2), random_state=0)
    assert again.to_dict() == like.to_dict()
    assert json.loads(json.dumps(like.to_dict()))["detection"] == like.detection


def test_it_shows_itself_as_text_and_as_a_picture(like):
    assert str(like) == repr(like)
    assert f"{like.detection:.3f}" in str(like) and "day" in str(like)
    assert like._repr_html_().startswith("<pre>detection AUROC")
    bars, square, curves, *_ = like.plot().axes
    assert [label.get_text() for label in bars.get_yticklabels()] == [
        c.name for c in sorted(like.columns, key=lambda c: c.alike)
    ]
    assert square.images[0].get_array().shape == (4, 4)
    assert [line.get_label() for line in curves.lines[:2]] == ["held-out rows", "synthetic rows"]


def test_columns_that_a_table_lacks_are_left_out(real):
    found = pf.quality(real, real.drop(columns="age"), held_out=real.drop(columns="day"), random_state=0)
    assert found.left_out == {"age": "the synthetic table lacks it", "day": "the held-out table lacks it"}
    assert "age" not in [column.name for column in found.columns]


def test_rows_without_gaps_are_shown_with_those_of_real_ones() -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(1200, 3))
    real, perfect = rows[:600].copy(), rows[600:]
    real[rng.random(real.shape) < 0.3] = np.nan
    assert abs(pf.quality(real, perfect, random_state=0).detection - 0.5) < 0.08


def test_tables_that_cannot_be_compared_are_refused(real):
    with pytest.raises(DataError, match="no column can be compared: .* \\(the synthetic table lacks it\\)"):
        pf.quality(real, real[["spent"]].rename(columns={"spent": "other"}))
    with pytest.raises(DataError, match="the synthetic table: 0 rows; expected at least 20"):
        pf.quality(real, real.iloc[:0])
    with pytest.raises(DataError, match="the real table: the table has shape"):
        pf.quality(np.empty((0, 3)), real)
    with pytest.raises(DataError, match="the synthetic table: column 'spent' has no value"):
        pf.quality(real, real.assign(spent=np.nan))
    with pytest.raises(DataError, match="the real table: no column can be compared: 'x0' \\(no row has a value\\)"):
        pf.quality(np.full((30, 1), np.nan), np.ones((30, 1)))
    with pytest.raises(
        DataError, match="the synthetic table: column 'age' holds large_string, where numbers are expected"
    ):
        pf.quality(real, real.assign(age="old"))
    with pytest.raises(DataError, match="the synthetic table: column 'spent' has infinite values"):
        pf.quality(real, real.assign(spent=np.inf))
    with pytest.raises(DataError, match="the synthetic table: column 'day' holds"):
        pf.quality(real, real.assign(day=1.0))
    twice = pd.concat([real, real[["age"]]], axis=1)
    with pytest.raises(DataError, match="the synthetic table: two columns are named 'age'"):
        pf.quality(real, twice)


def test_what_is_missing_is_named_with_what_brings_it(real, monkeypatch):
    found = builtins.__import__

    def without(name, *others, **more):
        if name.partition(".")[0] == "sdmetrics":
            raise ModuleNotFoundError(name)
        return found(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"pip install 'pushforward\[quality\]'"):
        pf.quality(real, real)


def test_dates_of_any_kind_are_the_same_dates():
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=i) for i in range(60)]
    found = pf.quality(pd.DataFrame({"d": days}), pd.DataFrame({"d": pd.to_datetime(days)}), random_state=0)
    assert found.columns[0].alike == 1
