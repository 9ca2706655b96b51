"""Working in another precision than the user does, without either one reaching the other's functions."""

from __future__ import annotations

import contextlib
import functools
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import jax
import numpy as np


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

    The table of these readers is no stable part of JAX. Where it is not there, or not as it is known here, JAX is left
    as it is, fits work as ever, and a warning says, once, what may then go wrong.
    """
    try:
        from jax.interpreters.xla import canonicalize_dtype_handlers

        handlers: Any = canonicalize_dtype_handlers
        read = _reader(type(handlers[np.ndarray](np.zeros(1))))
        if not np.array_equal(read(np.zeros(1)), np.zeros(1)):
            raise TypeError("a typed view of an array is not like it")
        handlers[np.ndarray] = read
    except (ImportError, AttributeError, LookupError, TypeError, ValueError) as error:
        warnings.warn(
            f"JAX {jax.__version__} reads NumPy arrays in a way that is not known here ({error}), so that a function "
            "that holds some may not run in two precisions in one program; where it fails with unequal dtypes, let it "
            "hold jax.numpy arrays, or switch jax_enable_x64 on from the start",
            RuntimeWarning,
            stacklevel=3,
        )


def _reader(typed: Callable[[np.ndarray], Any]) -> Callable[[np.ndarray], Any]:
    """A function from NumPy arrays to typed views of them, one for each array and precision while it is held."""
    kept: dict[int, tuple[weakref.ref[np.ndarray], weakref.WeakValueDictionary[np.dtype, Any]]] = {}

    def read(array: np.ndarray) -> Any:
        dtype, place = jax.dtypes.canonicalize_dtype(array.dtype), id(array)
        if place not in kept:
            # the entry goes with the array, before another can take its place in memory
            kept[place] = weakref.ref(array, lambda _: kept.pop(place, None)), weakref.WeakValueDictionary()
        views = kept[place][1]
        result = views.get(dtype)
        if result is None:
            views[dtype] = result = typed(np.asarray(array, dtype))
        return result

    return read
