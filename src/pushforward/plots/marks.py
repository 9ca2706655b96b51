"""What the pictures share: colours, captions, axes, dots, shaded regions."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with every kind of colour vision; black last.
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
GREY = "#444444"


def colours(k: int) -> list[tuple[float, float, float]]:
    """K colours, one a component: told apart by colour-blind readers up to K = 8, by most up to 20, else a scale."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if k <= len(COLOURS):
        return [to_rgb(colour) for colour in COLOURS[:k]]
    if k <= 20:  # a scale would make neighbours of components that are none
        return [to_rgb(colour) for colour in colormaps["tab10" if k <= 10 else "tab20"](np.arange(k))]
    return [to_rgb(colour) for colour in colormaps["viridis"](np.linspace(0, 0.97, k))]


def figure_of(width: float, height: float) -> Figure:
    """An empty figure of so many inches, in no window, that shows itself in a notebook."""
    from pushforward.plots.picture import SCREEN, Picture

    return Picture(figsize=(width, height), dpi=SCREEN, layout="constrained")


def explain(figure: Figure, title: str, caption: str) -> None:
    """Say above a picture what it shows, and below how to read it and what is good."""
    width = float(figure.get_figwidth())
    figure.suptitle(textwrap.fill(title, int(11 * width)), fontsize=11)
    figure.supxlabel(textwrap.fill(caption, int(14.5 * width)), fontsize=8.5, color=GREY)


def tidy(axes: Axes) -> None:
    """Leave out the frame above and to the right."""
    axes.spines[["top", "right"]].set_visible(False)


def plane(name: str, X: ArrayLike) -> Float[np.ndarray, "n 2"]:
    """Points of the plane, or an error that names the argument."""
    points = np.asarray(X, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} has shape {points.shape}; expected two columns, (n, 2)")
    return points


def window(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "2 2"]:
    """Lower and upper corner around the points, a few strays left out."""
    low, high = np.quantile(points[np.isfinite(points).all(axis=1)], [0.001, 0.999], axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    return np.stack([low - margin, high + margin])


def grid_over(low: np.ndarray, high: np.ndarray, steps: int = 200) -> tuple[Float[np.ndarray, "m 2"], tuple[int, int]]:
    """A grid of points, and how many along each side."""
    x, y = np.meshgrid(np.linspace(low[0], high[0], steps), np.linspace(low[1], high[1], steps))
    return np.stack([x.ravel(), y.ravel()], axis=1), (steps, steps)


def shade_regions(
    axes: Axes,
    posterior: Callable[..., ArrayLike],
    low: np.ndarray,
    high: np.ndarray,
    palette: Sequence[Any],
    integer: Sequence[bool] = (False, False),
) -> None:
    """Colour the plane by the likeliest component, paler where it is less sure."""
    grid, shape = grid_over(low, high)
    q = np.asarray(posterior(on_whole_numbers(grid, integer)), dtype=float)
    shades = np.asarray(palette)[: q.shape[1]]
    strength = 0.08 + 0.3 * (q.max(axis=1, keepdims=True) - 1 / q.shape[1]) / max(1 - 1 / q.shape[1], 1e-9)
    picture = 1 - strength * (1 - shades[q.argmax(axis=1)])
    extent = (low[0], high[0], low[1], high[1])
    axes.imshow(picture.reshape(*shape, 3), origin="lower", extent=extent, aspect="auto", interpolation="bilinear")


def whole_columns(points: Float[np.ndarray, "n 2"]) -> tuple[bool, ...]:
    """Which columns hold whole numbers alone, so that a model of them is asked at such."""
    return tuple(bool(whole) for whole in (points == np.round(points)).all(axis=0))


def on_whole_numbers(points: Float[np.ndarray, "m 2"], integer: Sequence[bool]) -> Float[np.ndarray, "m 2"]:
    """Points with the coordinates of whole-number columns moved to the nearest whole number."""
    return np.where(np.asarray(integer), np.round(points), points)


def scatter(axes: Axes, points: np.ndarray, colour: Sequence[Any], size: float = 6.0, alpha: float = 0.8) -> None:
    """Small dots without edges, at most 5,000, in an order that hides no component behind another."""
    order = np.random.default_rng(0).permutation(len(points))[:5000]
    x, y = points[order].T
    axes.scatter(x, y, s=size, c=[colour[i] for i in order], alpha=alpha, linewidths=0)


def colour_key(figure: Figure, palette: Sequence[Any], title: str = "component", names: Sequence[Any] = ()) -> None:
    """What the colours stand for, on the right: 0, 1, …, or the names."""
    from matplotlib.lines import Line2D

    keys = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=colour, label=str(name))
        for name, colour in zip(names or range(len(palette)), palette, strict=True)
    ]
    figure.legend(handles=keys, title=title, loc="outside right center", frameon=False, ncols=1 + len(keys) // 25)
