"""Mixtures of Student's t distributions as values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from pushforward.distributions import Students


@pytest.mark.parametrize("df", [0.5, 2.0, 5.0])
def test_draws_and_density_are_those_of_scipy(df: float, float64: None) -> None:
    value, params = Students(1, df=df, least_scale=1.0), jnp.array([0.0, 3.0, -1e9])  # scale 1 around 3
    true, x = stats.t(df, 3, 1), np.linspace(-50, 60, 41)
    found = jax.vmap(lambda x: value.log_prob(params, x))(jnp.asarray(x))
    np.testing.assert_allclose(found, true.logpdf(x), rtol=1e-9)
    drawn = jax.vmap(lambda noise: value.draw(params, noise))(value.noise(jax.random.key(0), (20_000,), jnp.float64))
    assert stats.kstest(np.asarray(drawn), true.cdf).pvalue > 0.01


def test_components_have_their_shares(float64: None) -> None:
    value = Students(2, least_scale=1e-3)
    params = jnp.array([np.log(3.0), 0.0, -5.0, 5.0, -1e9, -1e9])
    drawn = jax.vmap(lambda noise: value.draw(params, noise))(value.noise(jax.random.key(0), (4000,), jnp.float64))
    assert abs(float((drawn < 0).mean()) - 0.75) < 0.03
    grid = jnp.sort(jnp.concatenate([jnp.linspace(-5.2, -4.8, 4001), jnp.linspace(4.8, 5.2, 4001)]))
    density = jnp.exp(jax.vmap(lambda x: value.log_prob(params, x))(grid))
    assert float(jnp.trapezoid(density[:4001], grid[:4001])) == pytest.approx(0.75, abs=1e-3)


def test_what_is_no_number_has_no_density_and_far_out_stays_finite() -> None:
    value = Students()
    params = jnp.zeros(value.n_params)
    assert value.log_prob(params, jnp.array(jnp.inf)) == -jnp.inf
    slope = jax.grad(lambda p: value.log_prob(p, jnp.array(1e10)))(params)
    assert np.isfinite(value.log_prob(params, jnp.array(1e10))) and np.isfinite(slope).all()
    with pytest.raises(ValueError, match="must be finite"):
        value.check([1.0, np.inf])


@pytest.mark.parametrize("wrong", [{"n_components": 0}, {"df": 0.0}, {"least_scale": -1.0}])
def test_parameters_that_cannot_be_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Students(**wrong)
