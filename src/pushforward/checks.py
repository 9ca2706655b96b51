"""Checks of arguments, one of each kind; every message names the argument, its value and what was expected."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray


def is_concrete(*values: Any) -> bool:
    """Whether all values can be looked at, so that a constructor may check them (no tracers)."""
    return not any(isinstance(v, jax.core.Tracer) for v in values)


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number, and no truth value, of at least so much."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


def check_whole(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as a whole number; neither True, which would pass for 1, nor 2.0.

    Raises:
        ValueError: it is none, or less than `least` or more than `most`.
    """
    if not is_whole(value, least) or (most is not None and int(value) > most):
        limit = "" if most is None else f" and at most {most}"
        raise ValueError(f"{name} must be a whole number of at least {least}{limit}; got {value!r}")
    return int(value)


def check_number(name: str, value: Any, expected: str, holds: Callable[[float], bool]) -> float:
    """`value` as a number in a range; a truth value is none.

    Arguments:
        name: of the argument, for the message.
        value: the argument.
        expected: the range in words, such as "positive and finite".
        holds: whether a number lies in it.

    Raises:
        ValueError: it is no number, or outside.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, numbers.Real):
        raise ValueError(f"{name} must be a number, {expected}; got {value!r}")
    if not holds(float(value)):
        raise ValueError(f"{name} must be {expected}; got {value!r}")
    return float(value)


def check_positive(name: str, value: Any) -> float:
    """`value` as a positive, finite number.

    Raises:
        ValueError: it is none.
    """
    return check_number(name, value, "positive and finite", lambda v: 0 < v < math.inf)


def check_key(key: Any) -> PRNGKeyArray:
    """`key` as a JAX random key, of either kind.

    Raises:
        ValueError: it is none, such as a whole number.
    """
    if isinstance(key, jax.Array | np.ndarray):
        typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
        if key.shape == () if typed else (key.dtype == jnp.uint32 and key.ndim == 1):
            return jnp.asarray(key)
    got = f"an array of shape {key.shape} of {key.dtype}" if isinstance(key, jax.Array | np.ndarray) else repr(key)
    raise ValueError(f"key must be one JAX random key, such as jax.random.key(0); got {got}")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """`value`, which is one of some names.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}; got {value!r}")
    return value


def check_sizes(name: str, sizes: Any) -> tuple[int, ...]:
    """Sizes of hidden layers.

    Raises:
        ValueError: they are not a sequence of whole numbers of at least 1.
    """
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not all(is_whole(size, 1) for size in sizes):
        raise ValueError(f"{name} must be a sequence of whole numbers of at least 1, such as (64, 64); got {sizes!r}")
    return tuple(int(size) for size in sizes)


def check_shape(name: str, shape: Any) -> tuple[int, ...]:
    """An event shape: a tuple of whole numbers, () for a scalar.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(shape, tuple) or not all(is_whole(n, 0) for n in shape):
        raise ValueError(f"{name} must be a tuple of whole numbers, () for a scalar; got {shape!r}")
    return shape


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
    if is_concrete(value) and not np.all(holds(np.asarray(value))):
        raise ValueError(f"{name} must be {expected}; got {value}")


def require_shape(name: str, value: Array, shape: tuple[int, ...]) -> None:
    """Check the shape of a parameter.

    Raises:
        ValueError: it has another.
    """
    if value.shape != shape:
        raise ValueError(f"{name} must have shape {shape}; got shape {value.shape}")


def square_matrix(name: str, value: Any) -> Array:
    """`value` as a square floating matrix of finite numbers.

    Raises:
        ValueError: it is not one.
    """
    matrix = floating(name, value)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be a square matrix; got shape {matrix.shape}")
    require(name, matrix, np.isfinite, "finite")
    return matrix


def limits(dtype: Any) -> Any:
    """What `jnp.finfo` says of a floating dtype."""
    return jnp.finfo(dtype)  # type: ignore[no-untyped-call]
