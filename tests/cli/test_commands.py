"""What the commands write and say."""

import csv
import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pushforward as pf
from pushforward import cli, service
from pushforward.cli.fitting import Kind
from pushforward.cli.shell import command
from pushforward.clustering import embedding
from pushforward.data import read_table
from tests.cli.helpers import QUICK, columns, invoke, refused, run, snapshot, write


@pytest.mark.long
def test_fit_says_what_it_did_and_what_to_type_next(work):
    said = run("fit", "table.parquet", "--out", "new model", "--columns", "x,y", "--seed", 3, *QUICK)
    for part in ("rows", "120", "components", "5 of shares", "epochs", "log-density", "The model is in new model"):
        assert part in said
    assert "pushforward cluster 'new model' table.parquet --out clusters.csv" in said
    assert "pushforward plot 'new model' table.parquet --out pictures" in said
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


def test_outliers_are_found_from_fit_to_score(work):
    said = run("fit", "table.parquet", "--out", "detector", "--kind", "outliers", "--contamination", 0.1,
               "--columns", "x,y", *QUICK)  # fmt: skip
    assert "pushforward score detector table.parquet --out scores.csv" in said
    detector = pf.load("detector")
    assert isinstance(detector, pf.FlowOutlierDetector)
    assert f"rows of a log-density below {detector.offset_:.6g}" in said
    assert f"rows of a log-density below {detector.offset_:.6g}" in run("info", "detector")
    run("score", "detector", "table.parquet", "--out", "scored.parquet")
    scored = pq.read_table("scored.parquet")
    assert scored.column_names[-2:] == ["log_density", "outlier"]
    X = read_table("table.parquet", columns=["x", "y"]).values
    assert np.array_equal(
        scored.column("outlier").to_numpy(), detector.predict(pa.table({"x": X[:, 0], "y": X[:, 1]})) == -1
    )
    assert scored.column("outlier").to_numpy().sum() == 12
    run("sample", "detector", "-n", 9, "--out", "new.csv")
    assert columns("new.csv") == ["x", "y"]
    said = refused("cluster", "detector", "table.parquet", "--out", "t.csv")
    assert said.endswith("holds one density without components; use `pushforward score`")


def test_an_outlier_detector_is_resumed(work):
    fit = ["fit", "table.parquet", "--out", "detector", "--kind", "outliers", "--columns", "x,y", *QUICK]
    run(*fit)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pushforward.training.Checkpoint.discard", lambda self: None)
        run(*fit[:3], "cut", *fit[4:], "--checkpoint", 0)
    shutil.rmtree("cut")
    assert "contamination changed since it was written" in refused(
        *fit[:3], "cut", *fit[4:], "--contamination", 0.2, "--resume"
    )
    run(*fit[:3], "cut", *fit[4:], "--resume")
    assert Path("cut/weights.safetensors").read_bytes() == Path("detector/weights.safetensors").read_bytes()
    assert not Path("cut.checkpoint").exists()


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


@pytest.mark.parametrize("kind", ["mixture", "density", "outliers"])
def test_defaults_are_those_of_the_estimators(work, monkeypatch, kind):
    """But for the seed, which the command line fixes, and the progress bar."""
    estimator = service.ESTIMATORS[kind]
    made = []

    def keep(self, *_, **__):
        made.append(self.get_params())
        raise ValueError("seen")

    monkeypatch.setattr(estimator, "fit", keep)
    assert "seen" in refused("fit", "table.parquet", "--out", "t", "--columns", "x,y", "--kind", kind)
    expected = estimator().get_params()
    assert {name: value for name, value in made[0].items() if value != expected[name]} == {
        "random_state": 0,
        "verbose": 1,
    }


@pytest.mark.long
def test_info_tells_columns_components_and_labels(work):
    said = run("info", "model")
    for part in ("real_nvp", "whole number", "side: east, north, south, west", "share", "3, the best"):
        assert part in said
    # a rare large value makes the unit larger than the standard deviation, so it is not called that
    n = 400
    values = np.r_[np.linspace(-1, 1, n - 1), 80.0]
    write("outlier.csv", "a,b\n" + "".join(f"{v!r},{float(np.sin(9 * v))!r}\n" for v in values.tolist()))
    run("fit", "outlier.csv", "--out", "outlier", "--kind", "density", "--layers", 1, "--epochs", 1)
    said = run("info", "outlier")
    assert said.split("unit: ")[1].startswith("the length that the model counts as 1")
    lines = [line.split() for line in said.splitlines()]
    heading, first = lines[lines.index(["columns"]) + 1 :][:2]
    assert heading == ["name", "kind", "from", "to", "mean", "unit"]
    assert first == ["a", "real", f"{values.mean():.4g}", f"{81 / 8:.4g}"]
    assert ["flow", "spline_coupling,", "chosen", "by", "the", "number", "of", "columns"] in lines


