"""Series with latent variables, against the exact density of a linear one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward.bijections import Affine, InexactError
from pushforward.distributions import Pushforward, SequentialLatent
from pushforward.objectives import Batch, NegativeLogLikelihood, Rows

T = 3
# z_t = MOVE z_{t−1} + PUSH x_{t−1} + noise, x_t = READ z_t + KEEP x_{t−1} + noise
MOVE, PUSH, READ, KEEP, SCALE_Z, SCALE_X = 0.8, -0.3, 1.2, 0.4, 0.7, 0.5


def raw(scale: float) -> float:
    """What a soft bound of 5 makes log(scale)."""
    return float(5 * np.arctanh(np.log(scale) / 5))


@pytest.fixture
def linear(float64: None) -> Any:
    model = SequentialLatent.init(jax.random.key(0), (T, 1), 1, window=1, hidden_sizes=())
    values = {
        "prior": ([[MOVE, PUSH], [0, 0]], [0, raw(SCALE_Z)]),
        "emission": ([[READ, KEEP], [0, 0]], [0, raw(SCALE_X)]),
        # not the exact posterior, but near it
        "inference": ([[0.5, -0.5, 0], [0, 0, 0]], [0, -0.3]),
    }
    for name, (weight, bias) in values.items():
        where = lambda m, name=name: (getattr(m, name).layers[0].weight, getattr(m, name).layers[0].bias)  # noqa: E731
        model = eqx.tree_at(where, model, (jnp.asarray(weight, float), jnp.asarray(bias, float)))
    return eqx.tree_at(lambda m: m.initial, model, jnp.array([0.0, raw(1.5)]))


def covariance() -> np.ndarray:
    """Of x, from the linear equations of (z_1, …, z_T, x_1, …, x_T)."""
    later = np.eye(T, k=-1)
    effects = np.block([[MOVE * later, PUSH * later], [READ * np.eye(T), KEEP * later]])
    variances = np.r_[1.5**2, np.full(T - 1, SCALE_Z**2), np.full(T, SCALE_X**2)]
    solved = np.linalg.inv(np.eye(2 * T) - effects)
    return (solved * variances @ solved.T)[T:, T:]


def test_the_bound_is_below_the_exact_log_density_and_closes_with_draws(linear: Any) -> None:
    x = jnp.array([[0.9], [-0.4], [1.1]])
    exact = scipy.stats.multivariate_normal(np.zeros(T), covariance()).logpdf(np.asarray(x)[:, 0])
    weights = np.asarray(
        jax.jit(jax.vmap(lambda k: linear.log_weight(x, k)))(jax.random.split(jax.random.key(1), 20_000))
    )
    assert weights.mean() < exact - 5 * weights.std() / 20_000**0.5
    assert np.exp(weights - exact).mean() == pytest.approx(1, abs=0.05)  # p(x) itself is unbiased
    bound = float(linear.elbo(x, key=jax.random.key(2), n_samples=2000))
    assert bound == pytest.approx(weights.mean(), abs=5 * weights.std() / 2000**0.5)
    found = linear.log_prob_estimate(x, key=jax.random.key(2), n_samples=2000)
    assert float(found.value) == pytest.approx(exact, abs=0.1)


def test_draws_have_the_covariance_of_the_linear_model(linear: Any) -> None:
    draws = np.asarray(linear.sample(jax.random.key(3), (40_000,)))[..., 0]
    expected = covariance()
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.05 * expected.max())


def test_there_is_no_exact_log_density(linear: Any) -> None:
    assert linear.exactness == "lower bound"
    for ask in (lambda: linear.log_prob(jnp.zeros((T, 1))), lambda: linear.sample_and_log_prob(jax.random.key(0))):
        with pytest.raises(InexactError, match=r"call elbo\(x, key=key\)"):
            ask()


def test_weights_of_draws_average_to_the_integral_of_the_density(linear: Any) -> None:
    """Over draws of the model, exp(−log-weight) p(x) has the mean 1."""
    x, log_weight = jax.jit(jax.vmap(linear.sample_and_log_weight))(jax.random.split(jax.random.key(4), 20_000))
    exact = scipy.stats.multivariate_normal(np.zeros(T), covariance()).logpdf(np.asarray(x)[..., 0])
    ratios = np.exp(exact - np.asarray(log_weight))
    assert ratios.mean() == pytest.approx(1, abs=5 * ratios.std() / len(ratios) ** 0.5)


def batch(x: Any) -> Batch:
    return Batch(Rows(x), jnp.ones(len(x)), jnp.array(0.0))


def test_a_flow_over_it_is_estimated_as_it_is(linear: Any) -> None:
    x, shift = jnp.array([[0.9], [-0.4], [1.1]]), jnp.ones((T, 1))
    flow, key = Pushforward(linear, Affine(shift, jnp.full((T, 1), 2.0))), jax.random.key(5)
    expected = linear.elbo((x - shift) / 2, key=key, n_samples=3) - T * np.log(2)
    np.testing.assert_allclose(flow.elbo(x, key=key, n_samples=3), expected, rtol=1e-10)
    np.testing.assert_allclose(flow.sample(key), 1 + 2 * linear.sample(key), rtol=1e-10)


@pytest.mark.parametrize("over", [False, True])
def test_it_trains_by_maximum_likelihood(linear: Any, over: bool) -> None:
    model = Pushforward(linear, Affine(jnp.ones((T, 1)), jnp.ones((T, 1)))) if over else linear
    x, key = linear.sample(jax.random.key(6), (4,)), jax.random.key(7)
    value, gradient = eqx.filter_value_and_grad(lambda m: NegativeLogLikelihood()(m, batch(x), key))(model)
    assert np.isfinite(value) and bool(((gradient.base if over else gradient).initial != 0).any())


def test_networks_of_other_sizes_are_refused(linear: Any) -> None:
    parts = (linear.initial, linear.prior, linear.emission, linear.inference)
    with pytest.raises(ValueError, match="prior goes from 2 numbers to 2; expected 4 to 2"):
        SequentialLatent(*parts, (T, 1), window=3)
    with pytest.raises(ValueError, match=r"shape must be \(T, D\)"):
        SequentialLatent(*parts, (T,), window=1)
    with pytest.raises(ValueError, match="window must be"):
        SequentialLatent(*parts, (T, 1), window=-1)
