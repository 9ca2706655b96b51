"""Flows of images in estimators: bits, temperatures, interpolation, and what comes in and out."""

import copy
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

import pushforward as pf
from pushforward.bijections import Identity
from pushforward.data.columns import learn_columns
from pushforward.distributions import Pushforward, Uniform
from pushforward.estimators.images import bits_per_dim, great_circle, image_rows
from tests.estimators.small import mixture

RNG = np.random.default_rng(0)
TINY: dict[str, Any] = {"n_layers": 1, "hidden_sizes": (4,), "max_epochs": 1, "random_state": 0}
BYTES = np.clip(RNG.normal(128, 40, (80, 4, 4)), 0, 255).astype(np.uint8)
COLOURS = RNG.integers(0, 256, (60, 2, 2, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def glow() -> pf.FlowDensity:
    """Of bytes (n, 4, 4), of two levels."""
    return pf.FlowDensity("auto", flow_options={"n_levels": 2}, **TINY).fit(BYTES)


@pytest.fixture(scope="module")
def coloured() -> pf.FlowDensity:
    """Of rows of shares (n, 2 * 2 * 3) under names, given one column."""
    frame = pd.DataFrame(COLOURS.reshape(60, -1) / 255).add_prefix("p")
    model = pf.FlowDensity("glow", image_shape=(2, 2, 3), **TINY)
    return model.fit(frame, condition=COLOURS[:, 0, 0, :1] / 255)


@pytest.fixture(scope="module")
def clusters() -> pf.FlowMixture:
    """Of two flows of images (n, 2, 2, 1)."""
    x = np.concatenate([RNG.integers(0, 100, (30, 2, 2, 1)), RNG.integers(150, 256, (30, 2, 2, 1))]).astype(np.uint8)
    options = TINY | {"posterior_hidden_sizes": (4,), "init": "random", "consistency": 0.0}
    return mixture(2, flow="glow", validation_fraction=0.1, start_epochs=0, **options).fit(x)


def uniform(model: pf.FlowDensity) -> pf.FlowDensity:
    """A copy whose density is uniform over bytes."""
    columns, flat = model.columns_, copy.copy(model)
    low, high = ((end - columns.shift) / columns.scale for end in (0, 256))
    flat._flow = Pushforward(Uniform(jnp.asarray(low, dtype=float), jnp.asarray(high, dtype=float)), Identity((16,)))
    return flat


def test_auto_is_glow_told_the_shape(glow: Any) -> None:
    assert glow.spec_.flow == "glow" and dict(glow.spec_.options)["image_shape"] == (4, 4, 1)
    assert glow.image_shape_ == (4, 4, 1) and glow.columns_.kinds == ["whole number"] * 16
    assert glow.exactness_ == "lower bound"  # of bytes, that is
    assert glow.describe()["image_shape"] == (4, 4, 1)


def test_a_uniform_density_has_eight_bits(glow: Any) -> None:
    np.testing.assert_allclose(uniform(glow).bits_per_dim(BYTES), 8, rtol=1e-6)
    flat = np.full(3, -16 * np.log(256))
    np.testing.assert_allclose(bits_per_dim(glow.columns_, flat), 8)
    shares = learn_columns(RNG.uniform(size=(99, 16)), [f"x{i}" for i in range(16)], bounds=(0, 1), alike=True)
    np.testing.assert_allclose(bits_per_dim(shares, np.zeros(3)), 8)  # a density of 1
    assert 5 < glow.bits_per_dim(BYTES).mean() < 8


def test_numbers_without_ends_have_no_bits() -> None:
    columns = learn_columns(RNG.normal(size=(99, 4)), list("abcd"), alike=True)
    with pytest.raises(ValueError, match="these are numbers without bounds: give bytes, shares from 0 to 1, or bounds"):
        bits_per_dim(columns, np.zeros(3))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_bytes_as_shares_are_the_same_model(glow: Any, dtype: Any) -> None:
    """Standard units of bytes and of their shares are about the same, and so are bits of the same flow."""
    x = (BYTES.reshape(80, -1) / 255).astype(dtype).astype(float)
    columns = learn_columns(x, glow.columns_.names, bounds=(0, 1), alike=True)
    shares = copy.copy(glow)
    shares.columns_, shares.container_ = columns, None
    np.testing.assert_allclose(columns.scale * 255, glow.columns_.scale, rtol=1e-4)
    # columns that are measured from their upper end lie one level apart: that of bytes is 255, that of cells 256
    np.testing.assert_allclose(shares.bits_per_dim(x), glow.bits_per_dim(BYTES), atol=0.15)
    assert abs(np.mean(shares.bits_per_dim(x) - glow.bits_per_dim(BYTES))) < 0.01


def test_there_is_at_least_one_draw_within_cells(glow: Any) -> None:
    assert (glow.bits_per_dim(BYTES, n_samples=8) == glow.bits_per_dim(BYTES)).all()
    for method in (glow.score_samples, glow.bits_per_dim):
        with pytest.raises(ValueError, match="n_samples must be a whole number of at least 1; got 0"):
            method(BYTES, n_samples=0)


def test_samples_are_images_of_the_same_kind(glow: Any) -> None:
    x = glow.sample(20, random_state=1)
    assert x.shape == (20, 4, 4) and x.dtype == np.uint8 and len(np.unique(x)) > 50
    where = glow.sample(5, random_state=1, where="x0 > 128 AND x15 < 128")
    assert where.shape == (5, 4, 4) and where.dtype == np.uint8
    assert (where[:, 0, 0] > 128).all() and (where[:, 3, 3] < 128).all()


def test_bytes_come_back_exactly(glow: Any) -> None:
    back = glow.inverse_transform(glow.transform(BYTES))
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, BYTES)


@pytest.mark.parametrize(
    ("flow", "n_levels", "double"),
    [
        ("glow", 2, True),
        pytest.param("real_nvp_image", 1, True, marks=pytest.mark.long),
        pytest.param("glow", 2, False, marks=pytest.mark.long),
        pytest.param("real_nvp_image", 1, False, marks=pytest.mark.long),
    ],
)
def test_bytes_come_back_before_rounding_too(flow: str, n_levels: int, double: bool) -> None:
    """Black and white ones as well, which lie on their bounds."""
    x = np.where(BYTES < 90, 0, np.where(BYTES > 160, 255, BYTES))
    with jax.enable_x64(double):
        options = TINY | {"max_epochs": 10, "batch_size": 20, "flow_options": {"n_levels": n_levels}}
        model = pf.FlowDensity(flow, **options).fit(x)
        z = jnp.asarray(model.transform(x.astype(float)), float)
        back, _ = eqx.filter_jit(model.model_.bijection.forward_batch)(z)
        assert back.dtype == (jnp.float64 if double else jnp.float32)
        np.testing.assert_allclose(back, x.reshape(80, -1) + 0.5, rtol=0, atol=1e-8 if double else 0.01)


def test_images_of_any_container_are_the_same(glow: Any) -> None:
    expected = glow.score_samples(BYTES)
    for same in (BYTES[..., None], BYTES.reshape(80, -1), list(BYTES), BYTES.astype(float), jnp.asarray(BYTES)):
        np.testing.assert_allclose(glow.score_samples(same), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (BYTES[0], r"X of shape \(4, 4\) is a single image; expected several: give X\[None\]"),
        (BYTES[0, ..., None], r"X of shape \(4, 4, 1\) is a single image"),
        (BYTES[:, :, :3], r"image_shape is \(4, 4, 1\), and the images have shape \(4, 3\); they must agree"),
        (BYTES[:0], "0 sample"),
        (np.where(BYTES[0, 0, 0] == BYTES, np.nan, BYTES), "contains NaN"),
        (BYTES / 255, "held whole numbers only when the model was fitted hold others now"),
        ([BYTES[0], BYTES[0][:2]], "images of 2 sizes: 2 x 4, 4 x 4; crop or pad them to one"),
    ],
)
def test_other_images_are_refused(glow: Any, wrong: Any, message: str) -> None:
    for method in (glow.score_samples, glow.transform, glow.bits_per_dim):
        with pytest.raises(ValueError, match=message):
            method(wrong)


