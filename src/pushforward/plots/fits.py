"""How a fit went and what it holds: the course of training, densities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pushforward.plots.marks import (
    COLOURS,
    colours,
    explain,
    figure_of,
    grid_over,
    on_whole_numbers,
    plane,
    scatter,
    tidy,
    whole_columns,
    window,
)
from pushforward.plots.samples import draw_image

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curve(
    history: Sequence[Mapping[str, Any]], best_epoch: int | None = None, log_scale: float | None = None
) -> Figure:
    """Training and held-out loss of every epoch; with `log_scale` as log-density in the data's units.

    Arguments:
        history: an estimator's `history_`: a mapping an epoch, with `epoch`, `train_loss` and `validation_loss`
            (None without validation), in nats a row of columns in standard units.
        best_epoch: the epoch whose weights were kept, to mark.
        log_scale: the log of the volume of a standard unit, an estimator's `columns_.log_scale`: what the loss has to
            be raised by to be a negative log-density in the data's units, as `score` gives it.

    Raises:
        ValueError: the history is empty.

    Example:
        >>> from pushforward import plots
        >>> figure = plots.training_curve([{"epoch": 1, "train_loss": 2.0, "validation_loss": None}])
        >>> figure.axes[0].get_xlabel()
        'epoch'
    """
    if not history:
        raise ValueError("the history is empty: no epoch was trained")
    epoch = [entry["epoch"] for entry in history]
    train, validation = (_shown(history, key, log_scale) for key in ("train_loss", "validation_loss"))
    figure = figure_of(6.6, 4.6)
    axes = figure.subplots()
    axes.plot(epoch, train, color=COLOURS[0], label="training rows", marker="." if len(epoch) < 3 else "")
    if np.isfinite(validation).any():
        axes.plot(epoch, validation, color=COLOURS[4], label="held-out rows")
        if best_epoch is not None and best_epoch in epoch:
            kept = validation[epoch.index(best_epoch)]
            axes.plot(best_epoch, kept, "o", color=COLOURS[4], label=f"kept: epoch {best_epoch}")
    # The first epochs are so far off that the rest would look flat.
    losses = np.concatenate([train, validation]) * (1 if log_scale is None else -1)
    settled = losses[np.isfinite(losses)]
    low, room = settled.min(), np.quantile(settled, 0.95) - settled.min() or 1.0
    near, far = low - 0.08 * room, low + 1.25 * room
    axes.set_ylim((near, far) if log_scale is None else (-far, -near))
    unit = "loss, nats a row (columns in standard units)" if log_scale is None else "mean log-density, nats a row"
    axes.set(xlabel="epoch", ylabel=unit)
    axes.legend(frameon=False)
    tidy(axes)
    what, way = ("Loss", "fall") if log_scale is None else ("Log-density", "rise")
    caption = f"Good: both {way} and then level off; where held-out rows turn back, more training would only memorise. "
    caption += "Of a mixture the training curve also counts how far neighbours agree, so its level may differ."
    explain(figure, f"{what} by epoch of training", caption)
    return figure


def _shown(history: Sequence[Mapping[str, Any]], key: str, log_scale: float | None) -> Float[np.ndarray, " e"]:
    """A curve of the history, NaN where there is none."""
    losses = np.array([np.nan if entry[key] is None else entry[key] for entry in history], dtype=float)
    return losses if log_scale is None else -(losses + log_scale)


def densities(
    log_density: ArrayLike,
    components: ArrayLike | None = None,
    pictures: ArrayLike | None = None,
    image_shape: Sequence[int] | None = None,
    n_pictures: int = 3,
    score: str = "log-density",
) -> Figure:
    """The log-densities of the rows of each component, and the rows of least and of greatest density as pictures.

    Arguments:
        log_density: of each row, in nats, shape (n,): `score_samples` of a model.
        components: the component of each row, integers of shape (n,); None where there are none.
        pictures: the rows themselves where they are images, shape (n, height * width * channels).
        image_shape: (height, width), or (height, width, channels).
        n_pictures: how many to show at either end.
        score: what `log_density` is, where it is another score, such as "typicality".

    Raises:
        ValueError: lengths differ, or there are pictures without a shape.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> figure = plots.densities(np.linspace(-9, -1, 20), np.arange(20) % 2)
        >>> figure.axes[-1].get_xlabel()
        'log-density of a row, nats'
    """
    nats = np.asarray(log_density, dtype=float)
    component = np.zeros(nats.shape, dtype=int) if components is None else np.asarray(components).astype(int)
    if nats.ndim != 1 or nats.shape != component.shape:
        raise ValueError(f"log_density has shape {nats.shape} and components {component.shape}; expected (n,) of both")
    if pictures is not None and (image_shape is None or len(np.asarray(pictures)) != len(nats)):
        raise ValueError("pictures need image_shape=(height, width), and as many of them as there are log-densities")
    present = np.unique(component)
    sides = 0 if pictures is None else n_pictures
    figure = figure_of(6.4 + 1.3 * sides, 1.3 + 0.95 * len(present))
    grid = figure.subplots(
        len(present), 2 * sides + 1, squeeze=False, gridspec_kw={"width_ratios": [1] * sides + [6] + [1] * sides}
    )
    seen = nats[np.isfinite(nats)]
    edges = np.histogram_bin_edges(seen, bins=40, range=tuple(np.quantile(seen, [0.002, 1.0])))
    palette = colours(int(component.max()) + 1)
    for line, j in zip(grid, present, strict=True):
        rows = np.flatnonzero(component == j)
        rows = rows[np.argsort(nats[rows])]
        axes = line[sides]
        axes.hist(np.clip(nats[rows], edges[0], edges[-1]), bins=edges.tolist(), color=palette[j])
        axes.set(yticks=[], xlim=(edges[0], edges[-1]))
        which = "" if components is None else f"component {j}: "
        axes.set_title(f"{which}{len(rows):,} rows, mean {nats[rows].mean():.1f}", fontsize=8.5, loc="left")
        axes.tick_params(labelbottom=j == present[-1])
        tidy(axes)
        if pictures is not None and image_shape is not None:
            _ends(line, rows, nats, np.asarray(pictures, dtype=float), image_shape)
    grid[-1, sides].set_xlabel(f"{score} of a row, nats")
    title = f"How usual each row is: {score}{'' if components is None else ' by component'}"
    caption = "Good: the bulk lies high and close together, with a short tail to the left."
    if sides:
        caption += (
            f" On the left the least usual rows{'' if components is None else ' of each component'}, on the right the "
            "most usual, each with its own."
        )
    explain(figure, title, caption)
    return figure


def density(
    log_density: Callable[[Float[np.ndarray, "m 2"]], ArrayLike],
    X: ArrayLike,
    names: Sequence[str] = ("x0", "x1"),
    integer: Sequence[bool] | None = None,
    dots: str = "the data",
) -> Figure:
    """A density in two dimensions as filled contours that each hold a stated share of the data.

    Arguments:
        log_density: gives log p of shape (m,) for points (m, 2), `score_samples` say.
        X: data, shape (n, 2), which sets the window and the contours' levels.
        names: of the two columns, with their units.
        integer: whether the columns hold whole numbers, and the density is to be asked at such; as in the data where
            None.
        dots: what X is, for the caption.

    Raises:
        ValueError: X does not have two columns.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> len(plots.density(lambda P: -0.5 * (P**2).sum(axis=1), X).axes)
        2
    """
    from matplotlib import colormaps

    data = plane("X", X)
    low, high = window(data)
    grid, shape = grid_over(low, high)
    asked = on_whole_numbers(grid, whole_columns(data) if integer is None else integer)
    values = np.maximum(np.asarray(log_density(asked), dtype=float), -1e30).reshape(shape)
    at_data = np.asarray(log_density(data), dtype=float)
    shares = np.array([0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1])
    levels = np.quantile(at_data[np.isfinite(at_data)], 1 - shares)
    levels = np.maximum.accumulate(levels + 1e-9 * np.arange(len(levels)))
    figure = figure_of(6.6, 5.6)
    axes = figure.subplots()
    top = max(values.max(), levels[-1]) + 1e-6
    shades = colormaps["Blues"](np.linspace(0.15, 0.95, len(levels)))
    x, y = grid.T.reshape(2, *shape)
    filled = axes.contourf(x, y, values, levels=[*levels, top], colors=shades)
    scatter(axes, data, ["black"] * len(data), size=2.0, alpha=0.4)
    bar = figure.colorbar(filled, ax=axes, spacing="uniform", ticks=levels)
    bar.ax.set_yticklabels([f"{level:.2f}  ({share:.0%})" for level, share in zip(levels, shares, strict=True)])
    bar.set_label("log-density, nats (share of the rows above it)")
    axes.set(xlabel=names[0], ylabel=names[1], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    tidy(axes)
    caption = f"Dots: {dots}. Good: dark where dots are close, no colour where there are none."
    explain(figure, "The fitted density, in contours that hold given shares of the rows", caption)
    return figure


def density_curve(
    log_density: Callable[[Float[np.ndarray, "m 1"]], ArrayLike],
    X: ArrayLike,
    name: str = "x0",
    integer: bool | None = None,
    bars: str = "the data",
) -> Figure:
    """The density of one column as a curve over the histogram of its values.

    Arguments:
        log_density: gives log p of shape (m,) for values (m, 1), `score_samples` say.
        X: data, shape (n, 1), which sets the window.
        name: of the column, with its unit.
        integer: whether it holds whole numbers, which have a probability each; as in the data where None.
        bars: what X is, for the caption.

    Raises:
        ValueError: X does not have one column.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).normal(size=(50, 1))
        >>> figure = plots.density_curve(lambda P: -0.5 * P[:, 0] ** 2, X, "width (mm)")
        >>> figure.axes[0].get_xlabel()
        'width (mm)'
    """
    values = np.asarray(X, dtype=float)
    if values.ndim != 2 or values.shape[1] != 1:
        raise ValueError(f"X has shape {values.shape}; expected one column, (n, 1)")
    whole = bool((values == np.round(values)).all()) if integer is None else integer
    low, high = np.quantile(values[np.isfinite(values)], [0.001, 0.999])
    low, high = low - 0.1 * ((high - low) or 1.0), high + 0.1 * ((high - low) or 1.0)
    at = np.arange(np.floor(low), np.ceil(high) + 1) if whole else np.linspace(low, high, 600)
    if whole and len(at) > 600:
        at = np.unique(np.round(np.linspace(low, high, 600)))
    figure = figure_of(6.6, 4.6)
    axes = figure.subplots()
    edges = np.r_[at - 0.5, at[-1] + 0.5] if whole and len(at) <= 80 else np.linspace(low, high, 61)
    axes.hist(values[:, 0], bins=edges.tolist(), density=True, color=COLOURS[5], alpha=0.5)
    axes.plot(at, np.exp(np.asarray(log_density(at[:, None]), dtype=float)), "." if whole else "-", color=COLOURS[0])
    axes.set(xlabel=name, ylabel="probability of a value" if whole else "density", xlim=(low, high), ylim=(0, None))
    tidy(axes)
    line = "Dots" if whole else "Line"
    caption = f"{line}: the model. Bars: {bars}. Good: it follows the bars, but not the jitter from bar to bar."
    explain(figure, "The fitted density, and how often each value comes", caption)
    return figure


def _ends(
    line: np.ndarray, rows: np.ndarray, nats: np.ndarray, pictures: np.ndarray, image_shape: Sequence[int]
) -> None:
    """The first rows as pictures left of a histogram, and the last ones right of it, titled by their log-densities."""
    sides, low, high = len(line) // 2, pictures.min(), pictures.max()
    for panels, shown in ((line[:sides], rows[:sides]), (line[sides + 1 :], rows[sides:][-sides:])):
        for axes, row in zip_longest(panels, shown):  # there may be fewer rows than places
            draw_image(axes, None if row is None else pictures[row], image_shape, low, high)
            if row is not None:
                axes.set_title(f"{nats[row]:.0f}", fontsize=8)
