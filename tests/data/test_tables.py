import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pushforward.data import content_hash, iter_batches, open_source, read_table
from tests.data.helpers import KINDS, ROWS, save_as, write


@pytest.mark.parametrize("kind", KINDS)
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


def test_words_of_a_csv_are_what_they_are(tmp_path):
    rows = [("Yes", "True", "false", "T", "00123")] * 3 + [("No", "False", "true", "", "12345")] * 3
    names = ["yes", "python", "plain", "t", "it's"]
    path = write(tmp_path / "words.csv", "\n".join(",".join(row) for row in [names, *rows]))
    table = open_source(path).read()
    assert table.column("plain").to_pylist() == [row[2] == "true" for row in rows]
    for i, name in enumerate(names):
        if name != "plain":
            assert table.column(name).to_pylist() == [row[i] or None for row in rows]
    assert read_table(path, columns=["yes", "python", "plain"]).values[[0, -1]].tolist() == [[1, 1, 0], [0, 0, 1]]


def test_a_code_that_begins_with_zero_late_in_a_file_is_text(tmp_path):
    path = write(tmp_path / "late.csv", "zip\n" + "12345\n" * 30_000 + "00123\n")
    assert open_source(path).read().column("zip")[-1].as_py() == "00123"


def test_words_without_names_keep_their_first_row(tmp_path):
    assert open_source(write(tmp_path / "a.csv", "Yes,1\nNo,2\n")).read().column(0).to_pylist() == ["Yes", "No"]
    write(tmp_path / "b.csv", "Yes,1\nYes,1\n")
    assert open_source(str(tmp_path / "[ab].csv")).read().column(0).to_pylist() == ["Yes", "No", "Yes", "Yes"]


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


# ---- hashing


def test_hash_follows_content_not_form():
    hashed = content_hash(ROWS, ("a", "b"))
    assert hashed == content_hash(np.asfortranarray(ROWS.astype(">f8")), ["a", "b"])
    changed = ROWS.copy()
    changed[1, 1] += 1e-12
    others = [content_hash(changed, ("a", "b")), content_hash(ROWS, ("b", "a")), content_hash(ROWS[::-1], ("a", "b"))]
    assert len({hashed, *others, content_hash(ROWS.T, ("a", "b")), content_hash(ROWS, None)}) == 6
    assert content_hash(np.array([1.0, 2.0])) == "78706631777ba60bfcccef2bc588d8948743cb25f0b222772c1e4029396e425e"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (",a,b\n0,1.5,2\n1,2.5,3\n", "column0"),
        ('"",a,b\n0,1.5,2\n1,2.5,3\n', "column0"),
        ("Unnamed: 0,a,b\n0,1.5,2\n1,2.5,3\n", "Unnamed: 0"),
        ("a,b,\n1.5,2,\n2.5,3,\n", "column2"),
    ],
)
def test_columns_without_a_name_are_left_out_with_a_warning(text, left, tmp_path):
    path = write(tmp_path / "t.csv", text)
    with pytest.warns(UserWarning, match=f"left out, as an index is no measurement: {left}; name all columns"):
        table = read_table(path)
    assert table.names == ("a", "b") and table.values.tolist() == [[1.5, 2], [2.5, 3]]
    assert read_table(path, columns=["b", "a"]).names == ("b", "a")
    if left != "column2":
        assert read_table(path, columns=[left, "a"]).values[:, 0].tolist() == [0, 1]


def test_tables_without_any_names_are_data(tmp_path):
    assert read_table(write(tmp_path / "t.csv", ",\n1,2\n3,4\n")).values.tolist() == [[1, 2], [3, 4]]


def test_index_columns_that_pandas_writes_to_parquet_are_left_out(tmp_path):
    pd.DataFrame({"a": [1.5, 2.5, 3.5]}, index=[5, 3, 9]).to_parquet(tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="__index_level_0__"):
        assert read_table(tmp_path / "t.parquet").names == ("a",)