def test_cooled_samples_have_smaller_noise(glow: Any) -> None:
    for temperature in (0.5, 1.5):
        x = glow.sample(1000, temperature=temperature, random_state=1)
        scale = glow.transform(x).std(axis=0) / glow.transform(glow.sample(1000, random_state=1)).std(axis=0)
        np.testing.assert_allclose(scale, temperature, rtol=0.12)
    assert glow.cooled(0.5).score(glow.sample(500, temperature=0.5)) > glow.score(glow.sample(500, temperature=0.5))
    assert (glow.sample(5, temperature=1.0) == glow.sample(5)).all()


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan")])
def test_wrong_temperatures_are_refused(glow: Any, clusters: Any, wrong: float) -> None:
    for model in (glow, clusters):
        with pytest.raises(ValueError, match="temperature must be positive and finite; got"):
            model.sample(3, temperature=wrong)


def test_interpolation_goes_from_one_image_to_the_other(glow: Any) -> None:
    between = glow.interpolate(BYTES[0], BYTES[1], 5)
    assert between.shape == (5, 4, 4) and between.dtype == np.uint8
    np.testing.assert_array_equal(between[[0, -1]], BYTES[:2])
    np.testing.assert_array_equal(glow.interpolate(BYTES[:1], BYTES[1].ravel(), 5), between)  # a row is an image
    lengths = np.linalg.norm(glow.transform(between), axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 5), rtol=0.05)
    with pytest.raises(ValueError, match="n must be a whole number of at least 2; got 1"):
        glow.interpolate(BYTES[0], BYTES[1], 1)
    with pytest.raises(ValueError, match=r"b has shape \(2, 4\); expected one image of \(4, 4, 1\)"):
        glow.interpolate(BYTES[0], BYTES[0, :2])


