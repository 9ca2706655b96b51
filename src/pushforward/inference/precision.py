"""Working in another precision than the user does, without either one reaching the other's functions."""

from __future__ import annotations

import contextlib
import functools
import weakref
from typing import Any

import jax
import numpy as np
from jax.interpreters import xla


def double_precision(on: bool) -> contextlib.AbstractContextManager[Any]:
    """A context in which JAX works in double precision, or in single where `on` is False."""
    _keep_precisions_apart()
    context: contextlib.AbstractContextManager[Any] = jax.enable_x64(on)
    return context


@functools.cache
def _keep_precisions_apart() -> None:
    """Let JAX read a NumPy array anew in each precision.

    Where a traced function meets a NumPy array, JAX takes a typed view of it, and hands out the same one for as long as
    any program that holds it lives, also where the precision is another by now: programs of a fit in double precision
    would break the user's own on the same data, and the other way round. Here the precision is part of the key.
    """
    handlers: Any = xla.canonicalize_dtype_handlers
    typed = type(handlers[np.ndarray](np.zeros(1)))
    kept: dict[int, tuple[weakref.ref[np.ndarray], weakref.WeakValueDictionary[np.dtype, np.ndarray]]] = {}

    def read(array: np.ndarray) -> np.ndarray:
        dtype, place = jax.dtypes.canonicalize_dtype(array.dtype), id(array)
        if place not in kept:
            # the entry goes with the array, before another can take its place in memory
            kept[place] = weakref.ref(array, lambda _: kept.pop(place, None)), weakref.WeakValueDictionary()
        views = kept[place][1]
        result = views.get(dtype)
        if result is None:
            views[dtype] = result = typed(np.asarray(array, dtype))
        return result

    handlers[np.ndarray] = read
