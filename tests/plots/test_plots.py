import subprocess
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pushforward import plots

RNG = np.random.default_rng(0)


def drawn(figure) -> np.ndarray:
    """The figure as pixels, so that every drawing step has run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def table(figure) -> np.ndarray:
    axes = figure.axes[0]
    cells = {tuple(text.get_position()): int(text.get_text()) for text in axes.texts}
    columns, rows = len(axes.get_xticks()), len(axes.get_yticks())
    return np.array([[cells[j, i] for j in range(columns)] for i in range(rows)])


def test_contingency_counts_every_row_and_orders_components():
    classes = np.repeat(["cat", "dog", "emu"], [10, 20, 30])
    components = np.concatenate([np.full(10, 2), np.full(20, 0), np.full(25, 1), np.full(5, 3)])
    figure = plots.contingency(classes, components)
    assert table(figure).tolist() == [[10, 0, 0, 0], [0, 20, 0, 0], [0, 0, 25, 5]]
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_yticklabels()] == ["cat", "dog", "emu"]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["2", "0", "1", "3"]
    drawn(figure)


def test_contingency_shows_unused_components_and_fewer_components_than_classes():
    assert table(plots.contingency([0, 1], [1, 0], n_components=4)).shape == (2, 4)
    assert table(plots.contingency([0, 1, 2], [0, 0, 0])).tolist() == [[1], [1], [1]]


@pytest.mark.parametrize(("dim", "panels"), [(1, 1), (2, 1), (4, 16), (9, 25)])
def test_samples_of_tables_become_histogram_scatter_or_pair_plot(dim, panels):
    samples = [RNG.normal(size=(40, dim)) for _ in range(3)]
    figure = plots.samples_by_component(samples, names=[f"column {i}" for i in range(dim)])
    assert len(figure.axes) == panels
    legend = figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()] == ["0", "1", "2"]
    drawn(figure)


def test_pair_plot_picks_the_columns_that_separate():
    samples = [RNG.normal(size=(200, 8)) for _ in range(2)]
    for column in (1, 3, 4, 6, 7):
        samples[1][:, column] += 5
    figure = plots.samples_by_component(samples)
    assert [axes.get_xlabel() for axes in figure.axes[-5:]] == ["x1", "x3", "x4", "x6", "x7"]


def test_samples_of_pictures_keep_their_place_and_label():
    pictures = [np.full((3, 6), float(k)) for k in range(2)]
    figure = plots.samples_by_component(pictures, image_shape=(2, 3), weights=[0.25, 0.75])
    shown = [axes for axes in figure.axes if axes.images]
    assert [axes.images[0].get_array().tolist() for axes in shown[2:4]] == [[[0.0] * 3] * 2, [[1.0] * 3] * 2]
    assert [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()] == ["component 0\n25%", "component 1\n75%"]
    drawn(figure)


def test_an_empty_component_is_no_obstacle():
    samples = [RNG.normal(size=(20, 2)), np.empty((0, 2))]
    drawn(plots.samples_by_component(samples))
    drawn(plots.samples_by_component([part.repeat(2, axis=1) for part in samples], image_shape=(2, 2)))


def test_training_curve_shows_both_losses_and_the_kept_epoch():
    history = [{"epoch": i, "train_loss": 1000.0 / i**2, "validation_loss": 2.0 / i} for i in range(1, 41)]
    axes = plots.training_curve(history, best_epoch=40).axes[0]
    train, validation, kept = axes.lines
    assert train.get_ydata()[0] == 1000.0
    assert validation.get_xdata()[-1] == 40
    assert (kept.get_xdata()[0], kept.get_ydata()[0]) == (40, 2.0 / 40)
    assert axes.get_ylim()[1] < 600  # the first fall does not flatten the rest
    alone = plots.training_curve([{**entry, "validation_loss": None} for entry in history], best_epoch=40)
    assert len(alone.axes[0].lines) == 1
    drawn(plots.training_curve([{"epoch": 1, "train_loss": float("nan"), "validation_loss": None}, *history[1:]]))


def test_regions_are_the_posterior_and_points_have_their_component_s_colour():
    X = RNG.normal(size=(300, 2)) * [1, 2]
    side = (X[:, 0] > 0).astype(int)
    figure = plots.data_and_samples(X, X, side, lambda P: np.eye(3)[(P[:, 0] > 0).astype(int)], classes=side - 1)
    left, right = figure.axes
    picture = right.images[0].get_array()
    assert picture[:, :90].reshape(-1, 3).std(axis=0).max() < 1e-9
    assert not np.allclose(picture[0, 0], picture[0, -1])
    dots = right.collections[0]
    for (x, _), colour in zip(dots.get_offsets(), dots.get_facecolors(), strict=True):
        assert to_hex(colour) == to_hex(plots.colours(3)[int(x > 0)])
    # the class 0 is on the side of component 1, and has its colour
    assert {to_hex(c) for c in left.collections[0].get_facecolors()} == {"#444444", to_hex(plots.colours(2)[1])}
    drawn(figure)


def test_density_contours_hold_the_share_they_say():
    X = RNG.normal(size=(4000, 2))
    figure = plots.density(lambda P: -0.5 * (P**2).sum(axis=1), X, names=("width", "height"))
    axes, bar = figure.axes
    assert axes.get_xlabel() == "width"
    levels = axes.collections[0].levels
    assert [text.get_text() for text in bar.get_yticklabels()][:2] == [
        f"{levels[0]:.2f}  (99%)",
        f"{levels[1]:.2f}  (95%)",
    ]
    assert -2 * levels[4] == pytest.approx(2 * np.log(2), abs=0.1)  # half of a plane Gaussian lies within r² = 2 log 2
    drawn(figure)


def test_density_of_a_bounded_model_has_no_holes_in_its_picture():
    X = RNG.uniform(size=(500, 2))
    drawn(plots.density(lambda P: np.where(((P > 0) & (P < 1)).all(axis=1), 0.0, -np.inf), X))


def test_colours_are_distinct_for_any_number_of_components():
    for k in (1, 8, 9, 30):
        assert len(set(plots.colours(k))) == k


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.contingency([1, 2], [0]), "classes has 2 rows and components 1"),
        (lambda: plots.samples_by_component([np.zeros((2, 3)), np.zeros((2, 4))]), "[(2, 3), (2, 4)]"),
        (lambda: plots.samples_by_component([np.zeros((2, 3))], image_shape=(2, 2)), "do not make pictures of (2, 2)"),
        (lambda: plots.training_curve([]), "history is empty"),
        (lambda: plots.data_and_samples(np.zeros((2, 3)), np.zeros((2, 2)), [0, 0]), "X has shape (2, 3)"),
        (lambda: plots.density(lambda P: P[:, 0], np.zeros(4)), "X has shape (4,)"),
    ],
)
def test_bad_arguments_say_what_is_wrong(call, message):
    with pytest.raises(ValueError) as caught:
        call()
    assert message in str(caught.value)


@pytest.mark.long
def test_plots_need_no_display_and_load_matplotlib_only_when_drawing(tmp_path):
    code = (
        "import sys\n"
        "from pushforward import plots\n"
        "assert 'matplotlib' not in sys.modules\n"
        "plots.contingency([0, 1], [0, 1]).savefig(sys.argv[1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "t.png"], check=True, env={"MPLBACKEND": "TkAgg"})
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def signs(points: np.ndarray) -> np.ndarray:
    return np.eye(2)[(points[:, 0] > 0).astype(int)]


def test_regions_have_a_panel_for_each_posterior():
    X = RNG.normal(size=(60, 2))
    figure = plots.regions(X, {"network": signs, "exact": lambda P: signs(-P)}, classes=(X[:, 0] > 0).astype(int))
    assert [axes.get_title() for axes in figure.axes] == ["network", "exact"]
    left, right = (axes.images[0].get_array() for axes in figure.axes)
    np.testing.assert_allclose(left[:, 0], right[:, -1])  # the colours of the two halves change places
    assert not np.allclose(left[:, 0], right[:, 0])
    drawn(figure)


@pytest.mark.parametrize("k", [2, 3, 10])
def test_a_map_keeps_components_apart(k):
    components = np.repeat(np.arange(k), 40)
    X = RNG.normal(size=(40 * k, 12)) + 6 * np.eye(k, 12)[components]
    figure = plots.component_map(X * 100, components, classes=[f"class {j}" for j in components])
    at = np.asarray(figure.axes[0].collections[0].get_offsets())
    assert at.shape == (40 * k, 2)
    assert np.ptp(at, axis=0).min() > 1
    numbers = {text.get_text(): text.get_position() for text in figure.axes[0].texts}
    assert set(numbers) == {str(j) for j in range(k)}
    if k == 3:
        middles = np.array(list(numbers.values()))
        assert min(np.linalg.norm(middles[i] - middles[j]) for i, j in ((0, 1), (0, 2), (1, 2))) > 3
    drawn(figure)


def test_a_map_needs_columns_and_components():
    with pytest.raises(ValueError, match="expected \\(n, D\\), D ≥ 2"):
        plots.component_map(np.zeros((4, 1)), [0, 0, 1, 1])
    with pytest.raises(ValueError, match="all rows are of one component"):
        plots.component_map(RNG.normal(size=(4, 3)), [1, 1, 1, 1])


def test_the_gap_is_shown_as_the_share_of_rows_above():
    gap = np.array([0.0, 0.1, 0.4, 2.0])
    figure = plots.posterior_gap(gap, [0, 0, 0, 1], X=RNG.normal(size=(4, 2)))
    curve = figure.axes[0].lines[0]
    np.testing.assert_allclose(curve.get_xdata(), [1e-6, 1e-6, 0.1, 0.4])
    np.testing.assert_allclose(curve.get_ydata(), [1, 1, 2 / 3, 1 / 3])
    assert curve.get_drawstyle() == "steps-pre"  # at 0.05 two of the three rows have more
    assert len(figure.axes) == 3  # two panels and the scale of colours
    drawn(figure)
    with pytest.raises(ValueError, match="as many rows of each"):
        plots.posterior_gap(gap, [0, 1])
    with pytest.raises(ValueError, match="not finite in 1 rows"):
        plots.posterior_gap(np.array([0.1, np.inf]), [0, 1])


def test_a_map_shows_rare_components_and_those_without_spread():
    components = np.zeros(12_000, dtype=int)
    components[7] = 1
    numbers = plots.component_map(RNG.normal(size=(12_000, 3)), components).axes[0].texts
    assert [text.get_text() for text in numbers] == ["0", "1"]
    one_hot = np.repeat(np.arange(3), 5)
    drawn(plots.component_map(np.eye(3)[one_hot], one_hot, n_components=2))
    drawn(plots.component_map(RNG.normal(size=(3, 4)), [0, 1, 2]))
    with pytest.raises(ValueError, match=r"classes has shape \(2,\); expected one for each row, \(15,\)"):
        plots.component_map(np.eye(3)[one_hot], one_hot, classes=["a", "b"])


def test_classes_may_be_large_numbers_some_unknown():
    years = np.repeat([2019, 2020, -1], 10)
    figure = plots.component_map(RNG.normal(size=(30, 3)), np.arange(30) % 2, classes=years)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0 = 2019", "1 = 2020", "unlabelled row"]
    shades = {to_hex(colour) for colour in figure.axes[1].collections[0].get_facecolors()}
    assert shades == {"#444444", *map(to_hex, plots.colours(2))}


def test_regions_of_whole_numbers_are_asked_at_whole_numbers():
    asked = []

    def posterior(points):
        asked.append(points)
        return signs(points)

    X = RNG.integers(-5, 5, size=(40, 2)).astype(float)
    plots.regions(X, {"q": posterior}, classes=np.where(X[:, 0] > 0, "right", "left"), integer=(True, False))
    grid = asked[-1]
    assert (grid[:, 0] == np.round(grid[:, 0])).all() and (grid[:, 1] != np.round(grid[:, 1])).any()


def test_pictures_may_have_colours():
    figure = plots.samples_by_component([RNG.uniform(size=(2, 12))], image_shape=(2, 2, 3))
    assert figure.axes[0].images[0].get_array().shape == (2, 2, 3)
    drawn(figure)
    with pytest.raises(ValueError, match="pictures have 1 channel or 3"):
        plots.image_rows({"two": np.ones((1, 8))}, (2, 2, 2))
