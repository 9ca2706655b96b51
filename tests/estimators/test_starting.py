"""How mixtures start: sizes that differ, wide tables, restarts, and options out of range."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pushforward import FlowMixture
from pushforward.clustering import embedding, nearest_neighbours
from pushforward.objectives import agreement


@pytest.fixture(autouse=True)
def few_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding, "STEPS", 100)


def blobs(n: int, dim: int, share: float, apart: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = (rng.uniform(size=n) < share).astype(int)
    X = rng.normal(size=(n, dim))
    X[:, 0] += apart * y
    return X, y


def small(k: int, **options: Any) -> FlowMixture:
    defaults = {"n_layers": 2, "hidden_sizes": (8,), "posterior_hidden_sizes": (16,), "refine_posterior": False}
    return FlowMixture(k, **(defaults | {"max_epochs": 10, "random_state": 0} | options))


@pytest.mark.long
def test_arms_in_a_wide_table_are_found() -> None:
    rng = np.random.default_rng(0)
    angle, y = rng.uniform(0, 3, 600), np.repeat([0, 1, 2], 200)
    arcs = np.stack([np.cos(angle), np.sin(angle), 1.5 * y - 1.5], axis=1) + rng.normal(0, 0.05, (600, 3))
    X = arcs @ rng.normal(size=(3, 12)) + rng.normal(0, 0.05, (600, 12))
    assert adjusted_rand_score(y, small(3).fit(X).labels_) > 0.95


@pytest.mark.long
@pytest.mark.parametrize("dim", [2, 12])
def test_a_small_cluster_beside_a_large_one_is_found(dim: int) -> None:
    X, y = blobs(1500, dim, 0.1, 7.0)
    mixture = small(2, max_epochs=20).fit(X)
    assert adjusted_rand_score(y, mixture.labels_) > 0.9
    assert min(mixture.weights_) == pytest.approx(y.mean(), abs=0.02)


@pytest.mark.long
def test_restarts_of_an_embedded_start() -> None:
    X, y = blobs(300, 10, 0.5, 8.0)
    mixture = small(2, n_init=2, init="embedding").fit(X)
    assert adjusted_rand_score(y, mixture.labels_) > 0.95


@pytest.mark.long
def test_consistency_keeps_neighbours_together() -> None:
    X, _ = blobs(400, 2, 0.5, 3.0)
    near = nearest_neighbours(X, 0)[:, 0]

    def agreeing(consistency: float) -> float:
        logits = jnp.log(small(2, consistency=consistency, init="spectral").fit(X).predict_proba(X))
        return float(agreement(logits, logits[near], jnp.ones(len(X))))

    assert agreeing(5.0) > agreeing(0.0) + 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"consistency": -1.0}, "consistency must be finite and at least 0; got -1.0"),
        ({"consistency": float("nan")}, "consistency must be finite and at least 0; got nan"),
        ({"consistency": float("inf")}, "consistency must be finite and at least 0; got inf"),
        ({"balance": 2.0}, "balance must be at least 0 and at most 1; got 2.0"),
        ({"image_shape": (3, 3)}, r"image_shape \(3, 3\) makes 9 pixels, and a row has 2 columns"),
    ],
)
def test_options_out_of_range_are_named(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(2, **options).fit(blobs(80, 2, 0.5, 5.0)[0])
