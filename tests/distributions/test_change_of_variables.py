"""Change of variables on examples that can be worked by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward.bijections import Affine, Chain, Exp, Invert, RationalQuadraticSpline, Sigmoid, Triangular
from pushforward.distributions import Logistic, Normal, Pushforward, Uniform


def lecture() -> Pushforward:
    """p(x) = 2x on [0, 1] is √u for uniform u, here exp(½ log u); then y = eˣ."""
    root = [Invert(Exp(())), Affine(jnp.array(0.0), jnp.array(0.5)), Exp(())]
    return Pushforward(Uniform.standard(()), Chain([*root, Exp(())]))


def test_the_worked_example_of_cs6202(float64: None) -> None:
    y = np.linspace(1.001, np.e - 0.001, 50)
    np.testing.assert_allclose(np.exp(lecture().log_prob(y)), 2 * np.log(y) / y, rtol=1e-12)


def test_the_worked_example_outside_its_support(float64: None) -> None:
    outside = jnp.array([-1.0, 0.0, 0.5, 1.0, 2.72, 100.0])
    log_prob, gradient = jax.vmap(jax.value_and_grad(lecture()._log_prob))(outside)
    assert (np.asarray(log_prob) == -np.inf).all()
    assert not np.isnan(gradient).any()


def test_samples_of_the_worked_example() -> None:
    y = np.asarray(lecture().sample(jax.random.key(0), (5000,)), float)
    assert scipy.stats.kstest(y, lambda y: np.log(y) ** 2).pvalue > 1e-3


def test_a_logistic_base_under_a_sigmoid_is_uniform(float64: None) -> None:
    flow = Pushforward(Logistic.standard(()), Sigmoid(()))
    np.testing.assert_allclose(flow.log_prob(np.linspace(0.001, 0.999, 20)), 0, atol=1e-12)
    assert flow.log_prob(1.5) == -np.inf


def curved() -> Pushforward:
    widths, heights, slopes = jnp.array([1.0, 3.0, 2.0]), jnp.array([1.5, 2.5, 2.0]), jnp.array([1.3, 0.7])
    bend = RationalQuadraticSpline(*(jnp.stack([part] * 2) for part in (widths, heights, slopes)), 3.0)
    tilt = Triangular(jnp.array([[1.0, 0.0], [0.7, 0.6]]), jnp.array([0.5, -0.5]))
    return Pushforward(Normal.standard((2,)), Chain([tilt, bend]))


def test_a_density_of_the_plane_integrates_to_one(float64: None) -> None:
    axis = np.linspace(-8, 8, 801)
    density = np.exp(curved().log_prob(np.stack(np.meshgrid(axis, axis), axis=-1)))
    np.testing.assert_allclose(np.trapezoid(np.trapezoid(density, axis), axis), 1, rtol=1e-4)


def test_samples_carry_their_density() -> None:
    x, log_prob = curved().sample_and_log_prob(jax.random.key(0), (200,))
    np.testing.assert_allclose(log_prob, curved().log_prob(x), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("x", [0.0, -1.0])
def test_a_point_outside_has_no_nan_gradient_in_the_parameters(x: Any) -> None:
    flow = Pushforward(Normal(jnp.zeros(2), jnp.ones(2)), Exp((2,)))
    gradient = jax.grad(lambda f: f._log_prob(jnp.array([1.0, x])))(flow)
    assert not any(np.isnan(leaf).any() for leaf in jax.tree.leaves(gradient))
