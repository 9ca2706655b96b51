"""Folders of pictures: what is read of them, and what is wrong with them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pushforward.data import DataError, images, open_source

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (3, 4, 6), dtype=np.uint8)
COLOURS = RNG.integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three grey pictures of 4 x 6 pixels."""
    for i, pixels in enumerate(GREY):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path


def test_pixels_come_in_the_order_of_names(folder: Path) -> None:
    (folder / "0.png").rename(folder / "9.PNG")
    np.testing.assert_array_equal(images(folder), GREY[[1, 2, 0]])


def test_jpegs_are_read(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 77, dtype=np.uint8)).save(tmp_path / "a.jpg")
    Image.fromarray(np.full((8, 8), 99, dtype=np.uint8)).save(tmp_path / "b.JPEG")
    np.testing.assert_allclose(images(tmp_path).mean(axis=(1, 2)), [77, 99], atol=2)


def test_where_one_has_colours_all_have(folder: Path) -> None:
    Image.fromarray(COLOURS[0]).save(folder / "3.png")
    found = images(folder)
    assert found.shape == (4, 4, 6, 3)
    np.testing.assert_array_equal(found[0], np.repeat(GREY[0][..., None], 3, axis=-1))
    np.testing.assert_array_equal(found[3], COLOURS[0])


@pytest.mark.parametrize(
    ("mode", "coloured"), [("P", False), ("LA", False), ("1", False), ("RGBA", True), ("CMYK", True)]
)
def test_modes_become_grey_or_colours(folder: Path, mode: str, coloured: bool) -> None:
    suffix = ".jpg" if mode == "CMYK" else ".png"
    Image.fromarray(GREY[0]).convert(mode).save(folder / f"3{suffix}")
    assert images(folder).shape == ((4, 4, 6, 3) if coloured else (4, 4, 6))


def test_palettes_of_colours_are_colours(tmp_path: Path) -> None:
    Image.fromarray(COLOURS[0]).convert("P", palette=Image.Palette.ADAPTIVE, colors=256).save(tmp_path / "p.png")
    np.testing.assert_array_equal(images(tmp_path)[0], COLOURS[0])  # 24 pixels have colours enough in a palette


def test_how_opaque_pixels_are_is_dropped(tmp_path: Path) -> None:
    pixels = np.concatenate([COLOURS[0], np.zeros((4, 6, 1), dtype=np.uint8)], axis=-1)
    Image.fromarray(pixels).save(tmp_path / "p.png")
    np.testing.assert_array_equal(images(tmp_path)[0], COLOURS[0])


def test_a_table_has_files_folders_and_pixels(folder: Path) -> None:
    assert open_source(folder).names[:3] == ("file", "x0", "x1")
    (folder / "more").mkdir()
    (folder / "1.png").rename(folder / "more" / "0.png")
    source = open_source(str(folder))
    assert source.names[:3] == ("file", "folder", "x0") and source.shown == ("file", "folder")
    assert source.features == tuple(f"x{i}" for i in range(24)) and source.image_shape == (4, 6, 1)
    table = source.read()
    assert table["file"].to_pylist() == ["0.png", "2.png", "more/0.png"]
    assert table["folder"].to_pylist() == [".", ".", "more"]
    pixels = np.stack([table[name].to_numpy() for name in source.features], axis=1)
    np.testing.assert_array_equal(pixels.reshape(3, 4, 6), GREY[[0, 2, 1]])
    assert [batch.num_rows for batch in source.batches(2, ["x3", "file"])] == [2, 1]


def cut(name: str, to: float) -> Callable[[Path], Any]:
    def damage(folder: Path) -> None:
        Image.fromarray(RNG.integers(0, 256, (4, 6, 3), dtype=np.uint8)).save(folder / name)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: int(to * len(content))])

    return damage


def save(name: str, pixels: np.ndarray, form: str | None = None) -> Callable[[Path], Any]:
    return lambda folder: Image.fromarray(pixels).save(folder / name, format=form)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut("x.png", 0.6), r"x\.png: is cut off or malformed"),
        (cut("x.png", 0.1), r"x\.png: is no PNG or JPEG picture, or a malformed one; write it again"),
        (cut("x.jpg", 0.95), r"x\.jpg: is cut off or malformed"),
        (cut("x.jpg", 0), r"x\.jpg: is no PNG or JPEG picture, or a malformed one"),
        (lambda folder: (folder / "x.png").write_text("a,b\n1,2\n"), r"x\.png: is no PNG or JPEG picture"),
        (save("x.png", GREY[0], "GIF"), r"x\.png: is no PNG or JPEG picture"),
        (save("x.png", RNG.integers(0, 60_000, (4, 6)).astype(np.uint16)), r"x\.png: .* save it with 8 bits a channel"),
        (
            save("x.png", GREY[0, :, :5]),
            r"0\.png has 4 x 6 pixels, x\.png 4 x 5 \(height x width\), and 1 of 4 differ from the first; crop or",
        ),
    ],
)
def test_what_cannot_be_used_is_said_in_a_line(folder: Path, damage: Any, message: str) -> None:
    damage(folder)
    with pytest.raises(DataError, match=message) as raised:
        images(folder)
    assert "\n" not in str(raised.value)
    with pytest.raises(DataError, match=message):
        open_source(folder)


def test_folders_without_pictures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no PNG or JPEG file; give a folder of such files"):
        images(tmp_path)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(DataError, match=r"holds no PNG or JPEG file, but \.txt"):
        open_source(tmp_path)
    with pytest.raises(DataError, match="is no folder; give one"):
        images(tmp_path / "notes.txt")
    with pytest.raises(DataError, match="no such folder"):
        images(tmp_path / "nowhere")
