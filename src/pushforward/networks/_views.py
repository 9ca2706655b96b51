"""Shifted views of images, and their sums: what convolutions are made of besides products of matrices.

Both are primitives of JAX, each the other's transpose: derived from pads and slices, the transposes would be many times
slower than the operations themselves.
"""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float


def views(image: Float[Array, "*batch h w c"], side: int) -> Float[Array, "*batch h w views"]:
    """The image seen from every place of a square kernel, zeros outside; views beside each other, row by row.

    Arguments:
        image: shape (*batch, H, W, C).
        side: of the kernel, odd.

    Returns:
        Shape (*batch, H, W, side² · C).
    """
    result: Array = views_p.bind(image, side=side)
    return result


def sum_of_views(shares: Float[Array, "*batch h w views"], side: int) -> Float[Array, "*batch h w c"]:
    """What every pixel is given by the views in which it is seen: the transpose of `views`.

    Arguments:
        shares: shape (*batch, H, W, side² · C).
        side: of the kernel, odd.

    Returns:
        Shape (*batch, H, W, C).
    """
    result: Array = sum_p.bind(shares, side=side)
    return result


def _padded(image: Array, side: int) -> Array:
    around = side // 2
    return jnp.pad(image, [(0, 0)] * (image.ndim - 3) + [(around, around)] * 2 + [(0, 0)])


def _views(image: Array, *, side: int) -> Array:
    height, width = image.shape[-3:-1]
    padded = _padded(image, side)
    shifted = [padded[..., i : i + height, j : j + width, :] for i in range(side) for j in range(side)]
    return jnp.concatenate(shifted, axis=-1)


def _sum_of_views(shares: Array, *, side: int) -> Array:
    height, width, n = *shares.shape[-3:-1], shares.shape[-1] // side**2
    padded, last = _padded(shares, side), side - 1
    places = [(i, j) for i in range(side) for j in range(side)]
    seen = [
        padded[..., last - i : last - i + height, last - j : last - j + width, k * n : (k + 1) * n]
        for k, (i, j) in enumerate(places)
    ]
    total: Array = sum(seen[1:], start=seen[0])
    return total


def _linear(name: str, function: Any, channels: Any) -> Any:
    """A primitive that is linear in one image, whose first axes are batches."""
    primitive: Any = Primitive(name)  # which JAX gives no types

    def abstract(image: ShapedArray, *, side: int) -> ShapedArray:
        return ShapedArray((*image.shape[:-1], channels(image.shape[-1], side)), image.dtype)

    def batched(arguments: Any, axes: Any, *, side: int) -> tuple[Any, int]:
        return primitive.bind(jnp.moveaxis(arguments[0], axes[0], 0), side=side), 0

    primitive.def_impl(function)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


views_p = _linear("views", _views, lambda n, side: n * side**2)
sum_p = _linear("sum_of_views", _sum_of_views, lambda n, side: n // side**2)
for _primitive, _transpose in ((views_p, sum_of_views), (sum_p, views)):
    linear: Any = ad.deflinear2
    linear(_primitive, lambda g, image, *, side, transpose=_transpose: [transpose(g, side)])
