"""Closed-form distributions: densities, samples, tails."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward import trees
from pushforward.distributions import Logistic, Normal, Uniform

ALARM = 1e-3  # chance of a false alarm of each test of samples, at its fixed seed
CASES = [
    (lambda: Normal(jnp.array(1.0), jnp.array(2.0)), scipy.stats.norm(1, 2)),
    (lambda: Logistic(jnp.array(-1.0), jnp.array(0.5)), scipy.stats.logistic(-1, 0.5)),
    (lambda: Uniform(jnp.array(-1.0), jnp.array(3.0)), scipy.stats.uniform(-1, 4)),
]


@pytest.mark.parametrize(("make", "reference"), CASES)
def test_densities_are_the_known_ones(make: Any, reference: Any, float64: None) -> None:
    x = np.array([-50.0, -2.0, -1.0, 0.0, 0.3, 3.0, 40.0])
    np.testing.assert_allclose(make().log_prob(x), reference.logpdf(x), rtol=1e-10)


@pytest.mark.parametrize(("make", "reference"), CASES)
def test_densities_integrate_to_one(make: Any, reference: Any, float64: None) -> None:
    grid = np.linspace(-40, 40, 64_001)
    np.testing.assert_allclose(np.trapezoid(np.exp(make().log_prob(grid)), grid), 1, rtol=1e-3)


@pytest.mark.parametrize(("make", "reference"), CASES)
def test_samples_follow_the_density(make: Any, reference: Any) -> None:
    samples = make().sample(jax.random.key(0), (5000,))
    assert scipy.stats.kstest(np.asarray(samples, float), reference.cdf).pvalue > ALARM


@pytest.mark.parametrize("kind", [Normal, Logistic, Uniform])
def test_coordinates_are_independent_and_of_any_shape(kind: Any) -> None:
    distribution = kind.standard((2, 3))
    x = distribution.sample(jax.random.key(0), (4,))
    assert x.shape == (4, 2, 3)
    each = kind.standard(()).log_prob(x).sum(axis=(1, 2))
    np.testing.assert_allclose(distribution.log_prob(x), each, rtol=1e-6)


@pytest.mark.parametrize("kind", [Normal, Logistic])
def test_a_standard_base_does_not_train(kind: Any) -> None:
    assert trees.n_parameters(kind.standard((3,))) == 0
    assert trees.n_parameters(kind(jnp.zeros(3), jnp.ones(3))) == 6
    assert trees.n_parameters(Uniform(jnp.zeros(3), jnp.ones(3))) == 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [Normal, Logistic])
def test_far_tails_are_finite(kind: Any, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        distribution = kind(jnp.zeros(()), jnp.ones(()))
        for x in (-1e4, 1e4):
            value, gradients = jax.value_and_grad(lambda d, x: d._log_prob(x), (0, 1))(distribution, jnp.asarray(x))
            assert value.dtype == dtype
            assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((value, gradients)))


def test_outside_its_support_the_uniform_density_is_zero_without_nan() -> None:
    uniform = Uniform(jnp.zeros(2), jnp.ones(2))
    value, gradient = jax.value_and_grad(uniform._log_prob)(jnp.array([0.5, 2.0]))
    assert value == -np.inf
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
    ("message", "call"),
    [
        ("scale must be positive", lambda: Normal(jnp.zeros(1), jnp.zeros(1))),
        ("loc must be floating", lambda: Normal(jnp.arange(1), jnp.ones(1))),
        ("loc must be finite", lambda: Logistic(jnp.array([jnp.nan]), jnp.ones(1))),
        ("high - low must be positive", lambda: Uniform(jnp.ones(1), jnp.ones(1))),
        ("high must be finite", lambda: Uniform(jnp.ones(1), jnp.array([jnp.inf]))),
    ],
)
def test_bad_parameters_raise(message: str, call: Any) -> None:
    with pytest.raises(ValueError, match=message):
        call()
