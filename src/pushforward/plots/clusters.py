"""Clusters: against classes, in the plane, mapped from many columns, and how far the posterior is from exact."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

from pushforward.plots.marks import (
    colour_key,
    colours,
    explain,
    figure_of,
    plane,
    scatter,
    shade_regions,
    tidy,
    whole_columns,
    window,
)
from pushforward.plots.matching import Classes, assignment, contingency_table, diagonal_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Posterior = Callable[[Float[np.ndarray, "m 2"]], ArrayLike]
MOST_ROWS, LEAST_ROWS = 5000, 50  # that a map is made of, and of each component
LEAST_GAP = 1e-6  # nats; less is drawn as this


def contingency(
    classes: ArrayLike, components: ArrayLike, n_components: int | None = None, class_name: str = "class"
) -> Figure:
    """How the rows of each class spread over the components, as a table with a heat map behind.

    Components are ordered so that the classes come out along the diagonal; those that are left follow, by the class
    that they have most of.

    Arguments:
        classes: the true class of each row, shape (n,), of any kind that sorts.
        components: the component of each row, integers of shape (n,).
        n_components: K; the largest component + 1 where not given.
        class_name: what a class is, "digit" say.

    Raises:
        ValueError: the two differ in length, or are empty.

    Example:
        >>> from pushforward import plots
        >>> figure = plots.contingency(["a", "a", "b"], [1, 1, 0], class_name="letter")
        >>> [text.get_text() for text in figure.axes[0].texts]
        ['2', '0', '0', '1']
    """
    names, index = np.unique(np.asarray(classes), return_inverse=True)
    chosen = np.asarray(components)
    if len(index) != len(chosen) or not len(index):
        raise ValueError(
            f"classes has {len(index)} rows and components {len(chosen)}; expected equally many, at least 1"
        )
    k = int(chosen.max()) + 1 if n_components is None else n_components
    counts = contingency_table(index, chosen, len(names), k)
    matched = sum(int(counts[pair]) for pair in assignment(counts))
    order = diagonal_order(counts)
    counts = counts[:, order]

    figure = figure_of(max(4.6, 1.6 + 0.75 * k), 2.2 + 0.55 * len(names))
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(*counts.shape):
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    axes.set_xticks(range(k), [str(j) for j in order])
    axes.set_yticks(range(len(names)), [str(name) for name in names])
    axes.set(xlabel="component (its number is arbitrary)", ylabel=class_name)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    title = f"Rows of each {class_name} in each component: {matched / len(index):.1%} in the one that stands for it"
    caption = (
        f"The darker, the larger the share of the {class_name}. Good: one dark cell in every row and every column."
    )
    explain(figure, title, caption)
    return figure


def data_and_samples(
    X: ArrayLike,
    samples: ArrayLike,
    components: ArrayLike,
    posterior: Posterior | None = None,
    names: Sequence[str] = ("x0", "x1"),
    classes: ArrayLike | None = None,
    data_components: ArrayLike | None = None,
) -> Figure:
    """Two-dimensional data beside samples coloured by component, with the posterior's regions behind them.

    Figures 5.1 to 5.3 of the thesis on variational mixtures of flows.

    Arguments:
        X: data, shape (n, 2).
        samples: shape (m, 2).
        components: the component of each sample, integers of shape (m,).
        posterior: gives p(k|x) of shape (m, K) for points (m, 2), `predict_proba` say; no regions where None.
        names: of the two columns, with their units.
        classes: of shape (n,), which colour the data, grey where unknown (-1): each class has the colour of the
            component that stands for it, as `contingency` matches them.
        data_components: the component of each row of the data, integers of shape (n,), which colour it where there are
            no classes. Where not given, classes are matched by the posterior, or else by the nearest sample.

    Raises:
        ValueError: data or samples do not have two columns.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = plots.data_and_samples(X, X, X[:, 0] > 0, lambda P: np.eye(2)[(P[:, 0] > 0).astype(int)])
        >>> [axes.get_title() for axes in figure.axes]
        ['data', 'samples']
    """
    data, drawn = plane("X", X), plane("samples", samples)
    component = np.asarray(components).astype(int)
    own = None if data_components is None else np.asarray(data_components).astype(int)
    figure = figure_of(10.0, 5.4)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = window(np.concatenate([data, drawn]))
    integer = whole_columns(data)
    asked = None if posterior is None else np.asarray(posterior(data))
    k = max(int(component.max(initial=0)) + 1, 0 if asked is None else asked.shape[1])
    if own is None:
        own = _nearest(data, drawn, component) if asked is None else asked.argmax(axis=1)
    k = max(k, int(own.max(initial=0)) + 1)
    palette = colours(k)
    known = Classes.matched(classes, own, k)
    by_component = classes is None and data_components is not None
    scatter(left, data, [palette[j] for j in own] if by_component else known.dots())
    if posterior is not None:
        shade_regions(right, posterior, low, high, palette, integer)
    scatter(right, drawn, [palette[j] for j in component])
    for axes, title in ((left, "data"), (right, "samples")):
        axes.set(title=title, xlabel=names[0])
        _fit_window(axes, low, high)
    left.set_ylabel(names[1])
    key = ([str(j) for j in range(k)], palette) if by_component else known.key(k)
    colour_key(figure, key[1], known.heading, key[0])
    shaded = (
        "" if posterior is None else " Shaded: the component that the posterior ranks first, paler where less sure."
    )
    caption = "Good: samples lie where data lie and nowhere else, each component on one group of rows." + shaded
    explain(figure, "Data beside samples of the fitted mixture", caption)
    return figure


def regions(
    X: ArrayLike,
    posteriors: Mapping[str, Posterior],
    names: Sequence[str] = ("x0", "x1"),
    classes: ArrayLike | None = None,
    integer: Sequence[bool] | None = None,
) -> Figure:
    """Which component the plane belongs to, paler where it is less sure, in one panel for each posterior.

    Arguments:
        X: data, shape (n, 2).
        posteriors: title -> a function that gives p(k|x) of shape (m, K) for points (m, 2); `predict_proba` beside
            `responsibilities` shows where the network and the exact posterior differ.
        names: of the two columns, with their units.
        classes: of shape (n,), which colour the data, grey where unknown (-1): each class has the colour of the
            component that stands for it under the first posterior, as `contingency` matches them.
        integer: whether the columns hold whole numbers, and the posteriors are to be asked at such; as in the data
            where None.

    Raises:
        ValueError: X does not have two columns, or there is no posterior.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> X = np.random.default_rng(0).normal(size=(50, 2))
        >>> figure = plots.regions(X, {"by sign": lambda P: np.eye(2)[(P[:, 0] > 0).astype(int)]})
        >>> figure.axes[0].get_title()
        'by sign'
    """
    if not posteriors:
        raise ValueError("posteriors is empty; expected at least one title with its function")
    data = plane("X", X)
    low, high = window(data)
    at_data = [np.asarray(posterior(data)) for posterior in posteriors.values()]
    k = max(q.shape[1] for q in at_data)
    known = Classes.matched(classes, at_data[0].argmax(axis=1), k)
    figure = figure_of(4.5 * len(posteriors) + 1.0, 5.4)
    panels = figure.subplots(1, len(posteriors), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (title, posterior) in zip(panels, posteriors.items(), strict=True):
        shade_regions(axes, posterior, low, high, colours(k), whole_columns(data) if integer is None else integer)
        scatter(axes, data, known.dots())
        axes.set(title=title, xlabel=names[0])
        _fit_window(axes, low, high)
    panels[0].set_ylabel(names[1])
    texts, shades = known.key(k)
    colour_key(figure, shades, known.heading, texts)
    caption = "Paler where it is less sure. Good: borders run where there are few rows"
    caption += ", and rows have the colour of the region that they lie in." if known.names else "."
    explain(figure, "The component that each place belongs to", caption)
    return figure


def component_map(
    X: ArrayLike, components: ArrayLike, classes: ArrayLike | None = None, n_components: int | None = None
) -> Figure:
    """A map of the components of data of many columns: the plane onto which their rows fall furthest apart.

    Its two axes are the linear discriminants of the components (Fisher 1936), with the covariance within them shrunk
    (Ledoit & Wolf 2004); of two components, the second axis is the main direction of what the first leaves. A number
    stands in the middle of each component's rows. Of more than 5,000 rows, so many of each component at random as its
    share, and at least 50.

    Arguments:
        X: data, shape (n, D), D at least 2.
        components: the component of each row, integers of shape (n,).
        classes: true classes of shape (n,), which colour a second panel: each has the colour of the component that
            stands for it.
        n_components: K, for the colours; the largest component + 1 where not given.

    Raises:
        ValueError: X has fewer than two columns, lengths differ, or all rows are of one component.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> components = np.repeat([0, 1, 2], 20)
        >>> X = np.random.default_rng(0).normal(size=(60, 5)) + 4 * np.eye(3, 5)[components]
        >>> len(plots.component_map(X, components).axes)
        1
    """
    rows, component = np.asarray(X, dtype=float), np.asarray(components).astype(int)
    if rows.ndim != 2 or rows.shape[1] < 2 or len(rows) != len(component):
        raise ValueError(f"X has shape {rows.shape} and components {component.shape}; expected (n, D), D ≥ 2, and (n,)")
    if len(np.unique(component)) < 2:
        raise ValueError("all rows are of one component; a map needs at least two")
    k = max(int(component.max()) + 1, n_components or 0)
    known, palette = Classes.matched(classes, component, k), colours(k)
    kept = _some_of_each(component)
    dots, component = known.dots(), component[kept]
    at = _discriminants(rows[kept], component)
    figure = figure_of(6.4 if classes is None else 11.0, 5.2)
    panels = figure.subplots(1, 1 if classes is None else 2, sharex=True, sharey=True, squeeze=False)[0]
    scatter(panels[0], at, [palette[j] for j in component])
    for j in np.unique(component):
        middle = np.median(at[component == j], axis=0)
        box = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": palette[j], "alpha": 0.85}
        panels[0].text(*middle, str(j), ha="center", va="center", weight="bold", bbox=box)
    if classes is not None:
        scatter(panels[1], at, [dots[i] for i in kept])
        panels[0].set_title("components")
        panels[1].set_title("classes")
    texts, shades = ([str(j) for j in range(k)], palette) if classes is None else known.key(k)
    colour_key(figure, shades, known.heading, texts)
    for axes in panels:
        axes.set(xlabel="first discriminant (in spreads within a component)")
        tidy(axes)
    panels[0].set_ylabel("second discriminant")
    caption = "Good: each component is one cloud of its own"
    caption += ", and of one colour among the classes." if known.names else "."
    caption += " Clouds that overlap in this plane may be apart in other directions."
    explain(figure, f"The {k} components, in the plane where they are furthest apart", caption)
    return figure


def posterior_gap(gap: ArrayLike, components: ArrayLike, X: ArrayLike | None = None) -> Figure:
    """How far the posterior network is from the exact posterior: the share of rows with a gap as large.

    Arguments:
        gap: KL(q‖p(k|x)) of each row in nats, shape (n,): `posterior_gap` of a mixture.
        components: the component of each row, integers of shape (n,).
        X: data of two columns, shape (n, 2), for a second panel that shows where the gap is.

    Raises:
        ValueError: lengths differ, X does not have two columns, or a gap is not finite.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> figure = plots.posterior_gap(np.array([0.0, 0.1, 2.0]), np.array([0, 0, 1]))
        >>> figure.axes[0].get_xlabel()
        'gap, nats'
    """
    nats, component = np.asarray(gap, dtype=float), np.asarray(components).astype(int)
    points = None if X is None else plane("X", X)
    if nats.ndim != 1 or nats.shape != component.shape or (points is not None and len(points) != len(nats)):
        at = "" if points is None else f", X {points.shape}"
        raise ValueError(f"gap has shape {nats.shape}, components {component.shape}{at}; expected as many rows of each")
    if not np.isfinite(nats).all():
        lost = int((~np.isfinite(nats)).sum())
        raise ValueError(f"gap is not finite in {lost} rows, which no scale shows; leave them out")
    nats = np.maximum(nats, LEAST_GAP)
    figure = figure_of(6.4 if points is None else 10.0, 4.9)
    panels = figure.subplots(1, 1 if points is None else 2, squeeze=False)[0]
    palette = colours(int(component.max(initial=0)) + 1)
    for j in np.unique(component):
        ordered = np.sort(nats[component == j])
        share = 1 - np.arange(len(ordered)) / len(ordered)
        ends = [LEAST_GAP, *ordered], [1.0, *share]  # all rows have at least the smallest gap
        panels[0].step(*ends, where="pre", color=palette[j], label=f"{j}: mean {ordered.mean():.2g}")
    panels[0].set(xscale="log", xlabel="gap, nats", ylabel="share of rows with at least this gap", ylim=(0, 1.02))
    panels[0].legend(title="component", frameon=False)
    tidy(panels[0])
    if points is not None:
        _gap_in_plane(figure, panels[1], points, nats)
    title = f"How far the posterior network is from the exact posterior: {nats.mean():.2g} nats a row"
    caption = "Good: curves fall far to the left; rows above 0.1 nats are those whose component is in doubt."
    explain(figure, title, caption)
    return figure


def _gap_in_plane(figure: Figure, axes: Axes, points: Float[np.ndarray, "n 2"], nats: Float[np.ndarray, " n"]) -> None:
    """Rows coloured by their gap, the largest on top."""
    from matplotlib.colors import LogNorm

    order = np.argsort(nats)
    norm = LogNorm(max(float(np.quantile(nats, 0.05)), 1e-4), max(float(nats.max()), 1e-3))
    x, y = points[order].T
    drawn = axes.scatter(x, y, s=6, c=nats[order], cmap="magma_r", norm=norm, linewidths=0)
    figure.colorbar(drawn, ax=axes, label="gap, nats")
    axes.set(title="where the rows lie", xlabel="first column", ylabel="second column")
    _fit_window(axes, *window(points))
    tidy(axes)


def _discriminants(rows: Float[np.ndarray, "n d"], component: Int[np.ndarray, " n"]) -> Float[np.ndarray, "n 2"]:
    """The rows on the two axes that tell components apart the most."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    z = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12)
    # a little noise keeps the covariance within components from being singular, where a component is one point
    z = z + 1e-3 * np.random.default_rng(0).normal(size=z.shape)
    at = z
    if len(z) > len(np.unique(component)):
        at = np.asarray(LinearDiscriminantAnalysis(solver="eigen", shrinkage="auto").fit(z, component).transform(z))
    if at.shape[1] >= 2:
        return np.asarray(at[:, :2])
    axis = at[:, 0] - at[:, 0].mean()
    rest = z - np.outer(axis, axis @ z) / (axis @ axis)
    return np.column_stack([at[:, 0], PCA(1, random_state=0).fit_transform(rest)[:, 0]])


def _some_of_each(component: Int[np.ndarray, " n"]) -> Int[np.ndarray, " m"]:
    """Numbers of the rows that a map is made of."""
    order = np.random.default_rng(0).permutation(len(component))
    if len(component) <= MOST_ROWS:
        return order
    share = MOST_ROWS / len(component)
    parts = [order[component[order] == j] for j in np.unique(component)]
    return np.concatenate([part[: max(LEAST_ROWS, round(share * len(part)))] for part in parts])


def _nearest(
    data: Float[np.ndarray, "n 2"], drawn: Float[np.ndarray, "m 2"], component: Int[np.ndarray, " m"]
) -> Int[np.ndarray, " n"]:
    """The component of the sample nearest to each row."""
    from scipy.spatial import KDTree

    nearest: Int[np.ndarray, " n"] = component[KDTree(drawn).query(data)[1]]
    return nearest


def _fit_window(axes: Axes, low: np.ndarray, high: np.ndarray) -> None:
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    axes.set_aspect("equal" if 0.5 < (high - low)[0] / (high - low)[1] < 2 else "auto")
