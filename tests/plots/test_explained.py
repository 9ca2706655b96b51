"""Pictures explain themselves: titles, captions, keys, units, and one colour for a class and its component."""

import base64
import inspect

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pushforward import plots
from pushforward.estimators import FlowMixture
from pushforward.report import ColumnLikeness, Distances, PairLikeness, Quality

RNG = np.random.default_rng(0)
SIDE = np.repeat([0, 1], 40)
PLANE = RNG.normal(size=(80, 2)) + 6 * SIDE[:, None]
HISTORY = [{"epoch": i, "train_loss": 2.0 / i, "validation_loss": 3.0 / i} for i in range(1, 9)]
COMPARED = Quality(
    (ColumnLikeness("a", "real", 0.9, 0.0, 0.0), ColumnLikeness("b", "category", 0.8, 0.1, 0.2)),
    (PairLikeness("a", "b", 0.7),),
    0.6,
    Distances(np.linspace(0, 1, 9), np.linspace(0.2, 1, 9), 0.1),
    {},
)


def by_side(points: np.ndarray) -> np.ndarray:
    return np.eye(2)[(points.sum(axis=1) > 6).astype(int)]


class Drawn:
    """What pictures ask of a model of images of 2 x 2 pixels."""

    image_shape_ = (2, 2, 1)

    def sample(self, n=1, condition=None, temperature=1.0, random_state=None):
        return temperature * np.random.default_rng(random_state).normal(size=(n, 2, 2))

    def interpolate(self, a, b, n):
        return np.linspace(a, b, n)


PICTURES = {
    "contingency": lambda: plots.contingency(SIDE, SIDE),
    "data_and_samples": lambda: plots.data_and_samples(PLANE, PLANE, SIDE, by_side, classes=SIDE),
    "regions": lambda: plots.regions(PLANE, {"q": by_side}),
    "component_map": lambda: plots.component_map(PLANE, SIDE),
    "posterior_gap": lambda: plots.posterior_gap(np.ones(80), SIDE, PLANE),
    "densities": lambda: plots.densities(PLANE[:, 0], SIDE),
    "density": lambda: plots.density(lambda P: -0.5 * (P**2).sum(axis=1), PLANE),
    "density_curve": lambda: plots.density_curve(lambda P: -0.5 * P[:, 0] ** 2, PLANE[:, :1]),
    "rows_by_group": lambda: plots.rows_by_group({"data": PLANE, "samples": PLANE}),
    "training_curve": lambda: plots.training_curve(HISTORY, 8),
    "quality": lambda: plots.quality(COMPARED),
    "samples_by_component": lambda: plots.samples_by_component([PLANE[:40], PLANE[40:]]),
    "image_rows": lambda: plots.image_rows({"a": np.ones((2, 4))}, (2, 2), title="ones", caption="Good: all alike."),
    "images": lambda: plots.images(np.ones((9, 2, 2)), title="ones", caption="Good: all alike."),
    "interpolation": lambda: plots.interpolation(Drawn(), [(np.zeros((2, 2)), np.ones((2, 2)))]),
    "temperatures": lambda: plots.temperatures(Drawn()),
}
WITHOUT_AXES = {"image_rows", "images", "interpolation"}


def test_there_is_no_other_picture():
    functions = {name for name in plots.__all__ if inspect.isfunction(vars(plots)[name])} - {"colours", "portrait"}
    assert functions == set(PICTURES)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_what_it_shows_and_what_is_good_and_shows_itself(name):
    figure = PICTURES[name]()
    assert figure.get_suptitle() and "Good:" in figure.get_supxlabel()
    png, size = figure._repr_png_()
    assert png.startswith(b"\x89PNG")
    assert 300 < size["width"] <= 1200 and 100 < size["height"] < 1000  # dots of a page, fit for reading
    axes = [panel for panel in figure.axes if panel.get_xlabel() or panel.get_ylabel()]
    assert axes or name in WITHOUT_AXES


def test_figures_show_inline_without_pyplot():
    formatters = pytest.importorskip("IPython.core.formatters")
    data, metadata = formatters.DisplayFormatter().format(PICTURES["contingency"]())
    shown = data["image/png"]
    assert (base64.b64decode(shown) if isinstance(shown, str) else shown).startswith(b"\x89PNG")
    assert metadata["image/png"]["width"] > 300


def shades(axes) -> list[str]:
    return [to_hex(colour) for colour in axes.collections[0].get_facecolors()]


@pytest.mark.parametrize("posterior", [None, by_side])
def test_a_class_has_the_colour_of_the_component_that_stands_for_it(posterior):
    other = 1 - SIDE  # components are numbered the other way round than classes
    asked = None if posterior is None else lambda P: posterior(P)[:, ::-1]
    figure = plots.data_and_samples(PLANE, PLANE, other, asked, classes=np.where(SIDE == 0, "low", "up"))
    left, right = figure.axes
    assert shades(left) == shades(right)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["0 = up", "1 = low"]


