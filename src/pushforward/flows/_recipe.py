"""What recipes share: checks of sizes, scalar maps, and the choice of the quick direction."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from pushforward.bijections import AbstractMap, Invert
from pushforward.checks import check_choice, check_key, check_sizes, is_whole
from pushforward.networks import image_sides

P = ParamSpec("P")
T = TypeVar("T")


def checked(recipe: Callable[P, T]) -> Callable[P, T]:
    """A recipe that first checks what all of them take: key, dim, cond_dim, n_layers, hidden_sizes.

    Raises:
        ValueError: the key is none, or one of the others is not a whole number of at least 1 (or a sequence of such, or
            None where it may be).
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
        check_key(args[0] if args else options.get("key"))
        return recipe(*args, **options)

    return checking


def quick(bijection: AbstractMap, natural: str, fast: str) -> AbstractMap:
    """A map whose quick direction is the one asked for: the map itself, or its inverse.

    Arguments:
        bijection: the map.
        natural: "density" if its quick direction is data to noise, "sampling" if noise to data.
        fast: the one asked for.

    Raises:
        ValueError: `fast` is neither.
    """
    check_choice("fast", fast, ("density", "sampling"))
    return bijection if fast == natural else Invert(bijection)


def sides_of(dim: int, image_shape: Sequence[int]) -> tuple[int, int, int]:
    """Height, width and channels of events that are flat images.

    Arguments:
        dim: numbers of an event.
        image_shape: (height, width) or (height, width, channels).

    Raises:
        ValueError: these are no sides, or make another number.
    """
    sides = image_sides(image_shape)
    if math.prod(sides) != dim:
        raise ValueError(f"image_shape must make {dim} pixels (and channels), the event's size; got {image_shape!r}")
    return sides
