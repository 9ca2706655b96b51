"""The two files of a model folder, checked as files: what can be told of a model without building it or loading JAX."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, NoReturn

from pushforward import __version__
from pushforward.serialization.folders import existing

MODEL, WEIGHTS = "model.json", "weights.safetensors"
FORMAT = "pushforward-model"
FORMAT_VERSION = 1


class ModelFileError(ValueError):
    """A model folder that cannot be read; the message names the file and the field."""


def read_bytes(file: Path) -> bytes:
    """One of the two files.

    Raises:
        ModelFileError: it is missing, or cannot be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise ModelFileError(f"{file}: missing; a model is a folder with {MODEL} and {WEIGHTS}") from None
    except OSError as error:
        raise ModelFileError(f"{file}: cannot be read: {error.strerror or error}") from error


def read_document(file: Path) -> dict[str, Any]:
    """The checked top level of `model.json`.

    Raises:
        ModelFileError: it is missing, cut short, no model, or of a newer format.
    """

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON number")

    try:
        document = json.loads(read_bytes(file), parse_constant=refuse)
    except ModelFileError:
        raise
    except (ValueError, RecursionError) as error:
        raise ModelFileError(f"{file}: not complete JSON ({error}); it was cut short or changed") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ModelFileError(f"{file}: field 'format' is not {FORMAT!r}; this is no model of pushforward")
    version = document.get("format_version")
    if type(version) is not int or version < 1:
        raise ModelFileError(f"{file}: field 'format_version' is {version!r}; expected a whole number from 1")
    if version > FORMAT_VERSION:
        raise ModelFileError(
            f"{file}: field 'format_version' is {version}, written by pushforward {document.get('package_version')}; "
            f"this is pushforward {__version__}, which reads up to {FORMAT_VERSION}: upgrade pushforward to load it"
        )
    expected = {"format", "format_version", "package_version", "checksum", "model"}
    for key in sorted(expected ^ document.keys()):
        raise ModelFileError(f"{file}: field {key!r} is {'missing' if key in expected else 'unexpected'}")
    return document


def checksum(document: dict[str, Any], weights: bytes) -> str:
    """Of both files; the document's own checksum, if it has one, is no part of it."""
    document = {key: value for key, value in document.items() if key != "checksum"}
    digest = hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())
    digest.update(weights)
    return digest.hexdigest()


def saved_description(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """What the estimator in a folder says of itself, as it was saved, by the names of its `describe`.

    Arguments:
        path: a folder that `save` wrote.

    Returns:
        None where there is no such thing: a model of before, another one, or a damaged folder, of which `load` tells
        what is wrong.
    """
    folder = existing(Path(os.path.realpath(path)))
    try:
        document, weights = read_document(folder / MODEL), read_bytes(folder / WEIGHTS)
        if document["checksum"] != checksum(document, weights):
            return None
        match document["model"]:
            case {"class": str(name), "state": {"description": {"dict": dict(parts)}}} if name.startswith(
                "estimators."
            ):
                return {key: _plain(node) for key, node in parts.items()}
    except (ModelFileError, RecursionError):
        return None
    return None


def _plain(node: Any) -> Any:
    """A node of words, numbers, None, and tuples of them."""
    match node:
        case list():
            return tuple(map(_plain, node))
        case {"float": str(text)}:
            return float(text)
        case None | bool() | int() | float() | str():
            return node
    raise ModelFileError(f"holds {json.dumps(node)[:80]}, no plain value")
