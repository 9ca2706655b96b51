"""Arrays saved by NumPy, read as tables."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pushforward.data.sources import DataError, Source, listing

if TYPE_CHECKING:
    import pyarrow as pa

_HOW = "save a plain array of numbers with numpy.save, one row a point"


def open_array(path: str, name: str | None = None) -> Source:
    """A table in a .npy file, or in a .npz file that holds X (and y), one array, or columns of one length.

    Columns of a two-dimensional array are called x0, x1, …; further axes are flattened. Nothing is unpickled.

    Arguments:
        name: what messages call it; the path if None.

    Raises:
        DataError: the file is missing, empty, malformed, holds objects, or arrays that form no table.
    """
    if not os.path.exists(path):
        raise DataError(f"{path}: no such file")
    if os.path.getsize(path) == 0:
        raise DataError(f"{path}: the file is empty; check how it was written")
    name = path if name is None else name
    try:
        loaded = np.load(path, mmap_mode="r" if path.lower().endswith(".npy") else None, allow_pickle=False)
        arrays = {"X": loaded} if isinstance(loaded, np.ndarray) else {key: loaded[key] for key in loaded.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(f"{name}: holds Python objects, which are never loaded; {_HOW}") from error
        raise DataError(f"{name}: not a well-formed NumPy file: {error}") from error
    for key, array in arrays.items():
        if array.dtype.kind not in "buif":
            raise DataError(f"{name}: array {key!r} holds {array.dtype}, not numbers; {_HOW}")
    return _as_source(name, arrays)


def _as_source(name: str, arrays: dict[str, np.ndarray]) -> Source:
    columns, features = _columns(name, arrays)
    n = len(next(iter(columns.values())))

    def read(names: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        for start in range(0, n, rows):
            part = [np.ascontiguousarray(columns[name][start : start + rows]) for name in names]
            yield pa.RecordBatch.from_arrays([pa.array(column) for column in part], names=list(names))

    positional = any(array.ndim > 1 for array in arrays.values())
    return Source(name, tuple(columns), read, features=features, positional=positional)


def _columns(name: str, arrays: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], list[str]]:
    """All columns by name, and the names of those that a model uses by default."""
    wide = {key: array for key, array in arrays.items() if array.ndim > 1}
    flat = {key: array for key, array in arrays.items() if array.ndim == 1}
    matrix = wide.get("X", next(iter(wide.values())) if len(wide) == 1 else None)
    if (wide and matrix is None) or not (wide or flat) or any(array.ndim == 0 for array in arrays.values()):
        shapes = listing([f"{key} {array.shape}" for key, array in arrays.items()]) or "no arrays"
        raise DataError(f"{name}: holds {shapes}; expected X of shape (n, d) and perhaps y (n,), or columns (n,)")
    n = len(matrix) if matrix is not None else len(next(iter(flat.values())))
    unequal = [f"{key} ({len(array)})" for key, array in flat.items() if len(array) != n]
    if unequal:
        raise DataError(f"{name}: arrays of unequal length: {listing(unequal)} where {n} rows were expected")
    if matrix is None:
        return flat, list(flat)
    matrix = matrix.reshape(n, int(np.prod(matrix.shape[1:])))
    columns = {f"x{i}": matrix[:, i] for i in range(matrix.shape[1])}
    return columns | flat, list(columns)
