"""Models survive the way to a folder and back, and nothing but a model is ever replaced."""

import errno
import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpyro.distributions import transforms

import pushforward as pf
from pushforward.bijections import Affine
from pushforward.distributions import Normal
from pushforward.networks import MLP
from pushforward.serialization.nodes import MODEL, WEIGHTS
from pushforward.trees import Frozen
from tests.serialization.helpers import affine, edit, model, roundtrip, same, same_leaf


def test_a_model_comes_back_and_computes_the_same(folder: Path) -> None:
    loaded = pf.load(folder)
    assert same(loaded, model())
    z = jnp.array([0.3, 0.2])
    for u, v in zip(loaded.forward_and_log_det(z), model().forward_and_log_det(z), strict=True):
        assert np.array_equal(u, v)


@pytest.mark.parametrize(
    "value",
    [
        MLP.init(jax.random.key(0), 3, 2, (4, 4), activation="tanh"),
        MLP.init(jax.random.key(0), 0, 2, ()),  # an array without elements
        Frozen({"mask": jnp.array([True, False]), "order": jnp.arange(3)}),
        {"a/b": np.ones(1), "a": {"b": np.zeros(1)}, "~": np.full(1, 2.0), "~0": np.full(1, 3.0)},
        {0: (None, 1.5), 10: (float("-inf"), float("inf"))},
        (1, 1.0, True, None, "ü\n\ud800", float("nan"), -0.0, 10**40, 5e-324, [], {}, ()),
        np.array(["alpha", "β"], dtype=object),
        np.array([["a", "bc"]]),
        np.zeros((0, 3), np.float16),
        np.array(2.5),
    ],
)
def test_values_come_back_as_they_are(tmp_path: Path, value: Any) -> None:
    roundtrip(value, tmp_path / "model")


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
arrays = st.sampled_from(["bool", "int8", "uint16", "int32", "uint64", "float16", "float32", "float64"]).flatmap(
    lambda dtype: (
        st.lists(st.integers(0, 3), max_size=3)
        .map(lambda shape: np.arange(np.prod(shape)).reshape(shape) * 0.7)
        .map(lambda values: np.asarray(values, dtype))
    )
)
trees = st.recursive(
    plain | arrays,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        | st.dictionaries(st.none() | st.tuples(st.integers(), st.text(max_size=2)), inner, max_size=3)
    ),
    max_leaves=12,
)


@pytest.mark.long
@given(tree=trees)
def test_any_tree_of_values_comes_back(tmp_path_factory: pytest.TempPathFactory, tree: Any) -> None:
    path = tmp_path_factory.mktemp("tree") / "model"
    pf.save(tree, path)
    loaded = pf.load(path)
    assert repr(loaded) == repr(tree)  # repr tells 1 from 1.0 and from True, tuples from lists, dict orders
    assert all(same_leaf(u, v) for u, v in zip(_leaves(loaded), _leaves(tree), strict=True))


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for value in tree.values() for leaf in _leaves(value)]
    return [leaf for value in tree for leaf in _leaves(value)] if isinstance(tree, (tuple, list)) else [tree]


def test_numpy_layouts_and_scalars(tmp_path: Path) -> None:
    big = np.arange(6.0).reshape(2, 3)
    pf.save(
        {"t": big.T, "be": big.astype(">f4"), "step": big[:, ::2], "n": np.int64(3), "f": np.float32(0.1)},
        tmp_path / "m",
    )
    loaded = pf.load(tmp_path / "m")
    assert np.array_equal(loaded["t"], big.T) and np.array_equal(loaded["step"], big[:, ::2])
    assert np.array_equal(loaded["be"], big) and loaded["be"].dtype == np.float32
    assert type(loaded["n"]) is int and type(loaded["f"]) is float and loaded["f"] == float(np.float32(0.1))
    loaded["t"][0, 0] = 7.0  # arrays that come back can be written to


def test_double_precision_arrays(tmp_path: Path, float64: None) -> None:
    fine = {"jax": jnp.array([1.0 + 2.0**-40]), "numpy": np.array([1.0 + 2.0**-40]), "n": jnp.array(5)}
    pf.save(fine, tmp_path / "fine")
    pf.save(jnp.array(2**40), tmp_path / "large")
    pf.save(jnp.array([1.0, 1e300]), tmp_path / "huge")
    pf.save(Normal(jnp.zeros(2), jnp.ones(2)), tmp_path / "flow")
    assert same(pf.load(tmp_path / "fine"), fine)
    with jax.enable_x64(False):
        for name in ("fine", "large", "huge"):
            kept = jax.tree.map(np.asarray, pf.load(tmp_path / name))
            with jax.enable_x64(True):
                assert same(kept, jax.tree.map(np.asarray, pf.load(tmp_path / name)))
        flow = pf.load(tmp_path / "flow")
        assert flow.loc.dtype == jnp.float64
        assert flow.log_prob(jnp.zeros(2)).dtype == jnp.float32  # computed as everything else is


def test_model_json_is_for_people(folder: Path) -> None:
    text = (folder / MODEL).read_text()
    document = json.loads(text)
    assert list(document)[:3] == ["format", "format_version", "package_version"]
    assert document["package_version"] == pf.__version__
    assert document["model"]["class"] == "bijections.Chain"
    assert 100 < max(map(len, text.splitlines())) <= 120
    pf.save(model(), folder, overwrite=True)
    assert (folder / MODEL).read_text() == text, "the same model gives the same file"