def test_regions_and_maps_match_colours_as_the_contingency_table_does():
    posterior = {"q": lambda P: by_side(P)[:, ::-1]}
    region, alone = plots.regions(PLANE, posterior, classes=SIDE).axes[0], plots.colours(2)
    low = region.collections[0]
    for (x, y), colour in zip(low.get_offsets(), low.get_facecolors(), strict=True):
        assert to_hex(colour) == to_hex(alone[0 if x + y > 6 else 1])
    components, classes = plots.component_map(PLANE, 1 - SIDE, classes=SIDE).axes
    assert shades(components) == shades(classes)


def test_classes_without_a_component_have_colours_of_their_own():
    classes = np.repeat(["a", "b", "c", "d"], 20)
    figure = plots.data_and_samples(PLANE, PLANE, SIDE, by_side, classes=classes)
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert len(texts) == 4 and sum(text.startswith("none = ") for text in texts) == 2
    assert len(set(shades(figure.axes[0]))) == 4


def test_data_may_be_coloured_by_component():
    figure = plots.data_and_samples(PLANE, PLANE, SIDE, data_components=SIDE)
    assert shades(figure.axes[0]) == shades(figure.axes[1])


def test_the_contingency_table_says_what_its_rows_are():
    figure = plots.contingency(SIDE, 1 - SIDE, n_components=4, class_name="digit")
    assert (
        figure.axes[0].get_ylabel() == "digit"
        and "digit" in figure.get_suptitle()
        and "100.0%" in figure.get_suptitle()
    )


def test_components_left_over_follow_by_the_class_they_have_most_of():
    classes = np.repeat(["a", "b"], [30, 30])
    components = np.repeat([3, 0, 2, 1], [20, 10, 10, 20])
    ticks = plots.contingency(classes, components).axes[0].get_xticklabels()
    assert [tick.get_text() for tick in ticks] == ["3", "1", "0", "2"]


def test_training_is_shown_in_the_units_of_scores():
    axes = plots.training_curve(HISTORY, best_epoch=8, log_scale=50.0).axes[0]
    train, held_out, kept = axes.lines
    np.testing.assert_allclose(train.get_ydata(), [-50 - 2.0 / i for i in range(1, 9)])
    assert kept.get_ydata()[0] == held_out.get_ydata()[-1] == -50.375
    assert "log-density" in axes.get_ylabel() and axes.get_ylim()[0] < -50.4 < axes.get_ylim()[1]


def test_densities_are_numbers_with_the_ends_as_pictures():
    nats = np.arange(12.0) - 100
    pictures = np.repeat(np.arange(12.0)[:, None], 4, axis=1)
    figure = plots.densities(nats, np.repeat([0, 1], [10, 2]), pictures, (2, 2))
    panels = [axes for axes in figure.axes if axes.images]
    shown = {float(axes.images[0].get_array().max()): axes.get_title() for axes in panels}
    assert shown == {0: "-100", 1: "-99", 2: "-98", 7: "-93", 8: "-92", 9: "-91", 10: "-90", 11: "-89"}
    heights = sum(patch.get_height() for axes in figure.axes for patch in axes.patches)
    assert heights == 12
    with pytest.raises(ValueError, match="expected \\(n,\\) of both"):
        plots.densities(nats, [0, 1])


@pytest.mark.long
def test_density_and_regions_of_whole_number_columns_of_a_model():
    X = np.column_stack([RNG.poisson(4, 120), RNG.poisson(9, 120)]).astype(float)
    model = FlowMixture(2, max_epochs=2, n_layers=1, random_state=0, init="random").fit(X)
    for figure in (plots.density(model.score_samples, X), plots.regions(X, {"q": model.predict_proba})):
        assert figure._repr_png_()[0].startswith(b"\x89PNG")


def test_a_density_of_one_column_is_a_curve_or_the_probability_of_each_whole_number():
    values = RNG.normal(size=(500, 1))
    axes = plots.density_curve(lambda P: -0.5 * P[:, 0] ** 2 - 0.919, values).axes[0]
    assert axes.lines[0].get_ydata().max() == pytest.approx(0.4, abs=0.01)
    assert sum(bar.get_height() * bar.get_width() for bar in axes.patches) == pytest.approx(1)
    axes = plots.density_curve(lambda P: np.log(np.full(len(P), 0.2)), np.arange(5.0)[:, None]).axes[0]
    assert set(np.arange(5.0)) <= set(axes.lines[0].get_xdata()) <= set(np.arange(-1.0, 6.0))
    assert sorted(bar.get_height() for bar in axes.patches)[-5:] == pytest.approx([0.2] * 5)


def test_groups_of_unequal_size_are_compared_by_share():
    figure = plots.rows_by_group({"data": PLANE[:40, :1], "samples": np.tile(PLANE[:40, :1], (5, 1))})
    heights = [patch.get_path().vertices[:, 1].max() for patch in figure.axes[0].patches]
    assert heights[0] == pytest.approx(heights[1])
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["data", "samples"]
    with pytest.raises(ValueError, match="expected \\(m, D\\) with one D for all"):
        plots.rows_by_group({"data": PLANE, "samples": PLANE[:, :1]})
