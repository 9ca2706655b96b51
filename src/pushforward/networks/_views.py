"""Shifted views of images, and their sums: what convolutions are made of besides products of matrices.

Both are primitives of JAX, each the other's transpose: derived from pads and slices, the transposes would be many times
slower than the operations themselves.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

AT_ONCE = 2**18  # numbers of the views of some images
WIDE = 16  # channels of the thinner side from which on a product with its views is slower than a convolution

Taps = tuple[tuple[int, int], ...]  # where a pixel looks: rows and columns from itself


def square(side: int) -> Taps:
    """The places of a square kernel of odd side, row by row."""
    reach = range(-(side // 2), side // 2 + 1)
    return tuple((i, j) for i in reach for j in reach)


def views(image: Float[Array, "*batch h w c"], taps: Taps) -> Float[Array, "*batch h w views"]:
    """The image seen from every place of a kernel, zeros outside; views beside each other.

    Arguments:
        image: shape (*batch, H, W, C).
        taps: the places.

    Returns:
        Shape (*batch, H, W, len(taps) · C).
    """
    result: Array = views_p.bind(image, taps=taps)
    return result


def sum_of_views(shares: Float[Array, "*batch h w views"], taps: Taps) -> Float[Array, "*batch h w c"]:
    """What every pixel is given by the views in which it is seen: the transpose of `views`.

    Arguments:
        shares: shape (*batch, H, W, len(taps) · C).
        taps: the places.

    Returns:
        Shape (*batch, H, W, C).
    """
    result: Array = sum_p.bind(shares, taps=taps)
    return result


def product(image: Float[Array, "*batch h w c_in"], matrix: Float[Array, "c_in c_out"]) -> Array:
    """A product at every pixel, of all pixels at once, whose gradients then are plain products too."""
    return (image.reshape(-1, image.shape[-1]) @ matrix).reshape(*image.shape[:-1], matrix.shape[-1])


def convolve_at(image: Float[Array, "*batch h w c_in"], kernel: Float[Array, "taps c_in c_out"], taps: Taps) -> Array:
    """A convolution whose kernel has these places only, zeros outside.

    Where one side is thin, one product with views of it. Else XLA's own convolution, which is then five times as fast,
    but not its derivative by the kernel, which is slow on a CPU: that is products with views too.

    Arguments:
        image: shape (*batch, H, W, C_in).
        kernel: a matrix for each tap, shape (len(taps), C_in, C_out).
        taps: the places.

    Returns:
        Shape (*batch, H, W, C_out).
    """
    if len(taps) > 1 and min(kernel.shape[1:]) >= WIDE:
        same = jnp.promote_types(image.dtype, kernel.dtype)  # XLA takes no two precisions
        result: Array = convolution_p.bind(image.astype(same), kernel.astype(same), taps=taps)
        return result
    return _by_views(image, kernel, taps)


def _by_views(image: Array, kernel: Array, taps: Taps) -> Array:
    _, n_in, n_out = kernel.shape
    if n_in <= n_out:
        return product(views(image, taps), kernel.reshape(-1, n_out))
    shares = product(image, jnp.moveaxis(kernel, 0, 1).reshape(n_in, -1))
    return sum_of_views(shares, _turned(taps))


def _turned(taps: Taps) -> Taps:
    """From where a pixel is seen."""
    return tuple((-i, -j) for i, j in taps)


def _by_xla(image: Array, kernel: Array, *, taps: Taps) -> Array:
    """XLA's convolution, of the rectangle around the taps."""
    rows, columns = zip(*taps, strict=True)
    (top, bottom), (left, right) = (min(rows), max(rows)), (min(columns), max(columns))
    whole = jnp.zeros((bottom - top + 1, right - left + 1, *kernel.shape[1:]), kernel.dtype)
    whole = whole.at[tuple(i - top for i in rows), tuple(j - left for j in columns)].set(kernel)
    flat = image.reshape(-1, *image.shape[-3:])
    pads, names = ((-top, bottom), (-left, right)), ("NHWC", "HWIO", "NHWC")
    out = lax.conv_general_dilated(flat, whole, (1, 1), pads, dimension_numbers=names)
    return out.reshape(*image.shape[:-1], kernel.shape[-1])


def _shifted(image: Array, taps: Taps) -> list[Array]:
    """What is seen at each tap."""
    (height, width), (rows, columns) = image.shape[-3:-1], zip(*taps, strict=True)
    top, left = max(0, -min(rows)), max(0, -min(columns))
    pads = [(top, max(0, *rows, 0)), (left, max(0, *columns, 0)), (0, 0)]
    padded = jnp.pad(image, [(0, 0)] * (image.ndim - 3) + pads)
    return [padded[..., top + i : top + i + height, left + j : left + j + width, :] for i, j in taps]


