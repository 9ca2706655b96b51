"""Tables and models below the command line."""

import dataclasses
import json
import pickle
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pytest

import pushforward as pf
from pushforward import service
from pushforward.data import DataError, open_source, pinwheel
from pushforward.training import Checkpoint, CheckpointError

QUICK = {"flow": "real_nvp", "n_layers": 1, "max_epochs": 2, "random_state": 0}
X, WING = pinwheel(120, seed=0)
SIDES = [["north", "east", "south", "west", "west"][w] if i % 3 else None for i, w in enumerate(WING)]
TABLE = pa.table({"id": [f"row {i}" for i in range(120)], "y": X[:, 1], "x": X[:, 0], "side": SIDES, "n": WING})
ROWS = open_source(TABLE)


@pytest.fixture(scope="module")
def mixture() -> service.Model:
    return service.fit(service.read_inputs(ROWS, columns=["x", "y", "n"], label_column="side"), **QUICK)


@pytest.fixture(scope="module")
def density() -> service.Model:
    return service.fit(service.read_inputs(ROWS, columns=["x", "y"], given=["n"]), "density", **QUICK)


@pytest.fixture(scope="module")
def detector() -> service.Model:
    inputs = service.read_inputs(ROWS, columns=["x", "y"])
    return service.fit(inputs, "outliers", contamination=0.1, **QUICK)


# ---- fitting


def test_inputs_are_numbers_names_and_labels():
    inputs = service.read_inputs(ROWS, columns=["x"], given=["n"], label_column="side")
    assert (inputs.names, inputs.given, inputs.label_column) == (("x",), ("n",), "side")
    assert np.array_equal(inputs.x[:, 0], X[:, 0]) and np.array_equal(inputs.condition[:, 0], WING)
    assert inputs.label_names == ("east", "north", "south", "west")
    named = [None if k < 0 else inputs.label_names[k] for k in inputs.label]
    assert named == SIDES
    frame, condition = inputs.frames(most=7)
    assert (frame.column_names, condition.column_names, frame.num_rows) == (["x"], ["n"], 7)
    gaps = open_source(pa.table({"a": [1.5, None, 3.5], "b": [1.0, 2.0, 4.0]}))
    assert service.read_inputs(gaps, drop_missing=True).dropped == 1
    with_gaps = service.read_inputs(gaps)
    assert with_gaps.dropped == 0 and with_gaps.x.column("a").null_count == 1
    given = {"columns": ["a"], "given": ["b"]}
    with pytest.raises(DataError, match="leave these rows out with drop_missing=True"):
        service.read_inputs(gaps, **given)


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"columns": ["x", "x"]}, "column 'x' is listed twice"),
        ({"columns": ["x"], "given": ["x"]}, "'x' is both modelled and conditioned on"),
        ({"columns": []}, "no column is left to model"),
        ({"columns": ["x", "Y"]}, "no column 'Y'; did you mean 'y'"),
        ({"given": ["n"]}, r"not numbers: 'id' .*leave out with columns=\['y', 'x'\]"),
    ],
)
def test_inputs_that_cannot_be_read_say_why(asked, says):
    with pytest.raises(DataError, match=says):
        service.read_inputs(ROWS, **asked)


def test_models_know_the_names_of_their_table(mixture, density, detector):
    assert [service.kind_of(model) for model in (mixture, density, detector)] == list(service.ESTIMATORS)
    assert (mixture.n_components_, mixture.label_column_) == (4, "side")
    assert mixture.label_names_ == ("east", "north", "south", "west")
    assert density.condition_columns_.names == ("n",)
    assert (density.label_column_, density.label_names_) == (None, None)


