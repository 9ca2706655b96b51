"""What a decoder's output says of data, against SciPy, and what cannot be data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward import trees
from pushforward.distributions import BernoulliLikelihood, GaussianLikelihood

OUTPUT = np.array([0.5, -2.0, 3.0])


def test_bernoulli_log_probabilities_and_draws(float64: None) -> None:
    likelihood = BernoulliLikelihood(3)
    chance = 1 / (1 + np.exp(-OUTPUT))
    x = np.array([1.0, 0.0, 0.0])
    expected = scipy.stats.bernoulli(chance).logpmf(x).sum()
    assert float(likelihood.log_prob(jnp.asarray(OUTPUT), jnp.asarray(x))) == pytest.approx(expected, rel=1e-12)
    np.testing.assert_allclose(likelihood.mean(jnp.asarray(OUTPUT)), chance, rtol=1e-12)
    draws = likelihood.sample(jax.random.key(0), jnp.tile(OUTPUT, (20_000, 1)))
    np.testing.assert_allclose(draws.mean(axis=0), chance, atol=4 * 0.5 / 20_000**0.5)


def test_grey_values_are_drawn_and_certain_ones_kept() -> None:
    likelihood = BernoulliLikelihood(3)
    grey = jnp.tile(jnp.array([0.0, 0.25, 1.0]), (20_000, 1))
    drawn = likelihood.observe(jax.random.key(0), grey)
    assert set(np.unique(drawn)) == {0.0, 1.0}
    assert (drawn[:, 0] == 0).all() and (drawn[:, 2] == 1).all()
    assert float(drawn[:, 1].mean()) == pytest.approx(0.25, abs=4 * 0.44 / 20_000**0.5)
    assert not np.array_equal(drawn, likelihood.observe(jax.random.key(1), grey))


@pytest.mark.parametrize("scale", [np.array(0.3), np.array([0.3, 1.0, 2.0])])
def test_gaussian_log_densities_and_draws(float64: None, scale: np.ndarray) -> None:
    likelihood = GaussianLikelihood(scale, 3)
    x, output = np.array([0.2, -1.0, 5.0]), jnp.asarray(OUTPUT)
    expected = scipy.stats.norm(OUTPUT, scale).logpdf(x).sum()
    assert float(likelihood.log_prob(output, jnp.asarray(x))) == pytest.approx(expected, rel=1e-12)
    draws = likelihood.sample(jax.random.key(0), jnp.tile(OUTPUT, (20_000, 1)))
    np.testing.assert_allclose(draws.std(axis=0), np.broadcast_to(scale, 3), rtol=0.03)
    assert likelihood.observe(jax.random.key(0), output) is output
    assert trees.n_parameters(likelihood) == scale.size


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got 255: divide by"):
        BernoulliLikelihood(1).check(np.array([[0.0], [255.0]]), False)
    with pytest.raises(ValueError, match=r"of zeros and ones; got 0.5: draw them"):
        BernoulliLikelihood(1).check(np.array([[0.5]]), True)
    with pytest.raises(ValueError, match=r"in \[0, 1\]; got nan"):
        BernoulliLikelihood(1).check(np.array([[np.nan]]), False)
    with pytest.raises(ValueError, match="must be finite"):
        GaussianLikelihood(1.0, 1).check(np.array([[np.inf]]), True)
    with pytest.raises(ValueError, match=r"scale must have shape \(\) or \(3,\); got shape \(2,\)"):
        GaussianLikelihood(np.ones(2), 3)
    with pytest.raises(ValueError, match="scale must be finite and above 0.001; got 0.0"):
        GaussianLikelihood(0.0, 3)
