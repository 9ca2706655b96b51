"""Arrow tables in files: IPC files, which Feather ones are, and IPC streams."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pushforward.data.sources import DataError, Source, one_line_errors

if TYPE_CHECKING:
    import pyarrow as pa

SUFFIXES = (".arrow", ".feather")
FILE, STREAM = b"ARROW1", b"\xff\xff\xff\xff"


def open_arrow_file(path: str, name: str | None = None) -> Source:
    """A table in an Arrow IPC file or stream.

    Arguments:
        name: what messages call it; the path if None.

    Raises:
        DataError: the file is missing, empty or malformed.
    """
    name = path if name is None else name
    if not os.path.isfile(path):
        raise DataError(f"{name}: no such file")
    if os.path.getsize(path) == 0:
        raise DataError(f"{name}: the file is empty; check how it was written")
    malformed = "not a well-formed Arrow file: {}".format
    with one_line_errors(name, malformed), open(path, "rb") as file:
        names = _reader(file).schema.names

    def read(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with one_line_errors(name, malformed), open(path, "rb") as file:
            for batch in _batches(_reader(file)):
                chosen = batch.select(list(columns))
                for start in range(0, batch.num_rows, rows):
                    yield chosen.slice(start, rows)

    return Source(name, names, read)


def _reader(file: Any) -> Any:
    """A reader of the form that the first bytes tell."""
    import pyarrow as pa

    start = file.read(len(FILE))
    file.seek(0)
    return pa.ipc.open_file(file) if start == FILE else pa.ipc.open_stream(file)


def _batches(reader: Any) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    if isinstance(reader, pa.RecordBatchFileReader):
        return (reader.get_batch(i) for i in range(reader.num_record_batches))
    return iter(reader)
