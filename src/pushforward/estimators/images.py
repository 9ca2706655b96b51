"""Rows that are images: their shape, what their pixels keep to, and pixels in common units."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pushforward.bijections import Affine
from pushforward.data.columns import Bounds, Columns, FloatArray, as_float
from pushforward.networks import image_sides


def check_image(image_shape: Any, n_columns: int) -> tuple[int, int, int]:
    """Height, width and channels of rows that are images.

    Raises:
        ValueError: it is not two or three positive whole numbers, or their product is not the number of columns.
    """
    sides = image_sides(image_shape)
    if prod(sides) != n_columns:
        raise ValueError(f"image_shape {image_shape!r} makes {prod(sides)} pixels, and a row has {n_columns} columns")
    return sides


def image_bounds(x: FloatArray) -> Bounds | None:
    """What pixels keep to where nobody says: 0 to 255 if they are bytes, 0 to 1 if they are shares, else nothing."""
    low, high = x.min(), x.max()
    if low >= 0 and high <= 1:
        return (0, 1)
    return (0, 255) if low >= 0 and 16 < high <= 255 and bool((x == np.round(x)).all()) else None


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
