"""Bad input: one line that says what and where, exit code 2, nothing lost."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pushforward as pf
from tests.cli.helpers import QUICK, refused, run, write

TABLES = {
    "infinite": ("a,b\n1,2\nnan,3\n,4\n5,inf\n", "column 'b' has 1 infinite values; leave these rows out"),
    "empty cells": ("a,b\n,\n,\n", "no column can be modelled: 'a' (no row has a value)"),
    "constant": ("a,b\n0.5,1.5\n0.5,2.5\n0.5,3.5\n0.5,4.5\n0.5,5.5\n", "constant have no density: 'a'"),
    "duplicates": ("a,b\n" + "0.5,2\n" * 20, "all 20 rows are the same"),
    "whole duplicates": ("a,b\n" + "1,2\n" * 20, "all 20 rows are the same"),
    "few": ("a,b\n1.5,2\n2.5,3\n3.5,1\n", "3 rows cannot fill 5 components; lower --components"),
    "one": ("a,b\n1.5,2\n", "has one row"),
    "empty": ("", "the file is empty"),
    "header only": ("a,b\n", "there are no rows"),
    "torn": ("a,b\n1,2\n3\n4,5\n", "not a well-formed CSV file: line 3 has 1 fields where line 1 has 2"),
}  # fmt: skip


@pytest.mark.parametrize("name", TABLES)
def test_fit_refuses_unusable_tables(name, work):
    text, says = TABLES[name]
    said = refused("fit", write(f"{name}.csv", text), "--out", "t")
    assert said.startswith(f"{name}.csv: ")
    assert says in said


def test_fit_refuses_categories_beside_conditions_with_advice(work):
    pq.write_table(pa.table({"a": [0.5, 1.5], "kind": pa.array(["u", "v"]).dictionary_encode()}), "t.parquet")
    said = refused("fit", "t.parquet", "--out", "t", "--given", "a")
    assert "'kind' holds" in said
    assert "SQL query" in said


def test_what_a_model_cannot_give_is_one_line_too(work):
    rows = "\n".join(",".join(map(str, row)) for row in np.random.default_rng(0).normal(size=(40, 6)))
    said = refused("fit", write("six.csv", f"a,b,c,d,e,f\n{rows}\n"), "--out", "t", *QUICK, "--flow", "residual")
    assert "one flow alone (--kind density)" in said
    assert "no number for 1 of 2 rows" in refused(
        "score", "model", write("huge.csv", "x,y,n\n0.5,0.5,1\n1e300,0.5,1\n"), "--out", "t.csv"
    )


def test_missing_files_and_malformed_parquet(work):
    assert "nowhere.csv: no such file" in refused("fit", "nowhere.csv", "--out", "t")
    assert "nowhere.csv: no such file" in refused("score", "model", "nowhere.csv", "--out", "t.csv")
    whole = Path("table.parquet").read_bytes()
    Path("torn.parquet").write_bytes(whole[: len(whole) // 2])
    for command in (["fit", "torn.parquet", "--out", "t"], ["score", "model", "torn.parquet", "--out", "t.csv"]):
        assert "torn.parquet: not a well-formed Parquet file" in refused(*command)
    Path("bits.parquet").write_bytes(whole[:40] + bytes(400) + whole[440:])
    assert "bits.parquet: " in refused("score", "model", "bits.parquet", "--out", "t.csv")


def test_failing_sql(work):
    assert "the query: " in refused("fit", "SELECT nope FROM 'table.parquet'", "--out", "t")
    assert "give one SELECT" in refused("fit", "SELECT 1; DROP TABLE a", "--out", "t")
    half_way = "SELECT x, y, n, if(id = 'row 99', error('half way'), 1) AS z FROM 'table.parquet'"
    assert "half way" in refused("score", "model", half_way, "--out", "t.csv")


def test_labels_out_of_range_or_absent(work):
    said = refused(
        "fit", "table.parquet", "--out", "t", "--columns", "x,y", "--label-column", "side", "--components", 3
    )
    assert "label column 'side' has 4 labels for 3 components; give --components 4 or more" in said
    write("blank.csv", "a,b,l\n1.5,2,\n2.5,3,\n3.5,9,\n")
    assert "label column 'l' has no labels" in refused("fit", "blank.csv", "--out", "t", "--label-column", "l")
    assert "no column 'sides'; did you mean 'side'?" in refused(
        "fit", "table.parquet", "--out", "t", "--columns", "x,y", "--label-column", "sides"
    )


def test_wrong_columns_at_predict_time(work):
    write("narrow.csv", "x,y\n1,2\n")
    said = refused("cluster", "model", "narrow.csv", "--out", "t.csv")
    assert said == "narrow.csv: no column 'n'; its columns are x, y; the model was fitted on x, y, n"
    np.save("wide.npy", np.zeros((4, 7)))
    said = refused("score", "model", "wide.npy", "--out", "t.csv")
    assert said == "wide.npy: has 7 columns, where the model was fitted on x, y, n; choose them in a SQL query"
    write("text.csv", "x,y,n\n1,2,3\n1,b,3\n")
    assert "'y' holds text (such as 'b')" in refused("score", "model", "text.csv", "--out", "t.csv")
    write("gaps.csv", "x,y,n\n1,2,3\n1,,3\n")
    assert "missing or infinite values in y (1 row)" in refused("score", "model", "gaps.csv", "--out", "t.csv")
    write("halves.csv", "x,y,n\n1,2,3\n1,2,3.5\n")
    assert "'n'" in refused("score", "model", "halves.csv", "--out", "t.csv")


def test_columns_that_would_be_lost(work):
    write("taken.csv", "x,y,n,log_density\n1,2,3,4\n")
    assert "has a column 'log_density' already" in refused("score", "model", "taken.csv", "--out", "t.csv")


def test_existing_output_is_left_alone(work):
    shutil.copytree("model", "fitted-before")
    said = refused("fit", "table.parquet", "--out", "model", "--columns", "x,y", *QUICK)
    assert said == "model: exists already; give --overwrite to replace it, or another --out"
    for command in (
        ["score", "model", "table.parquet"],
        ["cluster", "model", "table.parquet"],
        ["sample", "model", "-n", 5],
    ):
        write("old.csv", "old")
        assert "old.csv: exists already" in refused(*command, "--out", "old.csv")
        run(*command, "--out", "old.csv", "--overwrite")
        assert Path("old.csv").read_text() != "old"
    run("fit", "table.parquet", "--out", "model", "--columns", "x,y", "--overwrite", *QUICK)
    assert (pf.load("fitted-before").n_components, pf.load("model").n_components) == (4, 5)


def test_folders_that_are_no_model_are_never_replaced(work):
    Path("photos").mkdir()
    write("photos/cat.jpg", "cat")
    for out in ("photos", "table.parquet"):
        said = refused("fit", "table.parquet", "--out", out, "--columns", "x,y", "--overwrite", *QUICK)
        assert said == f"{out}: is not a model, so it is not replaced; give another --out"


def test_unwritable_output(work):
    places = ["no/such/folder/out.csv", "table.parquet/out.csv"]
    if sys.platform == "linux":
        places.append("/proc/out.csv")  # where not even root may write
    for place in places:
        model = place.removesuffix(".csv")
        assert place in refused("score", "model", "table.parquet", "--out", place)
        assert model in refused("fit", "table.parquet", "--out", model, "--columns", "x,y", *QUICK)
    assert ".parquet or .csv" in refused("score", "model", "table.parquet", "--out", "out.xlsx")


def test_damaged_models(work):
    def damage(name: str, change) -> None:
        shutil.rmtree("broken", ignore_errors=True)
        shutil.copytree("model", "broken")
        Path("broken", name).write_bytes(change(Path("broken", name).read_bytes()))

    commands = [
        ["info", "broken"],
        ["score", "broken", "table.parquet", "--out", "t.csv"],
        ["sample", "broken", "-n", 1, "--out", "t.csv"],
    ]
    changes = {
        "weights.safetensors": [lambda b: b[: len(b) // 2], lambda b: b[:-4] + bytes(4), lambda b: b""],
        "model.json": [lambda b: b[: len(b) // 2], lambda b: b.replace(b"real_nvp", b"maf", 1), lambda b: b"{}"],
    }
    for name, edits in changes.items():
        for edit in edits:
            damage(name, edit)
            for command in commands:
                assert "broken" in refused(*command)
    Path("broken/model.json").unlink()
    assert "missing" in refused("info", "broken")
    assert "does not exist" in refused("info", "no-model")


def test_a_model_from_a_newer_version(work):
    document = json.loads(Path("model/model.json").read_text())
    document["format_version"] += 1
    Path("model/model.json").write_text(json.dumps(document))
    said = refused("cluster", "model", "table.parquet", "--out", "t.csv")
    assert "format_version" in said
    assert "upgrade pushforward" in said


def test_commands_that_do_not_fit_the_model(work):
    assert "holds one density without components" in refused("cluster", "density", "table.parquet", "--out", "t.csv")
    assert "leave --component out" in refused("sample", "density", "-n", 1, "--component", 0, "--out", "t.csv")
    said = refused("sample", "model", "-n", 1, "--component", 4, "--out", "t.csv")
    assert said == "model: the model has no --component 4; its components are 0 to 3"
    pf.save(pf.load("model").model_, "distribution")
    assert "no fitted estimator; load it in Python" in refused("info", "distribution")


def test_checkpoints_are_neither_missed_nor_lost(work):
    fit = ["fit", "table.parquet", "--out", "t", "--columns", "x,y", *QUICK]
    assert "t.checkpoint: there is no checkpoint to go on from" in refused(*fit, "--resume")
    Path("t.checkpoint").mkdir()
    write("t.checkpoint/training.safetensors", "state")
    said = refused(*fit, "--checkpoint", 5)
    assert said.startswith("t.checkpoint: holds an unfinished fit; go on with --resume")
    assert "damaged" in refused(*fit, "--resume")
    shutil.rmtree("t.checkpoint")
    run(*fit, "--checkpoint", 0)
    assert not Path("t.checkpoint").exists()


def test_columns_and_values_given_twice(work):
    assert "column 'x' is listed twice" in refused("fit", "table.parquet", "--columns", "x,x", "--out", "twice")
    assert "write --given n=VALUE" in refused("sample", "density", "-n", 5, "--given", "n=1,n=2", "--out", "drawn.csv")


@pytest.mark.long
def test_a_column_called_component_is_not_written_over(work):
    rows = "\n".join(f"{i / 7},{(i * 37 % 11) / 3}" for i in range(60))
    write("named.csv", "a,component\n" + rows)
    run("fit", "named.csv", "--components", 2, "--out", "named", *QUICK)
    message = refused("sample", "named", "-n", 5, "--out", "drawn.csv")
    assert "has a column 'component', which draws need for their own" in message


def test_components_are_a_number_or_auto(work):
    message = refused("fit", "table.parquet", "--columns", "x,y", "--components", "some", "--out", "no")
    assert "--components some: give a whole number of at least 1, or auto" in message


@pytest.mark.parametrize("words", [["fit", "t.csv", "--out", "-"], ["plot", "model", "--out", "-"]])
def test_folders_and_pictures_do_not_go_to_standard_output(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert refused(*words).startswith("--out -: ")
