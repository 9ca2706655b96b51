"""Synthetic rows beside real ones: columns, pairs of columns, distances to training rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pushforward.plots.marks import COLOURS, GREY, explain, figure_of, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pushforward.report import Quality

MOST_NAMED = 40  # columns


def quality(found: Quality) -> Figure:
    """How like the real rows synthetic ones are, column by column and pair by pair, and how near to training rows.

    Arguments:
        found: what `pushforward.quality` returned.

    Example:
        >>> import numpy as np
        >>> import pushforward as pf
        >>> rng = np.random.default_rng(0)
        >>> found = pf.quality(rng.normal(size=(200, 2)), rng.normal(size=(200, 2)), random_state=0)
        >>> pf.plots.quality(found).axes[0].get_xlabel()
        'alike, 1: the same'
    """
    d = len(found.columns)
    figure = figure_of(12.0, max(4.2, 1.8 + 0.22 * min(d, MOST_NAMED)))
    left, middle, right = figure.subplots(1, 3, width_ratios=[1.0, 1.2, 1.0])
    _columns(left, found)
    _pairs(middle, found)
    _distances(right, found)
    title = f"Synthetic rows beside real ones: a classifier tells them apart with an AUROC of {found.detection:.3f}"
    caption = (
        "Good: an AUROC near 0.5 (1: always told apart); long bars; a dark square; and no more synthetic rows than "
        f"held-out rows to the left of the line ({found.near_copies:.1%} and {found.held_out_near_copies:.1%}), where "
        "rows are near-copies of training rows."
    )
    explain(figure, title, caption)
    return figure


def _columns(axes: Axes, found: Quality) -> None:
    """A bar for each column, the least alike on top."""
    worst = sorted(found.columns, key=lambda column: column.alike)[:MOST_NAMED]
    names = [_short(column.name) for column in worst]
    axes.barh(range(len(worst)), [column.alike for column in worst], color=COLOURS[0])
    axes.set_yticks(range(len(worst)), names, fontsize=7)
    axes.set(xlim=(0, 1), xlabel="alike, 1: the same", title=f"columns, mean {found.columns_alike:.3f}")
    axes.invert_yaxis()
    tidy(axes)


def _pairs(axes: Axes, found: Quality) -> None:
    """Every two columns, as dark as they go together alike."""
    place = {column.name: i for i, column in enumerate(found.columns)}
    alike = np.eye(len(place))
    for pair in found.pairs:
        i, j = place[pair.first], place[pair.second]
        alike[i, j] = alike[j, i] = pair.alike
    image = axes.imshow(alike, vmin=min(0.5, float(alike.min())), vmax=1, cmap="Blues")
    named = list(place)[:MOST_NAMED] if len(place) <= MOST_NAMED else []
    axes.set_xticks(range(len(named)), [_short(name) for name in named], rotation=90, fontsize=7)
    axes.set_yticks(range(len(named)), [_short(name) for name in named], fontsize=7)
    axes.set_title(f"pairs, mean {found.pairs_alike:.3f}" if found.pairs else "pairs: there are none")
    axes.figure.colorbar(image, ax=axes, shrink=0.8)


def _distances(axes: Axes, found: Quality) -> None:
    """The share of rows within each distance of their nearest training row."""
    kinds = {
        "held-out rows": (found.distances.held_out, GREY),
        "synthetic rows": (found.distances.synthetic, COLOURS[1]),
    }
    for name, (distance, colour) in kinds.items():
        axes.ecdf(distance, color=colour, label=name)
    axes.axvline(found.distances.close, color="black", linewidth=0.8, linestyle="--")
    axes.set(xlabel="distance to the nearest training row", ylabel="share of rows within it", title="copies")
    axes.legend(frameon=False, loc="lower right")
    tidy(axes)


def _short(name: str) -> str:
    return name if len(name) <= 18 else f"{name[:17]}…"
