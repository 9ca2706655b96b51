"""The tree in `model.json`: objects to nodes, and nodes to objects, without running anything that a file says.

None, booleans, numbers and strings stand for themselves, a JSON list is a tuple, and a JSON object says by its key
what it is: `{"list": [...]}`, `{"dict": {...}}`, `{"items": [[key, value], ...]}` (a dict whose
keys are not all strings), `{"float": "inf"}`, `{"jax": "float32[2,3]"}`, `{"numpy": "float64[5]"}`,
`{"strings": "object[2]", "values": [...]}`, and `{"class": "bijections.Affine", "fields": {...}}` (or `"state"`, for
objects that say themselves what they are made of). Names that have changed since a file was written are read by
`renamed`. The numbers of an array lie in `weights.safetensors` under the
array's path in the tree.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import math
import re
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from pushforward.serialization.documents import MODEL, WEIGHTS, ModelFileError
from pushforward.serialization.registry import PACKAGE, REGISTER, ROOMS, Stateful, class_of, name_of
from pushforward.serialization.renamed import ADDED, field_name, state_of_today

FUNCTIONS = (functools.partial, jax.stages.Wrapped, jax.custom_jvp, jax.custom_vjp, np.ufunc, jnp.ufunc)
_DTYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"}
_DTYPES |= {"float16", "float32", "float64"}
_SPEC = re.compile(r"([a-z0-9]+)\[((?:\d+(?:,\d+)*)?)\]")


def encode(value: Any, path: str, tensors: dict[str, np.ndarray]) -> Any:
    """The node of `value`; its arrays go into `tensors` by path."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, str):
        return value
    if type(value) is float:
        return value if math.isfinite(value) else {"float": str(value)}
    if isinstance(value, np.ndarray) and value.dtype.kind in "OU":
        return _encode_strings(value, path)
    if isinstance(value, (jax.Array, np.ndarray)):
        return _encode_array(value, path, tensors)
    if type(value) is tuple:
        return [encode(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
    if type(value) is list:
        return {"list": [encode(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    if type(value) is dict:
        if all(type(key) is str for key in value):
            return {"dict": {k: encode(v, _join(path, k), tensors) for k, v in value.items()}}
        pairs = [[(f"{path}/{i}/key", k), (f"{path}/{i}", v)] for i, (k, v) in enumerate(value.items())]
        return {"items": [[encode(part, place, tensors) for place, part in pair] for pair in pairs]}
    if isinstance(value, Stateful) and not isinstance(value, type):
        kind, parts = "state", value.to_state()
    elif isinstance(value, eqx.Module):
        kind, parts = "fields", {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif inspect.isroutine(value) or isinstance(value, FUNCTIONS):
        raise TypeError(
            f"cannot save {path}: {value!r} is code, which no file holds; write it as a subclass of equinox.Module "
            f"with __call__, and give that class to {REGISTER}"
        )
    else:
        raise TypeError(
            f"cannot save {path}: {type(value).__module__}.{type(value).__qualname__}; models, arrays and plain values "
            f"can be saved, and modules whose class is given to {REGISTER}"
        )
    name = _class_name(type(value), path)
    return {"class": name, kind: {k: encode(v, _join(path, k), tensors) for k, v in parts.items()}}


def _encode_array(array: Any, path: str, tensors: dict[str, np.ndarray]) -> dict[str, Any]:
    kind = "jax" if isinstance(array, jax.Array) else "numpy"
    if jnp.issubdtype(array.dtype, jax.dtypes.prng_key):
        raise TypeError(f"cannot save {path}: a JAX random key; save jax.random.key_data(key) instead")
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"cannot save {path}: dtype {array.dtype}; expected one of {sorted(_DTYPES)}")
    # a plain copy in C order and native bytes: safetensors writes the memory as it lies
    tensors[path] = np.array(array, dtype=np.dtype(array.dtype.name), order="C")
    return {kind: _spec(tensors[path])}


def _encode_strings(array: np.ndarray, path: str) -> dict[str, Any]:
    values = array.ravel().tolist()
    if not all(type(v) is str for v in values):
        raise TypeError(f"cannot save {path}: an array of dtype {array.dtype} whose elements are not all strings")
    return {"strings": _spec(array, "object" if array.dtype.kind == "O" else "str"), "values": values}


def _class_name(cls: type, path: str) -> str:
    """What `load` finds the class by."""
    name = name_of(cls)
    if name is None:
        raise TypeError(
            f"cannot save {path}: class {cls.__module__}.{cls.__qualname__} could not be found again; only public "
            f"names of {', '.join(f'{PACKAGE}.{room}' for room in ROOMS)} can be saved, and classes given to {REGISTER}"
        )
    return name


def _spec(array: np.ndarray, dtype: str = "") -> str:
    return f"{dtype or array.dtype.name}[{','.join(map(str, array.shape))}]"


def _join(path: str, key: str) -> str:
    return f"{path}/{key.replace('~', '~0').replace('/', '~1')}"  # as in a JSON pointer: no two paths coincide


class Reader:
    """Rebuilds objects from nodes, and keeps account of the tensors it used."""

    def __init__(self, folder: Path, weights: bytes):
        self.folder = folder
        self.used: set[str] = set()
        try:
            self.tensors: dict[str, np.ndarray] = safetensors.numpy.load(weights)
        except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{folder / WEIGHTS}: not a complete safetensors file ({error})") from None

    def fail(self, path: str, problem: str, file: str = MODEL) -> ModelFileError:
        return ModelFileError(f"{self.folder / file}: field '{path}' {problem}")

    def node(self, node: Any, path: str) -> Any:
        match node:
            case None | bool() | int() | float() | str():
                return node
            case list():
                return tuple(self.node(n, f"{path}/{i}") for i, n in enumerate(node))
            case {"float": "inf" | "-inf" | "nan" as text, **rest} if not rest:
                return float(text)
            case {"list": list(values), **rest} if not rest:
                return [self.node(n, f"{path}/{i}") for i, n in enumerate(values)]
            case {"dict": dict(values), **rest} if not rest:
                return {k: self.node(n, _join(path, k)) for k, n in values.items()}
            case {"items": list(pairs), **rest} if not rest:
                return self.items(pairs, path)
            case {"numpy": str(spec), **rest} if not rest:
                return self.array(spec, path).copy()
            case {"jax": str(spec), **rest} if not rest:
                return self.jax_array(self.array(spec, path))
            case {"strings": str(spec), "values": list(values), **rest} if not rest:
                return self.strings(spec, values, path)
            case {"class": str(name), "fields": dict(fields), **rest} if not rest:
                return self.module(name, fields, path)
            case {"class": str(name), "state": dict(state), **rest} if not rest:
                return self.stateful(name, state, path)
        raise self.fail(path, f"holds {json.dumps(node)[:80]}, which is nothing this format knows")

    def items(self, pairs: list[Any], path: str) -> dict[Any, Any]:
        out = {}
        for i, pair in enumerate(pairs):
            if not isinstance(pair, list) or len(pair) != 2:
                raise self.fail(f"{path}/{i}", "is not a pair of key and value")
            key, value = self.node(pair[0], f"{path}/{i}/key"), self.node(pair[1], f"{path}/{i}")
            try:
                out[key] = value
            except TypeError:
                raise self.fail(f"{path}/{i}/key", "cannot be a key") from None
        return out

    def spec(self, spec: str, path: str, dtypes: set[str]) -> tuple[str, tuple[int, ...]]:
        result = _SPEC.fullmatch(spec)
        if not result or result[1] not in dtypes:
            raise self.fail(path, f"has the array type {spec!r}; expected such as float32[2,3]")
        return result[1], tuple(int(n) for n in result[2].split(",") if n)

    def array(self, spec: str, path: str) -> np.ndarray:
        dtype, shape = self.spec(spec, path, _DTYPES)
        if path not in self.tensors:
            raise self.fail(path, f"is missing; {MODEL} expects {spec}", WEIGHTS)
        tensor = self.tensors[path]
        if tensor.dtype.name != dtype or tensor.shape != shape:
            raise self.fail(path, f"is {_spec(tensor)}; {MODEL} expects {spec}", WEIGHTS)
        self.used.add(path)
        return tensor

    def jax_array(self, array: np.ndarray) -> jax.Array:
        # in the precision of the file, whatever JAX makes new arrays in
        with jax.enable_x64(True):
            return jnp.array(array)

    def strings(self, spec: str, values: list[Any], path: str) -> np.ndarray:
        dtype, shape = self.spec(spec, path, {"object", "str"})
        if len(values) != math.prod(shape) or not all(type(v) is str for v in values):
            raise self.fail(path, f"does not hold the strings of {spec}")
        return np.array(values, dtype=object if dtype == "object" else np.str_).reshape(shape)

    def cls(self, name: str, path: str) -> tuple[str, type]:
        """The class of a name in the file, and its name of today."""
        result = class_of(name)
        if result is None:
            own = name.partition(".")[0] not in ROOMS
            hint = f"; if it is a class of your own, import or define it, and give it to {REGISTER}, before you load"
            raise self.fail(path, f"has the unknown class {name!r}{hint if own else ''}")
        return result

    def module(self, name: str, fields: dict[str, Any], path: str) -> Any:
        name, cls = self.cls(name, path)
        if not issubclass(cls, eqx.Module):
            raise self.fail(path, f"has fields, but {name} is no module")
        expected = {f.name for f in dataclasses.fields(cls)}
        values: dict[str | None, Any] = {
            key: ADDED[name][key] for key in expected & ADDED.get(name, {}).keys() - fields.keys()
        }
        places = {key: field_name(name, key, expected) for key in fields}
        for key, today in sorted(places.items()):
            if today is not None and today not in expected:
                raise self.fail(_join(path, key), f"is unknown to {name}")
        for key in sorted(expected - values.keys() - {*places.values()}):
            raise self.fail(_join(path, key), "is missing")
        for key, node in fields.items():
            values[places[key]] = self.node(node, _join(path, key))
        module = object.__new__(cls)  # raw leaves, as saved: __init__ takes true parameters and would transform them
        for key in expected:
            object.__setattr__(module, key, values[key])
        return module

    def stateful(self, name: str, state: dict[str, Any], path: str) -> Any:
        name, cls = self.cls(name, path)
        if not issubclass(cls, Stateful):
            raise self.fail(path, f"has a state, but {name} takes none")
        values = state_of_today(name, {key: self.node(node, _join(path, key)) for key, node in state.items()})
        try:
            return cls.from_state(values)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise self.fail(path, f"does not describe {name}: {error!r}") from error

    def finish(self) -> None:
        """Nothing may be left over."""
        for extra in sorted(self.tensors.keys() - self.used):
            raise self.fail(extra, f"is unknown to {MODEL}", WEIGHTS)
