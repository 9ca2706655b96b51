"""Images as rows of a table: their shape, what their pixels keep to, and what is told of them."""

from __future__ import annotations

import warnings
from math import log, prod
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array
from numpy.typing import NDArray
from scipy.special import ndtr

from pushforward.bijections import Affine
from pushforward.data.columns import Bounds, Columns, FloatArray, as_float
from pushforward.estimators.build import HALF_WIDTH
from pushforward.networks import image_sides

LEVELS = 256  # of a pixel, where its values are no steps
BINS = 24  # of the spline of all pixels
LEAST_BIN = 2e-3  # share of its range
MOST_CHANNELS = 4  # red, green, blue and how opaque


def check_image(image_shape: Any, n_columns: int) -> tuple[int, int, int]:
    """Height, width and channels of rows that are images.

    Raises:
        ValueError: it is not two or three positive whole numbers, their product is not the number of columns, or
            channels come first.
    """
    sides = image_sides(image_shape)
    if sides[0] <= MOST_CHANNELS < min(sides[1:]):
        raise ValueError(
            f"image_shape {image_shape!r} has its channels first; they come last, {(*sides[1:], sides[0])}, in rows "
            f"too: give X.reshape(-1, {', '.join(map(str, sides))}).transpose(0, 2, 3, 1)"
        )
    if prod(sides) != n_columns:
        raise ValueError(f"image_shape {image_shape!r} makes {prod(sides)} pixels, and a row has {n_columns} columns")
    return sides


def as_images(X: Any) -> Any:
    """A list of images, or an array of JAX of them, as one of NumPy; whatever else as it is.

    Raises:
        ValueError: images of several sizes.
    """
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 1:
        X = list(X)
    if isinstance(X, list | tuple) and len(X) and np.ndim(X[0]) > 1:
        each = [np.asarray(image) for image in X]
        sizes = sorted({image.shape for image in each})
        if len(sizes) > 1:
            named = ", ".join(" x ".join(map(str, size)) for size in sizes[:5])
            raise ValueError(f"images of {len(sizes)} sizes: {named}; crop or pad them to one")
        return np.stack(each)
    return np.asarray(X) if isinstance(X, jax.Array) and X.ndim > 2 else X


def image_rows(X: Any, image_shape: Any) -> tuple[Any, tuple[int, ...] | None]:
    """Images as rows of a table, and their shape; whatever else is a table as it is.

    Arguments:
        X: shape (n, height, width) or (n, height, width, channels), a list of images, or a table.
        image_shape: that was said, or None.

    Raises:
        ValueError: images of several sizes, channels first, another shape than was said, or a single image.
    """
    X = as_images(X)
    known = None if image_shape is None else image_sides(image_shape)
    if known is not None and isinstance(X, np.ndarray | jax.Array) and X.ndim in (2, 3):
        fits = X.shape[1] == prod(known) if X.ndim == 2 else (*X.shape[1:], 1) == known
        if not fits and (*X.shape, 1)[:3] == known:
            raise ValueError(f"X of shape {X.shape} is a single image; expected several: give X[None]")
    if not isinstance(X, np.ndarray) or X.ndim < 3:
        return X, image_shape
    shape = X.shape[1:]
    if X.ndim == 4 and shape[0] <= MOST_CHANNELS < min(shape[1:]):
        raise ValueError(
            f"images of shape {shape} have their channels first; they come last: give X.transpose(0, 2, 3, 1)"
        )
    if X.ndim > 4:
        raise ValueError(f"images must have shape (n, height, width) or (n, height, width, channels); got {X.shape}")
    if known is not None and known != (*shape, 1)[:3]:
        raise ValueError(f"image_shape is {tuple(image_shape)}, and the images have shape {shape}; they must agree")
    return X.reshape(len(X), prod(shape)), tuple(shape)


def image_bounds(x: FloatArray) -> Bounds | None:
    """What pixels keep to where nobody says: 0 to 255 if they are bytes, 0 to 1 if they are shares, else nothing."""
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:
        return (0, 1)
    whole = bool((x == np.round(x)).all())
    if low >= 0 and 16 < high <= 255 and whole:
        return (0, 255)
    if not whole:
        warnings.warn(
            f"pixels from {low:g} to {high:g} are neither bytes, 0 to 255, nor shares, 0 to 1, and are modelled as "
            "numbers without bounds; rescale them, or give bounds=(low, high)",
            stacklevel=4,
        )
    return None


