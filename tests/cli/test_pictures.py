"""Folders of pictures in a shell."""

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pushforward.cli.describing import print_summary
from pushforward.service import Description
from tests.cli.helpers import columns, refused, run

RNG = np.random.default_rng(0)
FIT = ["--flow", "glow", "--layers", "1", "--epochs", "1"]


def save(folder: Path, n: int, size: tuple[int, ...] = (4, 4)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.fromarray(RNG.integers(0, 256, size, dtype=np.uint8)).save(folder / f"{i:02}.png")


@pytest.fixture(scope="module")
def pictured(tmp_path_factory) -> Path:
    """Pictures in two folders of a folder, and a model of them."""
    folder = tmp_path_factory.mktemp("pictured")
    for name in ("cats", "dogs"):
        save(folder / "pets" / name, 30)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_CACHE", "")
        run("fit", folder / "pets", "--kind", "density", "--out", folder / "model", *FIT)
    return folder


@pytest.fixture
def work(tmp_path, pictured, monkeypatch) -> Path:
    shutil.copytree(pictured, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_model_of_pictures_says_so(work):
    said = run("info", "model")
    assert "4 x 4 pixels, whole numbers from 0 to 255" in said and "glow" in said
    assert "x3" not in said  # no table of pixels


def test_scores_stand_beside_files(work):
    run("score", "model", "pets", "--out", "scores.csv")
    assert columns("scores.csv") == ["file", "folder", "log_density"]
    lines = Path("scores.csv").read_text().splitlines()
    assert len(lines) == 61 and lines[1].startswith('"cats/00.png","cats",-')
    run("score", "model", "pets/dogs", "--out", "dogs.csv")  # alone as among others
    assert columns("dogs.csv") == ["file", "log_density"]
    alone = [line.rpartition(",")[2] for line in Path("dogs.csv").read_text().splitlines()[1:]]
    np.testing.assert_allclose(
        np.array(alone, float), [float(line.rpartition(",")[2]) for line in lines[31:]], rtol=1e-5
    )


def test_samples_are_cooled(work):
    spread = []
    for temperature in ("0.3", "1"):
        run("sample", "model", "-n", 200, "--out", "new.csv", "--temperature", temperature, "--overwrite")
        spread.append(np.loadtxt("new.csv", delimiter=",", skiprows=1).std(axis=0).mean())
    assert spread[0] < 0.6 * spread[1]
    for wrong in ("0", "-1", "nan"):
        assert "temperature must be positive and finite" in refused(
            "sample", "model", "-n", 5, "--out", "x.csv", "--temperature", wrong
        )


def test_pictures_of_the_model_are_drawn(work):
    names = ["samples", "interpolation", "density", "training"]
    said = run("plot", "model", "pets", "--out", "drawn").splitlines()
    assert said == [f"{name} is in {Path('drawn', name)}.png." for name in names]
    assert "no picture clusters" in refused("plot", "model", "pets", "--out", "x.png", "--what", "clusters")


def test_pictures_of_another_size_are_refused(work):
    save(Path("wide"), 2, (4, 6))
    said = refused("score", "model", "wide", "--out", "x.csv")
    assert said.startswith("wide: pictures of 4 x 6 x 1 (height x width x channels), and the model was fitted on")
    assert said.endswith("pictures of 4 x 4 x 1; crop, scale or convert them to that")
    save(Path("pets"), 2, (4, 6))
    assert "pets: pictures of several sizes: 00.png has 4 x 6 pixels" in refused("fit", "pets", "--out", "other")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("2x8", "pets: --image 2x8 is not the size of the pictures, 4x4x1; leave it out"),
        ("4", "--image 4: expected HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS, such as 28x28"),
        ("4x", "--image 4x: expected HEIGHTxWIDTH"),
    ],
)
def test_sizes_are_those_of_the_pictures(work, image, message):
    assert refused("fit", "pets", "--kind", "density", "--image", image, "--out", "other").startswith(message)


def test_what_no_flow_of_images_takes_is_refused_in_a_line(work):
    save(Path("odd"), 60, (3, 3))
    said = refused("fit", "odd", "--kind", "density", "--out", "other", *FIT)
    assert said.startswith("odd: level 1 cannot halve images of 3 x 3")
    said = refused("fit", "pets", "--columns", "x0,x1", "--kind", "density", "--out", "other", *FIT)
    assert "flow='glow' needs" in said  # some pixels are no image
    Path("empty").mkdir()
    assert refused("fit", "empty", "--out", "other").startswith(
        "empty: is a folder that holds no PNG or JPEG file; give a"
    )


@pytest.mark.parametrize(
    ("centre", "told"), [(None, "log-density below -12.5"), (400.0, "log-density further than 12.5 from 400")]
)
def test_a_threshold_says_what_it_is_of(centre: float | None, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    facts: dict[str, Any] = {field.name: () for field in dataclasses.fields(Description)}
    facts |= dict.fromkeys(("image_shape", "label_column", "time"), None) | dict.fromkeys(("epochs", "best_epoch"), 1)
    facts |= {"kind": "outliers", "flow": "glow", "flow_chosen": False, "exactness": "exact", "seconds": 0.5}
    one = Description(**facts | {"interrupted": False, "threshold": -12.5, "centre": centre})
    print_summary(one, {})
    assert told in " ".join(capsys.readouterr().out.split())


def test_pixels_one_after_the_other_are_fitted_filled_in_and_drawn(tmp_path, monkeypatch):
    """Black and white images in a table: no interpolation among the pictures, and missing pixels filled in."""
    monkeypatch.chdir(tmp_path)
    x = np.repeat(RNG.integers(0, 2, (60, 2, 1)), 2, axis=2).reshape(60, 4)
    names = ",".join(f"p{i}" for i in range(4))
    np.savetxt("x.csv", x, "%d", ",", header=names, comments="")
    flow = ["--flow", "pixel_cnn", "--layers", "1", "--epochs", "1", "--image", "2x2"]
    run("fit", "x.csv", "--kind", "density", "--out", "model", *flow)
    assert "pixel_cnn" in run("info", "model")
    run("score", "model", "x.csv", "--out", "scores.csv")
    log_density = np.loadtxt("scores.csv", delimiter=",", skiprows=1)[:, -1]
    assert np.exp([log_density[(x == image).all(axis=1)][0] for image in np.unique(x, axis=0)]).sum() < 1
    Path("holes.csv").write_text(f"{names},note\n0,1,,,a\n1,,,,b\n")
    run("impute", "model", "holes.csv", "--out", "full.csv")
    lines = [line.split(",") for line in Path("full.csv").read_text().replace('"', "").splitlines()]
    assert lines[0] == [*names.split(","), "note"] and lines[1][:2] == ["0", "1"] and lines[2][0] == "1"
    assert {cell for line in lines[1:] for cell in line[:4]} <= {"0", "1"} and lines[2][4] == "b"
    run("sample", "model", "-n", "7", "--out", "new.csv", "--temperature", "0.5")
    assert set(np.loadtxt("new.csv", delimiter=",", skiprows=1).ravel()) <= {0, 1}
    run("plot", "model", "x.csv", "--out", "pictures")
    assert sorted(path.stem for path in Path("pictures").iterdir()) == ["density", "samples", "training"]


def test_flows_with_a_map_fill_in_no_pixels(work):
    Path("holes.csv").write_text(",".join(f"x{i}" for i in range(16)) + "\n" + "1," * 15 + "\n")
    said = refused("impute", "model", "holes.csv", "--out", "full.csv")
    assert "fit gated_pixel_cnn or another flow that draws one pixel after the other" in said
