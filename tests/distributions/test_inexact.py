"""Distributions without an exact density: estimates of flows, of mixtures of them, and of families of posteriors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows, trees
from pushforward.bijections import InexactError, Shift
from pushforward.distributions import MixtureOfFlows, Pushforward
from pushforward.inference.families import family
from pushforward.inference.start import Gaussian
from pushforward.objectives import ReverseKL
from tests.keys import cheap_key


def indexed(seed: int) -> Pushforward:
    flow = flows.continuously_indexed(flows.maf, cheap_key(seed), 2, n_layers=2, hidden_sizes=(4,))
    return trees.offset(flow, 0.1 * jax.random.normal(cheap_key(seed + 10), (trees.n_parameters(flow),)))


def mixture() -> MixtureOfFlows:
    return MixtureOfFlows([indexed(0), indexed(1)], log_weights=jnp.log(jnp.array([0.3, 0.7])))


@pytest.mark.long
def test_a_mixture_is_estimated_through_its_components() -> None:
    model, x = mixture(), jax.random.normal(cheap_key(3), (5, 2))
    assert model.exactness == "lower bound"
    with pytest.raises(InexactError, match="log_prob_estimate"):
        model.log_prob(x)
    whole = model.log_prob_estimate(x, key=jax.random.key(0), n_samples=2000)
    parts = [flow.log_prob_estimate(x, key=jax.random.key(1), n_samples=2000) for flow in (indexed(0), indexed(1))]
    expected = np.logaddexp(np.log(0.3) + parts[0].value, np.log(0.7) + parts[1].value)
    error = np.sqrt(whole.standard_error**2 + sum(part.standard_error**2 for part in parts))
    assert (np.abs(whole.value - expected) < 4 * error + 1e-3).all()


@pytest.mark.long
def test_responsibilities_and_bounds_take_a_key() -> None:
    model, x = mixture(), jax.random.normal(cheap_key(3), (5, 2))
    with pytest.raises(ValueError, match="give it a key"):
        model.responsibilities(x)
    found = model.responsibilities(x, key=jax.random.key(0), n_samples=500)
    assert np.allclose(found.sum(1), 1, atol=1e-5)
    bound = model.elbo(x, key=jax.random.key(0), n_samples=500)
    estimate = model.log_prob_estimate(x, key=jax.random.key(1), n_samples=2000)
    assert (np.asarray(bound) < estimate.value + 4 * estimate.standard_error + 0.02).all()


def test_mixtures_refuse_noisy_log_dets_and_inexact_shared_maps() -> None:
    noisy = flows.residual(cheap_key(0), 6, n_layers=1, hidden_sizes=(4,))
    with pytest.raises(InexactError, match="turns to bias"):
        MixtureOfFlows([noisy, noisy])
    with pytest.raises(InexactError, match="exact shared map"):
        MixtureOfFlows([flows.maf(cheap_key(0), 2, hidden_sizes=(4,))], shared=indexed(0).bijection)


@pytest.mark.long
def test_draws_of_an_inexact_family_bound_the_evidence_and_weigh_to_it() -> None:
    flow = indexed(0)

    def log_density(x: jax.Array) -> jax.Array:
        return -0.5 * (x**2).sum() / 0.5**2 + 1.0

    truth = float(np.log(2 * np.pi * 0.25) + 1.0)
    x, weight = jax.vmap(flow.sample_and_log_weight)(jax.random.split(jax.random.key(0), 20_000))
    ratios = np.asarray(jax.vmap(log_density)(x) - weight, float)
    assert ratios.mean() < truth
    weights = np.exp(ratios)
    error = weights.std() / weights.mean() / len(weights) ** 0.5
    assert abs(np.log(weights.mean()) - truth) < 4 * error < 0.2
    loss = ReverseKL(log_density, 256, path=False)
    assert float(loss(flow, None, jax.random.key(1))) > -truth


def test_effective_draws_tell_weights_that_one_draw_decides() -> None:
    n = 500
    exact = flows.maf(cheap_key(0), 2, n_layers=1, hidden_sizes=(4,))
    even = exact.log_prob_estimate(jnp.zeros(2), key=jax.random.key(0), n_samples=n)
    assert float(even.effective_draws) == pytest.approx(n, rel=1e-4) and float(even.standard_error) < 1e-4
    fair = indexed(0).log_prob_estimate(jnp.zeros(2), key=jax.random.key(0), n_samples=n)
    wild = trees.offset(indexed(0), 2 * jax.random.normal(cheap_key(3), (trees.n_parameters(indexed(0)),)))
    poor = wild.log_prob_estimate(10 * jnp.ones(2), key=jax.random.key(0), n_samples=n)
    assert 1 - 1e-4 <= float(poor.effective_draws) < 0.2 * float(fair.effective_draws) <= 0.2 * n


def test_points_that_no_draw_reaches_have_no_effective_draws() -> None:
    far = indexed(0).log_prob_estimate(jnp.full(2, 1e30), key=jax.random.key(0), n_samples=20)
    assert float(far.value) == -np.inf and float(far.effective_draws) == 0


def test_missing_keys_are_asked_for() -> None:
    for ask in (indexed(0).elbo, indexed(0).log_prob_estimate):
        with pytest.raises(ValueError, match="key must be one JAX random key"):
            ask(jnp.zeros(2), None)


@pytest.mark.long
def test_a_base_without_an_exact_density_is_estimated_through_its_own_draws() -> None:
    base, shift = indexed(0), Shift(jnp.ones(2))
    flow, x, key = Pushforward(base, shift), jnp.ones((3, 2)), jax.random.key(0)
    assert flow.exactness == "lower bound"
    np.testing.assert_allclose(flow.elbo(x, key=key), base.elbo(x - 1, key=key), rtol=1e-5)
    np.testing.assert_allclose(flow.sample(key, (4,)), 1 + base.sample(key, (4,)), rtol=1e-5)
    both = Pushforward(base, indexed(1).bijection)  # the map draws numbers too
    assert np.isfinite(both.log_prob_estimate(x, key=key, n_samples=10).value).all()
    assert np.isfinite(both.calibrate(x, key=key)[1]).all()


def test_posteriors_of_several_inexact_components_are_refused_by_name() -> None:
    start = Gaussian(jnp.zeros(2), jnp.eye(2), jnp.zeros(()))
    with pytest.raises(InexactError, match="components of a posterior must have exact densities"):
        family("indexed_nice", cheap_key(0), [start, start], 1)
