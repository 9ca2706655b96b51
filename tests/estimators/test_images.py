"""Rows that are images: their shape, bounds and pixels, and a mixture fitted to them."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score

import pushforward as pf
from pushforward.clustering import embedding
from pushforward.data.columns import learn_columns
from pushforward.estimators.images import check_image, image_bounds, pixels
from pushforward.training import engine


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((8,), r"image_shape must be \(height, width\)"),
        ("88", r"image_shape must be \(height, width\)"),
        ((8.0, 8), r"image_shape must be \(height, width\)"),
        ((7, 8), r"image_shape \(7, 8\) makes 56 pixels, and a row has 64 columns"),
    ],
)
def test_shapes_that_do_not_fit_are_named(shape: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_image(shape, 64)


def test_bounds_follow_the_kind_of_pixel() -> None:
    assert image_bounds(np.array([[0.0, 200.0]])) == (0, 255)
    assert image_bounds(np.array([[0.0, 0.5]])) == (0, 1)
    assert image_bounds(np.array([[0.0, 16.0]])) is None
    assert image_bounds(np.array([[-1.0, 1.0]])) is None


@pytest.mark.parametrize("bounds", [(0, 255), None])
def test_pixels_are_shares_of_one_range(bounds: Any) -> None:
    x = np.random.default_rng(0).uniform(0, 255, (50, 4))
    columns = learn_columns(x, list("abcd"), bounds=bounds)
    low, high = (0, 255) if bounds else (x.min(), x.max())
    view = pixels(columns, columns.standardize(x))
    found = jax.vmap(view.inverse)(columns.standardize(x))
    np.testing.assert_allclose(found, (x - low) / (high - low), atol=1e-5)


@pytest.fixture(scope="module")
def fitted() -> tuple[pf.FlowMixture, np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    X, y = X[y < 3], y[y < 3]
    patch = pytest.MonkeyPatch()
    patch.setattr(embedding, "STEPS", 200)
    mixture = pf.FlowMixture(
        3,
        image_shape=(8, 8),
        n_layers=2,
        hidden_sizes=(16,),
        posterior_hidden_sizes=(32,),
        max_epochs=5,
        refine_posterior=False,
        random_state=0,
    )
    mixture.fit(X)
    patch.undo()
    return mixture, X, y


@pytest.mark.long
def test_images_are_clustered(fitted: Any) -> None:
    mixture, X, y = fitted
    assert adjusted_rand_score(y, mixture.labels_) > 0.95
    assert adjusted_rand_score(y, mixture.responsibilities(X).argmax(axis=1)) > 0.9


@pytest.mark.long
def test_the_model_reads_the_datas_units(fitted: Any) -> None:
    mixture, X, _ = fitted
    draws = [mixture.model_.logits(mixture.columns_.draws() * mixture.columns_.scale + row) for row in X[:5]]
    expected = [np.mean(jax.nn.softmax(logits), axis=0) for logits in draws]
    np.testing.assert_allclose(mixture.predict_proba(X[:5]), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.long
def test_a_mixture_of_images_comes_back_from_its_file(fitted: Any, tmp_path: Path) -> None:
    mixture, X, _ = fitted
    mixture.save(tmp_path / "digits")
    again = pf.load(tmp_path / "digits")
    np.testing.assert_allclose(again.predict_proba(X[:20]), mixture.predict_proba(X[:20]), rtol=1e-6)
    np.testing.assert_allclose(again.score_samples(X[:20]), mixture.score_samples(X[:20]), rtol=1e-6)


@pytest.mark.long
def test_the_view_does_not_train(fitted: Any) -> None:
    mixture, X, _ = fitted
    seen = jax.vmap(mixture.model_.view.value.inverse)(X[:3])
    np.testing.assert_allclose(seen, X[:3] / X.max(), atol=1e-4)


@pytest.mark.long
def test_pixels_that_never_differ_may_differ_in_new_images() -> None:
    X = np.round(np.random.default_rng(0).uniform(0, 1, (80, 4)) * 255) / 255
    X[:, 0] = 0  # a corner
    X[:, 1] = X[:, 1] > 0.5
    options = {"n_layers": 1, "hidden_sizes": (4,), "max_epochs": 1, "init": "random", "consistency": 0.0}
    mixture = pf.FlowMixture(2, image_shape=(2, 2), refine_posterior=False, random_state=0, **options).fit(X)
    assert mixture.columns_.kinds == ["bounded"] * 4
    assert np.isfinite(mixture.score_samples(np.full((1, 4), 0.5))).all()
    assert np.ptp(mixture.sample(50, random_state=0)[0][:, 0]) < 0.05
    assert learn_columns(np.round(255 * X), list("abcd"), alike=True).kinds == ["whole number"] * 4


@pytest.mark.long
def test_ctrl_c_while_images_are_embedded_ends_the_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    import signal

    real, calls = engine.run_epochs, []

    def run_epochs(*arguments: Any) -> Any:
        calls.append(signal.raise_signal(signal.SIGINT))
        return real(*arguments)

    monkeypatch.setattr(engine, "run_epochs", run_epochs)
    monkeypatch.setattr(embedding, "STEPS", 1000)
    mixture = pf.FlowMixture(2, image_shape=(2, 2), random_state=0)
    with pytest.raises(KeyboardInterrupt):
        mixture.fit(np.random.default_rng(0).uniform(size=(80, 4)))
    assert len(calls) == 1 and not hasattr(mixture, "model_")


@pytest.mark.parametrize(
    "wrong",
    [{"balance": 2.0}, {"temperature": 0.5}, {"n_likely": 0}, {"consistency": -1.0}, {"start_epochs": -1}],
)
def test_wrong_settings_are_refused_before_any_work(wrong: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(embedding, "train")  # which would be the first to run
    with pytest.raises(ValueError, match=next(iter(wrong))):
        pf.FlowMixture(2, image_shape=(2, 2), **wrong).fit(np.random.default_rng(0).uniform(size=(80, 4)))
