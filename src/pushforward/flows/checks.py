"""Checks of sizes, which all recipes share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
T = TypeVar("T")


def checked(recipe: Callable[P, T]) -> Callable[P, T]:
    """A recipe that first checks what all of them take: dim, cond_dim, n_layers, hidden_sizes.

    Raises:
        ValueError: one of them is not a whole number of at least 1 (or a sequence of such, or None where it may be).
    """

    @functools.wraps(recipe)
    def checking(*args: P.args, **options: P.kwargs) -> T:
        given: dict[str, Any] = {"dim": args[1] if len(args) > 1 else options.get("dim", 1), **options}
        for name in ("dim", "n_layers", "cond_dim"):
            value = given.get(name, 1)
            if not (is_whole(value, 1) or (value is None and name == "cond_dim")):
                none = ", or None" if name == "cond_dim" else ""
                raise ValueError(f"{name} must be a whole number of at least 1{none}; got {value!r}")
        check_sizes("hidden_sizes", given.get("hidden_sizes", ()))
        return recipe(*args, **options)

    return checking


def check_sizes(name: str, sizes: Any) -> tuple[int, ...]:
    """Sizes of hidden layers.

    Raises:
        ValueError: they are not a sequence of whole numbers of at least 1.
    """
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not all(is_whole(size, 1) for size in sizes):
        raise ValueError(f"{name} must be a sequence of whole numbers of at least 1, such as (64, 64); got {sizes!r}")
    return tuple(int(size) for size in sizes)


def is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number, and no truth value, of at least so much."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least