def test_circles_keep_ends_and_lengths() -> None:
    a, b = RNG.normal(size=50), 3 * RNG.normal(size=50)
    points = great_circle(a, b, 7)
    assert (points[0] == a).all() and (points[-1] == b).all()
    lengths = np.linalg.norm(points, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 7))
    unit = points / lengths[:, None]
    np.testing.assert_allclose((unit[1:] * unit[:-1]).sum(axis=1), (unit[0] * unit[1]).sum())  # equal angles
    for end in (a, 2 * a, -a, 0 * a):  # one direction, opposite ones, and none
        line = great_circle(a, end, 5)
        np.testing.assert_allclose(line, np.linspace(a, end, 5), atol=1e-12)


def test_models_come_back_from_their_files(glow: Any, tmp_path: Path) -> None:
    glow.save(tmp_path / "model")
    again = pf.load(tmp_path / "model")
    assert again.image_shape_ == (4, 4, 1) and again.image_shape is None
    np.testing.assert_allclose(again.bits_per_dim(BYTES), glow.bits_per_dim(BYTES), rtol=1e-6)
    np.testing.assert_array_equal(again.sample(5, temperature=0.7), glow.sample(5, temperature=0.7))


@pytest.mark.parametrize("n", [None, 3])
def test_the_model_is_in_the_datas_units(glow: Any, n: int | None) -> None:
    flat = BYTES[:4].reshape(4, -1)
    draws = glow.columns_.draws(n) * glow.columns_.scale
    assert len(draws) == (n or 8)
    values = np.stack([glow.model_.log_prob(jnp.asarray(flat + draw)) for draw in draws])
    expected = np.logaddexp.reduce(values, axis=0) - np.log(len(draws))
    np.testing.assert_allclose(glow.score_samples(flat, n_samples=n), expected, rtol=1e-3)


def test_rows_under_names_and_a_condition(coloured: Any) -> None:
    frame = pd.DataFrame(COLOURS.reshape(60, -1) / 255).add_prefix("p")
    given = COLOURS[:, 0, 0, :1] / 255
    assert coloured.image_shape_ == (2, 2, 3) and coloured.columns_.kinds == ["bounded"] * 12
    np.testing.assert_allclose(coloured.columns_.cell, 1 / 255)
    assert coloured.bits_per_dim(frame, given).shape == (60,)
    back = coloured.inverse_transform(coloured.transform(frame, given), given)
    assert list(back.columns) == list(frame.columns)
    np.testing.assert_allclose(back, frame, atol=1e-6)
    between = coloured.interpolate(frame.iloc[0], frame.iloc[1], 4, condition=given[0])
    assert list(between.columns) == list(frame.columns)
    np.testing.assert_allclose(between.iloc[0], frame.iloc[0], atol=1e-6)
    assert coloured.sample(3, condition=given[:2], temperature=0.5).shape == (3, 2, 12)


def test_shares_are_drawn_of_any_level_not_only_those_seen_in_that_very_pixel(coloured: Any) -> None:
    seen = COLOURS.reshape(60, -1)
    drawn = coloured.sample(100, condition=seen[:1, :1] / 255, random_state=0)[:, 0]
    levels = np.round(drawn * 255)
    np.testing.assert_allclose(drawn * 255, levels, atol=1e-3)
    assert all(np.setdiff1d(levels[:, i], seen[:, i]).size > 10 for i in range(12))


def test_components_are_flows_of_images(clusters: Any) -> None:
    x, component = clusters.sample(12, temperature=0.8)
    assert x.shape == (12, 2, 2, 1) and x.dtype == np.uint8 and component.shape == (12,)
    assert dict(clusters.spec_.options) == {"image_shape": (2, 2, 1)} and clusters.spec_.flow == "glow"
    assert clusters.bits_per_dim(x).shape == clusters.predict(x[..., 0]).shape == (12,)
    cool = clusters.cooled(0.5)
    spread = [m.sample(500, component=0, random_state=0)[0].astype(float).std(axis=0).mean() for m in (cool, clusters)]
    assert spread[0] < 0.8 * spread[1]
    np.testing.assert_allclose(cool.weights_, clusters.weights_)


