import datetime
import gzip
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import (
    DataError,
    TableWriter,
    append_columns,
    check_output,
    content_hash,
    iter_batches,
    open_source,
    read_table,
)


def write(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def message(call) -> str:
    """What a DataError says; always one line."""
    with pytest.raises(DataError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# ---- every kind of source gives the same numbers

ROWS = np.array([[1.0, 0.25], [2.0, -3.5], [3.0, 1e-3]])


def save_as(kind: str, folder: Path) -> str:
    path = folder / f"t.{kind}"
    lines = ["a,b", "1,0.25", "2,-3.5", "3,1e-3"]
    if kind == "csv":
        path.write_text("\n".join(lines) + "\n")
    elif kind == "csv.gz":
        path.write_bytes(gzip.compress("\n".join(lines).encode()))
    elif kind == "tsv":
        path.write_text("\n".join(lines).replace(",", "\t"))
    elif kind == "txt":
        path.write_text("\r\n".join(lines).replace(",", " "))
    elif kind == "parquet":
        pq.write_table(pa.table({"a": ROWS[:, 0].astype(int), "b": ROWS[:, 1]}), path)
    elif kind == "jsonl":
        path.write_text("".join(f'{{"a": {a}, "b": {b}}}\n' for a, b in ROWS))
    elif kind == "json":
        path.write_text("[" + ",".join(f'{{"a": {a}, "b": {b}}}' for a, b in ROWS) + "]")
    elif kind == "npy":
        np.save(path, ROWS)
    elif kind == "npz":
        np.savez(path, X=ROWS, y=np.array([0, 1, -1]))
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "txt", "parquet", "jsonl", "json", "npy", "npz"])
def test_every_kind_of_file_gives_the_same_table(kind, tmp_path):
    table = read_table(save_as(kind, tmp_path))
    assert np.array_equal(table.values, ROWS)
    assert table.values.dtype == np.float64
    assert table.names == (("x0", "x1") if kind.startswith("np") else ("a", "b"))


def test_query_over_files_with_a_wildcard(tmp_path):
    for day in (1, 2):
        pq.write_table(pa.table({"a": [day, 10 * day], "b": [0.5, 1.5]}), tmp_path / f"day-{day}.parquet")
    query = f"SELECT b, a FROM '{tmp_path}/day-*.parquet' WHERE a > 1 ORDER BY a DESC -- the end"
    table = read_table(query)
    assert table.names == ("b", "a")
    assert table.values.tolist() == [[1.5, 20], [1.5, 10], [0.5, 2]]
    assert read_table(str(tmp_path / "day-*.parquet")).values[:, 0].tolist() == [1, 10, 2, 20]


def test_columns_are_read_in_the_order_asked_for(tmp_path):
    path = save_as("csv", tmp_path)
    assert np.array_equal(read_table(path, columns=["b", "a"]).values, ROWS[:, ::-1])
    assert read_table(save_as("npz", tmp_path), columns=["y"]).values.ravel().tolist() == [0, 1, -1]


def test_headerless_and_oddly_named_files(tmp_path):
    assert read_table(write(tmp_path / "[a] *.csv", "7.4;0.7\n7.8;0.88\n")).values.tolist() == [[7.4, 0.7], [7.8, 0.88]]
    table = read_table(write(tmp_path / "b.csv", '"x, y",select\n1,2\n'), columns=["select", "x, y"])
    assert table.values.tolist() == [[2, 1]]


def test_whole_numbers_followed_late_by_a_fraction_are_not_rounded(tmp_path):
    path = write(tmp_path / "late.csv", "a\n" + "1\n" * 30_000 + "1.5\n")
    assert read_table(path).values[-1, 0] == 1.5