def test_parameters_that_do_not_fit_the_kind_are_refused():
    inputs = service.read_inputs(ROWS, columns=["x", "y"], label_column="side")
    with pytest.raises(ValueError, match="label_column='side' with kind='outliers': labels need kind mixture"):
        service.fit(inputs, "outliers")
    with pytest.raises(ValueError, match="contamination= with kind='mixture': contamination needs kind outliers"):
        service.fit(inputs, contamination=0.1)
    with pytest.raises(ValueError, match="depth is unknown; there are n_components, flow"):
        service.fit(inputs, depth=3)
    with pytest.raises(ValueError, match="kind must be one of 'mixture', 'density', 'outliers'; got 'clusters'"):
        service.fit(inputs, "clusters")
    with pytest.raises(DataError, match="'side' has 4 labels for 3 components; give n_components=4 or more"):
        service.fit(inputs, n_components=3)
    with pytest.raises(DataError, match="the table: .*unknown flow 'nope'"):
        service.fit(inputs, flow="nope")


def test_a_checkpoint_belongs_to_its_columns_and_labels(tmp_path):
    kept = Checkpoint(tmp_path / "kept", minutes=0.0)
    service.fit(service.read_inputs(ROWS, columns=["x", "y"]), "density", checkpoint=kept, **QUICK)
    assert kept.file.exists() and kept.fingerprint == {}
    again = dataclasses.replace(kept, resume=True)
    renamed = TABLE.rename_columns(["id", "x", "y", "side", "n"])
    swapped = service.read_inputs(open_source(renamed), columns=["y", "x"])
    with pytest.raises(DataError, match="the columns changed since it was written") as caught:
        service.fit(swapped, "density", checkpoint=again, **QUICK)
    assert isinstance(caught.value.__cause__, CheckpointError)


# ---- applying


def test_columns_are_found_by_name_or_place(mixture, density, tmp_path):
    assert service.align(mixture, ROWS).columns == ("x", "y", "n")
    assert service.align(density, ROWS) == service.Alignment("the table", ("x", "y"), ("x", "y"), ("n",))
    np.save(tmp_path / "rows.npy", np.column_stack([X, WING]))
    assert service.align(mixture, open_source(tmp_path / "rows.npy")).columns == ("x0", "x1", "x2")
    nameless = pf.FlowDensity(**QUICK).fit(X)
    assert service.align(nameless, open_source(TABLE.select(["y", "x"]))).columns == ("y", "x")
    with pytest.raises(DataError, match="the table: no column 'n'.*; the model was fitted on x, y given n"):
        service.align(density, open_source(TABLE.select(["y", "x"])))
    with pytest.raises(DataError, match="has 5 columns, where the model was fitted on 2 columns"):
        service.align(nameless, ROWS)


def test_scores_and_clusters_are_those_of_the_estimator(mixture, density, detector):
    (batch,) = service.batches(ROWS)
    frame, condition = service.read_inputs(ROWS, columns=["x", "y"], given=["n"]).frames()
    scored = service.Application.of(density, ROWS)(batch)
    assert scored.schema.names == [*TABLE.column_names, "log_density"]
    assert np.array_equal(scored.column("log_density"), density.score_samples(frame, condition))
    flagged = service.Application.of(detector, ROWS)(batch).column("outlier").to_numpy(zero_copy_only=False)
    assert np.array_equal(flagged, detector.predict(frame) == -1) and flagged.sum() == 12
    rows = service.read_inputs(ROWS, columns=["x", "y", "n"]).frames()[0]
    clustered = service.Application.of(mixture, ROWS, "cluster")(batch)
    added = ["component", "predicted_side", *(f"p_{k}" for k in range(4)), "log_density"]
    assert clustered.schema.names == [*TABLE.column_names, *added]
    assert np.array_equal(clustered.column("component"), mixture.predict(rows))
    assert np.array_equal(clustered.column("p_2"), mixture.predict_proba(rows)[:, 2])
    assert np.allclose(clustered.column("log_density"), mixture.score_samples(rows), rtol=1e-6)
    labels = [mixture.label_names_[k] for k in mixture.predict(rows)]
    assert clustered.column("predicted_side").to_pylist() == labels


