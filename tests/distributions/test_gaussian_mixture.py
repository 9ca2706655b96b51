"""Gaussian mixtures against SciPy, samples included."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward import trees
from pushforward.distributions import GaussianMixture

WEIGHTS = np.array([0.2, 0.5, 0.3])
MEANS = np.array([[-2.0, 0.0], [1.0, 1.0], [2.0, -1.5]])
COVARIANCES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.2], [-0.2, 0.9]], [[0.6, 0.0], [0.0, 0.2]]])


def mixture() -> GaussianMixture:
    return GaussianMixture(jnp.asarray(WEIGHTS), jnp.asarray(MEANS), jnp.asarray(COVARIANCES))


def test_parameters_come_back(float64: None) -> None:
    np.testing.assert_allclose(mixture().weights, WEIGHTS)
    np.testing.assert_allclose(mixture().means, MEANS)
    np.testing.assert_allclose(mixture().covariances, COVARIANCES, atol=1e-15)
    assert trees.n_parameters(mixture()) == 3 + 3 * 2 + 3 * 3


def test_the_density_is_scipys(float64: None) -> None:
    x = np.random.default_rng(0).normal(size=(20, 2)) * 3
    parts = [
        w * scipy.stats.multivariate_normal(m, c).pdf(x) for w, m, c in zip(WEIGHTS, MEANS, COVARIANCES, strict=True)
    ]
    np.testing.assert_allclose(mixture().log_prob(x), np.log(sum(parts)), rtol=1e-9)


def test_the_density_integrates_to_one(float64: None) -> None:
    axis = np.linspace(-9, 9, 401)
    points = np.stack(np.meshgrid(axis, axis), axis=-1)
    density = np.exp(mixture().log_prob(points))
    np.testing.assert_allclose(np.trapezoid(np.trapezoid(density, axis), axis), 1, rtol=1e-8)


def test_samples_follow_the_density() -> None:
    x = np.asarray(mixture().sample(jax.random.key(1), (5000,)), float)
    for direction in np.array([[1.0, 0.0], [0.0, 1.0], [0.6, -0.8]]):
        means, spreads = MEANS @ direction, np.sqrt(np.einsum("i,kij,j->k", direction, COVARIANCES, direction))

        def cdf(t: Any, means: Any = means, spreads: Any = spreads) -> Any:
            return (WEIGHTS * scipy.stats.norm.cdf((t[:, None] - means) / spreads)).sum(1)

        assert scipy.stats.kstest(x @ direction, cdf).pvalue > 1e-3


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_far_tails_are_finite(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        found = jax.value_and_grad(lambda m, x: m._log_prob(x), (0, 1))(mixture(), jnp.array([1e4, -1e4]))
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("weights must be weights that sum to 1", lambda: GaussianMixture(jnp.ones(2), *identity(2))),
        ("weights must be positive", lambda: GaussianMixture(jnp.array([1.0, 0.0]), *identity(2))),
        ("symmetric", lambda: GaussianMixture(jnp.ones(1), jnp.zeros((1, 2)), jnp.array([[[1.0, 0.5], [0.0, 1.0]]]))),
        ("positive definite", lambda: GaussianMixture(jnp.ones(1), jnp.zeros((1, 2)), jnp.ones((1, 2, 2)))),
        (r"means must have shape \(K, D\)", lambda: GaussianMixture(jnp.ones(1), jnp.zeros(1), jnp.ones((1, 1, 1)))),
    ],
)
def test_bad_parameters_raise(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def identity(n: int) -> tuple[Any, Any]:
    return jnp.zeros((n, 1)), jnp.ones((n, 1, 1))
