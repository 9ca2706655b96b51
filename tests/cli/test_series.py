"""Series on the command line: fit, score, forecast."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.cli.helpers import columns, refused, run, write

FEW = ["--layers", "2", "--epochs", "2"]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("series")
    rng = np.random.default_rng(0)
    lines = [f"{np.datetime64('2020-01-01') + i},{np.sin(i / 4) + rng.normal() / 9:.6f},{i % 3}" for i in range(120)]
    (folder / "days.csv").write_text("\n".join(["day,power,load", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_CACHE", "")
        told = run("fit", folder / "days.csv", "--series", "day", "--columns", "power", "--out", folder / "model", *FEW)
    assert "120 steps of 1 day" in told and "nats a step" in told and "forecast" in told
    return folder


@pytest.fixture
def here(series: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return series


def test_score_adds_the_log_density_of_each_step(here: Path) -> None:
    run("score", here / "model", here / "days.csv", "--out", "scores.csv")
    assert columns("scores.csv") == ["day", "power", "load", "log_density"]
    with open("scores.csv") as file:
        scores = [float(row["log_density"]) for row in csv.DictReader(file)]
    assert len(scores) == 120 and np.isfinite(scores).all()


def test_a_forecast_goes_on_after_the_table(here: Path) -> None:
    command = ["forecast", here / "model", here / "days.csv", "--horizon", "3", "--samples", "20"]
    run(*command, "--quantiles", "0.1,0.9", "--out", "next.csv")
    with open("next.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["day"] for row in rows] == ["2020-04-30", "2020-05-01", "2020-05-02"]
    assert all(float(row["power_0.1"]) < float(row["power_0.9"]) for row in rows)
    run(*command, "--quantiles", "0.1,0.9", "--out", "again.csv")
    assert Path("again.csv").read_text() == Path("next.csv").read_text()


def test_info_tells_of_time(here: Path) -> None:
    assert "day, in steps of 1 day" in run("info", here / "model")


def test_what_does_not_go_together_is_refused(here: Path) -> None:
    data, model = here / "days.csv", here / "model"
    assert "--by power needs --series" in refused("fit", data, "--by", "power", "--out", "m")
    assert refused("fit", data, "--series", "day", "--kind", "density", "--out", "m").startswith("--kind is for rows")
    assert "--flow is for rows" in refused("fit", data, "--series", "day", "--flow", "maf", "--out", "m")
    assert "model is of series" in refused("cluster", model, data, "--out", "x.csv")
    assert "model is of series" in refused("sample", model, "-n", "3", "--out", "x.csv")
    assert "takes empty cells as gaps" in refused("score", model, data, "--drop-missing", "--out", "x.csv")
    command = ["forecast", model, data, "--horizon", "3", "--out", "x.csv"]
    assert "between 0 and 1, such as" in refused(*command, "--quantiles", "5,95")


def test_a_model_of_rows_does_not_forecast(work: Path) -> None:
    message = refused("forecast", "density", "table.parquet", "--horizon", "3", "--out", "x.csv")
    assert "the model is of rows" in message


def test_stamps_that_repeat_name_the_option(here: Path) -> None:
    write("twice.csv", (here / "days.csv").read_text() + "2020-01-05,1.0,1\n")
    message = refused("score", here / "model", "twice.csv", "--out", "x.csv")
    assert "1 stamps of 'day' repeat, first in rows 5 and 121" in message and "(--by)" in message