class Stranger(eqx.Module):
    x: int = 1


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"key": jax.random.key(0)}, "cannot save model/key: a JAX random key; save jax.random.key_data"),
        ((1, jnp.tanh), "cannot save model/1: .* is code, which no file holds"),
        ({"f": jax.nn.relu}, "cannot save model/f: .* is code, which no file holds"),
        (jnp.ones(2, jnp.bfloat16), "cannot save model: dtype bfloat16"),
        (np.ones(2, complex), "cannot save model: dtype complex128"),
        (np.array([1, None], object), "cannot save model: an array of dtype object whose elements are not all strings"),
        (Stranger(), "Stranger could not be found again; only public names of pushforward.trees"),
        (Affine, r"cannot save model: equinox\..*; models, arrays and plain values can be saved"),
        (
            [Affine(jnp.zeros(1), jnp.ones(1)), transforms.ExpTransform()],
            r"cannot save model/1: numpyro.distributions.transforms.ExpTransform; models",
        ),
    ],
)
def test_what_cannot_be_saved_is_named(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        pf.save(value, tmp_path / "model")
    assert os.listdir(tmp_path) == []


# Where it may be saved


def test_only_models_are_replaced(tmp_path: Path, folder: Path) -> None:
    pf.save(affine(2.0), folder, overwrite=True)
    assert same(pf.load(folder), affine(2.0))
    with pytest.raises(FileExistsError, match="a model is already there"):
        pf.save(model(), folder)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="it holds notes.txt, no part of a model"):
        pf.save(model(), folder, overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="it is a file"):
        pf.save(model(), tmp_path / "file", overwrite=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / MODEL).write_text('{"format": "layers-model"}')
    with pytest.raises(FileExistsError, match=r"model\.json there is not from pushforward"):
        pf.save(model(), tmp_path / "other", overwrite=True)
    with pytest.raises(FileNotFoundError, match="the folder .*absent does not exist"):
        pf.save(model(), tmp_path / "absent" / "model")
    assert same(pf.load(folder), affine(2.0))
    assert (tmp_path / "file").read_text() == (folder / "notes.txt").read_text() == "mine"


def test_an_empty_folder_a_link_and_a_damaged_model_can_be_saved_to(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    pf.save(model(), tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and same(pf.load(tmp_path / "empty"), model())
    (folder / MODEL).write_bytes((folder / MODEL).read_bytes()[:200])
    (folder / WEIGHTS).unlink()
    pf.save(model(), folder, overwrite=True)
    assert same(pf.load(folder), model())


def test_a_full_disk_keeps_the_old_model(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot save the model: No space left on device: '.*model'") as raised:
        pf.save(affine(2.0), folder, overwrite=True)
    assert raised.value.errno == errno.ENOSPC
    assert same(pf.load(folder), model())
    assert os.listdir(folder.parent) == ["model"]


def test_a_write_that_stops_halfway_keeps_the_old_model(folder: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="cannot save the model: File too large"):
            pf.save(np.zeros(100_000), folder, overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert same(pf.load(folder), model())
    assert os.listdir(folder.parent) == ["model"]


def test_a_model_left_aside_by_a_crash_is_found(folder: Path) -> None:
    os.rename(folder, folder.parent / ".model.old-model")
    assert same(pf.load(folder), model())
    with pytest.raises(FileExistsError, match="a model is already there"):
        pf.save(affine(2.0), folder)
    pf.save(affine(2.0), folder, overwrite=True)
    assert same(pf.load(folder), affine(2.0))
    assert os.listdir(folder.parent) == ["model"]


# Objects that say themselves what they are made of


class Recipe:
    """Stands for an estimator: state in plain values, arrays and modules."""

    def __init__(self, state: dict[str, Any]):
        self.state = state

    def to_state(self) -> dict[str, Any]:
        return self.state

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> "Recipe":
        if state["n"] < 0:
            raise ValueError("n must not be negative")
        return cls(state)


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> type[Recipe]:
    """`Recipe`, as if it were a public name of a room."""
    monkeypatch.setattr(pf.networks, "Recipe", Recipe, raising=False)
    monkeypatch.setattr(Recipe, "__module__", "pushforward.networks")
    return Recipe


def test_an_object_with_a_state(tmp_path: Path, recipe: type[Recipe]) -> None:
    state = {"n": 3, "mean": np.array([1 / 3]), "model": model(), "bounds": {0: (None, 1.0)}}
    pf.save(recipe(state), tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    assert type(loaded) is recipe and same(loaded.state, state)
    edit(tmp_path / "model", lambda d: d["model"]["state"].pop("n"))
    with pytest.raises(pf.ModelFileError, match=r"field 'model' does not describe networks.Recipe: KeyError\('n'\)"):
        pf.load(tmp_path / "model")
    edit(tmp_path / "model", lambda d: d["model"].update({"class": "bijections.Chain"}))
    with pytest.raises(pf.ModelFileError, match="has a state, but bijections.Chain takes none"):
        pf.load(tmp_path / "model")
    edit(tmp_path / "model", lambda d: d.update(model={"class": "networks.Recipe", "fields": {}}))
    with pytest.raises(pf.ModelFileError, match="has fields, but networks.Recipe is no module"):
        pf.load(tmp_path / "model")


def test_loading_needs_no_other_room(tmp_path: Path) -> None:
    pf.save({"x": np.ones(2)}, tmp_path / "model")
    code = (
        "import sys, pushforward as pf; pf.load(sys.argv[1]); "
        "print([m for m in sys.modules if m.startswith('pushforward.') and 'serialization' not in m])"
    )
    out = subprocess.run([sys.executable, "-c", code, tmp_path / "model"], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "['pushforward.processes', 'pushforward.lazy']"