def test_images_are_flattened_and_one_column_stays_one(tmp_path):
    np.save(tmp_path / "images.npy", np.arange(24, dtype=np.uint8).reshape(2, 3, 4))
    assert read_table(tmp_path / "images.npy").values.tolist() == [list(range(12)), list(range(12, 24))]
    np.save(tmp_path / "one.npy", np.array([0.5, 1.5]))
    assert read_table(tmp_path / "one.npy").values.tolist() == [[0.5], [1.5]]
    np.savez(tmp_path / "columns.npz", width=np.array([1.0, 2.0]), height=np.array([3, 4]))
    assert read_table(tmp_path / "columns.npz").names == ("width", "height")


def test_numbers_come_in_many_types(tmp_path):
    query = "SELECT 1::HUGEINT h, 1.25::DECIMAL(5,2) d, true t, 7::UTINYINT u, 0.5::FLOAT f"
    assert read_table(query).values.tolist() == [[1, 1.25, 1, 7, 0.5]]


def test_real_tables_are_read(data_dir):
    assert read_table(data_dir / "uci" / "power-plant.txt.gz").values.shape == (9568, 5)
    assert read_table(data_dir / "uci" / "winequality-red.csv").values.shape == (1599, 12)
    parkinsons = read_table(data_dir / "uci" / "parkinsons_updrs.data")
    assert (parkinsons.values.shape, parkinsons.names[:2]) == ((5875, 22), ("subject#", "age"))
    assert read_table(data_dir / "adbench" / "wine.npz").names[-1] == "x12"


# ---- streaming


def test_batches_are_of_one_size_in_row_order(tmp_path):
    path = tmp_path / "many.parquet"
    pq.write_table(pa.table({"i": np.arange(10_000)}), path, row_group_size=777)
    batches = list(iter_batches(path, rows=3000))
    assert [b.num_rows for b in batches] == [3000, 3000, 3000, 1000]
    assert np.array_equal(np.concatenate([b.column("i").to_numpy() for b in batches]), np.arange(10_000))
    np.save(tmp_path / "many.npy", np.arange(10))
    assert [b.num_rows for b in iter_batches(tmp_path / "many.npy", rows=4)] == [4, 4, 2]


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read from /proc")
def test_streaming_a_large_table_stays_small(tmp_path):
    big = pa.table({f"c{i}": np.random.default_rng(i).normal(size=3_000_000) for i in range(8)})
    pq.write_table(big, tmp_path / "big.parquet", row_group_size=100_000)
    code = (
        "import sys\n"
        "from pushforward.data import TableWriter, append_columns, iter_batches\n"
        "import numpy as np\n"
        "with TableWriter(sys.argv[2]) as writer:\n"
        "    for batch in iter_batches(sys.argv[1]):\n"
        "        writer.write(append_columns(batch, {'s': np.ones(batch.num_rows)}, 'big'))\n"
        "peak = [line for line in open('/proc/self/status') if line.startswith('VmHWM')]\n"
        "print(int(peak[0].split()[1]) // 1024)\n"
    )
    out = tmp_path / "out.parquet"
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "big.parquet", out], capture_output=True, text=True, check=True
    )
    assert pq.read_metadata(out).num_rows == 3_000_000
    assert int(done.stdout) < 400  # MiB; the table alone is 183, in memory several times that


# ---- bad input


def test_missing_file(tmp_path):
    said = message(lambda: read_table(tmp_path / "nowhere.csv"))
    assert "nowhere.csv: no such file" in said
    assert "SELECT" in said
    assert "no such file" in message(lambda: read_table(tmp_path / "nowhere.npy"))
    assert "is a folder" in message(lambda: read_table(tmp_path))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "npy", "npz"])
def test_empty_file(suffix, tmp_path):
    path = write(tmp_path / f"empty.{suffix}", "")
    assert message(lambda: read_table(path)) == f"{path}: the file is empty; check how it was written"