def test_mixtures_saved_before_shapes_were_kept_load(clusters: Any) -> None:
    state = clusters.to_state()
    del state["fitted"]["image_shape_"]
    assert pf.FlowMixture.from_state(state).image_shape_ is None  # it was told no shape, and knows of a table
    state["params"]["image_shape"] = [2, 2]
    again = pf.FlowMixture.from_state(state)
    assert again.image_shape_ == (2, 2, 1)


@pytest.mark.parametrize("estimator", [pf.FlowDensity, pf.FlowMixture, pf.FlowOutlierDetector])
def test_shapes_are_parameters(estimator: Any) -> None:
    model = estimator(flow="glow", image_shape=(4, 4), flow_options={"n_levels": 1})
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(ValueError, match=r"image_shape is \(2, 8\), and the images have shape \(4, 4\)"):
        model.set_params(image_shape=(2, 8)).fit(BYTES)
    with pytest.raises(ValueError, match="level 1 cannot halve images of 4 x 3"):
        model.set_params(image_shape=None).fit(BYTES[:, :, :3])
    with pytest.raises(ValueError, match="contains NaN or infinity"):
        estimator(image_shape=(4, 4)).fit(np.where(BYTES < 99, np.nan, BYTES).reshape(80, -1))
    with pytest.raises(ValueError, match="flow='glow' needs image_shape: give image_shape="):
        estimator(flow="glow").fit(BYTES.reshape(80, -1))
    with pytest.raises(ValueError, match="rows are the same"):
        estimator(flow="glow").fit(np.full_like(BYTES, 7))


def test_pixels_of_neither_kind_are_warned_of_where_fit_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_further(*_: Any, **__: Any) -> None:
        raise InterruptedError

    monkeypatch.setattr("pushforward.estimators.density.split_rows", no_further)
    with pytest.warns(UserWarning, match="pixels from .* are neither bytes") as told, pytest.raises(InterruptedError):
        pf.FlowDensity("glow").fit(BYTES / 100 + 0.001 * RNG.normal(size=BYTES.shape))
    assert len(told) == 1


def test_rows_are_images_where_their_number_tells() -> None:
    shares = RNG.uniform(size=(3, 3, 3, 3))
    assert image_rows(shares, (3, 3, 3))[0].shape == (3, 27)  # not taken for a single image
    assert image_rows(np.ones((1, 1, 1)), (1, 1))[0].shape == (1, 1)
    assert image_rows(BYTES.tolist(), None)[1] == (4, 4)
    with pytest.raises(ValueError, match=r"images of shape \(3, 8, 8\) have their channels first; they come last"):
        image_rows(np.ones((5, 3, 8, 8)), None)
    with pytest.raises(ValueError, match=r"got \(5, 1, 2, 3, 4\)"):
        image_rows(np.ones((5, 1, 2, 3, 4)), None)


@pytest.mark.long
def test_a_warm_start_goes_on_with_images(glow: Any) -> None:
    model = pf.FlowDensity("glow", warm_start=True, **TINY).fit(BYTES[..., None])
    before = model.score(BYTES)
    model.set_params(max_epochs=5).fit(BYTES[..., None])
    assert model.image_shape_ == (4, 4, 1) and model.score(BYTES) > before
    with pytest.raises(ValueError, match="columns|features"):
        model.fit(BYTES[:, :2])


@pytest.mark.long
def test_strange_images_are_outliers() -> None:
    x = BYTES.copy()
    x[:3] = np.array([0, 255] * 8).reshape(4, 4)
    detector = pf.FlowOutlierDetector(0.04, flow="glow", **TINY | {"max_epochs": 10}).fit(x)
    assert detector.image_shape_ == (4, 4, 1) and detector.support_.sum() < 60
    assert np.flatnonzero(detector.predict(x) == -1).tolist() == [0, 1, 2]


@pytest.mark.long
def test_what_is_learned_of_shares_is_learned_of_bytes() -> None:
    options = TINY | {"max_epochs": 20}
    of_bytes = pf.FlowDensity("glow", **options).fit(BYTES).bits_per_dim(BYTES).mean()
    of_shares = pf.FlowDensity("glow", **options).fit(BYTES / 255).bits_per_dim(BYTES / 255).mean()
    assert of_shares == pytest.approx(of_bytes, abs=0.02)
