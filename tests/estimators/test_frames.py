"""Rows come as the table fitted on did, or as `set_output` and scikit-learn's configuration ask."""

import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn
from sklearn.base import clone

import pushforward as pf
from pushforward import plots, service
from pushforward.data.columns import learn_columns
from pushforward.estimators.frames import container_of, in_container
from tests.estimators.small import SMALL, blobs, density, mixture
from tests.sweeps import sweep

X, _ = blobs()
DTYPES = {"length": "float32", "width": "float64", "petals": "int16"}


def pandas_table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    cells = {"length": X[:, 0], "width": X[:, 1], "petals": rng.poisson(4, len(X))}
    return pd.DataFrame(cells, index=np.arange(len(X)) + 100).astype(DTYPES)


TABLES = {
    "pandas": pandas_table(),
    "polars": pl.from_pandas(pandas_table()),
    "pyarrow": pa.Table.from_pandas(pandas_table(), preserve_index=False),
}
KINDS = {
    "density": density,
    "mixture": lambda: mixture(2, init="random", max_epochs=1),
    "outliers": lambda: pf.FlowOutlierDetector(**SMALL),
}


def drawn(model: Any, n: int = 5) -> Any:
    rows = model.sample(n, random_state=1)
    return rows[0] if isinstance(rows, tuple) else rows


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    return {kind: density().fit(table) for kind, table in TABLES.items()}


@pytest.fixture
def of_pandas(fitted: dict[str, Any]) -> Any:
    """A fitted model that a test may configure."""
    return pickle.loads(pickle.dumps(fitted["pandas"]))


@pytest.mark.parametrize("kind", TABLES)
def test_tables_give_tables_of_their_kind_names_and_types(fitted: dict[str, Any], kind: str) -> None:
    table, model = TABLES[kind], fitted[kind]
    for rows in (drawn(model), model.inverse_transform(model.transform(table))):
        assert type(rows) is type(table)
        if kind == "pyarrow":
            assert rows.schema.types == table.schema.types and rows.column_names == list(DTYPES)
        else:
            assert list(rows.columns) == list(DTYPES) and list(rows.dtypes) == list(table.dtypes)
    assert isinstance(model.transform(table), np.ndarray)


def test_rows_made_of_noise_keep_its_index(of_pandas: Any) -> None:
    table = TABLES["pandas"]
    noise = of_pandas.set_output(transform="pandas").transform(table)
    assert list(noise.columns) == ["flowdensity0", "flowdensity1", "flowdensity2"]
    back = of_pandas.inverse_transform(noise)
    pd.testing.assert_frame_equal(back, table, atol=1e-2)
    assert list(drawn(of_pandas).index) == list(range(5))


@pytest.mark.parametrize("make", [KINDS["mixture"], pytest.param(KINDS["outliers"], marks=pytest.mark.long)])
def test_every_estimator_gives_tables(make: Any) -> None:
    model = make().fit(TABLES["polars"])
    assert drawn(model).dtypes == TABLES["polars"].dtypes
    assert drawn(model.set_output(transform="pandas")).dtypes.astype(str).to_dict() == DTYPES
    if isinstance(model, pf.FlowMixture):
        assert isinstance(model.sample(2)[1], np.ndarray)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("kind", sweep(KINDS, quick=["outliers"]))
def test_named_columns_are_known_again_without_a_warning(kind: str) -> None:
    table = TABLES["pandas"]
    model = KINDS[kind]().fit(table, sample_weight=np.arange(len(table)) > 0)
    for ask in ("score_samples", "predict", "predict_proba", "decision_function", "transform", "bic"):
        if hasattr(model, ask):
            getattr(model, ask)(table)


def test_what_is_asked_for_overrules_what_went_in(of_pandas: Any) -> None:
    with sklearn.config_context(transform_output="polars"):
        assert isinstance(drawn(of_pandas), pl.DataFrame) and isinstance(
            of_pandas.transform(TABLES["pandas"]), pl.DataFrame
        )
        assert isinstance(drawn(of_pandas.set_output(transform="default")), np.ndarray)
    assert isinstance(drawn(of_pandas), np.ndarray)
    assert drawn(of_pandas.set_output(transform="polars")).dtypes == TABLES["polars"].dtypes
    assert isinstance(drawn(of_pandas.set_output(transform=None)), pl.DataFrame)
    with pytest.raises(ValueError, match="transform must be one of .*; got 'arrow'"):
        of_pandas.set_output(transform="arrow")


