"""Dequantisation against probabilities of whole numbers that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from pushforward import trees
from pushforward.bijections import Affine, Amortized, Chain, Dequantise, Sigmoid
from pushforward.distributions import Normal, Pushforward
from pushforward.networks import MLP
from tests.keys import cheap_key


def spread(dim: int) -> Chain:
    """A logistic-normal for u whose moments a network of x gives."""
    inner = Affine(jnp.zeros(dim), jnp.ones(dim))
    network = MLP.init(cheap_key(0), dim, trees.n_parameters(inner), (4,), output_scale=0.5)
    return Chain([Amortized(inner, network, (dim,)), Sigmoid((dim,))])


def rounded_normal(spread: Chain | None, step: float) -> Pushforward:
    """Normal of mean 1 and sd 3, rounded down to a grid."""
    moved = Affine(jnp.array([1.0]), jnp.array([3.0]))
    return Pushforward(Normal.standard((1,)), Chain([moved, Dequantise(jnp.array([step]), spread)]))


@pytest.mark.parametrize("step", [1.0, 0.5])
@pytest.mark.parametrize("variational", [False, True])
def test_estimates_are_probabilities_of_cells(variational: bool, step: float) -> None:
    flow = rounded_normal(spread(1) if variational else None, step)
    x = step * np.arange(-8.0, 8.0)[:, None]
    found = flow.log_prob_estimate(x, key=jax.random.key(0), n_samples=2000)
    truth = np.log(norm.cdf(x + step, 1, 3) - norm.cdf(x, 1, 3)).ravel()
    assert (np.abs(found.value - truth) < 4 * found.standard_error + 1e-3).all()
    assert (np.asarray(flow.elbo(x, key=jax.random.key(1), n_samples=2000)) < truth + 0.02).all()


def test_draws_lie_on_the_grid_with_their_probabilities() -> None:
    flow = rounded_normal(None, 1.0)
    draws = np.asarray(flow.sample(jax.random.key(0), (20_000,))).ravel()
    assert (draws == np.floor(draws)).all()
    for value in (-2.0, 0.0, 3.0):
        assert (draws == value).mean() == pytest.approx(norm.cdf(value + 1, 1, 3) - norm.cdf(value, 1, 3), abs=0.01)


def test_weights_of_draws_are_above_in_the_mean() -> None:
    """As a variational family a rounded flow has an entropy of whole numbers."""
    flow = rounded_normal(spread(1), 1.0)
    x, weight = jax.vmap(flow.sample_and_log_weight)(jax.random.split(jax.random.key(0), 20_000))
    truth = np.log(norm.cdf(x + 1, 1, 3) - norm.cdf(x, 1, 3)).ravel()
    assert float(np.mean(np.asarray(weight) - truth)) >= -0.01


def test_continuous_coordinates_stay_and_their_noise_cancels() -> None:
    layer = Dequantise(jnp.array([1.0, 0.0]), spread(2))
    flow = Pushforward(Normal.standard((2,)), layer)
    found = flow.log_prob_estimate(jnp.array([[0.0, 0.3]]), key=jax.random.key(0), n_samples=5000)
    truth = np.log(norm.cdf(1) - norm.cdf(0)) + norm.logpdf(0.3)
    assert abs(float(found.value[0]) - truth) < 4 * float(found.standard_error[0]) + 1e-3
    z, _ = layer.inverse_and_log_weight(jnp.array([2.0, 0.3]), jax.random.key(0))
    assert 2 < float(z[0]) < 3
    assert float(z[1]) == pytest.approx(0.3)
    assert layer.forward_and_log_weight(z, jax.random.key(1))[0].tolist() == pytest.approx([2.0, 0.3])


def test_bad_parameters_and_missing_keys_are_refused() -> None:
    with pytest.raises(ValueError, match="not negative"):
        Dequantise(jnp.array([-1.0]))
    with pytest.raises(ValueError, match="spread must map shape"):
        Dequantise(jnp.ones(2), Sigmoid((2,)))
    with pytest.raises(ValueError, match="give it a key"):
        Dequantise(jnp.ones(1)).inverse_and_log_weight(jnp.zeros(1), None)


def test_values_beside_the_grid_have_no_weight() -> None:
    flow = rounded_normal(None, 0.1)
    values = jnp.array([[2.0], [2.1], [2.05], [-0.3]])
    found = np.asarray(flow.log_prob_estimate(values, key=jax.random.key(0), n_samples=100).value)
    assert np.isfinite(found).tolist() == [True, True, False, True] and found[2] == -np.inf


@pytest.mark.parametrize("step", [1.0, 0.1])
def test_large_values_come_back_as_they_were(step: float) -> None:
    map_ = Dequantise(jnp.full(1, step, jnp.float32))
    x = jnp.asarray(step * np.array([1e3, -1e3, 1e6, 1e6 + 1, -1e6]), jnp.float32)[:, None]
    for seed in range(100):
        z = map_.inverse_batch(x, jax.random.key(seed))[0]
        back = map_.forward_batch(z, jax.random.key(0))[0]
        np.testing.assert_allclose(back, x, rtol=2e-7)
