"""What a fitted posterior offers: draws and densities on the scale of the values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from pushforward.inference import FlowPosterior, PosteriorWarning, fit_posterior

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def gamma() -> FlowPosterior:
    """Rate ~ gamma(3, 2), by a flow in one dimension; and two numbers of a simplex ~ Dirichlet(2, 4)."""

    def log_density(v: dict[str, jax.Array]) -> jax.Array:
        return 2 * jnp.log(v["rate"]) - 2 * v["rate"] + (jnp.array([1.0, 3.0]) * jnp.log(v["share"])).sum()

    return fit_posterior(log_density, {"rate": "positive", "share": ("simplex", 2)}, key=KEY)


def test_draws_and_moments_are_on_the_scale_of_the_values(gamma: FlowPosterior) -> None:
    draws = gamma.sample(KEY, (30, 400))
    assert draws["rate"].shape == (30, 400) and draws["share"].shape == (30, 400, 2)
    assert draws["rate"].dtype == jnp.float32  # as everything else where JAX is left as it is
    for rate in (np.asarray(draws["rate"]), gamma.importance_sample(KEY, (12_000,))["rate"]):
        assert np.mean(rate) == pytest.approx(1.5, abs=0.05)
        assert np.std(rate) == pytest.approx(np.sqrt(3) / 2, abs=0.05)
    assert gamma.mean()["share"] == pytest.approx([1 / 3, 2 / 3], abs=0.02)
    np.testing.assert_allclose(gamma.quantile([0.1, 0.9])["rate"], stats.gamma(3, scale=0.5).ppf([0.1, 0.9]), rtol=0.06)
    # the evidence is that of both parts
    expected = np.log(2 / 2**3) + np.log(1 * 6 / 120)
    assert gamma.log_evidence.value == pytest.approx(expected, abs=0.02)


def test_log_prob_is_a_density_of_the_values() -> None:
    def log_density(v: dict[str, jax.Array]) -> jax.Array:
        return 2 * jnp.log(v["rate"]) - 2 * v["rate"]

    posterior = fit_posterior(log_density, {"rate": "positive"}, key=KEY, effort=1)
    grid = np.linspace(1e-3, 20, 20_000)
    found = np.exp(np.asarray(posterior.log_prob({"rate": grid}), np.float64))
    assert integrate.trapezoid(found, grid) == pytest.approx(1, abs=1e-3)
    assert integrate.trapezoid(grid * found, grid) == pytest.approx(posterior.mean()["rate"], abs=0.03)
    assert posterior.log_prob({"rate": -1.0}) == -np.inf


def test_log_prob_needs_a_way_back() -> None:
    posterior = fit_posterior(lambda x: -0.5 * (x**2).sum(), (1, lambda u: (u, jnp.zeros(()))), key=KEY, effort=1)
    with pytest.raises(ValueError, match="without its inverse"):
        posterior.log_prob(jnp.zeros(1))


def test_it_goes_to_arviz_and_to_paper(gamma: FlowPosterior) -> None:
    import arviz

    table = arviz.summary(gamma.to_arviz(), kind="stats")
    assert table.loc["rate", "mean"] == pytest.approx(1.5, abs=0.05)
    assert set(table.index) == {"rate", "share[0]", "share[1]"}
    text = gamma.summary()
    assert "share[1]" in text and f"Pareto k̂ {gamma.k_hat:.2f}: trusted" in text


def test_a_posterior_that_a_gaussian_misses_is_not_trusted() -> None:
    def heavy(x: jax.Array) -> jax.Array:
        return -0.8 * jnp.log1p(x**2).sum()  # tails beyond those of Cauchy

    with pytest.warns(PosteriorWarning, match=r"Pareto k̂ is .*, above 0.7: the flow misses parts of the posterior"):
        found = fit_posterior(heavy, 2, key=KEY, effort=1)
    assert "not to be trusted" in found.summary()
