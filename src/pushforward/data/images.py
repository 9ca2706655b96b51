"""Folders of pictures: as an array, and as a table of pixels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import UInt8

from pushforward.data.sources import DataError, Source, listing

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = ("PNG", "JPEG")
SUFFIXES = (".png", ".jpg", ".jpeg")
GREY, COLOURED = {"1", "L", "LA"}, {"RGB", "RGBA", "P", "PA", "CMYK", "YCbCr"}  # modes of 8 bits a channel
FILE, FOLDER = "file", "folder"  # what the columns beside those of pixels are called


def images(folder: str | os.PathLike[str]) -> UInt8[np.ndarray, "n h w *c"]:
    """All PNG and JPEG files of a folder, and of folders in it, in the order of their names.

    Transparency is dropped. Where one picture has colours, all have.

    Arguments:
        folder: where they are.

    Returns:
        Bytes, shape (n, height, width), or (n, height, width, 3) of red, green and blue.

    Raises:
        DataError: there is no such folder, it holds no picture, or one is malformed or of another size.

    Example:
        >>> import tempfile, numpy as np, pushforward as pf
        >>> from PIL import Image
        >>> folder = tempfile.mkdtemp()
        >>> for i in range(3):
        ...     Image.fromarray(np.full((4, 6), i, dtype=np.uint8)).save(f"{folder}/{i}.png")
        >>> pf.data.images(folder).shape
        (3, 4, 6)
    """
    root = Path(folder)
    files = _files(root)
    sizes, mode = _looked_at(files)
    first = sizes[0]
    odd = next((i for i, size in enumerate(sizes) if size != first), None)
    if odd is not None:
        other = sum(size != first for size in sizes)
        raise DataError(
            f"{root}: pictures of several sizes: {files[0].relative_to(root)} has {first[1]} x {first[0]} pixels, "
            f"{files[odd].relative_to(root)} {sizes[odd][1]} x {sizes[odd][0]} (height x width), and {other} of "
            f"{len(files)} differ from the first; crop or scale them to one size"
        )
    shape = (first[1], first[0]) if mode == "L" else (first[1], first[0], 3)
    pixels = np.empty((len(files), *shape), dtype=np.uint8)
    for i, file in enumerate(files):
        pixels[i] = _pixels(file, mode)
    return pixels


def open_images(folder: str | os.PathLike[str]) -> Source:
    """A folder of pictures as a table: a row of pixels x0, x1, … for each, in C order, channels last.

    The column `file` has their names, which is what is written beside scores; where they lie in folders of the folder,
    `folder` has the names of these.

    Raises:
        DataError: as of `images`.
    """
    root = Path(folder)
    names = [file.relative_to(root) for file in _files(root)]
    pixels = images(root)
    rows = pixels.reshape(len(pixels), -1)
    beside: dict[str, Any] = {FILE: [name.as_posix() for name in names]}
    if any(len(name.parts) > 1 for name in names):
        beside[FOLDER] = [name.parent.as_posix() for name in names]
    features = [f"x{i}" for i in range(rows.shape[1])]

    def read(columns: Sequence[str], n: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for start in range(0, len(rows), n):
            part = slice(start, start + n)
            arrays = [
                pa.array(beside[name][part] if name in beside else np.ascontiguousarray(rows[part, int(name[1:])]))
                for name in columns
            ]
            yield pa.RecordBatch.from_arrays(arrays, names=list(columns))

    shape = (*pixels.shape[1:], 1)[:3]
    return Source(
        f"{root}", [*beside, *features], read, features, positional=True, shown=list(beside), image_shape=shape
    )


def _files(root: Path) -> list[Path]:
    if not root.is_dir():
        raise DataError(
            f"{root}: {'is no folder' if root.exists() else 'no such folder'}; give one of PNG or JPEG files"
        )
    files = sorted(file for file in root.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not files:
        held = sorted({file.suffix.lower() or file.name for file in root.iterdir()})
        beside = f", but {listing(held, 4)}" if held else ""
        raise DataError(
            f"{root}: is a folder that holds no PNG or JPEG file{beside}; give a folder of such files, or a table as a "
            "single file"
        )
    return files


def _looked_at(files: list[Path]) -> tuple[list[tuple[int, int]], str]:
    """The sizes of pictures, (width, height), and whether all are grey, "L", or some have colours, "RGB"."""
    sizes, modes = [], set()
    for file in files:
        with _opened(file) as picture:
            if picture.mode not in GREY | COLOURED:
                raise DataError(
                    f"{file}: has pixels of kind {picture.mode}, which bytes do not hold; save it with 8 bits a channel"
                )
            sizes.append(picture.size)
            modes.add("L" if _is_grey(picture) else "RGB")
    return sizes, "RGB" if "RGB" in modes else "L"


def _is_grey(picture: Any) -> bool:
    """Whether a picture has no colours, nor a palette of some."""
    if picture.mode != "P":
        return picture.mode in GREY
    red, green, blue = np.reshape(picture.getpalette("RGB"), (-1, 3)).T
    return bool((red == green).all() and (red == blue).all())


def _pixels(file: Path, mode: str) -> UInt8[np.ndarray, "h w *c"]:
    with _opened(file) as picture:
        try:
            return np.asarray(picture.convert(mode))
        except (OSError, SyntaxError, ValueError) as error:  # as Pillow says that a file ends too early
            raise DataError(f"{file}: is cut off or malformed ({error}); write it again, or remove it") from error


def _opened(file: Path) -> Any:
    """A picture whose header has been read."""
    from PIL import Image

    try:
        return Image.open(file, formats=FORMATS)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        says = "is no PNG or JPEG picture, or a malformed one" if isinstance(error, OSError) else str(error)
        raise DataError(f"{file}: {says}; write it again, or remove it") from error