@pytest.mark.parametrize("task", ["score", "cluster"])
def test_a_batch_of_no_rows_tells_the_schema(mixture, task):
    apply = service.Application.of(mixture, ROWS, task, drop_missing=True)
    (batch,) = service.batches(ROWS)
    empty = apply(batch.slice(0, 0))
    assert (empty.num_rows, empty.schema) == (0, apply(batch).schema)
    lost = pa.RecordBatch.from_pylist([{**batch.slice(0, 1).to_pylist()[0], "x": None}], schema=batch.schema)
    assert apply(lost).schema == empty.schema and apply(lost).num_rows == 0


def test_an_application_goes_to_another_process(density):
    apply = service.Application.of(density, ROWS)
    (batch,) = service.batches(ROWS)
    assert pickle.loads(pickle.dumps(apply))(batch).equals(apply(batch))


def test_batches_that_cannot_be_read_say_where(density):
    apply = service.Application.of(density, ROWS)
    batch = pa.RecordBatch.from_pydict({"x": [1.0, None], "y": [1.0, 1.0], "n": [1, 2]})
    with pytest.raises(DataError, match=r"the table, rows 11 to 12: missing or infinite values in x \(1 row\)"):
        apply(batch, 10)
    taken = pa.RecordBatch.from_pydict({"x": [1.0], "y": [1.0], "n": [1], "log_density": [0.0]})
    with pytest.raises(DataError, match="has a column 'log_density' already"):
        apply(taken)
    with pytest.raises(DataError, match="there are no rows"):
        list(service.batches(open_source(TABLE.slice(0, 0))))
    with pytest.raises(ValueError, match="task must be one of 'score', 'cluster'; got 'rank'"):
        service.Application.of(density, ROWS, "rank")
    with pytest.raises(service.RequestError, match="the model holds one density without components; score it instead"):
        service.Application.of(density, ROWS, "cluster")


# ---- sampling


def test_samples_are_batches_of_a_table(mixture, density, monkeypatch):
    monkeypatch.setattr("pushforward.service.sampling.SAMPLE_ROWS", 8)
    first, second = service.sample(mixture, 12, seed=3)
    assert (first.num_rows, second.num_rows, first.schema) == (8, 4, second.schema)
    assert first.schema.names == ["x", "y", "n", "component", "side"]
    assert first.schema.field("n").type == pa.int64()
    again = list(service.sample(mixture, 12, seed=3))
    assert again[0].equals(first) and again[1].equals(second)
    (drawn,) = service.sample(mixture, 5, component=2, as_floats=["n"])
    assert set(drawn.column("component").to_pylist()) == {2}
    assert drawn.schema.field("n").type == pa.float64()
    (drawn,) = service.sample(density, 5, given={"n": 3})
    assert drawn.schema.names == ["x", "y", "n"] and set(drawn.column("n").to_pylist()) == {3}


@pytest.mark.long
@pytest.mark.parametrize("kind", ["densities", "mixtures"])
def test_a_conditional_model_of_an_older_commit_scores_and_draws(kind):
    saved = Path(__file__).parents[1] / "serialization" / "saved"
    model = pf.load(saved / kind)["conditional"]
    with np.load(saved / f"{kind}.npz") as kept:
        x, given, scores = (kept[f"conditional/{what}"] for what in ("x", "condition", "scores"))
    source = open_source(pa.table({"x0": x[:, 0], "c0": given[:, 0], "x1": x[:, 1]}))
    (scored,) = map(service.Application.of(model, source), service.batches(source))
    np.testing.assert_allclose(scored["log_density"], scores, rtol=1e-5)
    (drawn,) = service.sample(model, 6, given={"c0": 0.5})
    assert drawn.schema.names[:3] == ["x0", "x1", "c0"] and set(drawn["c0"].to_pylist()) == {0.5}


@pytest.mark.long
def test_a_mixture_is_sampled_under_a_condition():
    inputs = service.read_inputs(ROWS, columns=["x", "y"], given=["n"])
    model = service.fit(inputs, n_components=2, **QUICK)
    (drawn,) = service.sample(model, 6, given={"n": 1})
    assert drawn.schema.names == ["x", "y", "n", "component"] and drawn.num_rows == 6


