"""A folder that is not whole, or not what `save` wrote, never loads; and the message says why."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

import pushforward as pf
from pushforward.serialization.model import FORMAT_VERSION
from pushforward.serialization.nodes import MODEL, WEIGHTS
from tests.serialization.helpers import edit, model, same


def test_missing_parts_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(pf.ModelFileError, match="absent: does not exist; a model is a folder"):
        pf.load(tmp_path / "absent")
    (tmp_path / "file").write_text("")
    with pytest.raises(pf.ModelFileError, match="file: is a file; a model is a folder"):
        pf.load(tmp_path / "file")
    for name in (WEIGHTS, MODEL):
        (folder / name).unlink()
        with pytest.raises(pf.ModelFileError, match=f"{name}: missing; a model is a folder"):
            pf.load(folder)


@pytest.mark.parametrize(
    ("name", "message"), [(MODEL, "not complete JSON"), (WEIGHTS, "not a complete safetensors file")]
)
def test_files_cut_short(folder: Path, name: str, message: str) -> None:
    whole = (folder / name).read_bytes()
    for size in {0, 1, 7, 8, 9, len(whole) // 2, len(whole) - 2}:
        (folder / name).write_bytes(whole[:size])
        with pytest.raises(pf.ModelFileError, match=f"{name}: {message}"):
            pf.load(folder)


@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), name=st.sampled_from([MODEL, WEIGHTS]))
def test_a_flipped_bit_never_goes_unseen(
    tmp_path_factory: pytest.TempPathFactory, where: float, bit: int, name: str
) -> None:
    folder = tmp_path_factory.mktemp("flip") / "model"
    pf.save(model(), folder)
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= 1 << bit
    (folder / name).write_bytes(content)
    try:
        loaded = pf.load(folder)
    except pf.ModelFileError as error:
        assert str(folder) in str(error)
    else:
        assert name == MODEL and same(loaded, model()), "only white space may change"


def first_layer(document: dict[str, Any]) -> Any:
    return document["model"]["fields"]["bijections"][1]["fields"]["layers"]


def set_in(key: str, value: Any) -> Any:
    return lambda document: document.update({key: value})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (set_in("format", "x"), "field 'format' is not 'pushforward-model'"),
        (set_in("format_version", "1"), "field 'format_version' is '1'; expected a whole number"),
        (
            set_in("format_version", FORMAT_VERSION + 1),
            r"field 'format_version' is \d+, written by .*: upgrade pushforward",
        ),
        (set_in("surprise", 1), "field 'surprise' is unexpected"),
        (lambda d: d.pop("checksum"), "field 'checksum' is missing"),
        (set_in("package_version", "0.0.1"), "field 'checksum' does not fit the contents"),
        (set_in("model", {"class": "bijections.Affine"}), "field 'model' holds .*, which is nothing this format knows"),
        (set_in("model", {"list": [], "dict": {}}), "field 'model' holds"),
        (set_in("model", {"float": "1"}), "field 'model' holds"),
        (set_in("model", {"items": [[1]]}), "field 'model/0' is not a pair"),
        (set_in("model", {"items": [[{"list": []}, 1]]}), "field 'model/0/key' cannot be a key"),
        (set_in("model", {"numpy": "object[1]"}), r"field 'model' has the array type 'object\[1\]'"),
        (
            set_in("model", {"strings": "str[2]", "values": ["a"]}),
            r"field 'model' does not hold the strings of str\[2\]",
        ),
        (lambda d: first_layer(d)["fields"].pop("shift"), "field 'model/bijections/1/layers/shift' is missing"),
        (lambda d: first_layer(d)["fields"].update(hook=1), "field '.*/layers/hook' is unknown to bijections.Affine"),
        (
            lambda d: first_layer(d)["fields"].update(shift={"jax": "float64[3,2]"}),
            r"safetensors: field '.*/layers/shift' is float32\[3,2\]; model.json expects float64\[3,2\]",
        ),
        (
            lambda d: first_layer(d)["fields"].update(shift=None),
            "safetensors: field '.*/layers/shift' is unknown to model.json",
        ),
    ],
)
def test_a_changed_model_json_is_refused(folder: Path, change: Any, message: str) -> None:
    edit(folder, change)
    with pytest.raises(pf.ModelFileError, match=message) as raised:
        pf.load(folder)
    assert str(folder) in str(raised.value)


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "bijections.os",
        "bijections.jnp",
        "bijections.base",
        "bijections.base.Chain",
        "bijections.__class__",
        "bijections.AbstractBijection",
        "bijections.",
        "Chain",
        "trees.Any",
        "trees.Array",
        "trees.partition",
        "cli.main",
        "serialization.load",
        "networks.Chain",
        "pushforward.bijections.Chain",
    ],
)
def test_only_classes_of_models_are_made(folder: Path, name: str) -> None:
    edit(folder, lambda d: d["model"].update({"class": name}))
    with pytest.raises(pf.ModelFileError, match=f"field 'model' has the unknown class '{name}'"):
        pf.load(folder)


@pytest.mark.parametrize("depth", [400, 100_000])  # too deep for the reader, too deep for the JSON parser
def test_deep_nesting_is_refused(folder: Path, depth: int) -> None:
    text = (folder / MODEL).read_text()
    deep = '{"list": [' * depth + "1" + "]}" * depth
    (folder / MODEL).write_text(text[: text.index('"model": {')] + f'"model": {deep}}}')
    with pytest.raises(pf.ModelFileError, match="nested too deeply|not complete JSON"):
        pf.load(folder)


def test_changed_weights_are_refused(folder: Path) -> None:
    tensors = safetensors.numpy.load_file(folder / WEIGHTS)
    name = "model/bijections/1/layers/shift"

    def refused(changed: dict[str, np.ndarray], message: str) -> None:
        (folder / WEIGHTS).write_bytes(safetensors.numpy.save(changed))
        with pytest.raises(pf.ModelFileError, match=message):
            pf.load(folder)

    rest = {k: v for k, v in tensors.items() if k != name}
    refused(rest, rf"weights.safetensors: field '{name}' is missing; model.json expects float32\[3,2\]")
    refused(tensors | {"extra": np.ones(1)}, "weights.safetensors: field 'extra' is unknown to model.json")
    refused(rest | {name: tensors[name].astype(np.float64)}, rf"field '{name}' is float64\[3,2\]")
    refused(rest | {name: tensors[name][:2]}, rf"field '{name}' is float32\[2,2\]; model.json expects float32\[3,2\]")
    refused(rest | {name: tensors[name] + 1}, "field 'checksum' does not fit the contents")
