"""Columns of every type that tables have, odd ones among them: they are taken, or refused in a clear line, and what
comes out has the types that went in."""

import datetime
import decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pushforward as pf
from pushforward.data import DataError
from pushforward.estimators.mixed import middle
from pushforward.estimators.mixed_tables import as_table

N = 120
QUICK: dict[str, Any] = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}
RNG = np.random.default_rng(0)
GAP = np.arange(N) % 7 == 0
pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")

COUNTS, X, WORD = RNG.poisson(3, N), RNG.normal(size=N), RNG.choice(["a", "b"], N)
DAYS = np.datetime64("2021-01-01") + RNG.integers(0, 700, N)
OLD = [datetime.date(1500 + int(i), 1 + int(i) % 12, 1 + int(i) % 28) for i in RNG.integers(0, 150, N)]
OLD_TIMES = [datetime.datetime(day.year, day.month, day.day) for day in OLD]
MONEY = [decimal.Decimal(int(100 * v)) / 100 for v in X]


def hidden(values: Any) -> Any:
    """Values with gaps between them, as objects."""
    objects = np.array(list(values), dtype=object)
    objects[GAP] = None
    return objects


def of_pandas() -> Any:
    local = pd.to_datetime(DAYS[::-1]).tz_localize("America/New_York")
    return pd.DataFrame(
        {
            "one number": 1.5,
            "one word": "k",
            "one truth": True,
            "nothing": None,
            "counts": hidden(COUNTS),
            "truths": hidden(RNG.uniform(size=N) < 0.5),
            "old": OLD,
            "old with gaps": hidden(OLD[::-1]),
            "old times": np.array(OLD_TIMES[::-1], dtype="datetime64[s]"),
            "to the end": pd.to_datetime(np.where(COUNTS > 3, np.datetime64("2262-01-01"), DAYS)).as_unit("ns"),
            "local midnights": local,
            "empty texts": np.where(GAP, "", WORD),
            "codes": [f"{i:05d}" for i in RNG.integers(0, 20, N)],
            "counts in words": [str(i) for i in RNG.poisson(20, N)],
            "numbers in words": hidden(f"{v:.2f}" for v in X),
            "Int64": pd.array(hidden(RNG.poisson(3, N)), dtype="Int64"),
            "boolean": pd.array(hidden(RNG.uniform(size=N) < 0.5), dtype="boolean"),
            "string": pd.array(hidden(RNG.choice(["a", "b"], N)), dtype="string"),
            "of arrow": pd.array(hidden(RNG.poisson(3, N)), dtype="int32[pyarrow]"),
            "category": pd.Categorical(RNG.choice(["b", "a"], N), categories=["z", "b", "a"]),
            "whole category": pd.Categorical(pd.to_datetime(DAYS).year),
            "dated category": pd.Categorical(pd.to_datetime(RNG.choice(["2020-01-01", "2021-01-01"], N))),
            "decimal": MONEY,
            "float32": RNG.normal(size=N).astype("float32"),
            7: RNG.normal(size=N),
        }
    )


def of_polars() -> Any:
    return pl.DataFrame(
        {
            "enum": pl.Series(WORD, dtype=pl.Enum(["z", "b", "a"])),
            "categorical": pl.Series(RNG.choice(["b", "a"], N), dtype=pl.Categorical),
            "int16": pl.Series(list(hidden(COUNTS)), dtype=pl.Int16),
            "days": DAYS,
            "zoned": pl.Series(DAYS[::-1]).cast(pl.Datetime("ms")).dt.replace_time_zone("Europe/Lisbon"),
            "duration": pl.Series([datetime.timedelta(minutes=int(i)) for i in RNG.integers(0, 99, N)]),
            "counts in words": [str(i) for i in RNG.poisson(20, N)],
            "decimal": pl.Series(MONEY, dtype=pl.Decimal(8, 2)),
            "truth": RNG.uniform(size=N) < 0.5,
        }
    )


def of_arrow() -> Any:
    return pa.table(
        {
            "date64": pa.array(OLD, pa.date64()),
            "timestamp": pa.array(OLD_TIMES[::-1], pa.timestamp("s")),
            "decimal": pa.array(MONEY, pa.decimal128(8, 2)),
            "half": pa.array(RNG.normal(size=N).astype("float16")),
            "large": pa.array(WORD, pa.large_string()),
            "small indices": pa.array(RNG.choice(["a", "b"], N))
            .dictionary_encode()
            .cast(pa.dictionary(pa.int8(), pa.string())),
            "view": pa.array(RNG.choice(["a", "b"], N), pa.string_view()),
            "duration": pa.array(RNG.integers(0, 99, N)).cast(pa.duration("s")),
            "unsigned": pa.array(hidden(COUNTS), pa.uint8()),
        }
    )


TABLES: dict[str, Any] = {"pandas": of_pandas(), "polars": of_polars(), "arrow": of_arrow()}
LEFT_OUT = {"nothing"}


