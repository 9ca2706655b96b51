"""Images of levels in estimators: exact probabilities, samples, missing pixels, and what there is not."""

import functools
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import pushforward as pf
from pushforward import flows
from pushforward.bijections import Identity
from pushforward.distributions import Pushforward
from tests.estimators.small import mixture
from tests.sweeps import sweep

RNG = np.random.default_rng(0)
TINY: dict[str, Any] = {"n_layers": 1, "hidden_sizes": (4,), "max_epochs": 2, "learning_rate": 0.02, "random_state": 0}
SQUARES = np.stack(np.meshgrid(*[np.arange(2)] * 4, indexing="ij"), axis=-1).reshape(-1, 2, 2).astype(np.uint8)
BITS = SQUARES[RNG.choice(16, 120, p=np.r_[np.full(8, 0.11), np.full(8, 0.015)])]
BYTES = np.clip(RNG.normal(128, 40, (60, 2, 4)), 0, 255).astype(np.uint8)
NAMES = sorted(flows.PIXEL_RECIPES)


@pytest.fixture(scope="module")
def bits() -> pf.FlowDensity:
    """Of black and white images (n, 2, 2), trained until it knows something of them."""
    options = TINY | {"max_epochs": 150, "training": {"averaging": 0.0, "warmup_steps": 0}}
    return pf.FlowDensity("gated_pixel_cnn", **options).fit(BITS)


@pytest.fixture(scope="module")
def clusters() -> pf.FlowMixture:
    """Of two PixelCNNs of black and white images."""
    options = TINY | {"init": "random", "consistency": 0.0, "start_epochs": 0, "validation_fraction": 0.1}
    return mixture(2, flow="pixel_cnn", **options).fit(BITS)


@pytest.mark.parametrize("name", sweep(NAMES, {"row_lstm"}))
def test_every_recipe_gives_probabilities_that_sum_to_one(name: str) -> None:
    model = pf.FlowDensity(name, **TINY).fit(BITS)
    assert model.exactness_ == "exact" and dict(model.spec_.options)["levels"] == 2
    np.testing.assert_allclose(np.exp(model.score_samples(SQUARES)).sum(), 1, rtol=1e-5)


def test_probabilities_are_learned_and_drawn(bits: Any) -> None:
    shares, expected = (
        np.exp(bits.score_samples(SQUARES)),
        np.bincount(BITS.reshape(-1, 4) @ [8, 4, 2, 1], minlength=16),
    )
    assert np.abs(shares - expected / len(BITS)).mean() < 0.03
    x = bits.sample(3000, random_state=1)
    assert x.shape == (3000, 2, 2) and x.dtype == np.uint8
    np.testing.assert_allclose(np.bincount(x.reshape(-1, 4) @ [8, 4, 2, 1], minlength=16) / 3000, shares, atol=0.03)


def test_scores_have_no_draws_and_bits_follow_from_them(bits: Any) -> None:
    scores = bits.score_samples(SQUARES)
    np.testing.assert_array_equal(bits.score_samples(SQUARES, n_samples=3), scores)
    np.testing.assert_allclose(bits.bits_per_dim(SQUARES), -scores / (4 * np.log(2)), rtol=1e-5)
    assert (bits.score_samples(SQUARES + 2) == -np.inf).all()  # beyond the levels


def test_levels_of_a_grid_are_the_same_model(bits: Any) -> None:
    """Densities of shares are those of whole numbers by the volume of a cell; samples are shares."""
    thirds = RNG.integers(0, 4, (60, 2, 2)) / 3
    shares = pf.FlowDensity("pixel_cnn", **TINY).fit(thirds)
    whole = pf.FlowDensity("pixel_cnn", **TINY).fit(np.round(3 * thirds))
    assert dict(shares.spec_.options)["levels"] == 4
    np.testing.assert_allclose(shares.score_samples(thirds) - 4 * np.log(3), whole.score_samples(3 * thirds), rtol=1e-3)
    np.testing.assert_allclose(shares.bits_per_dim(thirds), whole.bits_per_dim(3 * thirds), rtol=1e-3)
    assert set(np.unique(shares.sample(50))) <= set(np.unique(thirds))