def test_no_rows(tmp_path):
    assert "there are no rows" in message(lambda: read_table(write(tmp_path / "head.csv", "a,b\n")))
    assert "the query: there are no rows" in message(lambda: read_table("SELECT 1 AS a WHERE false"))
    np.save(tmp_path / "none.npy", np.zeros((0, 3)))
    assert "there are no rows" in message(lambda: read_table(tmp_path / "none.npy"))


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("a,b\n1,2\n3\n4,5\n", "line 3 has 1 fields where line 1 has 2"),
        ("a,b\n1,2\n3,4,5\n4,5\n", "line 3 has 3 fields where line 1 has 2"),
        ("1,2\n3,4\n5,6,7\n8,9,10\n11,12,13\n", "line 3 has 3 fields"),
        ("a,b\n1,2\n3,4\n5", "line 4 has 1 fields"),
        ("a\tb\n1\t2\n3\n", "line 3 has 1 fields"),
        ('a,b\n1,"2\n3,4\n', "look for a quote that is never closed"),
        ("a;b\n1;2\n" * 2000 + "7\n", "line 4001 has 1 fields"),
    ],
)
def test_malformed_csv_says_where(text, where, tmp_path):
    path = write(tmp_path / "torn.csv", text)
    said = message(lambda: read_table(path))
    assert said.startswith(f"{path}: not a well-formed CSV file: ")
    assert where in said


def test_csv_that_is_no_text(tmp_path):
    (tmp_path / "latin.csv").write_bytes("größe,b\n1,2\n".encode("latin1"))
    assert "not utf-8" in message(lambda: read_table(tmp_path / "latin.csv"))
    (tmp_path / "b.csv.gz").write_bytes(b"not gzip at all")
    assert "cannot be read" in message(lambda: read_table(tmp_path / "b.csv.gz"))


