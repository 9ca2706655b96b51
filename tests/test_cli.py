"""The command line: what it writes, and that bad input gets one line, exit code 2, and loses nothing."""

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import pushforward as pf
from pushforward.cli import app
from pushforward.cli.shell import cache_folder
from pushforward.data import pinwheel, read_table

QUICK = ["--flow", "real_nvp", "--layers", "1", "--epochs", "3"]


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    """Commands within the test process leave its compilation cache alone."""
    monkeypatch.setenv("PUSHFORWARD_CACHE", "")


@pytest.fixture(scope="module")
def fitted(tmp_path_factory) -> Path:
    """A folder with a table, and models fitted to it by the command line."""
    folder = tmp_path_factory.mktemp("fitted")
    X, wing = pinwheel(120, seed=0)
    wings = [["north", "east", "south", "west", "west"][w] if i % 3 else "" for i, w in enumerate(wing)]
    table = pa.table({"id": [f"row {i}" for i in range(120)], "x": X[:, 0], "y": X[:, 1], "side": wings, "n": wing})
    pq.write_table(table, folder / "table.parquet")
    data = str(folder / "table.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PUSHFORWARD_CACHE", "")
        run("fit", data, "--out", folder / "model", "--columns", "x,y,n", "--label-column", "side", *QUICK)
        run("fit", data, "--out", folder / "density", "--columns", "x,y", "--given", "n", "--kind", "density", *QUICK)
    return folder


@pytest.fixture
def work(tmp_path, fitted, monkeypatch) -> Path:
    """A copy of that folder to work in."""
    shutil.copytree(fitted, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="pushforward")


