"""Pictures of fitted models: clusters, samples, densities, training.

Every function returns a Matplotlib figure that belongs to no window; `figure.savefig("name.png")` writes it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito (2008): told apart with every kind of colour vision; black last.
_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#F0E442", "#000000")
_GREY = "#444444"
_PAIR_COLUMNS = 5


def colours(k: int) -> list[tuple[float, float, float]]:
    """K colours, one a component, that colour-blind readers tell apart up to K = 8."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if k <= len(_COLOURS):
        return [to_rgb(colour) for colour in _COLOURS[:k]]
    return [to_rgb(colour) for colour in colormaps["viridis"](np.linspace(0, 0.97, k))]


def contingency(classes: ArrayLike, components: ArrayLike, n_components: int | None = None) -> Figure:
    """How the rows of each class spread over the components, as a table with a heat map behind.

    Components are ordered so that the classes come out along the diagonal.

    Arguments:
        classes: the true class of each row, shape (n,), of any kind that sorts.
        components: the component of each row, integers of shape (n,).
        n_components: K; the largest component + 1 where not given.

    Raises:
        ValueError: the two differ in length, or are empty.

    Example:
        >>> from pushforward import plots
        >>> figure = plots.contingency(["a", "a", "b"], [1, 1, 0])
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
    counts = np.zeros((len(names), k), dtype=int)
    np.add.at(counts, (index, chosen), 1)
    order = _diagonal_order(counts)
    counts = counts[:, order]

    figure = _figure(1.6 + 0.75 * k, 1.3 + 0.55 * len(names))
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for i, j in np.ndindex(*counts.shape):
        axes.text(j, i, str(counts[i, j]), ha="center", va="center", color="white" if share[i, j] > 0.5 else "black")
    axes.set_xticks(range(k), [str(j) for j in order])
    axes.set_yticks(range(len(names)), [str(name) for name in names])
    axes.set(xlabel="component", ylabel="class")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def samples_by_component(
    samples: Sequence[ArrayLike],
    image_shape: tuple[int, int] | None = None,
    names: Sequence[str] | None = None,
    weights: ArrayLike | None = None,
) -> Figure:
    """Samples of every component: rows of pictures, or points coloured by component.

    Tables of one column become histograms, of two a scatter plot, of more a pair plot of the (at most five)
    columns that separate the components most.

    Arguments:
        samples: for each of the K components an array of shape (m_k, D).
        image_shape: (height, width) where a row is a picture; D is their product.
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
        return image_rows({f"component {k}{shares[k]}": part for k, part in enumerate(arrays)}, image_shape)
    names = [f"x{i}" for i in range(dim)] if names is None else list(names)
    rows = np.concatenate(arrays)
    component = np.repeat(np.arange(len(arrays)), [len(part) for part in arrays])
    return _points(rows, component, len(arrays), names)


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
    figure = _figure(6.0, 3.6)
    axes = figure.subplots()
    axes.plot(epoch, train, color=_COLOURS[0], label="training")
    if validation[0] is not None:
        axes.plot(epoch, validation, color=_COLOURS[4], label="held-out rows")
        if best_epoch is not None and best_epoch in epoch:
            kept = validation[epoch.index(best_epoch)]
            axes.plot(best_epoch, kept, "o", color=_COLOURS[4], label=f"kept: epoch {best_epoch}")
    # The first epochs fall from so far up that the rest would look flat.
    shown = np.asarray([loss for loss in (*train, *validation) if loss is not None])
    settled = shown[np.isfinite(shown)]
    low, room = settled.min(), np.quantile(settled, 0.95) - settled.min() or 1.0
    axes.set_ylim(low - 0.08 * room, low + 1.25 * room)
    axes.set(xlabel="epoch", ylabel="loss (nats a row)")
    axes.legend(frameon=False)
    _tidy(axes)
    return figure


