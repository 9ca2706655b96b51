"""Tables of series: rows on a grid of time, scores in their places, forecasts whose stamps go on."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pushforward as pf
from pushforward import service
from pushforward.data import DataError, open_source

QUICK: dict[str, Any] = {"channels": 4, "n_layers": 2, "max_epochs": 2, "random_state": 0}
HOURS = [f"2020-01-{1 + i // 24:02d} {i % 24:02d}:00:00" for i in range(200)]
A = np.sin(np.arange(200) / 4) + np.random.default_rng(0).normal(scale=0.1, size=200)
TABLE = pa.table({"when": HOURS, "a": A, "b": np.cumsum(A), "note": ["x"] * 200})


def read(table: pa.Table = TABLE, **more: Any) -> service.SeriesTable:
    return service.read_series(open_source(table), "when", columns=["a", "b"], **more)


@pytest.fixture(scope="module")
def model() -> pf.SeriesDensity:
    return service.fit_series(read(), **QUICK)


def test_rows_in_any_order_are_the_same_series() -> None:
    order = np.random.default_rng(0).permutation(200)
    with pytest.warns(UserWarning, match="not in the order of 'when'"):
        shuffled = read(TABLE.take(order))
    np.testing.assert_array_equal(shuffled.x[0], read().x[0])
    np.testing.assert_array_equal(shuffled.x[0][:, 0], A)


def test_what_has_no_row_is_a_gap() -> None:
    kept = np.delete(np.arange(200), [50, 51, 120])
    with pytest.warns(UserWarning, match="3 steps of the grid have no row"):
        x = read(TABLE.take(kept)).x[0]
    assert len(x) == 200
    assert np.flatnonzero(np.isnan(x).any(1)).tolist() == [50, 51, 120]


def test_stamps_that_repeat_are_refused() -> None:
    with pytest.raises(DataError, match="1 stamps of 'when' repeat, first in rows 5 and 6"):
        read(TABLE.take([0, 1, 2, 3, 4, 4, *range(5, 50)]))


def test_stamps_between_steps_are_refused_and_those_off_the_grid_told_of() -> None:
    hours = [*HOURS[:60], "2020-01-03 12:10:00", "2020-01-03 12:20:00", *HOURS[61:100]]
    with pytest.raises(DataError, match="nearer to each other than the step of the grid, 1 hour"):
        read(pa.table({"when": hours, "a": A[:101], "b": A[:101]}))
    hours = [*HOURS[:60], "2020-01-03 12:20:00", *HOURS[61:100]]
    with pytest.warns(UserWarning, match="1 rows lie off the grid"):
        read(pa.table({"when": hours, "a": A[:100], "b": A[:100]}))


def test_a_grid_far_finer_than_the_rows_is_refused() -> None:
    with pytest.raises(DataError, match="coarser grid"):
        read(pa.table({"when": [*HOURS[:100], "2021-01-01 00:00:00"], "a": A[:101], "b": A[:101]}))


def test_several_series_are_told_apart() -> None:
    stacked = pa.concat_tables([TABLE.slice(0, 150), TABLE.slice(20, 100)])
    stacked = stacked.append_column("shop", pa.array(["north"] * 150 + ["south"] * 100))
    inputs = read(stacked, by="shop")
    assert inputs.groups == ("north", "south") and [len(x) for x in inputs.x] == [150, 100]
    model = service.fit_series(inputs, **QUICK)
    again = service.read_like(model, open_source(stacked))
    forecast = pa.Table.from_batches([service.forecast_series(model, again, 2, 5)])
    assert forecast.column("shop").to_pylist() == ["north"] * 2 + ["south"] * 2
    assert [str(t) for t in forecast.column("when").to_pylist()] == [
        HOURS[150],
        HOURS[151],
        HOURS[120],
        HOURS[121],
    ]


def test_scores_stand_beside_their_rows(model: pf.SeriesDensity) -> None:
    order = np.random.default_rng(0).permutation(200)
    straight = service.score_series(model, service.read_like(model, open_source(TABLE)))
    with pytest.warns(UserWarning, match="not in the order"):
        shuffled = service.score_series(model, service.read_like(model, open_source(TABLE.take(order))))
    assert straight.schema.names == [*TABLE.column_names, "log_density"]
    scores = np.asarray(straight.column("log_density"))
    np.testing.assert_allclose(np.asarray(shuffled.column("log_density")), scores[order])
    inputs = read()
    np.testing.assert_allclose(-model.score_steps(list(inputs.x), inputs.conditions())[0], scores)


def test_a_row_without_any_value_has_no_score(model: pf.SeriesDensity) -> None:
    holes = [None if i == 7 else float(v) for i, v in enumerate(A)]
    table = TABLE.set_column(1, "a", pa.array(holes)).set_column(2, "b", pa.array(holes))
    scored = service.score_series(model, service.read_like(model, open_source(table)))
    assert np.flatnonzero(np.asarray(scored.column("log_density").is_null())).tolist() == [7]


def test_a_forecast_is_quantiles_of_draws_with_stamps_that_go_on(model: pf.SeriesDensity) -> None:
    inputs = service.read_like(model, open_source(TABLE))
    forecast = service.forecast_series(model, inputs, 3, 50, (0.1, 0.5, 0.9), seed=1)
    assert forecast.schema.names == ["when", "a_0.1", "a_0.5", "a_0.9", "b_0.1", "b_0.5", "b_0.9"]
    assert str(forecast.column("when")[0]) == "2020-01-09 08:00:00"
    low, middle, high = (np.asarray(forecast.column(f"b_{q}")) for q in (0.1, 0.5, 0.9))
    assert (low < middle).all() and (middle < high).all()
    draws = model.forecast(list(inputs.x), 3, 50, condition=inputs.conditions(3), random_state=1)
    np.testing.assert_allclose(middle, np.median(draws[:, 0, :, 1], axis=0))


def test_the_model_knows_its_table_once_saved(model: pf.SeriesDensity, tmp_path: Path) -> None:
    pf.save(model, tmp_path / "model")
    loaded = service.load_any(tmp_path / "model")
    assert isinstance(loaded, pf.SeriesDensity) and loaded.table_ == model.table_
    told = service.describe_saved(tmp_path / "model")
    assert told == service.describe(model)
    assert told is not None and (told.kind, told.time, told.given) == (
        "series",
        "when, in steps of 1 hour",
        ("hour", "weekday"),
    )
    with pytest.raises(service.RequestError, match="the model is of series"):
        service.load_model(tmp_path / "model")


def test_columns_are_named_in_what_is_refused() -> None:
    constant = TABLE.set_column(2, "b", pa.array(np.ones(200)))
    with pytest.raises(DataError, match="column 'b' is 1 at every step"):
        service.fit_series(read(constant), **QUICK)
    endless = TABLE.set_column(2, "b", pa.array(np.where(np.arange(200) == 6, np.inf, 1.0)))
    with pytest.raises(DataError, match="column 'b' is infinite in row 7"):
        read(endless)
    with pytest.raises(DataError, match="no column 'wen'; did you mean 'when'"):
        service.read_series(open_source(TABLE), "wen")
    with pytest.raises(DataError, match="not numbers: 'note'"):
        service.read_series(open_source(TABLE), "when")


def test_a_model_of_arrays_reads_no_table() -> None:
    model = pf.SeriesDensity(**QUICK).fit([A])
    with pytest.raises(service.RequestError, match="fitted to arrays"):
        service.read_like(model, open_source(TABLE))
