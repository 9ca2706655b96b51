"""A model with every way of combining maps, and what it means that two are the same."""

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pushforward as pf
from pushforward.bijections import Affine, Chain, Exp, Identity, Invert, Scan
from pushforward.serialization.nodes import MODEL
from pushforward.trees import stack


def same(a: Any, b: Any) -> bool:
    """Equal in structure, types, dtypes and bits."""
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    pairs = list(zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))
    return all(type(u) is type(v) and same_leaf(u, v) for u, v in pairs)


def same_leaf(u: Any, v: Any) -> bool:
    if isinstance(u, (jax.Array, np.ndarray)):
        u, v = np.asarray(u), np.asarray(v)
        if u.dtype.kind in "OU":
            return bool(u.shape == v.shape and u.dtype.kind == v.dtype.kind and (u == v).all())
        return bool(u.dtype == v.dtype and u.shape == v.shape and u.tobytes() == v.tobytes())
    return bool(u == v) or (u != u and v != v)


def affine(scale: float) -> Affine:
    return Affine(jnp.array([0.5, -1.0]), jnp.full(2, scale))


def model() -> Chain:
    """Every way of combining maps, with frozen and trainable leaves."""
    layers = Scan(stack([affine(2.0), affine(3.0), affine(0.1)]))
    return Chain([Invert(Exp((2,))), layers, Identity((2,))])


def edit(folder: Path, change: Any) -> None:
    """Rewrite model.json after `change(document)`."""
    document = json.loads((folder / MODEL).read_text())
    change(document)
    (folder / MODEL).write_text(json.dumps(document))


def roundtrip(obj: Any, folder: Path) -> Any:
    """What comes back after saving `obj` into `folder`; it must be the same."""
    pf.save(obj, folder)
    loaded = pf.load(folder)
    assert same(loaded, obj)
    return loaded