def data_and_samples(
    X: ArrayLike,
    samples: ArrayLike,
    components: ArrayLike,
    posterior: Callable[[Float[np.ndarray, "m 2"]], ArrayLike] | None = None,
    names: Sequence[str] = ("x0", "x1"),
    classes: ArrayLike | None = None,
) -> Figure:
    """Two-dimensional data beside samples coloured by component, with the posterior's regions behind them.

    Figures 5.1 to 5.3 of the thesis on variational mixtures of flows.

    Arguments:
        X: data, shape (n, 2).
        samples: shape (m, 2).
        components: the component of each sample, integers of shape (m,).
        posterior: gives p(k|x) of shape (m, K) for points (m, 2), `predict_proba` say; no regions where None.
        names: of the two columns.
        classes: integers of shape (n,) that colour the data; grey where not given (or -1).

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
    data, drawn = _plane("X", X), _plane("samples", samples)
    component = np.asarray(components).astype(int)
    figure = _figure(9.0, 4.9)
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    low, high = _window(np.concatenate([data, drawn]))
    k = int(component.max(initial=0)) + 1
    if posterior is not None:
        k = max(k, _regions(right, posterior, low, high))
    group = np.full(len(data), -1) if classes is None else np.asarray(classes).astype(int)
    palette = colours(max(k, int(group.max(initial=0)) + 1))
    _scatter(left, data, [_GREY if g < 0 else palette[g] for g in group])
    _scatter(right, drawn, [palette[j] for j in component])
    for axes, title in ((left, "data"), (right, "samples")):
        axes.set(title=title, xlabel=names[0], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.set_aspect("equal" if 0.5 < (high - low)[0] / (high - low)[1] < 2 else "auto")
    left.set_ylabel(names[1])
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

    data = _plane("X", X)
    low, high = _window(data)
    grid, shape = _grid(low, high)
    values = np.maximum(np.asarray(log_density(grid), dtype=float), -1e30).reshape(shape)
    at_data = np.asarray(log_density(data), dtype=float)
    shares = np.array([0.99, 0.95, 0.9, 0.75, 0.5, 0.25, 0.1])
    levels = np.quantile(at_data[np.isfinite(at_data)], 1 - shares)
    levels = np.maximum.accumulate(levels + 1e-9 * np.arange(len(levels)))
    figure = _figure(5.6, 4.5)
    axes = figure.subplots()
    top = max(values.max(), levels[-1]) + 1e-6
    shades = colormaps["Blues"](np.linspace(0.15, 0.95, len(levels)))
    x, y = grid.T.reshape(2, *shape)
    filled = axes.contourf(x, y, values, levels=[*levels, top], colors=shades)
    _scatter(axes, data, ["black"] * len(data), size=2.0, alpha=0.4)
    bar = figure.colorbar(filled, ax=axes, spacing="uniform", ticks=levels)
    bar.ax.set_yticklabels([f"{share:.0%}" for share in shares])
    bar.set_label("share of the rows inside")
    axes.set(xlabel=names[0], ylabel=names[1], xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    _tidy(axes)
    return figure


def image_rows(groups: Mapping[str, ArrayLike], image_shape: tuple[int, int], columns: int = 10) -> Figure:
    """Rows of small pictures, a labelled row (or block of rows) for each group.

    Arguments:
        groups: label -> pictures of shape (m, height * width).
        image_shape: (height, width).
        columns: pictures in a row.

    Raises:
        ValueError: a group's rows do not fit the image shape.

    Example:
        >>> import numpy as np
        >>> from pushforward import plots
        >>> len(plots.image_rows({"ones": np.ones((3, 4))}, (2, 2), columns=3).axes)
        3
    """
    pictures = {label: np.asarray(rows, dtype=float) for label, rows in groups.items()}
    wrong = [f"{label} {rows.shape}" for label, rows in pictures.items() if rows.shape[1:] != (np.prod(image_shape),)]
    if wrong:
        raise ValueError(f"rows that do not make pictures of {image_shape}: {', '.join(wrong)}")
    lines = [
        (label if start == 0 else "", rows[start : start + columns])
        for label, rows in pictures.items()
        for start in range(0, max(len(rows), 1), columns)
    ]
    low = min((rows.min() for rows in pictures.values() if rows.size), default=0.0)
    high = max((rows.max() for rows in pictures.values() if rows.size), default=1.0)
    height, width = image_shape
    figure = _figure(0.6 * columns + 1.4, 0.6 * height / width * len(lines) + 0.15)
    grid = figure.subplots(len(lines), columns, squeeze=False, gridspec_kw={"wspace": 0.06, "hspace": 0.06})
    for (label, rows), line in zip(lines, grid, strict=True):
        for j, axes in enumerate(line):
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
            if j < len(rows):
                axes.imshow(rows[j].reshape(image_shape), cmap="gray_r", vmin=low, vmax=high)
        line[0].set_ylabel(label, rotation=0, ha="right", va="center")
    return figure


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=150, layout="constrained")


def _tidy(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _plane(name: str, X: ArrayLike) -> Float[np.ndarray, "n 2"]:
    points = np.asarray(X, dtype=float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name} has shape {points.shape}; expected two columns, (n, 2)")
    return points


def _window(points: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, "2 2"]:
    """Lower and upper corner around the points, a few strays left out."""
    low, high = np.quantile(points[np.isfinite(points).all(axis=1)], [0.001, 0.999], axis=0)
    margin = 0.1 * np.where(high > low, high - low, 1.0)
    return np.stack([low - margin, high + margin])


def _grid(low: np.ndarray, high: np.ndarray, steps: int = 200) -> tuple[Float[np.ndarray, "m 2"], tuple[int, int]]:
    x, y = np.meshgrid(np.linspace(low[0], high[0], steps), np.linspace(low[1], high[1], steps))
    return np.stack([x.ravel(), y.ravel()], axis=1), (steps, steps)


def _regions(axes: Axes, posterior: Callable[..., ArrayLike], low: np.ndarray, high: np.ndarray) -> int:
    """Colour the plane by the likeliest component, paler where it is less sure; the number of components."""
    grid, shape = _grid(low, high)
    q = np.asarray(posterior(grid), dtype=float)
    palette = np.asarray(colours(q.shape[1]))
    strength = 0.08 + 0.3 * (q.max(axis=1, keepdims=True) - 1 / q.shape[1]) / max(1 - 1 / q.shape[1], 1e-9)
    picture = 1 - strength * (1 - palette[q.argmax(axis=1)])
    extent = (low[0], high[0], low[1], high[1])
    axes.imshow(picture.reshape(*shape, 3), origin="lower", extent=extent, aspect="auto", interpolation="bilinear")
    return int(q.shape[1])


def _scatter(axes: Axes, points: np.ndarray, colour: Sequence[Any], size: float = 6.0, alpha: float = 0.8) -> None:
    """Small dots without edges, at most 5,000, in an order that hides no component behind another."""
    order = np.random.default_rng(0).permutation(len(points))[:5000]
    x, y = points[order].T
    axes.scatter(x, y, s=size, c=[colour[i] for i in order], alpha=alpha, linewidths=0)


def _points(rows: np.ndarray, component: np.ndarray, k: int, names: Sequence[str]) -> Figure:
    """Histograms, a scatter plot or a pair plot, coloured by component."""
    from matplotlib.lines import Line2D

    palette = colours(k)
    columns = _most_separating(rows, component, k)
    short = [name if len(name) <= 18 else f"{name[:17]}…" for name in names]
    d = len(columns)
    figure = _figure(6.0, 3.6) if d == 1 else _figure(5.2, 4.4) if d == 2 else _figure(2.0 * d + 1.0, 2.0 * d)
    bins = int(np.clip(2 * np.cbrt(len(rows)), 8, 40))
    dots = [palette[j] for j in component]
    if d == 2:
        axes = figure.subplots()
        _scatter(axes, rows, dots)
        axes.set(xlabel=names[0], ylabel=names[1])
        _tidy(axes)
    else:
        grid = figure.subplots(d, d, squeeze=False, sharex="col")
        for (i, j), axes in np.ndenumerate(grid):
            if i == j:
                edges = np.histogram_bin_edges(rows[:, columns[j]], bins=bins)
                parts = [rows[component == c, columns[j]] for c in range(k)]
                axes.hist(parts, bins=edges.tolist(), color=palette, alpha=0.6, histtype="stepfilled")
                axes.set_yticks([])
            else:
                _scatter(axes, rows[:, [columns[j], columns[i]]], dots, size=3.0)
                axes.tick_params(labelleft=j == (1 if i == 0 else 0))
            axes.set_xlabel(short[columns[j]] if i == d - 1 else "")
            axes.set_ylabel(short[columns[i]] if j == 0 and i > 0 else "")
            _tidy(axes)
    keys = [
        Line2D([], [], marker="o", linestyle="", markersize=4, color=c, label=str(k)) for k, c in enumerate(palette)
    ]
    figure.legend(handles=keys, title="component", loc="outside right center", frameon=False)
    return figure


def _most_separating(rows: np.ndarray, component: np.ndarray, k: int) -> list[int]:
    """The columns whose means differ most between components, against their spread; in their own order."""
    if rows.shape[1] <= _PAIR_COLUMNS:
        return list(range(rows.shape[1]))
    means = np.stack([rows[component == j].mean(axis=0) for j in range(k) if (component == j).any()])
    ratio = means.std(axis=0) / np.maximum(rows.std(axis=0), 1e-12)
    return sorted(np.argsort(-ratio, kind="stable")[:_PAIR_COLUMNS].tolist())


def _diagonal_order(counts: Int[np.ndarray, "c k"]) -> list[int]:
    """Components in an order that puts the largest matching of classes to components on the diagonal."""
    from scipy.optimize import linear_sum_assignment

    _, matched = linear_sum_assignment(-counts)
    rest = [j for j in range(counts.shape[1]) if j not in set(matched)]
    return [int(j) for j in [*matched, *rest]]
