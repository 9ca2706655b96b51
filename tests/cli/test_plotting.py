"""Pictures of models."""

from pathlib import Path

import pytest

from tests.cli.helpers import refused, run, write

PNG = b"\x89PNG"


@pytest.mark.long
def test_a_model_is_drawn_beside_its_data(work):
    said = run("plot", "model", "table.parquet", "--out", "pictures").splitlines()
    names = ["samples", "density", "clusters", "training"]
    assert said == [f"{name} is in {Path('pictures', name)}.png." for name in names]
    assert all(Path("pictures", f"{name}.png").read_bytes().startswith(PNG) for name in names)
    said = refused("plot", "model", "table.parquet", "--out", "pictures", "--what", "training")
    assert said.startswith(f"{Path('pictures', 'training.png')}: exists already; give --overwrite")
    run("plot", "model", "--out", "pictures", "--what", "training", "--overwrite")
    run("plot", "density", "table.parquet", "--out", "beside.png")
    assert Path("beside.png").read_bytes().startswith(PNG)


def test_one_picture_goes_into_a_file_of_any_kind(work):
    assert run("plot", "model", "--out", "curve.svg", "--what", "training") == "training is in curve.svg.\n"
    assert Path("curve.svg").read_text().startswith("<?xml")
    assert run("plot", "density", "--out", "curve.png") == "training is in curve.png.\n"
    assert Path("curve.png").read_bytes().startswith(PNG)


def test_pictures_that_there_are_not_are_refused(work):
    said = refused("plot", "density", "--out", "t.png", "--what", "samples")
    assert said == "density: of the model there is no picture samples, but training; with DATA there may be more"
    said = refused("plot", "density", "table.parquet", "--out", "t.png", "--what", "clusters")
    assert said == "density: of the model there is no picture clusters, but samples, training"
    assert "exists already" in refused("plot", "model", "--out", write("old.png", "old"))
    assert "exists already" in refused("plot", "model", "--out", write("old", "old"))
    assert "there is no folder" in refused("plot", "model", "--out", "no/such/pictures")
    assert "no column 'y'" in refused("plot", "model", write("t.csv", "x,n\n1,2\n"), "--out", "t.png")
