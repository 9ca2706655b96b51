"""Commands among others: standard input and output, compressed files, a reader that has enough."""

import gzip
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import pushforward as pf
from pushforward.data import read_table
from tests.cli.helpers import invoke, refused, run


@pytest.fixture
def piped(work) -> bytes:
    """The table as what `gzip -c table.csv` gives."""
    pa.csv.write_csv(pq.read_table("table.parquet"), "plain.csv")
    return gzip.compress(Path("plain.csv").read_bytes())


def test_score_reads_a_pipe_and_writes_one(work, piped):
    result = invoke("score", "model", "-", "--out", "-", stdin=piped)
    assert (result.exit_code, result.stderr) == (0, "120 rows were written.\n")
    run("score", "model", "plain.csv", "--out", "file.csv")
    assert result.stdout == Path("file.csv").read_text()
    assert not [name for name in os.listdir(tempfile.gettempdir()) if name.startswith("pushforward-") and "." in name]


def test_rows_go_to_standard_output_in_the_form_asked_for(work):
    lines = run("sample", "model", "-n", 5, "--out", "-", "--format", "jsonl").splitlines()
    run("sample", "model", "-n", 5, "--out", "five.ndjson.zst")
    drawn = [json.loads(line) for line in lines]
    assert list(drawn[0]) == ["x", "y", "n", "component", "side"]
    assert [row["x"] for row in drawn] == read_table("five.ndjson.zst", columns=["x"]).values.ravel().tolist()
    parquet = invoke("cluster", "model", "table.parquet", "--out", "-", "--format", "parquet").stdout_bytes
    assert pq.read_table(pa.BufferReader(parquet)).num_rows == 120
    said = refused("score", "model", "table.parquet", "--out", "t.csv", "--format", "jsonl")
    assert said == "t.csv: its ending says csv, which --format jsonl is not; leave --format out"


@pytest.mark.parametrize("name", ["t.csv.gz", "t.csv.zst", "t.jsonl.gz"])
def test_compressed_tables_are_read_and_written(work, name):
    run("score", "model", "table.parquet", "--out", name)
    run("score", "model", f"SELECT * EXCLUDE log_density FROM '{name}'", "--out", f"again-{name}")
    kept, again = (read_table(path, columns=["x", "log_density"]).values for path in (name, f"again-{name}"))
    assert kept.tolist() == again.tolist()


def test_fit_reads_standard_input_and_suggests_what_runs(work, piped, monkeypatch):
    seen = []
    monkeypatch.setattr("pushforward.service.fit", lambda inputs, *_, **__: seen.append(inputs) or pf.load("model"))
    said = run("fit", "-", "--out", "new", "--columns", "x,y,n", stdin=piped)
    assert (seen[0].source, seen[0].x.shape) == ("standard input", (120, 3))
    suggested = [shlex.split(line)[1:] for line in said.splitlines() if line.startswith("  pushforward ")]
    assert [words[0] for words in suggested] == ["sample", "plot", "info"]
    assert suggested[1] == ["plot", "new", "--out", "pictures"]


def test_what_a_pipe_brings_is_refused_by_name(work):
    for command in (["fit", "-", "--out", "new"], ["score", "model", "-", "--out", "t.csv"]):
        result = invoke(*command, stdin=b"")
        assert result.exit_code == 2
        assert result.stderr == "error: standard input: nothing came; check the command before the pipe\n"


def test_numbers_too_large_found_late_cannot_start_the_output_anew(work, monkeypatch):
    draw = pf.service.sampling.kinds.draw
    drawn = []

    def large(*arguments):
        rows, components = draw(*arguments)
        drawn.append(rows)
        rows[:, 2] = 1e300 if len(drawn) > 1 else 5
        return rows, components

    monkeypatch.setattr("pushforward.service.sampling.SAMPLE_ROWS", 10)
    monkeypatch.setattr("pushforward.service.kinds.draw", large)
    result = invoke("sample", "model", "-n", 20, "--out", "-")
    assert result.exit_code == 2
    assert len(result.stdout.splitlines()) == 11
    assert "column 'n' has values beyond 64-bit whole numbers, found late; give --out FILE" in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs bash")
def test_a_reader_that_has_enough_ends_the_command_quietly():
    """Not pretended, as Python itself has a word to say at its end."""
    code = (
        "import pyarrow as pa, typer\n"
        "from pushforward.cli.shell import OneLineGroup\n"
        "from pushforward.data.writing import TableWriter\n"
        "app = typer.Typer(cls=OneLineGroup)\n"
        "app.callback()(lambda: None)\n"
        "@app.command()\n"
        "def rows():\n"
        "    with TableWriter(chr(45)) as writer:\n"
        "        for _ in range(1000): writer.write(pa.record_batch({chr(97): list(range(10000))}))\n"
        "app()\n"
    )
    command = f"'{sys.executable}' -c '{code}' rows | head -n 2; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ('"a"\n0\n141\n', "")