def types_of(table: Any) -> dict[str, str]:
    if isinstance(table, pa.Table):
        return {field.name: str(field.type) for field in table.schema}
    if isinstance(table, pl.DataFrame):
        return {name: repr(dtype) for name, dtype in table.schema.items()}
    # which tells of categories what they are
    return {
        str(name): repr(list(column.cat.categories)) if column.dtype == "category" else str(column.dtype)
        for name, column in table.items()
    }


@pytest.fixture(
    scope="module", params=["pandas", *(pytest.param(name, marks=pytest.mark.long) for name in ("polars", "arrow"))]
)
def fitted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, pf.FlowDensity]:
    """A table, and a density of it that was saved and loaded."""
    table, path = TABLES[request.param], tmp_path_factory.mktemp("odd") / "model"
    pf.FlowDensity(**QUICK).fit(table).save(path)
    return table, pf.load(path)


def test_all_columns_are_taken_scored_and_drawn_with_their_types(fitted: tuple[Any, pf.FlowDensity]) -> None:
    table, density = fitted
    assert np.isfinite(density.score_samples(table)).all()
    drawn = density.sample(40)
    assert type(drawn) is type(table)
    was = {name: kind for name, kind in types_of(table).items() if name not in LEFT_OUT}
    assert types_of(drawn) == was
    assert np.isfinite(density.score_samples(drawn)).all()
    filled = density.impute(table)
    assert types_of(filled) == types_of(table)


@pytest.mark.long
def test_what_comes_out_reads_as_what_went_in() -> None:
    table = of_pandas()
    kept = ["old", "local midnights", "codes", "counts in words", "numbers in words", "to the end", "empty texts", 7]
    with pytest.warns(UserWarning, match="'nothing'"):
        density = pf.FlowDensity(**QUICK).fit(table[[*kept, "nothing"]])
    drawn = density.sample(40)
    assert drawn["old"].map(lambda day: isinstance(day, datetime.date) and day.year < 1677).all()
    assert (drawn["local midnights"].dt.hour == 0).all()
    assert drawn["codes"].str.fullmatch("0[0-9]{4}").all()
    assert drawn["counts in words"].str.fullmatch("[0-9]+").all()
    assert drawn["numbers in words"].dtype == table["numbers in words"].dtype
    assert np.isfinite(drawn["numbers in words"].astype(float)).all()
    assert drawn["to the end"].between("2020-01-01", "2262-04-11").all()
    assert set(drawn["empty texts"]) == {"a", "b"}
    assert list(drawn.columns) == kept


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (pd.DataFrame({"m": [1, "a", 2.5] * 40}), r"column 'm' holds values of several types \(float, int, str\)"),
        (pd.DataFrame({"m": X + 1j, "c": WORD}), "column 'm' holds values of type complex"),
        (pd.DataFrame({"i": np.where(GAP, np.inf, X), "c": WORD}), "column 'i' has 18 infinite values"),
        (pd.DataFrame([[1.0, "a"]] * 9, columns=["a", "a"]), "two columns are named 'a'"),
        (pa.Table.from_arrays([pa.array(X), pa.array(WORD)], names=["a", "a"]), "two columns are named 'a'"),
        (pd.DataFrame({"e": [None] * 9, "f": np.nan}), r"no column can be modelled: 'e' \(no row has a value\)"),
        (pd.DataFrame({"k": [f"k{i}" for i in range(N)]}), "no column can be modelled: 'k'"),
        (pd.DataFrame({"t": [datetime.time(1)] * 9, "l": [[1]] * 9}), "it holds time64"),
    ],
)
def test_what_no_model_can_be_made_of_is_told_by_its_column(table: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        pf.FlowDensity(**QUICK).fit(table)


@pytest.mark.long
def test_rows_and_names_of_other_kinds(tmp_path: Path) -> None:
    table = pd.DataFrame({("size", 1): X, ("size", 2): WORD})
    table.iloc[:3] = None
    mixture = pf.FlowMixture(2, **QUICK).fit(table)
    np.testing.assert_allclose(mixture.score_samples(table)[:3], 0, atol=1e-6)  # all is missing, and nothing is said
    np.testing.assert_allclose(mixture.predict_proba(table)[0], mixture.weights_, rtol=1e-5)
    assert mixture.sample(3)[0].columns.equals(table.columns)
    filled = mixture.impute(table)
    assert not filled.isna().any().any()
    mixture.save(tmp_path / "model")
    assert pf.load(tmp_path / "model").sample(3)[0].columns.equals(table.columns)


def test_intervals_are_categories_by_their_texts() -> None:
    (field,) = pf.data.learn_fields(as_table(pd.DataFrame({"age": pd.cut(X, [-9, 0, 9])}))).all
    assert field.levels == ("(-9, 0]", "(0, 9]")


def test_zero_is_filled_in_as_zero() -> None:
    visits = RNG.permutation(np.arange(N) % 40)  # none so frequent that it is a mass
    table = pa.table({"visits": visits})
    fields = pf.data.learn_fields(table, {"visits": "whole"})
    rows = fields.encode(table)
    assert fields.decode(rows.x[:, :, 0], middle(rows.x), 0).column("visits").to_pylist() == visits.tolist()
