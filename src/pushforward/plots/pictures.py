"""Images: in a grid, at several temperatures, between two of them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pushforward.plots.samples import image_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TEMPERATURES = (0.7, 0.85, 1.0)
PICTURES = 10  # of a row


def images(
    pictures: ArrayLike,
    image_shape: Sequence[int] | None = None,
    columns: int = PICTURES,
    title: str | None = None,
    caption: str = "",
) -> Figure:
    """A grid of images.

    Arguments:
        pictures: shape (n, height, width), (n, height, width, channels), or rows (n, D).
        image_shape: of rows, (height, width) or (height, width, channels).
        columns: images in a row.
        title, caption: what is shown, above, and how to read it, below.

    Raises:
        ValueError: rows without a shape, or that do not fit it.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> len(plots.images(np.zeros((5, 4, 4)), columns=3).axes)
        6
    """
    rows, shape = _flat(pictures, image_shape)
    return image_rows({"": rows}, shape, max(min(columns, len(rows)), 1), title, caption)


def interpolation(model: Any, pairs: Sequence[tuple[ArrayLike, ArrayLike]], n: int = PICTURES) -> Figure:
    """A row of images for each pair, from its first to its second, as the model's noise goes from one to the other.

    Arguments:
        model: a fitted `FlowDensity` of images.
        pairs: images or rows as the model was fitted on.
        n: images in a row, the pair included.

    Raises:
        ValueError: the model is of no images.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).integers(0, 256, (80, 2, 2), dtype=np.uint8)
        >>> model = pf.FlowDensity("glow", n_layers=1, hidden_sizes=(4,), max_epochs=1, random_state=0).fit(X)
        >>> len(plots.interpolation(model, [(X[0], X[1])], 5).axes)
        5
    """
    shape = _shape_of(model)
    between = {f"pair {i}": _flat(model.interpolate(a, b, n), shape)[0] for i, (a, b) in enumerate(pairs, 1)}
    return image_rows(
        between,
        shape,
        n,
        title="From one image to another: noise moves along an arc between the two",
        caption="Good: what lies between looks like an image of the data, not like two laid over each other.",
    )


def temperatures(
    model: Any,
    temperatures: Sequence[float] = TEMPERATURES,
    n: int = PICTURES,
    data: ArrayLike | None = None,
    condition: Any = None,
    random_state: Any = 0,
) -> Figure:
    """Samples of one model at several temperatures, of the same noise but for its scale.

    Arguments:
        model: a fitted estimator of images.
        temperatures: scales of the noise.
        n: samples of each, unless there are conditions.
        data: images, or rows, to show above them.
        condition: of each sample of a temperature, shape (n, C), if the model was fitted with one.
        random_state: seed.

    Raises:
        ValueError: the model is of no images.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).integers(0, 256, (80, 2, 2), dtype=np.uint8)
        >>> model = pf.FlowDensity("glow", n_layers=1, hidden_sizes=(4,), max_epochs=1, random_state=0).fit(X)
        >>> len(plots.temperatures(model, (0.5, 1.0), 3).axes)
        6
    """
    shape = _shape_of(model)
    drawn = {} if data is None else {"data": _flat(data, shape)[0]}
    each = n if condition is None else 1
    for temperature in temperatures:
        samples = model.sample(each, condition=condition, temperature=temperature, random_state=random_state)
        rows = samples[0] if isinstance(samples, tuple) else samples
        drawn[f"T = {temperature:g}"] = np.asarray(rows, dtype=float).reshape(-1, prod(shape))
    return image_rows(
        drawn,
        shape,
        max(map(len, drawn.values())),
        title="New images at several temperatures T, the scale of the noise they are made of",
        caption="Good: at T = 1, where they are samples of the density itself, they look like the data; below they are "
        "more usual, and less varied."
        + ("" if condition is None else " Each column has the condition of the image of the data above it."),
    )


def _shape_of(model: Any) -> tuple[int, ...]:
    shape: tuple[int, ...] | None = model.image_shape_
    if shape is None:
        raise ValueError(f"this {type(model).__name__} is of a table, not of images; fit it with image_shape=")
    return shape


def _flat(pictures: ArrayLike, image_shape: Sequence[int] | None) -> tuple[np.ndarray, Sequence[int]]:
    """Images as rows, and their shape."""
    array = np.asarray(pictures, dtype=float)
    if array.ndim < 3 and image_shape is None:
        raise ValueError(f"rows of shape {array.shape} need image_shape=(height, width) to be shown as images")
    shape = array.shape[1:] if image_shape is None else image_shape
    return array.reshape(len(array), -1), shape
