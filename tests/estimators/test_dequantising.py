"""Variational dequantisation of images."""

from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import ndtr

import pushforward as pf
from pushforward import flows, trees
from pushforward.data.columns import Columns, learn_columns
from pushforward.distributions import Normal, Pushforward
from pushforward.estimators.dequantising import build_spread, dequantised, log_bounds, parted
from pushforward.training import Checkpoint
from tests.training.test_engine import one_epoch_a_call, press_ctrl_c

SIDES = (2, 2, 1)


def images(n: int, seed: int = 0) -> np.ndarray:
    """Noise, much of it zero."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (n, 2, 2)) * (rng.uniform(size=(n, 2, 2)) < 0.6)
    return pixels.astype(np.uint8)


def all_bytes() -> Columns:
    every = np.tile(np.arange(256.0)[:, None], (1, 4))
    return learn_columns(every, list("abcd"), bounds=(0, 255), alike=True)


@pytest.fixture(scope="module")
def fitted() -> pf.FlowDensity:
    return pf.FlowDensity(
        "glow", n_layers=1, hidden_sizes=(4,), dequantise="variational", max_epochs=2, random_state=0
    ).fit(images(200))


def test_bounds_approach_probabilities_from_below() -> None:
    """Of independent pixels, whose probabilities are differences of the normal distribution function."""
    columns = all_bytes()
    flow = Pushforward(Normal.standard((4,)), columns.bounds_map())
    model = dequantised(flow, columns, build_spread(jax.random.key(0), SIDES, 255.0))
    x = np.array([[0.0, 10.0, 128.0, 255.0], [200.0, 201.0, 3.0, 40.0]])
    inner = jax.vmap(flow.bijection.inverse)
    below, above = (ndtr(np.asarray(inner(jnp.asarray(columns.standardize(end), float)))) for end in (x, x + 1))
    below[x == 0], above[x == 255] = 0, 1
    exact = np.log(above - below).sum(axis=1)
    bounds = jax.vmap(lambda key: model.elbo(jnp.asarray(x, float), key=key))(jax.random.split(jax.random.key(1), 50))
    single = np.asarray(bounds).mean(axis=0)
    many = np.asarray(log_bounds(model, 500, jnp.asarray(x, float), None))
    assert (single < exact).all()
    np.testing.assert_allclose(many, exact, atol=0.4)  # weights of an untrained spread have heavy tails
    assert (many > single).all()


def test_what_is_put_together_comes_apart_and_units_do_not_train() -> None:
    columns = all_bytes()
    flow = Pushforward(Normal.standard((4,)), columns.bounds_map())
    spread = build_spread(jax.random.key(0), SIDES, 255.0)
    model = dequantised(flow, columns, spread)
    again, own = parted(model)
    assert trees.n_parameters(model) == trees.n_parameters(flow) + trees.n_parameters(spread)
    assert jax.tree.structure(own) == jax.tree.structure(spread)
    assert again.bijection is flow.bijection


@pytest.mark.long
def test_a_fit_scores_bounds_and_keeps_a_flow_of_places_within_cells(fitted: pf.FlowDensity) -> None:
    X = images(20, 1)
    assert fitted.exactness_ == "lower bound" and fitted.spread_ is not None
    bits = fitted.bits_per_dim(X), fitted.bits_per_dim(X, n_samples=1)
    assert bits[0].mean() < bits[1].mean()
    np.testing.assert_allclose(fitted.bits_per_dim(X), bits[0])  # keys follow from the images
    assert (fitted.inverse_transform(fitted.transform(X)) == X).all()
    assert fitted.sample(3, random_state=0).dtype == np.uint8
    outside = X.astype(float)
    outside[0, 0, 0] = 300
    assert fitted.score_samples(outside)[0] == -np.inf


@pytest.mark.long
def test_resuming_gives_the_bits_of_an_uninterrupted_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fit(checkpoint: Checkpoint | None = None) -> pf.FlowDensity:
        model = pf.FlowDensity(
            "glow", n_layers=1, hidden_sizes=(4,), dequantise="variational", max_epochs=5, batch_size=50, random_state=0
        )
        return model.fit(images(120), checkpoint=checkpoint)

    with monkeypatch.context() as patch:
        one_epoch_a_call(patch)
        press_ctrl_c(patch, call=2)
        assert fit(Checkpoint(tmp_path / "state", epochs=1)).n_iter_ == 2
    resumed, whole = fit(Checkpoint(tmp_path / "state", epochs=1, resume=True)), fit()
    assert resumed.history_ == whole.history_ and whole.n_iter_ == 5
    for name in ("_flow", "spread_"):
        of_both = (jax.tree.leaves(eqx.filter(vars(model)[name], eqx.is_array)) for model in (resumed, whole))
        for a, b in zip(*of_both, strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(resumed.score_samples(images(20, 1)), whole.score_samples(images(20, 1)))


@pytest.mark.long
def test_a_file_keeps_it(fitted: pf.FlowDensity, tmp_path: Path) -> None:
    X = images(20, 1)
    fitted.save(tmp_path / "model")
    np.testing.assert_allclose(pf.load(tmp_path / "model").score_samples(X), fitted.score_samples(X), rtol=1e-5)


@pytest.mark.parametrize("flow", ["maf", "auto"])
@pytest.mark.parametrize("X", [np.random.default_rng(0).normal(size=(60, 2)), images(60) / 255])
def test_it_is_of_images_of_whole_numbers(X: np.ndarray, flow: str) -> None:
    with pytest.raises(ValueError, match="images whose pixels are whole numbers"):
        pf.FlowDensity(flow, dequantise="variational").fit(X)
    with pytest.raises(ValueError, match="dequantise must be"):
        pf.FlowDensity(flow, dequantise="none").fit(X)


def test_logarithms_are_averaged_where_log_determinants_are_estimates() -> None:
    columns, key = all_bytes(), jax.random.key(0)
    flow = flows.residual(key, 4, n_layers=1, hidden_sizes=(4,), log_det="unbiased").then(columns.bounds_map())
    model = dequantised(flow, columns, build_spread(key, SIDES, 255.0))
    x = jnp.asarray([[0.0, 10.0, 128.0, 255.0]])
    assert np.isfinite(np.asarray(log_bounds(model, 3, x, None))).all()


@pytest.mark.long
def test_a_table_after_images_has_none(fitted: pf.FlowDensity) -> None:
    model = pf.FlowDensity(max_epochs=1, random_state=0)
    model.spread_ = fitted.spread_  # as a fit to images leaves it
    x = np.random.default_rng(0).normal(size=(80, 2))
    model.fit(x)
    assert model.spread_ is None and np.isfinite(model.score(x))
