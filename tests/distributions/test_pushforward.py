"""Flows as distributions: densities, samples, conditions, calibration, batch shapes."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward import trees
from pushforward.bijections import Affine, BatchNorm, Chain, Coupling, Exp, Shift
from pushforward.distributions import Logistic, Normal, Pushforward
from pushforward.networks import Linear


def conditional(weight: Any, bias: Any) -> Coupling:
    """x = exp(w₂c + b₂) z + w₁c + b₁ in one dimension."""
    network = Linear(jnp.asarray(weight)[:, None], jnp.asarray(bias))
    return Coupling(np.array([False]), network, Affine(jnp.zeros(()), jnp.ones(())), cond_dim=1)


def test_density_and_samples_agree_with_the_known_law(float64: None) -> None:
    flow = Pushforward(Normal.standard((1,)), Chain([Affine(jnp.array([0.3]), jnp.array([0.8])), Exp((1,))]))
    law = scipy.stats.lognorm(0.8, scale=np.exp(0.3))
    x = np.array([0.01, 0.5, 1.0, 20.0])
    np.testing.assert_allclose(flow.log_prob(x[:, None]), law.logpdf(x), rtol=1e-12)
    samples, log_prob = flow.sample_and_log_prob(jax.random.key(0), (2000,))
    assert scipy.stats.kstest(np.asarray(samples[:, 0]), law.cdf).pvalue > 1e-3
    np.testing.assert_allclose(log_prob, law.logpdf(np.asarray(samples[:, 0])), rtol=1e-9)
    assert flow.log_prob(jnp.array([-1.0])) == -jnp.inf


def test_a_condition_reaches_the_map_and_batches_broadcast(float64: None) -> None:
    flow = Pushforward(Normal.standard((1,)), conditional([2.0, 0.5], [1.0, -1.0]))
    assert flow.cond_shape == (1,)
    c, x = np.array([[-1.0], [0.0], [2.0]]), np.array([[0.7]])
    found = flow.log_prob(x, c)
    assert found.shape == (3,)
    np.testing.assert_allclose(found, scipy.stats.norm(2 * c + 1, np.exp(0.5 * c - 1)).logpdf(x)[:, 0], rtol=1e-12)
    assert flow.sample(jax.random.key(0), (5,), c).shape == (5, 3, 1)
    narrow = Pushforward(Normal.standard((1,)), conditional([2.0, 0.0], [1.0, -20.0]))
    np.testing.assert_allclose(narrow.sample(jax.random.key(0), (4,), c), np.tile(2 * c + 1, (4, 1, 1)), atol=1e-6)


def test_shapes_are_sample_shape_then_condition_batch_then_event() -> None:
    flow = Pushforward(Normal.standard((2,)), Shift(jnp.ones(2)))
    assert flow.sample(jax.random.key(0)).shape == (2,)
    x, log_prob = flow.sample_and_log_prob(jax.random.key(0), (3, 4))
    assert x.shape == (3, 4, 2) and log_prob.shape == (3, 4)
    assert flow.log_prob(np.zeros(2, int)).shape == ()
    np.testing.assert_allclose(flow.log_prob(x), log_prob, rtol=1e-5)


def test_what_does_not_fit_is_refused() -> None:
    flow = Pushforward(Normal.standard((1,)), conditional([2.0, 0.5], [1.0, -1.0]))
    with pytest.raises(ValueError, match=r"x has shape \(3,\); expected its last axes to be \(1,\)"):
        flow.log_prob(np.zeros(3), np.zeros((1, 1)))
    with pytest.raises(ValueError, match=r"needs condition= of shape \(..., 1\)"):
        flow.log_prob(np.zeros((3, 1)))
    with pytest.raises(ValueError, match="takes no condition"):
        Pushforward(Normal.standard((1,)), Exp((1,))).log_prob(np.ones((3, 1)), np.zeros((3, 1)))
    with pytest.raises(ValueError, match=r"base has event shape \(2,\), noise of Exp \(1,\)"):
        Pushforward(Normal.standard((2,)), Exp((1,)))


def test_calibration_reads_the_batch_with_its_weights_and_leaves_one_fixed_density(float64: None) -> None:
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(5, 3, (40, 1)), np.full((8, 1), 1e6)])
    weights = np.repeat([1.0, 0.0], [40, 8])
    flow = Pushforward(Logistic.standard((1,)), BatchNorm.init(1))
    assert flow.reads_data
    calibrated, log_prob = flow.calibrate(jnp.asarray(x), None, jnp.asarray(weights))
    real = x[:40]
    np.testing.assert_allclose(calibrated.bijection.mean.value, real.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(calibrated.bijection.variance.value, real.var(axis=0), rtol=1e-12)
    np.testing.assert_allclose(log_prob[:40], calibrated.log_prob(real), rtol=1e-12)
    grid = np.linspace(-200, 200, 20_001)
    assert np.trapezoid(np.exp(calibrated.log_prob(grid[:, None])), grid) == pytest.approx(1, abs=1e-6)


def test_gradients_flow_through_the_statistics_of_a_batch(float64: None) -> None:
    x = jnp.array([[1.0], [2.0], [4.0]])
    flow = Pushforward(Normal.standard((1,)), BatchNorm.init(1))

    def loss(scale: Any) -> Any:
        return flow.calibrate(scale * x)[1].sum()

    # statistics scale with the rows, so the noise stays and only the log-determinant moves: −n log(scale)
    assert float(jax.grad(loss)(1.0)) == pytest.approx(-3, abs=1e-3)


def test_then_adds_a_map_on_the_data_side() -> None:
    flow = Pushforward(Normal.standard((2,)), Shift(jnp.ones(2))).then(Affine(jnp.zeros(2), jnp.full(2, 10.0)))
    np.testing.assert_allclose(flow.bijection.forward(jnp.zeros(2)), [10.0, 10.0], rtol=1e-6)
    assert trees.n_parameters(flow) == 6
