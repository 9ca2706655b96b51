"""Saving and loading a model as a folder of `model.json` and `weights.safetensors`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from pushforward import __version__
from pushforward.serialization.documents import (
    FORMAT,
    FORMAT_VERSION,
    MODEL,
    WEIGHTS,
    ModelFileError,
    checksum,
    read_bytes,
    read_document,
)
from pushforward.serialization.folders import existing, replace_folder
from pushforward.serialization.nodes import Reader, encode


def save(obj: Any, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
    """Save a model as a folder.

    The folder appears, or takes the place of an older model, only once it is completely on disk: a crash or a full
    disk leaves the old model or the new one. (A crash between the last two renames leaves the old model in a hidden
    folder beside `path`; `load` reads it from there and the next `save` puts it back.)

    Arguments:
        obj: an estimator, a distribution, a bijection, a network, or tuples, lists and dicts of them, of arrays
            (bool, integer, float16 to float64), and of None, bool, int, float and str.
        path: the folder to write; its parent must exist.
        overwrite: whether a model that is already there may be replaced; anything else never is.

    Raises:
        TypeError: a part of `obj` cannot be saved; the message names it.
        FileExistsError: `path` is anything but a model folder, or a model and `overwrite` is False.
        OSError: the folder cannot be written; nothing was changed.

    Example:
        >>> import tempfile, pathlib, jax.numpy as jnp, pushforward as pf
        >>> folder = pathlib.Path(tempfile.mkdtemp()) / "model"
        >>> pf.save(pf.bijections.Identity((2,)), folder)
        >>> pf.load(folder).shape
        (2,)
    """
    target = Path(os.path.realpath(path))
    _check_target(target, overwrite)
    tensors: dict[str, np.ndarray] = {}
    tree = encode(obj, "model", tensors)
    weights = safetensors.numpy.save(tensors)
    header = {"format": FORMAT, "format_version": FORMAT_VERSION, "package_version": __version__}
    document = {**header, "checksum": checksum({**header, "model": tree}, weights), "model": tree}
    text = _pretty(document) + "\n"
    try:
        replace_folder(target, {MODEL: text.encode("utf-8", "surrogatepass"), WEIGHTS: weights})
    except OSError as error:
        reason = error.strerror or error
        raise OSError(error.errno, f"cannot save the model: {reason}", str(target)) from error


def load(path: str | os.PathLike[str]) -> Any:
    """Load what `save` saved; runs no code from the files.

    Arguments:
        path: the folder of the model.

    Returns:
        The object, equal to the saved one in structure, dtypes and bits. Arrays of 64 bits stay so also where
        JAX runs in 32 bits, and are computed with as everything else is there.

    Raises:
        ModelFileError: a file is missing, cut short, changed since it was saved, or of a newer format.
    """
    folder = existing(Path(os.path.realpath(path)))
    if not folder.is_dir():
        problem = "is a file" if folder.exists() else "does not exist"
        raise ModelFileError(f"{folder}: {problem}; a model is a folder with {MODEL} and {WEIGHTS}")
    document = read_document(folder / MODEL)
    weights = read_bytes(folder / WEIGHTS)
    reader = Reader(folder, weights)
    try:
        obj = reader.node(document["model"], "model")
    except RecursionError:
        raise ModelFileError(f"{folder / MODEL}: field 'model' is nested too deeply") from None
    reader.finish()
    expected = checksum(document, weights)
    if document["checksum"] != expected:
        raise ModelFileError(
            f"{folder / MODEL}: field 'checksum' does not fit the contents of {MODEL} and {WEIGHTS}; "
            "one of them was changed after it was saved"
        )
    return obj


def _pretty(node: Any, indent: int = 0, used: int = 0) -> str:
    """JSON with every object and list on one line where it fits; `used` columns of the first line are taken."""
    line = json.dumps(node, ensure_ascii=False, allow_nan=False)
    if len(line) + used < 120 or not node or not isinstance(node, (dict, list)):
        return line
    pad = " " * (indent + 2)
    if isinstance(node, dict):
        keys = [f"{json.dumps(key, ensure_ascii=False)}: " for key in node]
        parts = [
            key + _pretty(v, indent + 2, indent + 2 + len(key)) for key, v in zip(keys, node.values(), strict=True)
        ]
    else:
        parts = [_pretty(v, indent + 2, indent + 2) for v in node]
    left, right = "{}" if isinstance(node, dict) else "[]"
    return left + "\n" + ",\n".join(pad + part for part in parts) + "\n" + " " * indent + right


def _check_target(target: Path, overwrite: bool) -> None:
    """Nothing but a model may be replaced, and that only where the caller allows it."""
    if not target.parent.is_dir():
        raise FileNotFoundError(f"cannot save to {target}: the folder {target.parent} does not exist; create it first")
    place = existing(target)
    if not place.exists():
        return
    if not place.is_dir():
        raise FileExistsError(f"cannot save to {target}: it is a file, and a model is a folder; choose another path")
    names = {entry.name for entry in place.iterdir()}
    if not names:
        return
    if foreign := sorted(names - {MODEL, WEIGHTS}):
        raise FileExistsError(
            f"cannot save to {target}: it holds {foreign[0]}, no part of a model; choose another path"
        )
    if not _is_ours(place / MODEL):
        raise FileExistsError(f"cannot save to {target}: {MODEL} there is not from pushforward; choose another path")
    if not overwrite:
        raise FileExistsError(
            f"cannot save to {target}: a model is already there; give overwrite=True to replace it, or another path"
        )


def _is_ours(file: Path) -> bool:
    """By its head alone, so that a model that was cut short can be replaced."""
    if not file.is_file():
        return False
    with file.open("rb") as stream:
        return f'"format": "{FORMAT}"'.encode() in stream.read(100)
