"""Pictures of images: grids, several temperatures, what lies between; and the portrait of a flow of images."""

from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import pushforward as pf
from pushforward import plots
from pushforward.data.columns import learn_columns
from pushforward.service import as_frame
from tests.plots.test_explained import Drawn

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (60, 2, 4), dtype=np.uint8)
ROWS = X.reshape(60, -1).astype(float)


@pytest.fixture(scope="module")
def model() -> pf.FlowDensity:
    """Fitted to rows under names, as a shell does."""
    options: dict[str, Any] = {"n_layers": 1, "hidden_sizes": (4,), "max_epochs": 1, "random_state": 0}
    return pf.FlowDensity("glow", image_shape=(2, 4), **options).fit(as_frame(ROWS, [f"x{i}" for i in range(8)]))


def shown(figure: Figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


def labels(figure: Figure) -> list[str]:
    return [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]


def test_a_grid_shows_images_as_they_are_stored() -> None:
    figure = plots.images(X[:5], columns=3)
    np.testing.assert_array_equal(shown(figure), X[:5])
    assert len(figure.axes) == 6
    light = figure.axes[0].images[0].cmap(1.0)
    assert light[:3] == (1.0, 1.0, 1.0)  # the largest number is white
    np.testing.assert_array_equal(shown(plots.images(ROWS[:5], (2, 4), columns=3)), X[:5])
    coloured = RNG.integers(0, 256, (2, 2, 2, 3), dtype=np.uint8)
    span = int(np.ptp(coloured))
    np.testing.assert_allclose(shown(plots.images(coloured)), (coloured - coloured.min().astype(float)) / span)
    with pytest.raises(ValueError, match=r"rows of shape \(5, 8\) need image_shape="):
        plots.images(ROWS[:5])


def test_temperatures_are_rows_of_the_same_noise() -> None:
    figure = plots.temperatures(Drawn(), (0.5, 1.0), n=3, data=X[:3, :, :2])
    assert labels(figure) == ["data", "T = 0.5", "T = 1"]
    found = np.array(shown(figure)).reshape(3, 3, 2, 2)
    np.testing.assert_array_equal(found[0], X[:3, :, :2])
    np.testing.assert_allclose(found[1], found[2] / 2)


def test_a_table_has_no_pictures() -> None:
    model = pf.FlowDensity()
    model.image_shape_ = None
    for picture in (plots.temperatures, lambda model: plots.interpolation(model, [])):
        with pytest.raises(ValueError, match="this FlowDensity is of a table, not of images; fit it with image_shape="):
            picture(model)


@pytest.mark.filterwarnings("error")  # of names that rows lack
def test_the_portrait_of_a_flow_of_images_is_of_images(model: Any) -> None:
    pictures = plots.portrait(model, ROWS)
    assert list(pictures) == ["samples", "interpolation", "density", "training"]
    samples = pictures["samples"]()
    assert labels(samples) == ["data", "T = 0.7", "T = 0.85", "T = 1"]
    assert {tuple(image.shape) for image in shown(samples)} == {(2, 4)} and len(shown(samples)) == 40
    assert all((image == X).all(axis=(1, 2)).any() for image in shown(samples)[:10])
    between = np.array(shown(pictures["interpolation"]())).reshape(5, 10, 2, 4)
    for line in between:
        ends = [np.flatnonzero((end == X).all(axis=(1, 2))) for end in line[[0, -1]]]
        assert len(ends[0]) == len(ends[1]) == 1 and ends[0] != ends[1]
    nats = np.asarray(model.score_samples(as_frame(ROWS, [f"x{i}" for i in range(8)])))
    usual = np.array(shown(pictures["density"]()))
    np.testing.assert_array_equal(usual, X[np.argsort(nats)][[0, 1, 2, 3, -4, -3, -2, -1]])


def test_without_data_there_are_samples_alone(model: Any) -> None:
    pictures = plots.portrait(model)
    assert list(pictures) == ["samples", "training"]
    assert labels(pictures["samples"]()) == ["T = 0.7", "T = 0.85", "T = 1"]
    assert list(plots.portrait(model, ROWS[:1])) == ["samples", "density", "training"]  # one has none to go to


class Typical(pf.FlowOutlierDetector):
    """Whose log-densities are those of a normal distribution, and typicalities distances from -2."""

    def score_samples(self, X: Any, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        rows = np.asarray(X, dtype=float)
        nats = -0.5 * (rows**2).sum(axis=1) - 0.5 * rows.shape[1] * np.log(2 * np.pi)
        return nats if self.centre_ is None else -np.abs(nats - self.centre_)


def typical(rows: np.ndarray, image_shape: tuple[int, int, int] | None) -> pf.FlowOutlierDetector:
    model = Typical()
    columns = learn_columns(rows, [f"x{i}" for i in range(rows.shape[1])])
    state = {"columns_": columns, "condition_columns_": None, "image_shape_": image_shape, "history_": []}
    vars(model).update(state, centre_=-2.0)
    return model


def test_typicality_is_told_from_log_density() -> None:
    rows = RNG.normal(size=(60, 2))
    usual = plots.portrait(typical(rows, (1, 2, 1)), rows)["density"]()
    assert [axes.get_xlabel() for axes in usual.axes if axes.get_xlabel()] == ["typicality of a row, nats"]
    model = typical(rows[:, :1], None)
    (line,) = plots.portrait(model, rows[:, :1])["density"]().axes[0].lines
    assert np.asarray(line.get_ydata()).max() == pytest.approx(0.3989, abs=1e-3)  # of the density
    assert model.centre_ == -2.0
