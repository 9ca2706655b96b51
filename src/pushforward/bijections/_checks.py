"""Checks that constructors share: what a parameter must be, said in one way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray

from pushforward import trees


def floating(name: str, value: Any) -> Array:
    """`value` as a floating array.

    Raises:
        ValueError: it holds integers or anything else that does not train.
    """
    try:
        array = jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be a floating array; got {value!r}") from error
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise ValueError(f"{name} must be floating; got dtype {array.dtype}; write 1.0 for 1, or cast it")
    return array


def require(name: str, value: Any, holds: Callable[[NDArray[Any]], Any], expected: str) -> None:
    """Check a parameter that can be looked at; a traced one passes.

    Arguments:
        name: of the parameter, for the message.
        value: the parameter.
        holds: from it, as NumPy array, to one truth value or one for each entry.
        expected: what it must be, as the message says it.

    Raises:
        ValueError: `holds` is false somewhere.
    """
    if trees.is_concrete(value) and not np.all(holds(np.asarray(value))):
        raise ValueError(f"{name} must be {expected}; got {value}")


def require_shape(name: str, value: Array, shape: tuple[int, ...]) -> None:
    """Check the shape of a parameter.

    Raises:
        ValueError: it has another.
    """
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got shape {value.shape}")


def square(name: str, value: Any) -> Array:
    """`value` as a square floating matrix of finite numbers.

    Raises:
        ValueError: it is not one.
    """
    matrix = floating(name, value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix; got shape {matrix.shape}")
    require(name, matrix, np.isfinite, "finite")
    return matrix


def whole(name: str, value: Any, least: int) -> int:
    """`value` as a whole number.

    Raises:
        ValueError: it is none, or less than `least`.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}")
    return int(value)


def limits(dtype: Any) -> Any:
    """What `jnp.finfo` says of a floating dtype."""
    return jnp.finfo(dtype)  # type: ignore[no-untyped-call]