@pytest.mark.long
def test_samples_that_a_model_cannot_give_are_refused(mixture, density):
    for model, asked, says in [
        (density, {"component": 0, "given": {"n": 1}}, "without components; leave component= out"),
        (mixture, {"component": 4}, "the model has no component=4; its components are 0 to 3"),
        (density, {}, r"the model is conditioned on n; write given=\{'n': VALUE\}"),
        (density, {"given": {"m": 1}}, "the model is conditioned on n"),
        (mixture, {"given": {"n": 1}}, "the model is not conditioned on columns; leave given= out"),
    ]:
        with pytest.raises(service.RequestError, match=says):
            service.sample(model, 3, **asked)
    named = pa.table({"a": X[:, 0], "component": X[:, 1]})
    model = service.fit(service.read_inputs(open_source(named)), n_components=2, **QUICK)
    with pytest.raises(service.RequestError, match="has a column 'component', which draws need"):
        service.sample(model, 3)


class Drawing(pf.FlowDensity):
    """A density of whole numbers whose nth batch holds the nth of `values`."""

    def sample(self, n=1, condition=None, random_state=None, where=None):
        seeds = np.random.SeedSequence(0).generate_state(len(self.values)).tolist()
        return np.column_stack([np.full(n, 3.0), np.full(n, self.values[seeds.index(random_state)])])


@pytest.fixture(scope="module")
def drawing() -> Drawing:
    rows = np.random.default_rng(0).integers(0, 9, (60, 2))
    return Drawing(**QUICK).fit(pa.table({"small": rows[:, 0], "large": rows[:, 1]}))


@pytest.mark.parametrize(
    ("values", "written"),
    [
        ((-(2.0**63), 5.0), [-(2**63), 5]),
        ((2.0**63 - 1024, 5.0), [2**63 - 1024, 5]),
        ((2.0**63, 5.0), None),
        ((5.0, -1e300), None),  # known only when the first batch is there
        ((5.0, np.inf), None),
        ((2.0**53 - 1, 0.0), [2**53 - 1, 0]),  # 32-bit floats would round it
    ],
)
def test_whole_numbers_are_given_as_they_are_drawn(drawing, monkeypatch, values, written):
    monkeypatch.setattr("pushforward.service.sampling.SAMPLE_ROWS", 10)
    drawing.values = values
    if written is None:
        with pytest.raises(service.TooLargeError, match="column 'large' has values beyond 64-bit") as caught:
            list(service.sample(drawing, 20))
        drawn = pa.Table.from_batches(service.sample(drawing, 20, as_floats=[caught.value.column]))
        written = list(values)
    else:
        drawn = pa.Table.from_batches(service.sample(drawing, 20))
    assert drawn.schema.field("small").type == pa.int64() and drawn.column("small").to_pylist() == [3] * 20
    large = drawn.column("large").to_pylist()
    assert large == [written[0]] * 10 + [written[1]] * 10
    assert {type(value) for value in large} == {type(written[0])}


# ---- describing


def test_a_description_is_plain_data(mixture, density, detector):
    told = service.describe(mixture)
    assert json.loads(json.dumps(dataclasses.asdict(told), allow_nan=False))["flow"] == "real_nvp"
    assert (told.kind, told.flow_chosen, told.given, told.threshold) == ("mixture", False, (), None)
    assert [component.label for component in told.components] == ["east", "north", "south", "west"]
    assert sum(component.share for component in told.components) == pytest.approx(1)
    assert [column.kind for column in told.columns] == ["real", "real", "whole number"]
    assert told.columns[2].mean == pytest.approx(WING.mean())
    assert (told.epochs, told.exactness, told.interrupted) == (2, "exact", False)
    assert service.describe(density).given == ("n",) and service.describe(density).components == ()
    assert service.describe(detector).threshold == detector.offset_


