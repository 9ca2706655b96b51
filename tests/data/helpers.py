"""One small table in every kind of file, and what an error says."""

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import DataError

KINDS = ["csv", "csv.gz", "csv.zst", "tsv", "txt", "parquet", "jsonl", "jsonl.gz", "jsonl.zst", "json"]
KINDS += ["arrow", "feather", "stream.arrow", "npy", "npz"]
ROWS = np.array([[1.0, 0.25], [2.0, -3.5], [3.0, 1e-3]])


def save_as(kind: str, folder: Path) -> str:
    path = folder / f"t.{kind}"
    lines = ["a,b", "1,0.25", "2,-3.5", "3,1e-3"]
    if kind == "csv":
        path.write_text("\n".join(lines) + "\n")
    elif kind.endswith(".gz"):
        path.write_bytes(gzip.compress(Path(save_as(kind.removesuffix(".gz"), folder)).read_bytes()))
    elif kind.endswith(".zst"):
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(Path(save_as(kind.removesuffix(".zst"), folder)).read_bytes())
    elif kind == "tsv":
        path.write_text("\n".join(lines).replace(",", "\t"))
    elif kind == "txt":
        path.write_text("\r\n".join(lines).replace(",", " "))
    elif kind == "parquet":
        pq.write_table(pa.table({"a": ROWS[:, 0].astype(int), "b": ROWS[:, 1]}), path)
    elif kind in ("arrow", "feather", "stream.arrow"):
        table = pa.table({"a": ROWS[:, 0].astype(int), "b": ROWS[:, 1]})
        make = pa.ipc.new_stream if kind == "stream.arrow" else pa.ipc.new_file
        with make(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    elif kind == "jsonl":
        path.write_text("".join(f'{{"a": {a}, "b": {b}}}\n' for a, b in ROWS))
    elif kind == "json":
        path.write_text("[" + ",".join(f'{{"a": {a}, "b": {b}}}' for a, b in ROWS) + "]")
    elif kind == "npy":
        np.save(path, ROWS)
    elif kind == "npz":
        np.savez(path, X=ROWS, y=np.array([0, 1, -1]))
    return str(path)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def message(call) -> str:
    """What a DataError says; always one line."""
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)
