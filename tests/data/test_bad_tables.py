import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import read_table
from tests.data.helpers import ROWS, message, save_as, write


def test_missing_file(tmp_path):
    said = message(lambda: read_table(tmp_path / "nowhere.csv"))
    assert "nowhere.csv: no such file" in said
    assert "SELECT" in said
    assert "no such file" in message(lambda: read_table(tmp_path / "nowhere.npy"))
    assert "is a folder" in message(lambda: read_table(tmp_path))


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl", "arrow", "npy", "npz"])
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
    assert "leave out with columns=['a'], or" in said
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
    assert "drop_missing=True" in said
    table = read_table(path, drop_missing=True)
    assert (table.values.tolist(), table.dropped) == ([[13, 14, 15]], 4)
    assert "every row" in message(lambda: read_table("SELECT NULL AS a", drop_missing=True))


def test_a_column_without_any_value_is_named_and_left_out_by_the_advice(tmp_path):
    path = write(tmp_path / "t.csv", "a,b,c\n1,2,\n4,5,\n7,8,\n")
    for drop_missing in (False, True):
        said = message(lambda drop=drop_missing: read_table(path, drop_missing=drop))
        assert said == f"{path}: no row has a value in 'c'; leave out with columns=['a', 'b']"
    assert read_table(path, columns=["a", "b"]).values.shape == (3, 2)


def test_advice_names_all_columns_that_can_be_used(tmp_path):
    names = [f"n{i}" for i in range(20)]
    rows = ",".join(map(str, range(20)))
    said = message(lambda: read_table(write(tmp_path / "t.csv", f"city,{','.join(names)}\nRome,{rows}\n")))
    assert f"columns=[{', '.join(map(repr, names))}]" in said
    path = write(tmp_path / "e.csv", f"{','.join(names)},last\n{rows},\n{rows},\n")
    assert message(lambda: read_table(path)).endswith(f"columns=[{', '.join(map(repr, names))}]")


def test_bad_arrow_files_are_one_line(tmp_path):
    whole = Path(save_as("arrow", tmp_path)).read_bytes()
    (tmp_path / "torn.arrow").write_bytes(whole[: len(whole) // 2])
    assert "torn.arrow: not a well-formed Arrow file: " in message(lambda: read_table(tmp_path / "torn.arrow"))
    assert "no such file" in message(lambda: read_table(tmp_path / "nowhere.arrow"))