def test_arrays_give_arrays_and_tables_where_asked() -> None:
    model = density().fit(TABLES["pandas"].to_numpy())
    assert isinstance(drawn(model), np.ndarray) and isinstance(model.inverse_transform(X[:, [0, 1, 1]]), np.ndarray)
    rows = drawn(model.set_output(transform="pandas"))
    assert rows.dtypes.astype(str).to_dict() == {"x0": "float64", "x1": "float64", "x2": "float64"}
    assert isinstance(drawn(clone(model).fit(TABLES["polars"])), pd.DataFrame)


def test_draws_under_conditions_are_no_table(of_pandas: Any) -> None:
    draws = np.zeros((4, 3, 3))
    assert in_container(draws, of_pandas.columns_, of_pandas.container_, "pandas") is draws


def test_models_remember_the_table_in_files(of_pandas: Any, tmp_path: Path) -> None:
    of_pandas.save(tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    pd.testing.assert_frame_equal(drawn(loaded), drawn(of_pandas))
    of_pandas.set_output(transform="polars").save(tmp_path / "model", overwrite=True)
    loaded = pf.load(tmp_path / "model")
    assert isinstance(drawn(loaded), pl.DataFrame) and isinstance(loaded.transform(TABLES["pandas"]), pl.DataFrame)
    state = of_pandas.to_state()
    del state["fitted"]["container_"], state["output"]  # as before there were these
    assert isinstance(drawn(pf.FlowDensity.from_state(state)), np.ndarray)


def made(table: Any, rows: Any, discrete: str = "auto", asked: str | None = None) -> Any:
    """Rows in the kind of a table."""
    columns = learn_columns(np.asarray(table, dtype=float), [str(name) for name in table.columns], discrete=discrete)
    return in_container(np.asarray(rows, dtype=float), columns, container_of(table), asked)


def test_values_stay_within_what_a_type_holds() -> None:
    table = pd.DataFrame({"a": np.array([0, 255], "u1"), "b": [True, False], "c": [0, 2**52]})
    rows = made(table, [[-3, 2, 2.0**70], [300, -1, 7]])
    assert rows.dtypes.tolist() == table.dtypes.tolist()
    assert rows["a"].tolist() == [0, 255] and rows["b"].tolist() == [True, False] and rows["c"][0] > 2**62
    assert made(table[["a"]], [[0.5]], discrete="none")["a"].tolist() == [0.5]


def test_types_of_pandas_own_come_back_and_numbers_as_names() -> None:
    cells = {0: [1, 2], 1: [1.5, 2.5]}
    for types in ({0: "Int32", 1: "Float64"}, {0: "int8[pyarrow]", 1: "float[pyarrow]"}):
        table = pd.DataFrame(cells).astype(types)
        rows = made(table, [[4, 0.5]])
        assert rows.dtypes.astype(str).to_dict() == types and rows.columns.tolist() == [0, 1]
        assert made(table, [[4, 0.5]], asked="polars").columns == ["0", "1"]
    for numbers in (pd.DataFrame(cells, dtype=object), pd.DataFrame(cells).astype(pd.ArrowDtype(pa.decimal128(30, 1)))):
        assert set(made(numbers, [[4, 0.5]]).dtypes.astype(str)) == {"float64"}


def test_a_service_draws_from_models_of_tables(of_pandas: Any) -> None:
    (batch,) = service.sample(of_pandas.set_output(transform="pandas"), 4)
    assert [str(kind) for kind in batch.schema.types] == ["double", "double", "int64"]
    rows = pf.data.open_source("SELECT sin(range) AS length, cos(range) AS width, range % 3 AS petals FROM range(90)")
    assert service.fit(service.read_inputs(rows), "density", **SMALL).container_ is None


def test_pictures_take_tables(of_pandas: Any) -> None:
    rows = drawn(of_pandas, 20)[["length", "width"]]
    figure = plots.data_and_samples(TABLES["pandas"][["length", "width"]], rows, np.zeros(20))
    assert len(figure.axes) == 2
    plots.samples_by_component([drawn(of_pandas, 20)], names=list(DTYPES))


def test_arrays_need_neither_pandas_nor_polars(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, name, None)  # as where it is not installed
    model = density().fit(TABLES["pandas"].to_numpy())
    assert isinstance(model.inverse_transform(model.transform(drawn(model))), np.ndarray)
    with pytest.raises(ImportError):
        drawn(model.set_output(transform="polars"))