def test_tables_larger_than_a_batch_are_streamed_in_order(work, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("pushforward.service.applying.batch_rows", lambda width: 32)
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


@pytest.mark.long
def test_arrays_name_their_columns_by_place(work):
    X = read_table("table.parquet", columns=["x", "y", "n"]).values
    np.savez("labelled.npz", X=X, y=np.where(np.arange(120) % 2, X[:, 2], -1).astype(int))
    run("fit", "labelled.npz", "--out", "from-array", "--label-column", "y", *QUICK)
    model = pf.load("from-array")
    assert (model.n_features_in_, model.label_names_) == (3, ("0", "1", "2", "3", "4"))
    assert read_table(write("two.csv", "x0,x1,x2\n1,2,3\n4,5,6\n")).names == tuple(model.feature_names_in_)


def test_images_are_declared(work, monkeypatch):
    found = []
    monkeypatch.setattr("pushforward.estimators.FlowMixture.fit", lambda self, *_, **__: found.append(self) or 1 / 0)
    np.save("pictures.npy", np.random.default_rng(0).uniform(0, 1, (60, 12)))
    invoke("fit", "pictures.npy", "--out", "seen", "--image", "2x2x3", "--components", 2)
    assert found[0].image_shape == (2, 2, 3)


@pytest.mark.long
def test_flows_known_through_estimates_say_so_and_score_alike_from_a_folder(work):
    run("fit", "table.parquet", "--out", "indexed", "--columns", "x,n", "--kind", "density", *QUICK,
        "--flow", "indexed_real_nvp", "--layers", 1)  # fmt: skip
    assert "known through estimates (lower bound)" in run("info", "indexed")
    for out in ("one.csv", "two.csv"):
        scored = invoke("score", "indexed", "table.parquet", "--out", out)
        assert "note: log_density is known through estimates alone (lower bound)" in scored.stderr
    assert Path("one.csv").read_text() == Path("two.csv").read_text()


@pytest.mark.long
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
        (["--kind", "outliers", "--components", "2"], "--components needs --kind mixture"),
        (["--contamination", "0.1"], "--contamination needs --kind outliers"),
        (["--kind", "outliers", "--contamination", "many"], "--contamination many: give a share above 0"),
        (["--kind", "outliers", "--contamination", "0.7"], "--contamination must be in (0, 0.5]"),
        (["--image", "2by1"], "--image 2by1: expected HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS"),
        (["--image", "2x2"], "--image (2, 2) makes 4 pixels, and a row has 2 columns"),
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


@pytest.mark.long
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


def test_every_kind_of_model_can_be_fitted():
    assert [str(kind) for kind in Kind] == list(service.ESTIMATORS)
    assert "--kind outliers --contamination 0.05" in " ".join(run("fit", "--help").split())


def test_help_teaches():
    for name in ("fit", "score", "cluster", "sample", "plot", "info", "demo"):
        said = run(name, "--help")
        assert "Example" in said
        assert f"pushforward {name}" in said
    assert "fit" in run()
    assert {"PUSHFORWARD_DEBUG=1", "PUSHFORWARD_CACHE=FOLDER"} <= set(run("--help").split())
    assert run("--version").strip() == pf.__version__


@pytest.mark.long
def test_demo_finds_the_digits_and_leaves_what_it_says(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(embedding, "STEPS", 150)  # in the tests as quick as it may be
    Path("new-digits.csv").touch()
    said = run("demo")
    Path("new-digits.csv").unlink()
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
    assert run_as_printed(said) == ["clusters.csv", "new-digits-2.csv"]  # the one with the plain name was there
    assert {**snapshot(folder), "README.md": before["README.md"]} == before


def test_whole_numbers_beyond_64_bits_are_written_as_floats(work, monkeypatch):
    """Known only when the second batch is drawn: the file starts anew."""
    draw = service.sampling.kinds.draw
    seeds = np.random.SeedSequence(0).generate_state(2)

    def large(model, n, component, condition, where, seed):
        rows, components = draw(model, n, component, condition, where, seed)
        rows[:, 2] = 1e300 if seed == seeds[1] else 5
        return rows, components

    monkeypatch.setattr("pushforward.service.sampling.SAMPLE_ROWS", 10)
    monkeypatch.setattr("pushforward.service.kinds.draw", large)
    run("sample", "model", "-n", 20, "--out", "new.parquet")
    assert pq.read_table("new.parquet").column("n").to_pylist() == [5.0] * 10 + [1e300] * 10


def run_as_printed(said: str) -> list[str]:
    """Run the commands that are suggested, which have to succeed; the files they write."""
    commands = [shlex.split(line) for line in said.splitlines() if line.startswith("  pushforward ")]
    assert len(commands) >= 2
    for words in commands:
        run(*words[1:])
    return [words[words.index("--out") + 1] for words in commands if "--out" in words]


def test_what_is_suggested_after_dropping_rows_runs(work):
    write("gaps.csv", "x,y\n" + "".join(f"{'' if i == 5 else i % 7},{(i * i) % 11}.5\n" for i in range(40)))
    write("scores.csv", "mine\n")
    said = run("fit", "gaps.csv", "--out", "gaps", "--kind", "density", "--drop-missing", *QUICK)
    assert run_as_printed(said) == ["scores-2.csv", "new-rows.csv", "pictures"]
    assert Path("scores.csv").read_text() == "mine\n"


def test_commands_are_suggested_as_the_program_was_called(tmp_path, monkeypatch):
    program = tmp_path / "bin" / "pushforward"
    program.parent.mkdir()
    program.touch(mode=0o755)
    monkeypatch.setattr("sys.argv", [str(program), "demo"])
    monkeypatch.setenv("PATH", "")
    assert command("info", "my model") == f"{program} info 'my model'"
    monkeypatch.setenv("PATH", str(program.parent))
    assert command("info", "model") == "pushforward info model"
    monkeypatch.setattr("sys.argv", [cli.__file__.replace("__init__", "__main__"), "demo"])
    assert command("info", "model") == shlex.join([sys.executable, "-m", "pushforward.cli", "info", "model"])
