"""What can be read only once: standard input and pipes."""

import gzip
import io
import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pushforward.data import DataError, open_source, read_table
from tests.data.helpers import KINDS, ROWS, message, save_as


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """A temporary folder of the test's own, to see what is left in it."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def feed(monkeypatch, content: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))


@pytest.mark.parametrize("kind", KINDS)
def test_standard_input_may_be_of_every_kind(kind, tmp_path, monkeypatch, temporary):
    feed(monkeypatch, Path(save_as(kind, tmp_path)).read_bytes())
    source = open_source("-")
    assert source.name == "standard input"
    first, again = (np.array(source.read(source.features).to_pandas()) for _ in range(2))
    assert np.array_equal(first, ROWS) and np.array_equal(again, ROWS)
    assert len(list(temporary.iterdir())) == 1
    del source
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="makes a named pipe")
def test_named_pipes_are_read(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    content = Path(save_as("csv.gz", tmp_path)).read_bytes()
    threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True).start()
    assert np.array_equal(read_table(pipe).values, ROWS)


@pytest.mark.parametrize("path", ["/dev/stdin", "pipe"])
@pytest.mark.parametrize("query", ["SELECT * FROM '{}'", 'FROM "{}"', "SELECT a FROM read_csv('{}') WHERE c <> '-'"])
@pytest.mark.skipif(sys.platform == "win32", reason="makes a named pipe")
def test_a_query_that_reads_a_pipe_is_refused(path, query, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    said = message(lambda: open_source(query.format(path)))
    assert said == (
        f"the query: {path} can be read only once, and a query reads more often; write it to a file and name that one, "
        "or give it as DATA without a query (- is standard input)"
    )


def test_a_query_may_compare_with_a_dash():
    assert open_source("SELECT 1 AS a WHERE '-' <> '/'").names == ("a",)


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_what_a_shell_makes_of_a_command_is_read(tmp_path, temporary):
    code = (
        "import sys; from pushforward.data import read_table\n"
        "for path in sys.argv[1:]: print(read_table(path).values.sum())"
    )
    path = save_as("csv.gz", tmp_path)
    command = f"gzip -dc {path} | '{sys.executable}' -c '{code}' <(gzip -dc {path}) - /dev/fd/3 3< {path}"
    environment = {**os.environ, "TMPDIR": str(temporary)}
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == f"{ROWS.sum()}\n" * 3
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "standard input: nothing came; check the command before the pipe"),
        (b"a,b\n1,2\n3\n", "standard input: not a well-formed CSV file: line 3 has 1 fields where line 1 has 2"),
        (b"PAR1 and no more", "standard input: not a well-formed Parquet file"),
        (gzip.compress(b"a,b\n1,2\n" * 99, mtime=0)[:-9], "standard input: "),
        (b"\x28\xb5\x2f\xfd no more", "standard input: cannot be read"),
        (b"\x93NUMPY", "standard input: not a well-formed NumPy file"),
    ],
)
def test_what_cannot_be_used_is_refused_and_removed(content, says, monkeypatch, temporary):
    feed(monkeypatch, content)
    assert message(lambda: read_table("-")).startswith(says)
    assert list(temporary.iterdir()) == []


def test_an_interruption_leaves_no_file(monkeypatch, temporary):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            if self.tell() > 0:
                assert list(temporary.iterdir()) == [] or sys.exc_info()[0] is None
                raise KeyboardInterrupt
            return super().read(size)

    monkeypatch.setattr("pushforward.data.pipes._HEAD", 4)
    monkeypatch.setattr(sys, "stdin", type("Stream", (), {"buffer": Broken(b"a,b\n1,2\n")}))
    with pytest.raises(KeyboardInterrupt):
        read_table("-")
    assert list(temporary.iterdir()) == []


def test_a_full_temporary_folder_is_named(monkeypatch, temporary):
    feed(monkeypatch, b"a,b\n1,2\n")
    monkeypatch.setattr(tempfile, "tempdir", str(temporary / "nowhere"))
    with pytest.raises(DataError, match="nowhere while it is read, and TMPDIR names another folder"):
        read_table("-")


def test_incompressible_zstd_is_told_by_its_first_block(monkeypatch):
    rng = np.random.default_rng(0)
    rows = "".join(f'{{"a": {i}, "t": "{rng.bytes(90).hex()}"}}\n' for i in range(3000))
    feed(monkeypatch, pa.compress(rows.encode(), codec="zstd", asbytes=True))
    assert open_source("-").names == ("a", "t")
