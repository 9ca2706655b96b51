"""What the estimators refuse: each message says what is wrong, where, and what to do; nothing is lost."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.exceptions import NotFittedError

import pushforward as pf
from pushforward.checks import check_sizes
from pushforward.estimators.validation import check_rows
from tests.estimators.small import blobs, density, mixture
from tests.sweeps import long_if

X, Y = blobs()
NAMES = ["length", "width"]
KINDS = {"density": density, "mixture": mixture}
BOTH = pytest.mark.parametrize("make", KINDS.values(), ids=KINDS)
FITTED_IN_BOTH = pytest.mark.parametrize(
    "make", [pytest.param(make, id=kind, marks=long_if(kind != "density")) for kind, make in KINDS.items()]
)


@pytest.fixture(scope="module")
def fitted() -> dict[str, Any]:
    """One of each kind, with named columns."""
    return {kind: make().fit(pd.DataFrame(X, columns=NAMES)) for kind, make in KINDS.items()}


@pytest.fixture(params=KINDS)
def model(request: pytest.FixtureRequest, fitted: dict[str, Any]) -> Any:
    return fitted[request.param]


THREE = pd.DataFrame(np.ones((4, 3)), columns=[*NAMES, "height"])


def holed(value: float) -> Any:
    table = X.copy()
    table[3, 0] = table[3, 1] = table[7, 1] = value
    return table


FRAMES = {"pandas": lambda a: pd.DataFrame(a, columns=NAMES), "polars": lambda a: pl.DataFrame(a, schema=NAMES)}


@BOTH
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_cells_that_are_no_numbers_are_counted_by_column(make: Any, value: float) -> None:
    with pytest.raises(ValueError, match=r"NaN or infinity: 2 rows, in columns 'x0' \(1\), 'x1' \(2\); drop or impute"):
        make().fit(holed(value))


@BOTH
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_missing_cells_of_a_table_are_named(make: Any, frame: Any) -> None:
    with pytest.raises(ValueError, match=r"2 rows, in columns 'length' \(1\), 'width' \(2\)"):
        make().fit(frame(holed(np.nan)))


@BOTH
def test_nulls_of_polars_and_pandas_are_missing_cells(make: Any) -> None:
    for frame in (
        pl.DataFrame({"length": [1.5, None, 2.5], "width": [0.1, 0.2, 0.3]}),
        pd.DataFrame({"length": pd.array([1.5, None, 2.5], dtype="Float64"), "width": [0.1, 0.2, 0.3]}),
    ):
        with pytest.raises(ValueError, match=r"1 rows, in columns 'length' \(1\)"):
            make().fit(frame)


DAYS = np.datetime64("2020-01-01") + np.arange(12).reshape(6, 2) ** 2


def with_cell(table: Any, value: Any) -> Any:
    table = table.copy()
    table[3, 1] = value
    return table


OBJECTS = X[:6].astype(object)
MISSING = {
    "dates": with_cell(DAYS, "NaT"),
    "durations": with_cell(DAYS - DAYS[0, 0], "NaT"),
    "masked": np.ma.masked_array(X[:6], mask=np.arange(12).reshape(6, 2) == 7),
    "masked dates": np.ma.masked_array(DAYS, mask=np.arange(12).reshape(6, 2) == 7),
    "objects, pandas NA": with_cell(OBJECTS, pd.NA),
    "objects, pandas NaT": with_cell(OBJECTS, pd.NaT),
    "objects, NumPy NaT": with_cell(OBJECTS, np.datetime64("NaT")),
    "rows of None": with_cell(OBJECTS, None).tolist(),
    "pandas objects": pd.DataFrame(with_cell(OBJECTS, pd.NA), columns=["x0", "x1"]),
    "pandas with Arrow": pd.DataFrame(with_cell(X[:6], np.nan), columns=["x0", "x1"]).astype("float64[pyarrow]"),
    "Arrow": pa.table({"x0": X[:6, 0], "x1": pa.array([1, 2, 3, None, 5, 6])}),
}


@pytest.mark.parametrize("table", MISSING.values(), ids=MISSING)
def test_missing_is_missing_in_every_container(table: Any) -> None:
    with pytest.raises(ValueError, match=r"NaN or infinity: 1 rows, in columns 'x1' \(1\); drop or impute"):
        density().fit(table)
    with pytest.raises(ValueError, match="condition contains NaN"):
        density().fit(X[:6], condition=table)


def test_masked_weights_and_labels_are_missing() -> None:
    masked = np.ma.masked_array(np.ones(90), mask=np.arange(90) == 3)
    with pytest.raises(ValueError, match="sample_weight contains NaN"):
        density().fit(X, sample_weight=masked)
    with pytest.raises(ValueError, match=r"with -1 \(not NaN\) for unlabelled rows"):
        mixture().fit(X, masked)


def test_containers_without_missing_cells_are_as_their_numbers() -> None:
    plain = check_rows(density(), X, True)
    for table in (np.ma.masked_array(X), X.astype(object), X.tolist(), pa.table({"a": X[:, 0], "b": X[:, 1]})):
        np.testing.assert_array_equal(check_rows(density(), table, True), plain)
    np.testing.assert_array_equal(check_rows(density(), DAYS, True), DAYS.astype(int))


def test_an_index_that_became_a_column_is_not_modelled_in_silence() -> None:
    table = pd.DataFrame({"Unnamed: 0": np.arange(90), "length": X[:, 0]})
    with pytest.warns(UserWarning, match="columns without a name are modelled as all others: 'Unnamed: 0'; leave out"):
        check_rows(density(), table, True)


DATES = {
    "Arrow": pa.table({"length": [1.0, 2.5], "day": pa.array(DAYS[0])}),
    "pandas objects": pd.DataFrame({"length": [1.0, 2.5], "day": DAYS[0].astype(object)}),
    "rows": [[1.0, DAYS[0, 0].item()], [2.5, DAYS[0, 1].item()]],
}


@pytest.mark.parametrize("table", DATES.values(), ids=DATES)
def test_dates_are_refused_in_words(table: Any) -> None:
    with pytest.raises(ValueError, match="columns that are not numbers: .*(date|'2020-01-01')"):
        density().fit(table)


@pytest.mark.long
def test_missing_cells_are_found_when_scoring(model: Any) -> None:
    with pytest.raises(ValueError, match=r"NaN or infinity: 2 rows, in columns 'length' \(1\), 'width' \(2\)"):
        model.score_samples(pd.DataFrame(holed(np.nan), columns=NAMES))


TEXT = {
    "pandas text": pd.DataFrame({"length": [1.0, 2.5], "city": ["Rome", "Oslo"]}),
    "pandas objects": pd.DataFrame({"length": [1.0, 2.5], "city": np.array(["Rome", "Oslo"], object)}),
    "pandas categories": pd.DataFrame({"length": [1.0, 2.5], "city": pd.Categorical(["Rome", "Oslo"])}),
    "pandas dates": pd.DataFrame({"length": [1.0, 2.5], "city": pd.to_datetime(["2020-01-01", "2021-01-01"])}),
    "polars text": pl.DataFrame({"length": [1.0, 2.5], "city": ["Rome", "Oslo"]}),
    "polars categories": pl.DataFrame({"length": [1.0, 2.5], "city": pl.Series(["a", "b"], dtype=pl.Categorical)}),
}


@BOTH
@pytest.mark.parametrize("table", TEXT.values(), ids=TEXT)
def test_columns_that_are_no_numbers_are_named_with_what_to_do(make: Any, table: Any) -> None:
    with pytest.raises(ValueError, match=r"columns that are not numbers: 'city' \(.*\); leave them out, encode them"):
        make().fit(table)


@BOTH
def test_an_array_of_text_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match="could not convert string to float: '?Rome"):
        make().fit(np.array([["1.5", "Rome"], ["2", "Oslo"]], object))


@BOTH
@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_constant_continuous_columns_are_named(make: Any, frame: Any) -> None:
    table = X.copy()
    table[:, 1] = 0.25
    with pytest.raises(ValueError, match=r"columns that are constant have no density: 'width'; leave them out$"):
        make().fit(frame(table))


@BOTH
@pytest.mark.parametrize("row", [[0.5, 0.25], [2.0, 3.0]])
def test_duplicate_rows_only_are_refused(make: Any, row: list[float]) -> None:
    with pytest.raises(ValueError, match="all 40 rows are the same, and one point has no density"):
        make().fit(np.tile(row, (40, 1)))


@BOTH
def test_one_row_is_too_few(make: Any) -> None:
    with pytest.raises(ValueError, match=r"1 sample\(s\).*minimum of 2 is required"):
        make().fit(X[:1])


@BOTH
def test_no_rows_are_too_few(make: Any) -> None:
    with pytest.raises(ValueError, match=r"0 sample\(s\)"):
        make().fit(X[:0])


def test_fewer_rows_than_components() -> None:
    with pytest.raises(ValueError, match="4 rows cannot fill 5 components; lower n_components or add rows"):
        mixture(5).fit(X[:4])
    # rows of weight zero are no rows
    with pytest.raises(ValueError, match="4 rows cannot fill 5 components"):
        mixture(5).fit(X, sample_weight=np.arange(90) < 4)


@pytest.mark.parametrize("method", ["score_samples", "score"])
def test_the_wrong_width_is_refused_when_scoring(model: Any, method: str) -> None:
    with pytest.raises(ValueError, match="feature names should match.*\n.*unseen.*\n- height"):
        getattr(model, method)(THREE)


def test_the_wrong_width_is_refused_everywhere(fitted: dict[str, Any]) -> None:
    for kind, methods in (("density", ["transform"]), ("mixture", ["predict", "predict_proba", "responsibilities"])):
        for method in methods:
            with pytest.raises(ValueError, match="unseen at fit time"):
                getattr(fitted[kind], method)(THREE)
    with pytest.raises(ValueError, match="Z has 3 columns; the model has 2"):
        fitted["density"].inverse_transform(np.ones((4, 3)))


@BOTH
def test_the_wrong_width_of_an_array_is_refused(make: Any) -> None:
    model = make().fit(X)
    with pytest.raises(ValueError, match=f"X has 3 features, but {type(model).__name__} is expecting 2 features"):
        model.score_samples(np.ones((4, 3)))


def test_columns_of_other_names_are_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="feature names should match.*\n.*unseen.*\n- height"):
        model.score_samples(pd.DataFrame(X, columns=["length", "height"]))


@pytest.mark.parametrize(
    ("label", "message"),
    [
        (np.where(Y == 2, 7, Y), r"labels out of range: \[7\]; with n_components=3 they must be -1 .* or 0\.\.2"),
        (np.where(Y == 2, -2, Y), r"labels out of range: \[-2\]"),
        (Y + 0.5, "labels must be whole numbers, with -1"),
        (np.where(Y == 2, np.nan, Y), r"-1 \(not NaN\) for unlabelled"),
        (np.array(list("abc"))[Y], "labels must be whole numbers .* number them first"),
        (Y[:50], r"y has shape \(50,\); expected one label for each of the 90 rows"),
        (np.stack([Y, Y], axis=1), r"y has shape \(90, 2\)"),
    ],
)
def test_labels_that_name_no_component_are_refused(label: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture().fit(X, label)


@BOTH
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (-np.ones(90), "[Nn]egative"),
        (np.zeros(90), "at least one non-zero number"),
        (np.ones(89), r"sample_weight.*shape|sample_weight.*\(89,\)"),
        (np.full(90, np.nan), "sample_weight contains NaN"),
    ],
)
def test_weights_that_are_none_are_refused(make: Any, weight: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make().fit(X, sample_weight=weight)


@BOTH
def test_conditions_must_fit(make: Any) -> None:
    with pytest.raises(ValueError, match="condition has 5 rows, X has 90; they must agree"):
        make().fit(X, condition=np.ones((5, 1)))
    with pytest.raises(ValueError, match="condition contains NaN"):
        make().fit(X, condition=np.full((90, 1), np.nan))


@FITTED_IN_BOTH
def test_numbers_in_a_row_are_one_conditioning_column(make: Any) -> None:
    given = np.linspace(0, 1, 90)
    model, same = make().fit(X, condition=given), make().fit(X, condition=given[:, None])
    expected = same.score_samples(X, condition=given[:, None])
    for condition in (given, given.tolist(), pd.Series(given)):
        np.testing.assert_array_equal(model.score_samples(X, condition=condition), expected)
    drawn, several = (
        m.sample(4, condition=c, random_state=0) for m, c in ((model, [1.0, 0.5]), (same, [[1.0], [0.5]]))
    )
    for one, other in zip(drawn, several, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(
        ValueError, match=r"condition has shape \(\); expected .* \(n, 1\), or \(n,\) for its one column"
    ):
        model.sample(2, condition=3.0)


COLUMNS = {
    "dates": pd.Series(DAYS[:, 0], name="day"),
    "missing dates": pd.Series([pd.NaT] * 6, name="day"),
    "dates of a zone": pd.Series(DAYS[:, 0], name="day").dt.tz_localize("UTC"),
    "objects": pd.Series(DAYS[:, 0].astype(object), name="day"),
    "text": pd.Series(list("abcdef"), name="day"),
    "polars": pl.Series("day", DAYS[:, 0]),
}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS)
def test_a_column_of_conditions_is_refused_as_its_table_is(column: Any) -> None:
    said = []
    for condition in (column, column.to_frame()):
        with pytest.raises(ValueError, match="columns that are not numbers: 'day'") as refused:
            density().fit(X[:6], condition=condition)
        said.append(str(refused.value))
    assert said[0] == said[1]


@FITTED_IN_BOTH
def test_conditions_of_other_shapes_are_refused_in_words(make: Any) -> None:
    model = make().fit(X, condition=np.stack([X[:, 0], X[:, 1]], axis=1))
    with pytest.raises(
        ValueError, match=r"condition has shape \(2,\); expected a row of numbers for each row, \(n, 2\)$"
    ):
        model.sample(2, condition=[1.0, 0.5])
    with pytest.raises(ValueError, match=r"condition has shape \(1, 90, 1\); expected a row of numbers"):
        make().fit(X, condition=np.ones((1, 90, 1)))


def test_a_condition_nobody_asked_for_is_refused(model: Any) -> None:
    with pytest.raises(ValueError, match="fitted without condition=; leave it out"):
        model.score_samples(pd.DataFrame(X, columns=NAMES), condition=np.ones((90, 1)))
    with pytest.raises(ValueError, match="fitted without condition=; leave it out"):
        model.sample(3, condition=np.ones((3, 1)))


@BOTH
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"flow": "realnvp"}, "unknown flow 'realnvp'; choose one of .*'real_nvp'"),
        ({"max_epochs": 0}, "max_epochs must be a whole number of at least 1 .*; got 0"),
        ({"validation_fraction": 1.0}, r"validation_fraction must be in \[0, 1\); got 1.0"),
        ({"training": {"momentum": 0.9}}, r"training has unknown settings \['momentum'\]"),
        ({"training": {"schedule": "linear"}}, "schedule must be one of"),
        ({"n_init": 0}, "n_init must be a whole number of at least 1; got 0"),
        ({"bounds": {"depth": (0, None)}}, "there is no column 'depth'; the columns are x0, x1"),
        ({"bounds": {0: (0, None)}}, "column 'x0' has .* values outside its bounds"),
        ({"n_layers": 0}, "n_layers must be a whole number of at least 1; got 0"),
        ({"hidden_sizes": (8, 0)}, r"hidden_sizes must be a sequence .* got \(8, 0\)"),
        ({"discrete": ["x0"]}, "declared discrete but not whole numbers: 'x0'"),
    ],
)
def test_parameters_out_of_range_are_named(make: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make(**options).fit(X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_components": 0}, 'n_components must be a whole number of at least 1 or "auto"; got 0'),
        ({"temperature": 0.5}, "temperature must be finite and at least 1; got 0.5"),
        ({"posterior_hidden_sizes": (8, -1)}, "posterior_hidden_sizes must be a sequence of whole numbers"),
        ({"init": "kmeans"}, "init must be one of .*; got 'kmeans'"),
    ],
)
def test_parameters_of_the_mixture_out_of_range_are_named(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        mixture(**options).fit(X)


@pytest.mark.parametrize("sizes", [8, (8.0,), (True,), "88"])
def test_sizes_are_sequences_of_whole_numbers(sizes: Any) -> None:
    with pytest.raises(ValueError, match="hidden_sizes must be a sequence of whole numbers"):
        check_sizes("hidden_sizes", sizes)


@pytest.mark.parametrize("n", [0, -1])
def test_samples_are_counted_in_whole_numbers(model: Any, n: Any) -> None:
    with pytest.raises(ValueError, match=f"n must be a whole number of at least 1; got {n}"):
        model.sample(n)


@pytest.mark.parametrize("component", [-1, 3])
def test_components_that_are_not_there_cannot_be_sampled(fitted: dict[str, Any], component: Any) -> None:
    with pytest.raises(ValueError, match=rf"component must be a whole number in 0\.\.2; got {component}"):
        fitted["mixture"].sample(2, component=component)
    changed = copy.copy(fitted["mixture"]).set_params(n_components=9)
    with pytest.raises(ValueError, match=rf"in 0\.\.2; got {component}"):
        changed.sample(2, component=component)


@pytest.mark.long
def test_a_warm_start_goes_on_with_rows_and_components_of_the_same_kind() -> None:
    counts = np.random.default_rng(0).poisson(4, (60, 1))
    x = np.concatenate([np.random.default_rng(1).uniform(size=(60, 1)), counts], axis=1)
    for make in (density, mixture):
        model = make(warm_start=True, bounds={0: (0, 1)}).fit(x)
        before = model.score_samples(x)
        with pytest.raises(ValueError, match="hold others now: 'x1'"):
            model.fit(x + np.array([0, 0.5]))
        with pytest.raises(ValueError, match=r"beyond the bounds of the fit in columns 'x0' \(60\)"):
            model.fit(x + np.array([2, 0]))
        np.testing.assert_array_equal(model.score_samples(x), before)
    with pytest.raises(ValueError, match="goes on with the 3 components of the last fit; got n_components=2"):
        model.set_params(n_components=2).fit(x)
    changed = {"flow": "maf", "bounds": {0: (0, 2)}, "hidden_sizes": (5,)}
    for name, value in changed.items():
        before = model.set_params(n_components=3).get_params()[name]
        with pytest.raises(ValueError, match=f"changed since: {name}="):
            model.set_params(**{name: value}).fit(x)
        model.set_params(**{name: before})


@pytest.mark.long
@BOTH
def test_condition_columns_keep_their_names_and_order(make: Any) -> None:
    given = pd.DataFrame(np.random.default_rng(0).normal(size=(90, 2)), columns=["a", "b"])
    model = make().fit(X, condition=given)
    with pytest.raises(ValueError, match="has the columns b, a; the model was fitted with a, b, in that order"):
        model.score_samples(X, condition=given[["b", "a"]])
    np.testing.assert_array_equal(
        model.score_samples(X, condition=given), model.score_samples(X, condition=given.to_numpy())
    )


@BOTH
def test_nothing_is_told_before_fitting(make: Any) -> None:
    model = make()
    for call in (lambda: model.score_samples(X), lambda: model.sample(1), lambda: model.model_):
        with pytest.raises(NotFittedError):
            call()
    assert not hasattr(model, "history_")


def test_a_fit_that_fails_leaves_the_last_one(fitted: dict[str, Any]) -> None:
    for model in fitted.values():
        table = pd.DataFrame(X, columns=NAMES)
        before, attributes = model.score_samples(table), set(vars(model))
        for bad in (np.full((5, 3), np.nan), np.ones((5, 1)), holed(np.inf), X[:1]):
            with pytest.raises(ValueError, match="."):
                model.fit(bad)
        assert set(vars(model)) == attributes and model.n_features_in_ == 2
        assert model.feature_names_in_.tolist() == NAMES
        np.testing.assert_array_equal(model.score_samples(table), before)


def test_training_that_diverges_leaves_the_last_fit(monkeypatch: pytest.MonkeyPatch, fitted: dict[str, Any]) -> None:
    from pushforward.estimators import flow_fitting as module

    def fails(*_: Any, **__: Any) -> None:
        raise pf.training.TrainingError("diverged")

    model, table = fitted["density"], pd.DataFrame(X, columns=NAMES)
    before = model.score_samples(table)
    monkeypatch.setattr(module, "train", fails)
    with pytest.raises(pf.training.TrainingError):
        model.fit(10 * X)  # of other columns, which must not stay
    np.testing.assert_array_equal(model.score_samples(table), before)


@BOTH
def test_pandas_polars_and_numpy_give_the_same_fit(make: Any, fitted: dict[str, Any]) -> None:
    kind = {v: k for k, v in KINDS.items()}[make]
    expected = fitted[kind].score_samples(pd.DataFrame(X, columns=NAMES))
    for frame in (*FRAMES.values(), np.asarray):
        model = make().fit(frame(X))
        np.testing.assert_array_equal(model.score_samples(frame(X)), expected)
        named = getattr(model, "feature_names_in_", None)
        assert (named is None) if frame is np.asarray else (list(named) == NAMES)
        assert model.columns_.names == (("x0", "x1") if frame is np.asarray else tuple(NAMES))


@pytest.mark.long
def test_whole_number_columns_must_stay_whole() -> None:
    counts = np.random.default_rng(0).poisson(4, (60, 2)).astype(float)
    model = density().fit(counts)
    counts[5, 1] += 0.5
    with pytest.raises(ValueError, match="held whole numbers only .* hold others now: 'x1'; round them, or fit with"):
        model.score_samples(counts)


def test_pandas_numbers_of_any_backing_are_numbers() -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = density().fit(frame)
    for dtype in ("double[pyarrow]", "Float64"):
        np.testing.assert_array_equal(model.score_samples(frame.astype(dtype)), model.score_samples(frame))


def test_numbers_too_large_to_square_are_named() -> None:
    with pytest.raises(ValueError, match="columns too large to square in double precision: 'x0', 'x1'; rescale"):
        density().fit(X * 1e200)


def test_seeds_of_numpy_are_saved(tmp_path: Path) -> None:
    model = density(random_state=np.int64(3)).fit(X)
    model.save(tmp_path / "model")
    assert pf.load(tmp_path / "model").random_state == 3