@pytest.mark.long
def test_the_mean_of_a_bounded_column_is_that_of_its_values():
    inputs = service.read_inputs(ROWS, columns=["x", "y", "n"])
    model = service.fit(inputs, "density", max_epochs=1, flow="nice", bounds={"x": (-9.0, None), "n": (0, None)})
    means = [column.mean for column in service.describe(model).columns]
    np.testing.assert_allclose(means, inputs.x.mean(axis=0))


@pytest.mark.long
def test_bounds_and_chosen_flows_are_told():
    inputs = service.read_inputs(ROWS, columns=["x", "n"])
    told = service.describe(service.fit(inputs, "density", max_epochs=1, base="normal", bounds={"x": (-9.0, None)}))
    assert (told.columns[0].low, told.columns[0].high, told.columns[1].low) == (-9.0, None, 0.0)
    assert (told.flow, told.flow_chosen) == ("spline_coupling", True)


def test_models_are_loaded_and_other_things_are_not(detector, tmp_path):
    pf.save(detector, tmp_path / "detector")
    assert service.describe(service.load_model(tmp_path / "detector")) == service.describe(detector)
    pf.save(pf.flows.maf(jax.random.key(0), 2), tmp_path / "flow")
    with pytest.raises(service.RequestError, match="the model is a Pushforward, no fitted estimator"):
        service.load_model(tmp_path / "flow")


def test_a_folder_tells_what_its_model_is_without_loading_it(mixture, density, detector, tmp_path):
    for name, model in {"mixture": mixture, "density": density, "outliers": detector}.items():
        pf.save(model, tmp_path / name)
        told = service.describe_saved(tmp_path / name)
        assert told is not None and told == service.describe(pf.load(tmp_path / name)) == service.describe(model)
        assert told.kind == name == service.kind_of(model)
    assert service.describe_saved(tmp_path / "nowhere") is None
    pf.save(density.model_, tmp_path / "flow")
    assert service.describe_saved(tmp_path / "flow") is None
    for file in ("weights.safetensors", "model.json"):
        whole = (tmp_path / "mixture" / file).read_bytes()
        for part in (whole[:-9], whole.replace(b"real_nvp", b"maf", 1) + b" " * (file != "model.json")):
            (tmp_path / "mixture" / file).write_bytes(part)
            assert service.describe_saved(tmp_path / "mixture") is None
        (tmp_path / "mixture" / file).write_bytes(whole)
    assert service.describe_saved(tmp_path / "mixture") == service.describe(mixture)


def test_a_model_of_before_says_nothing_of_itself_and_is_described_once_loaded(density, tmp_path, monkeypatch):
    to_state = pf.FlowDensity.to_state
    before = lambda self: {k: v for k, v in to_state(self).items() if k != "description"}  # noqa: E731
    monkeypatch.setattr(pf.FlowDensity, "to_state", before)
    pf.save(density, tmp_path / "before")
    assert service.describe_saved(tmp_path / "before") is None
    assert service.describe(pf.load(tmp_path / "before")) == service.describe(density)


def test_some_rows_of_a_table_of_any_size_are_chosen_evenly(density):
    table = pa.table({"x": np.arange(200_000.0), "y": np.ones(200_000), "n": np.arange(200_000) % 3})
    some = service.some_rows(density, open_source(table), 1000)
    assert (some.rows.shape, some.condition.shape, some.of) == ((1000, 2), (1000, 1), 200_000)
    assert np.all(np.diff(some.rows[:, 0]) > 0) and np.array_equal(some.rows[:, 0] % 3, some.condition[:, 0])
    assert abs(some.rows[:, 0].mean() - 100_000) < 6000
    gaps = open_source(pa.table({"x": [1.0, None], "y": [1.0, 2.0], "n": [1, 2]}))
    assert service.some_rows(density, gaps, drop_missing=True).of == 1
    with pytest.raises(DataError, match="missing or infinite values in x"):
        service.some_rows(density, gaps)
