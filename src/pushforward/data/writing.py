"""Tables written in batches, whole or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.data.sources import DataError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".parquet", ".csv")


class TableWriter:
    """Writes record batches to a Parquet or CSV file that appears when its block ends, complete, or not at all.

    The rows go to a temporary sibling that takes the file's name at the end, so that a crash, an interruption or a
    full disk leaves an older file as it was.

    Arguments:
        path: where to write, ending in .parquet or .csv.
        overwrite: replace an existing file.

    Raises:
        DataError: another suffix; the file exists and `overwrite` is off; its folder is missing or cannot be written;
            writing fails.

    Example:
        >>> import pyarrow as pa, tempfile, os
        >>> from pushforward.data import TableWriter, read_table
        >>> path = os.path.join(tempfile.mkdtemp(), "numbers.parquet")
        >>> with TableWriter(path) as writer:
        ...     writer.write(pa.RecordBatch.from_pydict({"a": [1.0, 2.0]}))
        >>> read_table(path).values.ravel().tolist()
        [1.0, 2.0]
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False):
        self.name = os.fspath(path)
        self.path = Path(path).resolve()  # through a link, the file it points to is the one to replace
        if self.path.suffix.lower() not in SUFFIXES:
            raise DataError(f"{self.name}: can be written as {' or '.join(SUFFIXES)}; give it one of these endings")
        check_output(path, overwrite)
        self._sibling = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        self._writer: Any = None

    def __enter__(self) -> TableWriter:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; every batch has the first one's columns and types.

        Raises:
            DataError: the disk is full, or CSV cannot hold a column (a list, say).
        """
        import pyarrow as pa

        try:
            if self._writer is None:
                self._writer = self._open(batch.schema)
            self._writer.write_batch(batch)
        except (OSError, pa.ArrowException) as error:
            raise self._failed(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._close(keep=kind is None)
        finally:
            self._sibling.unlink(missing_ok=True)

    def _open(self, schema: pa.Schema) -> Any:
        import pyarrow.csv
        import pyarrow.parquet

        if self.path.suffix.lower() == ".csv":
            return pyarrow.csv.CSVWriter(str(self._sibling), schema)
        return pyarrow.parquet.ParquetWriter(str(self._sibling), schema, compression="zstd")

    def _close(self, keep: bool) -> None:
        try:
            self._writer.close()
            if not keep:
                return
            with open(self._sibling, "rb") as file:
                os.fsync(file.fileno())
            if self.path.exists():
                shutil.copymode(self.path, self._sibling)
            os.replace(self._sibling, self.path)
        except OSError as error:
            if keep:
                raise self._failed(error) from error

    def _failed(self, error: Exception) -> DataError:
        reason = (isinstance(error, OSError) and error.errno and os.strerror(error.errno)) or first_line(error)
        return DataError(f"{self.name}: cannot be written: {reason}; nothing was changed")


def check_output(path: str | os.PathLike[str], overwrite: bool = False) -> None:
    """Make sure that a file or folder could be written, before any work is done for it.

    Raises:
        DataError: it exists and `overwrite` is off, or its folder is missing or cannot be written.
    """
    target = Path(path).resolve()
    folder = target.parent
    if target.exists() and not overwrite:
        raise DataError(f"{path}: exists already; give overwrite=True to replace it, or another path")
    if not folder.is_dir():
        raise DataError(f"{path}: there is no folder {str(folder)!r}; create it first, or give another path")
    probe = folder / f".{target.name}.{os.getpid()}.probe.tmp"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}; give another path") from error


def append_columns(batch: pa.RecordBatch, columns: Mapping[str, np.ndarray | pa.Array], name: str) -> pa.RecordBatch:
    """A record batch with further columns at its end.

    Arguments:
        name: what messages call the table.

    Raises:
        DataError: the table has a column of that name already.
    """
    import pyarrow as pa

    clash = [column for column in columns if column in batch.schema.names]
    if clash:
        raise DataError(f"{name}: has a column {clash[0]!r} already; rename it or leave it out in a SQL query")
    for column, values in columns.items():
        batch = batch.append_column(column, values if isinstance(values, pa.Array) else pa.array(values))
    return batch
