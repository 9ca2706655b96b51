"""Tables written in batches, whole or not at all."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.data.lines import LinesWriter
from pushforward.data.sources import DataError, first_line

if TYPE_CHECKING:
    import pyarrow as pa

FORMS = ("csv", "jsonl", "parquet")
STANDARD_OUTPUT = ("-", "/dev/stdout")
_ENDINGS = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
_CODECS = {".gz": "gzip", ".zst": "zstd"}


class TableWriter:
    """Writes record batches to a file that appears when its block ends, complete, or not at all; or to standard output.

    The rows go to a temporary sibling that takes the file's name at the end, so that a crash, an interruption or a
    full disk leaves an older file as it was. In JSON lines, what is no finite number is null.

    Arguments:
        path: where to write, ending in .parquet, .csv, .jsonl or .ndjson, all but the first perhaps with .gz or .zst
            after that; or `-`, standard output, where each batch appears as it is written.
        overwrite: replace an existing file.
        form: of standard output, "csv" if None, "jsonl" or "parquet"; the ending of a file tells its own.

    Raises:
        DataError: another ending; the file exists and `overwrite` is off; its folder is missing or cannot be written;
            writing fails.
        BrokenPipeError: nobody reads standard output any more.

    Example:
        >>> import pyarrow as pa, tempfile, os
        >>> from pushforward.data import TableWriter, read_table
        >>> path = os.path.join(tempfile.mkdtemp(), "numbers.csv.gz")
        >>> with TableWriter(path) as writer:
        ...     writer.write(pa.RecordBatch.from_pydict({"a": [1.0, 2.0]}))
        >>> read_table(path).values.ravel().tolist()
        [1.0, 2.0]
    """

    def __init__(self, path: str | os.PathLike[str], overwrite: bool = False, form: str | None = None):
        self.name = os.fspath(path)
        self.standard = self.name in STANDARD_OUTPUT
        self.path = Path(path).resolve()  # through a link, the file it points to is the one to replace
        self._sibling = self.path.with_name(f".{self.path.name}.{os.getpid()}.tmp")
        asked = None if form is None else _checked(form)
        self._form, self._codec = (asked or FORMS[0], None) if self.standard else _form(self.path, self.name)
        if asked not in (None, self._form):
            raise DataError(f"{self.name}: its ending says {self._form}, which form={asked!r} is not; leave form= out")
        self._writer: Any = None
        self._streams: list[Any] = []
        if not self.standard:
            check_output(path, overwrite)

    def __enter__(self) -> TableWriter:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append rows; every batch has the first one's columns and types.

        Raises:
            DataError: the disk is full, or CSV cannot hold a column (a list, say).
            BrokenPipeError: nobody reads standard output any more.
        """
        import pyarrow as pa

        try:
            if self._writer is None:
                self._writer = self._open(batch.schema)
            self._writer.write_batch(batch)
            if self.standard:
                sys.stdout.buffer.flush()
        except BrokenPipeError:
            raise
        except (OSError, pa.ArrowException) as error:
            raise self._failed(error) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._writer is not None:
                self._close(keep=kind is None)
        finally:
            if not self.standard:
                self._sibling.unlink(missing_ok=True)

    def _open(self, schema: pa.Schema) -> Any:
        import pyarrow as pa
        import pyarrow.csv
        import pyarrow.parquet

        self._streams = [pa.PythonFile(sys.stdout.buffer, "w") if self.standard else pa.OSFile(str(self._sibling), "w")]
        if self._codec is not None:
            self._streams.insert(0, pa.CompressedOutputStream(self._streams[0], self._codec))
        if self._form == "csv":
            return pyarrow.csv.CSVWriter(self._streams[0], schema)
        if self._form == "jsonl":
            return LinesWriter(self._streams[0], schema)
        return pyarrow.parquet.ParquetWriter(self._streams[0], schema, compression="zstd")

    def _close(self, keep: bool) -> None:
        try:
            self._writer.close()
            if self.standard:
                sys.stdout.buffer.flush()
                return
            for stream in self._streams:
                stream.close()
            if not keep:
                return
            with open(self._sibling, "rb") as file:
                os.fsync(file.fileno())
            if self.path.exists():
                shutil.copymode(self.path, self._sibling)
            os.replace(self._sibling, self.path)
        except BrokenPipeError:
            if keep:
                raise
        except OSError as error:
            if keep:
                raise self._failed(error) from error

    def _failed(self, error: Exception) -> DataError:
        reason = (isinstance(error, OSError) and error.errno and os.strerror(error.errno)) or first_line(error)
        where = "standard output" if self.standard else self.name
        return DataError(f"{where}: cannot be written: {reason}{'' if self.standard else '; nothing was changed'}")


def _checked(form: str) -> str:
    from pushforward.checks import check_choice  # it imports JAX, for which streaming a table has no use

    return str(check_choice("form", form, FORMS))


def _form(path: Path, name: str) -> tuple[str, str | None]:
    """The form that a file's ending tells, and how it is compressed.

    Raises:
        DataError: it is none that can be written.
    """
    codec = _CODECS.get(path.suffix.lower())
    form = _ENDINGS.get((path if codec is None else path.with_suffix("")).suffix.lower())
    if form is None or (codec is not None and form == "parquet"):
        raise DataError(
            f"{name}: can be written as .jsonl, .parquet or .csv, and text as .jsonl.gz, .csv.gz or with .zst; "
            "give it one of these endings"
        )
    return form, codec


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