def run(*arguments) -> str:
    """Run a command that must succeed; what it prints."""
    result = invoke(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def snapshot(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def refused(*arguments, folder: Path | None = None) -> str:
    """Run a command that must fail; its one line, after checking that nothing was lost or left."""
    folder = Path.cwd() if folder is None else folder
    before = snapshot(folder)
    result = invoke(*arguments)
    assert result.exit_code == 2, result.output
    lines = result.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("error: ")
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert snapshot(folder) == before
    return lines[0].removeprefix("error: ")


def columns(path) -> list[str]:
    with open(path, newline="") as file:
        return next(csv.reader(file))


# ---- what the commands write


def test_fit_says_what_it_did_and_what_to_type_next(work):
    said = run("fit", "table.parquet", "--out", "new model", "--columns", "x,y", "--seed", 3, *QUICK)
    for part in ("rows", "120", "components", "5 of shares", "epochs", "log-density", "The model is in new model"):
        assert part in said
    assert "pushforward cluster 'new model' table.parquet --out clusters.csv" in said
    model = pf.load(work / "new model")
    assert isinstance(model, pf.FlowMixture)
    assert (model.n_components, model.random_state, model.feature_names_in_.tolist()) == (5, 3, ["x", "y"])


def test_score_appends_the_density_of_every_row(work):
    run("score", "model", "table.parquet", "--out", "scored.parquet")
    table = pq.read_table("scored.parquet")
    assert table.column_names == ["id", "x", "y", "side", "n", "log_density"]
    assert table.column("id").to_pylist() == [f"row {i}" for i in range(120)]
    values = read_table("table.parquet", columns=["x", "y", "n"]).values
    expected = pf.load("model").score_samples(pa.table(dict(zip("xyn", values.T, strict=True))))
    assert np.allclose(table.column("log_density").to_numpy(), expected, rtol=1e-5)


def test_cluster_appends_component_probabilities_density_and_label(work):
    run("cluster", "model", "SELECT * FROM 'table.parquet' ORDER BY x", "--out", "clusters.csv")
    head = ["id", "x", "y", "side", "n", "component", "predicted_side", "p_0", "p_1", "p_2", "p_3", "log_density"]
    assert columns("clusters.csv") == head
    table = read_table("clusters.csv", columns=["x", "component", "p_0", "p_1", "p_2", "p_3", "log_density"]).values
    assert np.all(np.diff(table[:, 0]) >= 0)
    assert np.allclose(table[:, 2:6].sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(table[:, 1], table[:, 2:6].argmax(axis=1))
    with open("clusters.csv", newline="") as file:
        named = [(int(row["component"]), row["predicted_side"]) for row in csv.DictReader(file)]
    assert all(["east", "north", "south", "west"][k] == name for k, name in named)


def test_sample_writes_rows_in_the_table_s_units(work):
    run("sample", "model", "-n", 300, "--out", "new.parquet", "--seed", 5)
    table = pq.read_table("new.parquet")
    assert table.column_names == ["x", "y", "n", "component", "side"]
    assert len(table) == 300
    assert pa.types.is_integer(table.schema.field("n").type)
    assert set(table.column("side").to_pylist()) <= {"east", "north", "south", "west"}
    run("sample", "model", "-n", 300, "--out", "again.parquet", "--seed", 5)
    assert pq.read_table("again.parquet").equals(table)
    run("sample", "model", "-n", 50, "--component", 2, "--out", "two.csv")
    assert set(read_table("two.csv", columns=["component"]).values.ravel()) == {2}


def test_conditional_density_scores_and_samples(work):
    run("score", "density", "table.parquet", "--out", "scored.csv")
    assert np.isfinite(read_table("scored.csv", columns=["log_density"]).values).all()
    run("sample", "density", "-n", 20, "--given", "n=3", "--out", "new.csv")
    assert columns("new.csv") == ["x", "y", "n"]
    assert set(read_table("new.csv").values[:, 2]) == {3}
    assert "the model is conditioned on n; write --given n=VALUE" in refused(
        "sample", "density", "-n", 2, "--out", "t.csv"
    )
    said = refused("sample", "density", "-n", 2, "--out", "t.csv", "--given", "n=many")
    assert "a value is not a number" in said
    assert "not conditioned on columns; leave --given out" in refused(
        "sample", "model", "-n", 2, "--out", "t.csv", "--given", "n=1"
    )


def test_info_tells_columns_components_and_labels(work):
    said = run("info", "model")
    for part in ("real_nvp", "whole number", "side: east, north, south, west", "share", "3, the best"):
        assert part in said


def test_tables_larger_than_a_batch_are_streamed_in_order(work, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pushforward.cli.inputs.batch_rows", lambda width: 32)
        run("score", "model", "table.parquet", "--out", "parts.parquet")
    run("score", "model", "table.parquet", "--out", "whole.parquet")
    parts, whole = pq.read_table("parts.parquet"), pq.read_table("whole.parquet")
    assert parts.column("id").to_pylist() == whole.column("id").to_pylist()
    assert np.allclose(parts.column("log_density"), whole.column("log_density"), rtol=1e-5)


def test_arrays_are_scored_by_place(work):
    X = read_table("table.parquet", columns=["x", "y", "n"]).values
    np.save("rows.npy", X)
    run("score", "model", "rows.npy", "--out", "scored.csv")
    run("score", "model", "table.parquet", "--out", "expected.csv")
    scored = read_table("scored.csv", columns=["log_density"]).values
    assert np.allclose(scored, read_table("expected.csv", columns=["log_density"]).values, rtol=1e-5)
    np.savez("labelled.npz", X=X, y=np.where(np.arange(120) % 2, X[:, 2], -1).astype(int))
    run("fit", "labelled.npz", "--out", "from-array", "--label-column", "y", *QUICK)
    model = pf.load("from-array")
    assert (model.n_features_in_, model.label_names_) == (3, ("0", "1", "2", "3", "4"))
    assert read_table(write("two.csv", "x0,x1,x2\n1,2,3\n4,5,6\n")).names == tuple(model.feature_names_in_)


def test_bounds_and_whole_numbers_are_declared(work):
    run("fit", "table.parquet", "--out", "bounded", "--columns", "x,n", "--bound", "n=0:4", "--bound", "x=-9:",
        "--discrete", "n", "--kind", "density", *QUICK)  # fmt: skip
    model = pf.load("bounded")
    assert model.columns_.kinds == ["bounded", "whole number"]
    assert (model.columns_.low.tolist(), model.columns_.high.tolist()) == ([-9, 0], [np.inf, 4])
    run("sample", "bounded", "-n", 200, "--out", "new.csv")
    drawn = read_table("new.csv").values
    assert drawn[:, 1].min() >= 0
    assert drawn[:, 1].max() <= 4


@pytest.mark.parametrize(
    ("option", "says"),
    [
        (["--bound", "x=1"], "expected NAME=LOW:HIGH"),
        (["--bound", "z=1:2"], "no modelled column 'z'"),
        (["--bound", "x=a:b"], "expected NAME=LOW:HIGH"),
        (["--bound", "x=0:1"], "values outside its bounds"),
        (["--discrete", "x"], "declared discrete but not whole numbers: 'x'"),
        (["--discrete", "z"], "no modelled column 'z'"),
        (["--kind", "density", "--components", "3"], "--components needs --kind mixture"),
        (["--kind", "density", "--label-column", "side"], "--label-column needs --kind mixture"),
        (["--given", "x"], "column 'x' is both modelled and conditioned on"),
        (["--flow", "nope"], "unknown flow 'nope'"),
        (["--columns", ","], "a list of columns is empty"),
        (["--columns", "x,Y"], "no column 'Y'; did you mean 'y'?"),
        (["--components", "0"], "--components"),
        (["--epochs", "many"], "--epochs"),
        (["--nope"], "No such option: --nope"),
    ],
)
def test_unusable_options_say_why(work, option, says):
    assert says in refused("fit", "table.parquet", "--out", "t", "--columns", "x,y", *option)


def test_drop_missing(work):
    write("gaps.csv", "x,y,n,name\n1,2,3,a\n,2,3,b\n1,inf,3,c\n2,2,1,d\n")
    result = invoke("cluster", "model", "gaps.csv", "--out", "out.csv", "--drop-missing")
    assert (result.exit_code, result.stderr) == (0, "note: 2 rows with missing or infinite cells were left out\n")
    with open("out.csv", newline="") as file:
        assert [row["name"] for row in csv.DictReader(file)] == ["a", "d"]
    assert "every row has a missing" in refused(
        "score", "model", "SELECT * FROM 'gaps.csv' WHERE name IN ('b', 'c')", "--out", "t.csv", "--drop-missing"
    )
    gaps = read_table("table.parquet", columns=["x", "y"]).values
    gaps[:7, 0] = np.nan
    np.save("gaps.npy", gaps)
    assert "113 (7 with missing cells left out)" in run(
        "fit", "gaps.npy", "--out", "t", "--drop-missing", "--kind", "density", *QUICK
    )


def test_help_teaches():
    for name in ("fit", "score", "cluster", "sample", "info", "demo"):
        said = run(name, "--help")
        assert "Example" in said
        assert f"pushforward {name}" in said
    assert "fit" in run()
    assert run("--version").strip() == pf.__version__


def test_demo_finds_the_digits_and_leaves_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = run("demo")
    folder = Path("pushforward-demo")
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["accuracy"] > 0.85
    assert metrics["adjusted_rand_index"] > 0.7
    assert f"{metrics['accuracy']:.1%}" in said
    assert f"{metrics['accuracy']:.1%}" in (folder / "README.md").read_text()
    for picture in ("contingency", "samples_by_component", "density", "clusters", "training"):
        assert (folder / f"{picture}.png").read_bytes().startswith(b"\x89PNG")
    run("sample", "pushforward-demo/model", "-n", 50, "--component", 0, "--out", "new-digits.csv")
    drawn = read_table("new-digits.csv", columns=read_table(folder / "digits.csv").names).values
    assert (drawn.min(), drawn.max()) == (0, 16)
    before = snapshot(folder)
    (folder / "README.md").write_text("mine")
    assert "holds other things than a demo" in refused("demo")
    assert {**snapshot(folder), "README.md": before["README.md"]} == before


# ---- bad input: one line, exit code 2, nothing lost


def write(name: str, text: str) -> str:
    Path(name).write_text(text)
    return name


TABLES = {
    "text": ("city,a\nParis,1.5\nRome,2.5\n", "'city' holds text (such as 'Paris'); leave out with --columns a"),
    "missing": ("a,b\n1,2\nnan,3\n,4\n5,inf\n", "a (2 rows), b (1 row), 3 of 4 rows in all; leave these rows out"),
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


def test_fit_refuses_categories_with_advice(work):
    pq.write_table(pa.table({"a": [0.5, 1.5], "kind": pa.array(["u", "v"]).dictionary_encode()}), "t.parquet")
    said = refused("fit", "t.parquet", "--out", "t")
    assert "'kind' holds" in said
    assert "SQL query" in said


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
    assert "component must be in 0..3; got 4" in refused("sample", "model", "-n", 1, "--component", 4, "--out", "t.csv")
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


# ---- whole processes


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


MAIN = "from pushforward.cli import main; main()"
FULL_DISK = (  # the nearest thing to it: no file may grow beyond 1000 bytes
    "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
    "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)); "
)


def start(cache: Path, *arguments, before: str = "") -> subprocess.Popen:
    """Run a command in a process of its own."""
    environment = {**os.environ, "PUSHFORWARD_CACHE": str(cache)}
    words = [sys.executable, "-c", before + MAIN, *map(str, arguments)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=300)
    return process.returncode, out, err


LONG = ["--columns", "x,y", "--components", "2", "--flow", "real_nvp", "--layers", "1", "--epochs", "4000"]


def wait_for(path: Path, process: subprocess.Popen) -> None:
    while not path.exists():
        assert process.poll() is None, process.communicate()
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue


def test_a_fit_killed_half_way_resumes_to_the_same_bits(work, cache):
    fit = ["fit", "table.parquet", *LONG]
    code, _, err = finish(start(cache, *fit, "--out", "straight"))
    assert code == 0, err
    killed = start(cache, *fit, "--out", "resumed", "--checkpoint", 0)
    wait_for(Path("resumed.checkpoint/training.safetensors"), killed)
    killed.kill()
    killed.communicate()
    assert not Path("resumed").exists()

    resume = [*fit, "--out", "resumed", "--resume"]
    assert "random_state changed since it was written" in refused(*resume, "--seed", 1)
    X = read_table("table.parquet", columns=["x", "y"]).values
    X[7, 0] += 1e-9
    pq.write_table(pa.table({"x": X[:, 0], "y": X[:, 1]}), "changed.parquet")
    assert "the data changed since it was written" in refused("fit", "changed.parquet", *resume[2:])

    code, _, err = finish(start(cache, *fit, "--out", "resumed", "--resume"))
    assert code == 0, err
    weights = [Path(name, "weights.safetensors").read_bytes() for name in ("straight", "resumed")]
    assert weights[0] == weights[1]
    assert not Path("resumed.checkpoint").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_keeps_the_best_so_far(work, cache):
    import signal

    fit = start(cache, "fit", "table.parquet", *LONG[:-1], 1_000_000, "--out", "t", "--checkpoint", 0)
    wait_for(Path("t.checkpoint/training.safetensors"), fit)
    fit.send_signal(signal.SIGINT)
    code, out, err = finish(fit)
    assert code == 130, err
    assert "The model is in t" in out
    assert "interrupted after" in err
    assert "Traceback" not in err
    assert pf.load("t").interrupted_
    assert Path("t.checkpoint").exists()


def test_a_repeated_fit_compiles_nothing(work, cache):
    first = start(cache, "fit", "table.parquet", "--out", "one", "--columns", "x,y", *QUICK)
    assert finish(first)[0] == 0
    kept = {path.name for path in cache.iterdir() if path.name.endswith("-cache")}
    assert kept
    second = start(cache, "fit", "table.parquet", "--out", "two", "--columns", "x,y", *QUICK)
    assert finish(second)[0] == 0
    assert {path.name for path in cache.iterdir() if path.name.endswith("-cache")} == kept
    assert Path("one/weights.safetensors").read_bytes() == Path("two/weights.safetensors").read_bytes()


def test_a_broken_cache_breaks_no_run(work, cache, tmp_path_factory):
    broken = tmp_path_factory.mktemp("broken")
    for path in cache.iterdir():
        if path.is_file():
            (broken / path.name).write_bytes(b"no program")
    code, _, err = finish(start(broken, "score", "model", "table.parquet", "--out", "one.csv"))
    assert (code, err) == (0, "")
    code, _, err = finish(start(work / "table.parquet", "score", "model", "table.parquet", "--out", "two.csv"))
    assert (code, err) == (0, "")
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files in the POSIX way")
def test_a_full_disk_while_saving_leaves_the_old_model(work, cache):
    fit = ["fit", "table.parquet", "--columns", "x,y", *QUICK]
    before = snapshot(work)
    for command in ([*fit, "--out", "model"], ["score", "model", "table.parquet", "--out", "table.parquet"]):
        code, _, err = finish(start(cache, *command, "--overwrite", before=FULL_DISK))
        assert (code, err.count("\n")) == (2, 1), err
        assert err.startswith("error: ")
        assert "File too large" in err
        assert snapshot(work) == before


def test_help_loads_nothing_heavy():
    code = (
        "import sys\n"
        "from pushforward.cli import main\n"
        "sys.argv = ['pushforward', 'fit', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "heavy = {'jax', 'equinox', 'duckdb', 'pyarrow', 'sklearn', 'matplotlib', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_cache_folder_follows_the_platform(tmp_path, monkeypatch):
    assert cache_folder() is None
    monkeypatch.delenv("PUSHFORWARD_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pushforward"
    assert (tmp_path / "xdg" / "pushforward").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "Library" / "Caches" / "pushforward"
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "file"))
    assert cache_folder() is None


def test_cache_keeps_to_its_size(tmp_path, monkeypatch):
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path))
    monkeypatch.setattr("pushforward.cli.shell._CACHE_BYTES", 250)
    for age, name in enumerate(["new", "older", "oldest"]):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert cache_folder() == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"new", "older"}
