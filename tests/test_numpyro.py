"""NumPyro: models as log-densities, guides, distributions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO
from numpyro.infer.reparam import NeuTraReparam
from numpyro.infer.util import log_density, potential_energy

import pushforward as pf
from pushforward import flows


def triangle(y: Any = None) -> None:
    """A value whose bounds another one sets, a vector, and a deterministic site."""
    a = numpyro.sample("a", dist.Uniform(0, 1))
    b = numpyro.sample("b", dist.Uniform(0, 1 - a))
    with numpyro.plate("n", 2):
        numpyro.sample("mu", dist.Normal(a, 1))
    numpyro.deterministic("total", a + b)
    numpyro.sample("y", dist.Normal(b, 1), obs=y)


def test_a_model_is_the_log_density_that_numpyro_samples() -> None:
    density, support = pf.numpyro.as_log_density(triangle, 0.5)
    u = jnp.array([0.3, -0.2, 1.0, 2.0])
    values, log_det = support.constrain(u)
    assert set(values) == {"a", "b", "mu", "total"}
    assert values["total"] == values["a"] + values["b"] < 1
    expected = -potential_energy(triangle, (0.5,), {}, {"a": u[0], "b": u[1], "mu": u[2:]})
    assert density(values) + log_det == pytest.approx(float(expected), abs=1e-5)


def test_models_that_have_no_continuous_values_are_refused() -> None:
    with pytest.raises(ValueError, match="no latent values"):
        pf.numpyro.as_log_density(lambda: numpyro.sample("y", dist.Normal(0, 1), obs=0.0))
    with pytest.raises(ValueError, match="'k' is discrete, and is not enumerated here"):
        pf.numpyro.as_log_density(lambda: numpyro.sample("k", dist.Bernoulli(0.5)))


def test_a_model_of_some_rows_by_chance_is_no_log_density() -> None:
    def model(rows: Any) -> None:
        mean = numpyro.sample("mean", dist.Normal(0, 1))
        with numpyro.plate("rows", len(rows), subsample_size=2) as some:
            numpyro.sample("y", dist.Normal(mean, 1), obs=rows[some])

    with pytest.raises(ValueError, match="plate 'rows' takes 2 of 5 rows by chance"):
        pf.numpyro.as_log_density(model, jnp.zeros(5))


def banana() -> None:
    x = numpyro.sample("x", dist.Normal(0, 1))
    numpyro.sample("y", dist.Normal(0.5 * x**2, 0.5))


@pytest.fixture(scope="module")
def trained() -> tuple[Any, Any]:
    guide = pf.numpyro.AutoFlow(banana, n_layers=4)
    svi = SVI(banana, guide, numpyro.optim.Adam(1e-2), Trace_ELBO(num_particles=32))
    return guide, svi.run(jax.random.key(0), 1000, progress_bar=False)


@pytest.mark.long
def test_a_guide_meets_a_bent_posterior(trained: tuple[Any, Any]) -> None:
    guide, result = trained
    draws = guide.sample_posterior(jax.random.key(1), result.params, sample_shape=(4000,))
    assert float(draws["y"].mean()) == pytest.approx(0.5, abs=0.15)
    assert float(draws["y"].std()) == pytest.approx(np.sqrt(0.75), abs=0.15)
    assert float(np.mean(result.losses[-100:])) < 0.12  # the log-evidence is 0


@pytest.mark.long
def test_its_transform_turns_the_model_into_an_easy_one(trained: tuple[Any, Any]) -> None:
    guide, result = trained
    easier = NeuTraReparam(guide, result.params)
    sampler = MCMC(NUTS(easier.reparam(banana)), num_warmup=100, num_samples=300, progress_bar=False)
    sampler.run(jax.random.key(2))
    draws = easier.transform_sample(sampler.get_samples()["auto_shared_latent"])
    assert float(draws["y"].mean()) == pytest.approx(0.5, abs=0.25)


@pytest.mark.long
@pytest.mark.parametrize("name", ["planar", "iaf"])
def test_any_recipe_is_a_guide(name: str) -> None:
    guide = pf.numpyro.AutoFlow(banana, name, n_layers=2)
    svi = SVI(banana, guide, numpyro.optim.Adam(1e-2), Trace_ELBO(num_particles=4))
    losses = np.asarray(svi.run(jax.random.key(0), 60, progress_bar=False).losses)
    assert np.isfinite(losses).all() and losses[-20:].mean() < losses[:20].mean()


def test_a_guide_of_no_recipe_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown flow 'realnvp'"):
        pf.numpyro.AutoFlow(banana, "realnvp")
    with pytest.raises(ValueError, match="AutoMultivariateNormal"):
        pf.numpyro.AutoFlow(banana, "gaussian")


@pytest.mark.long
def test_a_flow_is_a_prior() -> None:
    flow = flows.real_nvp(jax.random.key(0), 2, n_layers=2)
    prior = pf.numpyro.FlowDistribution(flow)
    draws = prior.sample(jax.random.key(1), (5,))
    np.testing.assert_allclose(prior.log_prob(draws), flow.log_prob(draws), rtol=1e-6)

    def model() -> None:
        x = numpyro.sample("x", prior)
        numpyro.sample("y", dist.Normal(x.sum(), 1), obs=1.0)

    joint = log_density(model, (), {}, {"x": draws[0]})[0]
    assert joint == pytest.approx(
        float(flow.log_prob(draws[0]) + dist.Normal(draws[0].sum(), 1).log_prob(1.0)), rel=1e-5
    )
    with pytest.raises(ValueError, match="without condition"):
        pf.numpyro.FlowDistribution(flows.real_nvp(jax.random.key(0), 2, cond_dim=1))
