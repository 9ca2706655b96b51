"""Series with latent variables, against the exact density of a linear one."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward.distributions import SequentialLatent

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
    one, many = (float(linear.bound(x, key=jax.random.key(2), n_samples=n)) for n in (1, 2000))
    assert one == pytest.approx(float(linear.log_weight(x, jax.random.split(jax.random.key(2), 1)[0])))
    assert many == pytest.approx(exact, abs=0.1)


def test_draws_have_the_covariance_of_the_linear_model(linear: Any) -> None:
    draws = np.asarray(linear.sample(jax.random.key(3), (40_000,)))[..., 0]
    expected = covariance()
    np.testing.assert_allclose(np.cov(draws.T), expected, atol=0.05 * expected.max())


def test_there_is_no_exact_log_density(linear: Any) -> None:
    with pytest.raises(TypeError, match=r"call bound\(x, key\)"):
        linear.log_prob(jnp.zeros((T, 1)))


def test_networks_of_other_sizes_are_refused(linear: Any) -> None:
    parts = (linear.initial, linear.prior, linear.emission, linear.inference)
    with pytest.raises(ValueError, match="prior goes from 2 numbers to 2; expected 4 to 2"):
        SequentialLatent(*parts, (T, 1), window=3)
    with pytest.raises(ValueError, match=r"shape must be \(T, D\)"):
        SequentialLatent(*parts, (T,), window=1)
    with pytest.raises(ValueError, match="window must be"):
        SequentialLatent(*parts, (T, 1), window=-1)