def test_malformed_parquet(tmp_path):
    good = save_as("parquet", tmp_path)
    whole = Path(good).read_bytes()
    for broken in (whole[: len(whole) // 2], whole[:6], b"this is no Parquet file at all"):
        Path(good).write_bytes(broken)
        assert message(lambda: read_table(good)).startswith(f"{good}: not a well-formed Parquet file: ")


def test_parquet_damaged_in_its_rows(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": np.random.default_rng(0).normal(size=5000)}), path)
    damaged = bytearray(path.read_bytes())
    damaged[4:3000] = bytes(2996)
    path.write_bytes(damaged)
    assert message(lambda: read_table(path)).startswith(f"{path}: ")


def test_malformed_json_lines(tmp_path):
    path = write(tmp_path / "t.jsonl", '{"a": 1}\n{"a": 2')
    assert "not a well-formed JSON lines file: " in message(lambda: read_table(path))
    assert "line" in message(lambda: read_table(path))


def test_malformed_arrays(tmp_path):
    path = tmp_path / "t.npy"
    np.save(path, ROWS)
    path.write_bytes(path.read_bytes()[:-8])
    assert "not a well-formed NumPy file" in message(lambda: read_table(path))
    (tmp_path / "t.npz").write_bytes(b"PK\x03\x04 torn")
    assert "not a well-formed NumPy file" in message(lambda: read_table(tmp_path / "t.npz"))
    np.savez(tmp_path / "odd.npz", X=ROWS, y=np.zeros(5))
    assert "unequal length: y (5)" in message(lambda: read_table(tmp_path / "odd.npz"))
    np.savez(tmp_path / "two.npz", u=ROWS, v=ROWS)
    assert "holds u (3, 2), v (3, 2); expected X" in message(lambda: read_table(tmp_path / "two.npz"))


class Bomb:
    """Unpickling it leaves a trace."""

    def __reduce__(self):
        return (open, (os.environ["PUSHFORWARD_TRACE"], "w"))


@pytest.mark.parametrize("suffix", ["npy", "npz"])
def test_pickles_are_never_loaded(suffix, tmp_path, monkeypatch):
    trace = tmp_path / "trace"
    monkeypatch.setenv("PUSHFORWARD_TRACE", str(trace))
    path = tmp_path / f"t.{suffix}"
    objects = np.array([Bomb(), None], dtype=object)
    np.save(path, objects, allow_pickle=True) if suffix == "npy" else np.savez(path, X=objects)
    assert "holds Python objects, which are never loaded" in message(lambda: read_table(path))
    assert not trace.exists()


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT nope FROM range(3)", "nope"),
        ("SELECT FROM WHERE", "SQL"),
        ("SELECT * FROM 'nowhere.parquet'", "nowhere.parquet"),
        ("SELECT 1; SELECT 2", "give one SELECT"),
        ("FROM range(3); DROP TABLE t", "give one SELECT"),
        ("SELECT * FROM 'http://localhost:1/a.csv'", "httpfs"),
        ("SELECT 1 AS a, 2 AS a", "two columns are named 'a'"),
        ("SELECT error('half way') AS a", "half way"),
        ("SELECT if(range = 150000, error('half way'), range) AS a FROM range(200000)", "half way"),
    ],
)
def test_failing_sql(query, says):
    said = message(lambda: read_table(query))
    assert said.startswith("the query: ")
    assert says in said


def test_queries_cannot_write(tmp_path):
    target = tmp_path / "x.csv"
    said = message(lambda: read_table(f"WITH a AS (SELECT 1) SELECT * FROM a; COPY (SELECT 1) TO '{target}'"))
    assert "only ever read" in said
    assert not target.exists()


def test_unknown_column_names_the_nearest(tmp_path):
    path = save_as("csv", tmp_path)
    said = message(lambda: read_table(path, columns=["A"]))
    assert said == f"{path}: no column 'A'; did you mean 'a'? its columns are a, b"


def test_unknown_suffix(tmp_path):
    said = message(lambda: read_table(write(tmp_path / "t.xlsx", "PK")))
    assert "unknown kind of file '.xlsx'" in said
    assert ".parquet" in said


def test_text_and_categories_say_what_to_do(tmp_path):
    path = write(tmp_path / "t.csv", "city,a,zip,day\nParis,1,00123,2020-01-01\nRome,2,00124,2020-01-02\n")
    said = message(lambda: read_table(path))
    assert "'city' holds text (such as 'Paris')" in said
    assert "'zip' holds text (such as '00123')" in said
    assert "'day' holds dates or times" in said
    assert "--columns a" in said
    assert "SQL query" in said
    categories = pa.table({"kind": pa.array(["u", "v"]).dictionary_encode(), "list": [[1], [2]]})
    pq.write_table(categories, tmp_path / "t.parquet")
    said = message(lambda: read_table(tmp_path / "t.parquet"))
    assert "'kind' holds" in said
    assert "'list' holds list<" in said


def test_missing_and_infinite_cells(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,c\n1,2,NA\nnan,5,6\n,8,9\n10,inf,12\n13,14,15\n")
    said = message(lambda: read_table(path))
    assert "a (2 rows), b (1 row), c (1 row), 4 of 5 rows in all" in said
    assert "--drop-missing" in said
    table = read_table(path, drop_missing=True)
    assert (table.values.tolist(), table.dropped) == ([[13, 14, 15]], 4)
    assert "every row" in message(lambda: read_table("SELECT NULL AS a", drop_missing=True))


# ---- hashing


def test_hash_follows_content_not_form():
    hashed = content_hash(ROWS, ("a", "b"))
    assert hashed == content_hash(np.asfortranarray(ROWS.astype(">f8")), ["a", "b"])
    changed = ROWS.copy()
    changed[1, 1] += 1e-12
    others = [content_hash(changed, ("a", "b")), content_hash(ROWS, ("b", "a")), content_hash(ROWS[::-1], ("a", "b"))]
    assert len({hashed, *others, content_hash(ROWS.T, ("a", "b")), content_hash(ROWS, None)}) == 6
    assert content_hash(np.array([1.0, 2.0])) == "78706631777ba60bfcccef2bc588d8948743cb25f0b222772c1e4029396e425e"


# ---- writing


def batch(n: int = 3) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"a": np.arange(n) / 2, "s": ["x"] * n, "day": [datetime.date(2020, 1, 1)] * n})


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
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


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
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


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
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
    assert said == f"{path}: exists already; give --overwrite to replace it, or another --out"
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
    assert ".parquet or .csv" in message(lambda: TableWriter(tmp_path / "t.xlsx"))
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