def _views(image: Array, *, taps: Taps) -> Array:
    return jnp.concatenate(_shifted(image, taps), axis=-1)


def _sum_of_views(shares: Array, *, taps: Taps) -> Array:
    (height, width), (rows, columns) = shares.shape[-3:-1], zip(*taps, strict=True)
    top, left, n = max(0, *rows, 0), max(0, *columns, 0), shares.shape[-1] // len(taps)
    pads = [(top, max(0, -min(rows))), (left, max(0, -min(columns))), (0, 0)]
    padded = jnp.pad(shares, [(0, 0)] * (shares.ndim - 3) + pads)
    seen = [
        padded[..., top - i : top - i + height, left - j : left - j + width, k * n : (k + 1) * n]
        for k, (i, j) in enumerate(taps)
    ]
    total: Array = sum(seen[1:], start=seen[0])
    return total


def _linear(name: str, function: Any, channels: Any) -> Any:
    """A primitive that is linear in one image, whose first axes are batches."""
    primitive: Any = Primitive(name)  # which JAX gives no types

    def abstract(image: ShapedArray, *, taps: Taps) -> ShapedArray:
        return ShapedArray((*image.shape[:-1], channels(image.shape[-1], taps)), image.dtype)

    def batched(arguments: Any, axes: Any, *, taps: Taps) -> tuple[Any, int]:
        return primitive.bind(jnp.moveaxis(arguments[0], axes[0], 0), taps=taps), 0

    primitive.def_impl(function)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, mlir.lower_fun(function, multiple_results=False))
    return primitive


views_p = _linear("views", _views, lambda n, taps: n * len(taps))
sum_p = _linear("sum_of_views", _sum_of_views, lambda n, taps: n // len(taps))
for _primitive, _transpose in ((views_p, sum_of_views), (sum_p, views)):
    linear: Any = ad.deflinear2
    linear(_primitive, lambda g, image, *, taps, transpose=_transpose: [transpose(g, taps)])


def _slopes(g: Array, image: Array, taps: Taps) -> Array:
    """The derivative by the kernel, some images at a time: their views stay close to the processor."""
    (height, width, n_in), n_out = image.shape[-3:], g.shape[-1]
    n = math.prod(image.shape[:-3])
    most = max(1, AT_ONCE // (height * width * n_in * len(taps)))
    some = max((k for k in range(1, min(most, n) + 1) if n % k == 0), default=1)  # of no images too

    def add(total: Array, at: tuple[Array, ...]) -> tuple[Array, None]:
        g, image = at
        seen = views(image, taps)
        # so is faster than the other way round
        return total + g.reshape(-1, n_out).T @ seen.reshape(-1, seen.shape[-1]), None

    parts = tuple(a.reshape(n // some, some, *a.shape[-3:]) for a in (g, image))
    total, _ = lax.scan(add, jnp.zeros((n_out, len(taps) * n_in), g.dtype), parts)
    return total.T.reshape(len(taps), n_in, n_out)


def _wide() -> Any:
    """A convolution as a primitive, linear in the image and in the kernel."""
    primitive: Any = Primitive("convolution")  # which JAX gives no types

    def abstract(image: ShapedArray, kernel: ShapedArray, *, taps: Taps) -> ShapedArray:
        return ShapedArray((*image.shape[:-1], kernel.shape[-1]), image.dtype)

    def batched(arguments: Any, axes: Any, *, taps: Taps) -> tuple[Any, int]:
        (image, kernel), (at, of_kernel) = arguments, axes
        if of_kernel is None:
            return primitive.bind(jnp.moveaxis(image, at, 0), kernel, taps=taps), 0
        return jax.vmap(lambda i, k: _by_views(i, k, taps), axes)(image, kernel), 0

    def of_image(g: Array, _: Any, kernel: Array, *, taps: Taps) -> Array:
        back: Array = primitive.bind(g, jnp.swapaxes(kernel, 1, 2), taps=_turned(taps))
        return back

    def of_kernel(g: Array, image: Array, _: Any, *, taps: Taps) -> Array:
        return _slopes(g, image, taps)

    bilinear: Any = ad.defbilinear
    bilinear(primitive, of_image, of_kernel)
    primitive.def_impl(_by_xla)
    primitive.def_abstract_eval(abstract)
    batching.primitive_batchers[primitive] = batched
    mlir.register_lowering(primitive, mlir.lower_fun(_by_xla, multiple_results=False))
    return primitive


convolution_p = _wide()