def test_bytes_have_256_levels_and_bounds_say_otherwise() -> None:
    model = pf.FlowDensity("pixel_cnn", **TINY).fit(BYTES)
    assert dict(model.spec_.options)["levels"] == 256
    x = model.sample(20, random_state=0)
    assert x.dtype == np.uint8 and x.max() > 200  # hardly trained
    coarse = pf.FlowDensity("pixel_cnn", bounds=(0, 15), **TINY).fit(BYTES // 16)
    assert dict(coarse.spec_.options)["levels"] == 16
    assert coarse.sample(50, random_state=0).max() <= 15


def test_colours_of_a_pixel_come_in_turn() -> None:
    x = RNG.integers(0, 2, (80, 1, 2, 3)).astype(np.uint8)
    model = pf.FlowDensity("gated_pixel_cnn", **TINY).fit(x)
    every = np.stack(np.meshgrid(*[np.arange(2)] * 6), axis=-1).reshape(-1, 1, 2, 3)
    np.testing.assert_allclose(np.exp(model.score_samples(every)).sum(), 1, rtol=1e-5)
    begun = x[:5].astype(float)
    begun[:, 0, 0, 1:] = begun[:, 0, 1] = np.nan
    made = model.impute(begun, random_state=0)
    assert made.shape == (5, 1, 2, 3) and made.dtype == np.uint8 and (made[..., 0, 0] == x[:5, :, 0, 0]).all()


def test_saved_models_say_the_same(bits: Any, tmp_path: Path) -> None:
    bits.save(tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    np.testing.assert_array_equal(loaded.score_samples(SQUARES), bits.score_samples(SQUARES))
    np.testing.assert_array_equal(loaded.sample(5, random_state=0), bits.sample(5, random_state=0))


def test_fits_go_on_where_they_were(bits: Any) -> None:
    model = pf.FlowDensity("pixel_cnn", warm_start=True, **TINY).fit(BITS)
    before = model.score(BITS)
    assert model.set_params(max_epochs=10).fit(BITS).score(BITS) > before
    with pytest.raises(ValueError, match="values beyond the bounds of the fit"):
        model.fit(BITS + 1)


def test_a_cool_model_is_more_usual(bits: Any) -> None:
    usual = bits.score_samples(bits.sample(500, random_state=0)).mean()
    assert bits.score_samples(bits.sample(500, random_state=0, temperature=0.3)).mean() > usual + 0.15


def test_lower_halves_are_drawn_given_upper_ones_exactly(bits: Any) -> None:
    half = np.array([[[0, 1], [np.nan, np.nan]]])
    x = bits.sample(4000, given=half, random_state=0)
    assert x.shape == (4000, 2, 2) and x.dtype == np.uint8 and (x[:, 0] == [0, 1]).all()
    joint = np.exp(bits.score_samples(SQUARES[4:8]))  # those that begin with 0, 1
    found = np.bincount(x[:, 1] @ [2, 1], minlength=4) / len(x)
    np.testing.assert_allclose(found, joint / joint.sum(), atol=0.03)


def test_holes_are_drawn_given_all_around(bits: Any) -> None:
    hole = np.array([[[np.nan, 1], [1, 0]]] * 500)
    made = bits.impute(hole, random_state=0)
    assert made.shape == hole.shape and (made.reshape(-1, 4)[:, 1:] == [1, 1, 0]).all()
    joint = np.exp(bits.score_samples(SQUARES[[6, 14]]))
    np.testing.assert_allclose(made[:, 0, 0].mean(), joint[1] / joint.sum(), atol=0.06)
    one, other = bits.impute(hole[:9], n_samples=2, random_state=0)
    assert one.shape == other.shape == (9, 2, 2)
    full = bits.impute(BITS.astype(float))
    np.testing.assert_array_equal(full, BITS)


def test_what_hardly_any_proposal_agrees_with_is_told() -> None:
    """The second row is the first one, which is drawn before; one in 64 proposals has it."""
    x = np.repeat(RNG.integers(0, 2, (300, 1, 6)), 2, axis=1)
    options = TINY | {"max_epochs": 60, "training": {"averaging": 0.0, "warmup_steps": 0}}
    model = pf.FlowDensity("pixel_cnn", **options).fit(x)
    assert model.score(x) > -12 * np.log(2) + 2
    upper = np.where(np.arange(2)[:, None] == 0, np.nan, x[:3].astype(float))
    with pytest.warns(UserWarning, match="of 3 images have known pixels after missing ones, and fewer than 2 of 32"):
        model.impute(upper, random_state=0)


def test_known_pixels_have_to_be_levels(bits: Any) -> None:
    with pytest.raises(ValueError, match="known pixels must be levels from 0 to 1 in steps of 1; got 0.5"):
        bits.impute(np.array([[[0.5, np.nan], [np.nan, np.nan]]]))
    with pytest.raises(ValueError, match="contains NaN"):
        bits.score_samples(np.array([[[1, np.nan], [np.nan, np.nan]]]))


def test_conditions_say_what_is_drawn() -> None:
    colour = RNG.integers(0, 2, 200)
    x = np.broadcast_to(colour[:, None, None], (200, 2, 2)).astype(np.uint8)
    options = TINY | {"max_epochs": 20, "training": {"averaging": 0.0, "warmup_steps": 0}}
    model = pf.FlowDensity("pixel_cnn", **options).fit(x, condition=np.eye(2)[colour])
    assert (model.sample(20, condition=np.eye(2), random_state=0).mean(axis=(0, 2, 3)).round(1) == [0, 1]).all()
    nothing = np.full((40, 2, 2), np.nan)
    made = model.impute(nothing, condition=np.eye(2)[[0, 1] * 20], random_state=0)
    assert (made[::2].mean(), made[1::2].mean()) == pytest.approx((0, 1), abs=0.1)


@pytest.mark.parametrize("method", ["transform", "inverse_transform", "interpolate"])
def test_there_is_no_map_to_noise(bits: Any, method: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute") as error:
        getattr(bits, method)
    assert "no map takes its images to noise and back" in str(error.value.__cause__)


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (RNG.uniform(size=(60, 2, 2)), {}, "values lie on no grid that all columns share, and a model of levels needs"),
        (BITS, {"dequantise": "variational"}, "pixel_cnn takes whole numbers as they are: leave it at \"uniform\""),
        (BITS, {"flow_options": {"levels": 3}}, "levels are read off images, 2 of them"),
        (BITS.reshape(-1, 4), {}, "flow='pixel_cnn' needs image_shape: give image_shape="),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(x: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pf.FlowDensity("pixel_cnn", **TINY | options).fit(x)


def test_recipes_of_ones_own_may_be_of_levels() -> None:
    own = functools.partial(flows.pixel_cnn, n_layers=1)
    model = pf.FlowDensity(own, max_epochs=1, hidden_sizes=(2,), random_state=0).fit(BITS)
    np.testing.assert_allclose(np.exp(model.score_samples(SQUARES)).sum(), 1, rtol=1e-5)
    built = flows.pixel_cnn(jax.random.key(0), 4, image_shape=(2, 2), levels=2, hidden_sizes=(2,))
    with pytest.raises(ValueError, match="is of levels, which have to be told: give a recipe that takes levels="):
        pf.FlowDensity(Pushforward(built.base, Identity((4,))), max_epochs=1).fit(BITS)


def test_mixtures_are_of_probabilities_too(clusters: Any, tmp_path: Path) -> None:
    np.testing.assert_allclose(np.exp(clusters.score_samples(SQUARES)).sum(), 1, rtol=1e-5)
    joint = np.exp(clusters.score_samples(SQUARES)[:, None] + np.log(clusters.responsibilities(SQUARES)))
    np.testing.assert_allclose(joint.sum(axis=0), clusters.weights_, rtol=1e-4)
    clusters.save(tmp_path / "model")
    np.testing.assert_array_equal(pf.load(tmp_path / "model").predict(BITS), clusters.labels_)
    x, component = clusters.sample(9, random_state=0)
    assert x.shape == (9, 2, 2) and component.shape == (9,)


def test_mixtures_complete_what_begins(clusters: Any) -> None:
    half = np.array([[[0, 1], [np.nan, np.nan]]])
    x, component = clusters.sample(4000, given=half, random_state=0)
    joint = np.exp(clusters.score_samples(SQUARES[4:8]))
    np.testing.assert_allclose(np.bincount(x[:, 1] @ [2, 1], minlength=4) / 4000, joint / joint.sum(), atol=0.03)
    shares = clusters.responsibilities(SQUARES[4:8])[:, 1] @ joint / joint.sum()
    assert component.mean() == pytest.approx(shares, abs=0.03)
    with pytest.raises(ValueError, match="1 images have known pixels after missing ones, which a mixture cannot"):
        clusters.impute(np.array([[[np.nan, 1], [0, 0]]]))


def test_mixtures_share_no_layers() -> None:
    with pytest.raises(ValueError, match="shared_layers must be 0 with flow=pixel_cnn, whose layers are no maps"):
        mixture(2, flow="pixel_cnn", shared_layers=1, **TINY).fit(BITS)


def test_detectors_score_by_exact_probabilities() -> None:
    detector = pf.FlowOutlierDetector(flow="pixel_cnn", scoring="density", **TINY).fit(BITS)
    np.testing.assert_allclose(np.exp(detector.score_samples(SQUARES)).sum(), 1, rtol=1e-5)
    assert set(detector.predict(SQUARES)) <= {-1, 1} and detector.exactness_ == "exact"
    typical = pf.FlowOutlierDetector(flow="pixel_cnn", **TINY).fit(BITS)
    assert typical.centre_ is not None and (typical.score_samples(SQUARES) <= 0).all()
