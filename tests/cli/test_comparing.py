"""Comparing synthetic rows with real ones from the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.helpers import refused, run, write


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(["real.csv", "synthetic.csv", "test.csv"]):
        rng = np.random.default_rng(seed)
        rows = zip(rng.choice(["red", "blue", "?"], size=200), rng.normal(size=200).round(3), strict=True)
        write(name, "colour,x\n" + "\n".join(f"{colour},{x}" for colour, x in rows) + "\n")


def test_files_are_compared_and_figures_and_pictures_written(files):
    said = run("compare", "real.csv", "synthetic.csv", "--held-out", "test.csv", "--out", "quality.json")
    assert said.startswith("detection AUROC")
    assert said.endswith("The figures are in quality.json.\n")
    found = json.loads(Path("quality.json").read_text())
    assert f"{found['detection']:.3f}" in said and abs(found["detection"] - 0.5) < 0.1
    assert [c["name"] for c in found["columns"]] == ["colour", "x"]
    assert found["columns"][0]["gaps"] == pytest.approx(1 / 3, abs=0.1)  # ? is a gap
    run("compare", "real.csv", "SELECT colour, x + 9 AS x FROM 'real.csv'", "--out", "quality.png")
    assert Path("quality.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in Path().iterdir()) == [
        "quality.json", "quality.png", "real.csv", "synthetic.csv", "test.csv"
    ]  # fmt: skip


def test_what_cannot_be_compared_or_written_is_refused_before_any_work(files):
    said = refused("compare", "real.csv", "synthetic.csv", "--out", "quality.txt")
    assert said == "--out quality.txt: expected a name that ends in .json, or for a picture .png, .svg, .pdf, .jpg"
    assert "exists already" in refused("compare", "real.csv", "synthetic.csv", "--out", write("old.json", "{}"))
    assert "there are no rows" in refused("compare", "real.csv", write("empty.csv", "colour,x\n"))
