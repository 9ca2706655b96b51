"""Samples as points or pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from pushforward.networks import image_sides
from pushforward.plots.marks import colour_key, colours, explain, figure_of, scatter, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PAIR_COLUMNS = 5
CHANNELS = (1, 3)  # of images that can be shown
GOOD = "Good: samples of a component are alike but not the same, and look like the data."
GOOD_TABLE = "Good: each component is one group, and values range as in the data."
GOOD_ALIKE = "Good: no colour stands out alone; where one does, the model puts too many rows, or too few."


def samples_by_component(
    samples: Sequence[ArrayLike],
    image_shape: Sequence[int] | None = None,
    names: Sequence[str] | None = None,
    weights: ArrayLike | None = None,
) -> Figure:
    """Samples of every component: rows of pictures, or points coloured by component.

    Tables of one column become histograms, of two a scatter plot, of more a pair plot of the (at most five)
    columns that separate the components most.

    Arguments:
        samples: for each of the K components an array of shape (m_k, D).
        image_shape: (height, width) or (height, width, 3) where a row is a picture; D is their product.
        names: of the D columns.
        weights: π, shape (K,), written beside the pictures.

    Raises:
        ValueError: the samples differ in D, or D does not fit the image shape.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> draws = [np.random.default_rng(k).normal(k, 1, size=(10, 4)) for k in range(3)]
        >>> len(plots.samples_by_component(draws, image_shape=(2, 2)).axes)
        30
    """
    arrays = [np.asarray(part, dtype=float) for part in samples]
    widths = {part.shape[1] if part.ndim == 2 else -1 for part in arrays}
    if len(widths) != 1 or -1 in widths:
        shapes = [part.shape for part in arrays]
        raise ValueError(f"samples have shapes {shapes}; expected (m, D) with one D for every component")
    (dim,) = widths
    if image_shape is not None:
        shares = [""] * len(arrays) if weights is None else [f"\n{share:.0%}" for share in np.asarray(weights)]
        pictures = {f"component {k}{shares[k]}": part for k, part in enumerate(arrays)}
        share = "" if weights is None else ", with its share of the data"
        title = f"New pictures drawn from each component{share}"
        return image_rows(pictures, image_shape, title=title, caption=GOOD)
    names = [f"x{i}" for i in range(dim)] if names is None else list(names)
    rows = np.concatenate(arrays)
    component = np.repeat(np.arange(len(arrays)), [len(part) for part in arrays])
    return _points(rows, component, range(len(arrays)), names, "Rows drawn from the components", GOOD_TABLE)


def rows_by_group(
    groups: Mapping[str, ArrayLike], names: Sequence[str] | None = None, caption: str = GOOD_ALIKE
) -> Figure:
    """Rows of several tables in one picture, data and samples say: histograms, points, or a pair plot.

    Tables of one column become histograms, of two a scatter plot, of more a pair plot of the (at most five)
    columns in which the groups differ most.

    Arguments:
        groups: label -> rows of shape (m, D).
        names: of the D columns.
        caption: how to read it.

    Raises:
        ValueError: the groups differ in D, or there are none.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).normal(size=(2, 30, 3))
        >>> len(plots.rows_by_group({"data": X[0], "samples": X[1]}).axes)
        9
    """
    arrays = [np.asarray(part, dtype=float) for part in groups.values()]
    if len({part.shape[1:] for part in arrays}) != 1 or arrays[0].ndim != 2:
        raise ValueError(f"groups have shapes {[part.shape for part in arrays]}; expected (m, D) with one D for all")
    names = [f"x{i}" for i in range(arrays[0].shape[1])] if names is None else list(names)
    group = np.repeat(np.arange(len(arrays)), [len(part) for part in arrays])
    return _points(np.concatenate(arrays), group, list(groups), names, " and ".join(groups).capitalize(), caption)


def image_rows(
    groups: Mapping[str, ArrayLike],
    image_shape: Sequence[int],
    columns: int = 10,
    title: str | None = None,
    caption: str = "",
) -> Figure:
    """Rows of small pictures, a labelled row (or block of rows) for each group.

    Arguments:
        groups: label -> pictures of shape (m, height * width * channels).
        image_shape: (height, width), or (height, width, channels) of 1 channel or the 3 of red, green and blue.
        columns: pictures in a row.
        title, caption: what is shown, above, and how to read it, below.

    Raises:
        ValueError: a group's rows do not fit the image shape, or there are neither 1 nor 3 channels.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> len(plots.image_rows({"ones": np.ones((3, 4))}, (2, 2), columns=3).axes)
        3
    """
    height, width, channels = image_sides(image_shape)
    if channels not in CHANNELS:
        raise ValueError(f"pictures have 1 channel or 3; image_shape {tuple(image_shape)} has {channels}")
    pictures = {label: np.asarray(rows, dtype=float) for label, rows in groups.items()}
    dim = height * width * channels
    wrong = [f"{label} {rows.shape}" for label, rows in pictures.items() if rows.shape[1:] != (dim,)]
    if wrong:
        raise ValueError(f"rows that do not make pictures of {tuple(image_shape)}: {', '.join(wrong)}")
    lines = [
        (label if start == 0 else "", rows[start : start + columns])
        for label, rows in pictures.items()
        for start in range(0, max(len(rows), 1), columns)
    ]
    low = min((rows.min() for rows in pictures.values() if rows.size), default=0.0)
    high = max((rows.max() for rows in pictures.values() if rows.size), default=1.0)
    told = 0.0 if title is None else 0.8
    figure = figure_of(0.6 * columns + 1.4, 0.6 * height / width * len(lines) + 0.15 + told)
    grid = figure.subplots(len(lines), columns, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for (label, rows), line in zip(lines, grid, strict=True):
        for j, axes in enumerate(line):
            draw_image(axes, rows[j] if j < len(rows) else None, image_shape, low, high)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    if title is not None:
        explain(figure, title, caption)
    return figure


def draw_image(axes: Axes, row: np.ndarray | None, image_shape: Sequence[int], low: float, high: float) -> None:
    """One image in a panel without a frame, the lighter the larger its numbers; None leaves the panel empty.

    Arguments:
        axes: the panel.
        row: shape (height * width * channels,).
        image_shape: (height, width), or (height, width, channels).
        low, high: what is black, and what is white.
    """
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    if row is None:
        return
    height, width, channels = image_sides(image_shape)
    pixels = row.reshape(height, width, channels)
    if channels == 3:
        axes.imshow((pixels - low) / max(high - low, 1e-12))
    else:
        axes.imshow(pixels[..., 0], cmap="gray", vmin=low, vmax=high)


def _points(
    rows: np.ndarray, component: np.ndarray, labels: Sequence[Any], names: Sequence[str], title: str, caption: str
) -> Figure:
    """Histograms, a scatter plot or a pair plot, coloured by component, or by another group that has a label."""
    k, told = len(labels), not isinstance(labels, range)
    palette = colours(k)
    columns = _most_separating(rows, component, k)
    short = [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
    d = len(columns)
    figure = (
        figure_of(6.4, 4.4) if d == 1 else figure_of(6.4, 5.2) if d == 2 else figure_of(2.0 * d + 1.0, 2.0 * d + 0.6)
    )
    bins = int(np.clip(2 * np.cbrt(len(rows)), 8, 40))
    dots = [palette[j] for j in component]
    if d == 2:
        axes = figure.subplots()
        scatter(axes, rows, dots)
        axes.set(xlabel=names[0], ylabel=names[1])
        tidy(axes)
    else:
        grid = figure.subplots(d, d, squeeze=False, sharex="col")
        for (i, j), axes in np.ndenumerate(grid):
            if i == j:
                edges = np.histogram_bin_edges(rows[:, columns[j]], bins=bins)
                parts = [rows[component == c, columns[j]] for c in range(k)]
                axes.hist(parts, bins=edges.tolist(), density=told, color=palette, alpha=0.6, histtype="stepfilled")
                axes.set_yticks([])
            else:
                scatter(axes, rows[:, [columns[j], columns[i]]], dots, size=3.0)
                axes.tick_params(labelleft=j == (1 if i == 0 else 0))
            axes.set_xlabel(short[columns[j]] if i == d - 1 else "")
            axes.set_ylabel(short[columns[i]] if j == 0 and i > 0 else "")
            tidy(axes)
    colour_key(figure, palette, "rows of" if told else "component", labels)
    apart = "in which they differ most" if told else "that tell components apart most"
    chosen = "" if len(names) == d else f", on the {d} of {len(names)} columns {apart}"
    drawn = {1: "how often each value comes", 2: "the rows"}.get(d, "each column, and each pair of columns")
    explain(figure, f"{title}: {drawn}{chosen}", caption)
    return figure


def _most_separating(rows: np.ndarray, component: np.ndarray, k: int) -> list[int]:
    """The columns whose means differ most between components, against their spread; in their own order."""
    if rows.shape[1] <= PAIR_COLUMNS:
        return list(range(rows.shape[1]))
    means = np.stack([rows[component == j].mean(axis=0) for j in range(k) if (component == j).any()])
    ratio = means.std(axis=0) / np.maximum(rows.std(axis=0), 1e-12)
    return sorted(np.argsort(-ratio, kind="stable")[:PAIR_COLUMNS].tolist())
