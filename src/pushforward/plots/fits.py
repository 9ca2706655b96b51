"""How a fit went and what it holds: the course of training, densities."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pushforward.plots.marks import COLOURS, figure_of, grid_over, plane, scatter, tidy, window

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def training_curve(history: Sequence[Mapping[str, Any]], best_epoch: int | None = None) -> Figure:
    """Training and validation loss of every epoch.

    Arguments:
        history: an estimator's `history_`: a mapping an epoch, with `epoch`, `train_loss` and `validation_loss`
            (None without validation).
        best_epoch: the epoch whose weights were kept, to mark.

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
    epoch, train, validation = ([entry[key] for entry in history] for key in ("epoch", "train_loss", "validation_loss"))
    figure = figure_of(6.0, 3.6)
    axes = figure.subplots()
    axes.plot(epoch, train, color=COLOURS[0], label="training")
    if validation[0] is not None:
        axes.plot(epoch, validation, color=COLOURS[4], label="held-out rows")
        if best_epoch is not None and best_epoch in epoch:
            kept = validation[epoch.index(best_epoch)]
            axes.plot(best_epoch, kept, "o", color=COLOURS[4], label=f"kept: epoch {best_epoch}")
    # The first epochs fall from so far up that the rest would look flat.
    shown = np.asarray([loss for loss in (*train, *validation) if loss is not None])
    settled = shown[np.isfinite(shown)]
    low, room = settled.min(), np.quantile(settled, 0.95) - settled.min() or 1.0
    axes.set_ylim(low - 0.08 * room, low + 1.25 * room)
    axes.set(xlabel="epoch", ylabel="loss (nats a row)")
    axes.legend(frameon=False)
    tidy(axes)
    return figure


def density(
    log_density: Callable[[Float[np.ndarray, "m 2"]], ArrayLike],
    X: ArrayLike,
    names: Sequence[str] = ("x0", "x1"),
) -> Figure:
    """A density in two dimensions as filled contours that each hold a stated share of the data.

    Arguments:
        log_density: gives log p of shape (m,) for points (m, 2), `score_samples` say.
        X: data, shape (n, 2), which sets the window and the contours' levels.
        names: of the two columns.

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
    values = np.maximum(np.asarray(log_density(grid), dtype=float), -1e30).reshape(shape)
    at_data = np.asarray(log_density(data), dtype=float)
    shares = np.array([0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1])
    levels = np.quantile(at_data[np.isfinite(at_data)], 1 - shares)
    levels = np.maximum.accumulate(levels + 1e-9 * np.arange(len(levels)))
    figure = figure_of(5.6, 4.5)
    axes = figure.subplots()
    top = max(values.max(), levels[-1]) + 1e-6
    shades = colormaps["Blues"](np.linspace(0.15, 0.95, len(levels)))
    x, y = grid.T.reshape(2, *shape)
    filled = axes.contourf(x, y, values, levels=[*levels, top], colors=shades)
    scatter(axes, data, ["black"] * len(data), size=2.0, alpha=0.4)
    bar = figure.colorbar(filled, ax=axes, spacing="uniform", ticks=levels)
    bar.ax.set_yticklabels([f"{share:.0%}" for share in shares])
    bar.set_label("share of the rows inside")
    axes.set(xlabel=names[0], ylabel=names[1], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    tidy(axes)
    return figure
