import datetime
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pushforward.data import TableWriter, append_columns, check_output, open_source, read_table
from pushforward.data.writing import FORMS
from tests.data.helpers import message, write


def batch(n: int = 3) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"a": np.arange(n) / 2, "s": ["x"] * n, "day": [datetime.date(2020, 1, 1)] * n})


SUFFIXES = [".csv", ".csv.gz", ".csv.zst", ".jsonl", ".ndjson", ".jsonl.gz", ".jsonl.zst", ".ndjson.gz", ".parquet"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_tables_come_back_as_written(suffix, tmp_path):
    path = tmp_path / f"t{suffix}"
    with TableWriter(path) as writer:
        writer.write(append_columns(batch(), {"p": np.array([0.1, 0.2, 0.3])}, "t"))
        writer.write(append_columns(batch(1), {"p": np.array([0.4])}, "t"))
    table = open_source(str(path)).read()
    assert table.column_names == ["a", "s", "day", "p"]
    assert table.column("p").to_pylist() == [0.1, 0.2, 0.3, 0.4]
    assert table.column("s").to_pylist() == ["x"] * 4
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl.zst", ".parquet"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_half_way_leaves_the_old_file(suffix, error, tmp_path):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"old")

    def torn():
        with TableWriter(path, overwrite=True) as writer:
            writer.write(batch())
            raise error

    with pytest.raises(error):
        torn()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl.gz", ".parquet"])
def test_a_full_disk_leaves_the_old_file(suffix, tmp_path):
    path = tmp_path / f"t{suffix}"
    path.write_bytes(b"old")
    code = (
        "import resource, signal, sys\n"
        "import numpy as np, pyarrow as pa\n"
        "from pushforward.data import DataError, TableWriter\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"  # the nearest thing to a full disk
        "rows = pa.RecordBatch.from_pydict({'a': np.random.default_rng(0).normal(size=50_000)})\n"
        "try:\n"
        "    with TableWriter(sys.argv[1], overwrite=True) as writer:\n"
        "        writer.write(rows)\n"
        "except DataError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"{path}: cannot be written: File too large; nothing was changed"
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_existing_output_needs_overwrite(tmp_path):
    path = write(tmp_path / "t.csv", "old")
    said = message(lambda: TableWriter(path))
    assert said == f"{path}: exists already; give overwrite=True to replace it, or another path"
    with TableWriter(path, overwrite=True) as writer:
        writer.write(batch())
    assert read_table(path, columns=["a"]).values.ravel().tolist() == [0, 0.5, 1]


def test_replacing_a_link_replaces_what_it_points_to(tmp_path):
    real = Path(write(tmp_path / "real.csv", "old"))
    (tmp_path / "link.csv").symlink_to(real)
    with TableWriter(tmp_path / "link.csv", overwrite=True) as writer:
        writer.write(batch())
    assert (tmp_path / "link.csv").is_symlink()
    assert real.read_text().startswith('"a"')


def test_unwritable_outputs(tmp_path):
    assert "there is no folder" in message(lambda: TableWriter(tmp_path / "no" / "t.csv"))
    for name in ("t.xlsx", "t.gz", "t.parquet.gz", "t.xlsx.zst", "gz"):
        assert ".parquet or .csv" in message(lambda name=name: TableWriter(tmp_path / name))
    write(tmp_path / "file", "x")
    assert "there is no folder" in message(lambda: check_output(tmp_path / "file" / "t.csv"))
    if sys.platform == "linux":  # a folder in which not even root may write
        assert "/proc/t.csv: cannot be written" in message(lambda: check_output("/proc/t.csv"))
    if os.geteuid() != 0:
        (tmp_path / "shut").mkdir(mode=0o500)
        assert "cannot be written: Permission denied" in message(lambda: check_output(tmp_path / "shut" / "t.csv"))


def test_columns_never_shadow_others_and_lists_do_not_go_into_csv(tmp_path):
    said = message(lambda: append_columns(batch(), {"a": np.zeros(3)}, "t.csv"))
    assert said == "t.csv: has a column 'a' already; rename it or leave it out in a SQL query"
    path = tmp_path / "t.csv"

    def lists():
        with TableWriter(path) as writer:
            writer.write(pa.RecordBatch.from_pydict({"l": [[1], [2]]}))

    assert "cannot be written" in message(lists)
    assert not list(tmp_path.iterdir())


def test_json_lines_keep_types_and_hold_null_for_what_is_no_number(tmp_path):
    rows = {
        "n": [1, None],
        "x": [1.0, math.nan],
        "inf": [-math.inf, 0.5],
        "yes": [True, False],
        'it\'s "t"': ["é\n", ""],
    }
    rows |= {"l": [[1.5, math.nan], None], "d": [datetime.date(2020, 1, 2), None], "big": [2**62 + 1, 0]}
    rows |= {"s": [{"a": math.inf}, {"a": 2.0}], "rows": [0.1, 1e300]}
    with TableWriter(tmp_path / "t.jsonl") as writer:
        writer.write(pa.RecordBatch.from_pydict(rows))
    first, second = ((tmp_path / "t.jsonl").read_text(encoding="utf-8")).splitlines()
    assert '"x":1.0' in first
    assert json.loads(first) == {
        "n": 1, "x": 1.0, "inf": None, "yes": True, "it's \"t\"": "é\n", "l": [1.5, None], "d": "2020-01-02",
        "big": 2**62 + 1, "s": {"a": None}, "rows": 0.1,
    }  # fmt: skip
    assert json.loads(second)["n"] is None and json.loads(second)["x"] is None and json.loads(second)["l"] is None


@pytest.mark.parametrize("form", FORMS)
def test_standard_output_takes_every_form_as_it_is_written(form, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = io.TextIOWrapper(io.BytesIO())
    monkeypatch.setattr(sys, "stdout", out)
    with TableWriter("-", form=form) as writer:
        writer.write(batch(2))
        seen = len(out.buffer.getvalue())
        writer.write(batch(1))
    assert seen
    Path(f"t.{form}").write_bytes(out.buffer.getvalue())
    assert read_table(f"t.{form}", columns=["a"]).values.ravel().tolist() == [0, 0.5, 0]
    assert [p.name for p in tmp_path.iterdir()] == [f"t.{form}"]


def test_who_reads_no_longer_is_no_failure_of_the_disk(monkeypatch):
    class Closed(io.BytesIO):
        def write(self, _):
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stdout", type("Stream", (), {"buffer": Closed()}))
    for form in FORMS:
        with pytest.raises(BrokenPipeError), TableWriter("-", form=form) as writer:
            writer.write(batch())
