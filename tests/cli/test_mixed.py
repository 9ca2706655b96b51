"""Tables as people have them, in a shell: fitted, scored, clustered, sampled, filled in."""

import csv
from pathlib import Path

import numpy as np
import pytest

from pushforward.cli.shell import in_options
from tests.cli.helpers import columns, invoke, refused, run

QUICK = ["--epochs", "2"]
NAMES = ["city", "visits", "spent", "since", "member"]


def rows(path: str) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of customers with gaps, and a density and a mixture of it."""
    home, rng = tmp_path_factory.mktemp("mixed"), np.random.default_rng(0)
    lines = [",".join(NAMES)]
    for i in range(200):
        city = ["Porto", "Faro", "?", ""][rng.choice(4, p=[0.5, 0.4, 0.05, 0.05])]
        spent = "" if i % 17 == 0 else f"{rng.lognormal(2, 1):.2f}"
        day = np.datetime64("2021-01-01") + rng.integers(0, 300)
        lines.append(f" {city},{rng.poisson(3)},{spent},{day},{'true' if rng.uniform() < 0.5 else 'false'}")
    (home / "customers.csv").write_text("\n".join(lines) + "\n")
    for kind in ("density", "mixture"):
        out = str(home / kind)
        run("fit", home / "customers.csv", "--out", out, "--kind", kind, "--kind-of", "visits=whole", *QUICK)
    return home


def test_a_table_is_scored_clustered_and_told_of(folder: Path, tmp_path: Path) -> None:
    run("score", folder / "density", folder / "customers.csv", "--out", tmp_path / "scored.csv")
    scored = rows(str(tmp_path / "scored.csv"))
    assert len(scored) == 200 and all(np.isfinite(float(row["log_density"])) for row in scored)
    run("cluster", folder / "mixture", folder / "customers.csv", "--out", tmp_path / "clustered.csv")
    assert columns(tmp_path / "clustered.csv")[:6] == [*NAMES, "component"]
    said = run("info", folder / "density")
    for word in (
        "category",
        "whole",
        "positive",
        "date",
        "boolean",
        "one masked network",
        " days",
        "counts logarithms",
    ):
        assert word in said
    (spent,) = (line for line in said.splitlines() if line.startswith("spent"))
    assert 2 < float(spent.split("×")[1]) < 4  # e to the standard deviation of logarithms, 1 or so


def test_gaps_are_filled_and_all_else_stays(folder: Path, tmp_path: Path) -> None:
    run("impute", folder / "density", folder / "customers.csv", "--out", tmp_path / "complete.csv")
    before, after = rows(str(folder / "customers.csv")), rows(str(tmp_path / "complete.csv"))
    for old, new in zip(before, after, strict=True):
        assert new["city"].strip() in ("Porto", "Faro") and float(new["spent"]) >= 0
        assert all(new[name].strip() == old[name].strip() for name in ("visits", "since", "member"))
        assert old["spent"] == "" or float(new["spent"]) == float(old["spent"])


def test_rows_are_drawn_given_others(folder: Path, tmp_path: Path) -> None:
    given = "city=Porto,since=2021-03-04"
    run("sample", folder / "density", "-n", 5, "--given", given, "--out", tmp_path / "drawn.csv")
    drawn = rows(str(tmp_path / "drawn.csv"))
    assert [*drawn[0]] == NAMES
    assert all(row["city"] == "Porto" and row["since"] == "2021-03-04" for row in drawn)
    run("sample", folder / "mixture", "-n", 5, "--component", 1, "--out", tmp_path / "second.csv")
    assert {row["component"] for row in rows(str(tmp_path / "second.csv"))} == {"1"}


def test_what_is_not_there_is_refused_by_name(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model, table = folder / "density", folder / "customers.csv"
    assert "knows no city='Rome'; it knows Porto, Faro" in refused(
        "sample", model, "-n", 1, "--given", "city=Rome", "--out", "a.csv"
    )
    assert "expected a date" in refused("sample", model, "-n", 1, "--given", "since=May", "--out", "a.csv")
    assert "no column 'town'" in refused("sample", model, "-n", 1, "--given", "town=Porto", "--out", "a.csv")
    assert "there are no pictures yet" in refused("plot", model, table, "--out", "pictures")
    assert "write NAME=KIND" in refused("fit", table, "--out", "m", "--kind-of", "town=category")
    assert "missing" in refused("fit", table, "--out", "m", "--missing", "drop", *QUICK)


def test_rows_are_drawn_that_keep_to_a_rule(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run("sample", folder / "mixture", "-n", 20, "--where", "city = 'Porto' AND visits >= 2", "--out", "some.csv")
    drawn = rows("some.csv")
    assert len(drawn) == 20 and "component" in drawn[0]
    assert all(row["city"] == "Porto" and int(row["visits"]) >= 2 for row in drawn)
    assert "town" in refused("sample", folder / "density", "-n", 1, "--where", "town = 'Porto'", "--out", "a.csv")
    both = ("--where", "visits > 1", "--given", "city=Porto")
    assert "do not go together" in refused("sample", folder / "density", "-n", 1, *both, "--out", "a.csv")
    assert not (tmp_path / "a.csv").exists()


@pytest.mark.long
def test_words_and_codes_come_out_as_they_went_in(tmp_path: Path) -> None:
    import pandas as pd

    import pushforward as pf

    rng, n = np.random.default_rng(0), 120
    made = {
        "churn": rng.choice(["Yes", "No"], n),
        "python": rng.choice(["True", "False"], n),
        "paid": rng.choice(["true", "false"], n),
        "zip": rng.choice(["00123", "04567"], n),
        "spent": [f"{value:.3f}" for value in rng.normal(size=n)],
    }
    table, model = tmp_path / "table.csv", tmp_path / "model"
    lines = [",".join(row) for row in zip(*made.values(), strict=True)]
    table.write_text("\n".join([",".join(made), *lines]) + "\n")
    run("fit", table, "--out", model, "--kind", "density", *QUICK)
    run("sample", model, "-n", 60, "--out", tmp_path / "new.csv")
    drawn = rows(str(tmp_path / "new.csv"))
    for name in ("churn", "python", "paid", "zip"):
        assert {row[name] for row in drawn} == set(made[name]), name

    run("score", model, table, "--out", tmp_path / "scored.csv")
    scored = [float(row["log_density"]) for row in rows(str(tmp_path / "scored.csv"))]
    by_pandas = pd.read_csv(table)  # truth values and numbers among them
    np.testing.assert_allclose(pf.load(model).score_samples(by_pandas), scored, rtol=1e-6)
    with_texts = pd.read_csv(table, dtype={"python": str, "paid": str, "zip": str})
    np.testing.assert_allclose(pf.load(model).score_samples(with_texts), scored, rtol=1e-6)

    fitted = pf.FlowDensity(max_epochs=2, hidden_sizes=(8,), random_state=0).fit(by_pandas)
    fitted.save(tmp_path / "of-pandas")
    run("score", tmp_path / "of-pandas", table, "--out", tmp_path / "again.csv")
    again = [float(row["log_density"]) for row in rows(str(tmp_path / "again.csv"))]
    np.testing.assert_allclose(again, fitted.score_samples(by_pandas), rtol=1e-6)


def test_advice_is_what_can_be_typed(tmp_path: Path) -> None:
    lines = ["key,part,twice"] + [f"k{i},{i % 7 / 3:.3f},{2 * (i % 7 / 3):.3f}" for i in range(120)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    result = invoke("fit", tmp_path / "table.csv", "--out", tmp_path / "m", "--kind", "density", *QUICK)
    assert result.exit_code == 0 and "'key' (nearly every row has a text of its own" in result.stderr
    assert "--kind-of name=category takes one in" in result.stderr and "columns={" not in result.stderr
    said = in_options("say columns={'zip code': 'category', 'a': 'left out'}")
    assert said == "say --kind-of 'zip code=category' --kind-of a=left-out"