def pixels(columns: Columns, s: NDArray[np.floating]) -> Affine:
    """From pixels in common units, about 0 to 1, to standard units.

    Arguments:
        columns: of the table.
        s: rows in standard units, shape (n, D).
    """
    raw = s * columns.scale + columns.shift
    low, high = (columns.low.min(), columns.high.max()) if np.isfinite([columns.low, columns.high]).all() else (0, 0)
    if not low < high:
        low, high = float(raw.min()), float(raw.max())
    return Affine(as_float((low - columns.shift) / columns.scale), as_float((high - low) / columns.scale))


class PixelStart(NamedTuple):
    """Where a flow of images starts, between its noise and rows in standard units.

    Convolutions see pixels alike wherever they are, so all have the same units, and one spline takes normal noise to
    what all pixels together are: the noise within bytes that are zero fills as much of the logarithms of odds as ink.

    Arguments:
        location, scale: by which common units become those of each pixel, shape (D,).
        marginal: widths and heights of the bins of the spline, shape (BINS,), and slopes at its inner knots, shape
            (BINS - 1,); None of levels, which stay as they are.
    """

    location: FloatArray
    scale: FloatArray
    marginal: tuple[Array, Array, Array] | None


def pixel_start(columns: Columns, z: FloatArray) -> PixelStart:
    """Read the start of a flow off some images.

    Arguments:
        columns: of the table.
        z: rows in standard units, unbounded, shape (n, D).
    """
    if columns.flat:
        return PixelStart(columns.middles(columns.low), columns.step / columns.scale, None)
    shift, scale = (columns.inner_shift, columns.inner_scale) if columns.bounded else (columns.shift, columns.scale)
    raw = z * scale + shift
    centre, spread = raw.mean(), raw.std()
    knots = np.linspace(-HALF_WIDTH, HALF_WIDTH, BINS + 1)
    widths, least = np.diff(knots), LEAST_BIN * 2 * HALF_WIDTH
    reached = np.clip(np.quantile((raw - centre) / spread, ndtr(knots[1:-1])), -HALF_WIDTH, HALF_WIDTH)
    heights = np.diff(reached, prepend=-HALF_WIDTH, append=HALF_WIDTH)
    heights = least + heights * (1 - BINS * LEAST_BIN)
    slopes = heights / widths
    marginal = as_float(widths), as_float(heights), as_float(np.sqrt(slopes[1:] * slopes[:-1]))
    return PixelStart((centre - shift) / scale, spread / scale, marginal)


def bits_per_dim(columns: Columns, log_density: FloatArray) -> FloatArray:
    """Log-densities as bits for each pixel and channel, of levels where all pixels have the same, or of 256 of them.

    Arguments:
        columns: that the images are.
        log_density: in nats per unit volume of the data's units, shape (n,).

    Raises:
        ValueError: pixels are numbers without steps or bounds.
    """
    cell, share = columns.cell, (columns.high - columns.low) / LEVELS
    step = cell if 0 < cell.min() == cell.max() else np.where(cell > 0, np.minimum(cell, share), share)
    if not np.isfinite(step).all():
        raise ValueError(
            "bits per dimension are of pixels in levels, or between two bounds; these are numbers without bounds: give "
            "bytes, shares from 0 to 1, or bounds=(low, high)"
        )
    bits: FloatArray = -(log_density + np.log(step).sum()) / (columns.n * log(2))
    return bits


def great_circle(a: FloatArray, b: FloatArray, n: int) -> FloatArray:
    """Points from a to b along the arc between their directions, their lengths in equal steps.

    Arguments:
        a, b: shape (D,).
        n: points, both ends included.

    Returns:
        Shape (n, D).
    """
    lengths = np.linalg.norm(a), np.linalg.norm(b)
    share = np.linspace(0, 1, n)[:, None]
    points: FloatArray = (1 - share) * a + share * b
    if min(lengths) == 0:
        return points
    angle = np.arccos(np.clip(a @ b / (lengths[0] * lengths[1]), -1, 1))
    if np.sin(angle) < 1e-6:  # one direction, or opposite ones, between which there are many arcs
        return points
    arc = (np.sin((1 - share) * angle) * a / lengths[0] + np.sin(share * angle) * b / lengths[1]) / np.sin(angle)
    between = arc * ((1 - share) * lengths[0] + share * lengths[1])
    points[1:-1] = between[1:-1]  # both ends to the last bit
    return points
