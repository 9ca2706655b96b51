"""Autoencoders against a linear Gaussian model, whose likelihood and posterior are known."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import pushforward as pf
from pushforward.bijections import Affine, Amortized
from pushforward.distributions import Autoencoder, BernoulliLikelihood, GaussianLikelihood, Normal, Pushforward, Uniform
from pushforward.networks import Linear
from tests.serialization.helpers import same

SIGMA, DIM, LATENT = 0.5, 3, 2
# orthogonal columns: the posterior of z is then a diagonal Gaussian, which the model can hold
W = np.linalg.qr(np.random.default_rng(0).normal(size=(DIM, LATENT)))[0] * np.array([1.0, 2.0])
B = np.array([0.5, -1.0, 2.0])
VARIANCE = 1 / (1 + (W**2).sum(axis=0) / SIGMA**2)
GAIN = (VARIANCE / SIGMA**2)[:, None] * W.T  # the posterior's mean is GAIN (x − B)
TRUTH = scipy.stats.multivariate_normal(B, W @ W.T + SIGMA**2 * np.eye(DIM))
X = TRUTH.rvs(6, random_state=1)


def linear_gaussian(shift: Any = (0.0, 0.0), stretch: float = 1.0) -> Autoencoder:
    """The model with its exact posterior, or one moved and stretched in units of its standard deviation."""
    moved = np.sqrt(VARIANCE) * np.asarray(shift) - GAIN @ B
    heads = Linear(
        jnp.asarray(np.concatenate([GAIN, np.zeros((LATENT, DIM))])),
        jnp.asarray(np.concatenate([moved, np.log(np.sqrt(VARIANCE) * stretch)])),
    )
    moments = Amortized(Affine(jnp.zeros(LATENT), jnp.ones(LATENT)), heads, (DIM,))
    return Autoencoder(
        Linear(jnp.eye(DIM), jnp.zeros(DIM)),
        Pushforward(Normal.standard((LATENT,)), moments),
        Linear(jnp.asarray(W), jnp.asarray(B)),
        GaussianLikelihood(SIGMA, DIM),
    )


def test_with_the_exact_posterior_bound_and_estimate_are_the_log_density(float64: None) -> None:
    model = linear_gaussian()
    np.testing.assert_allclose(model.elbo(X, key=jax.random.key(0)), TRUTH.logpdf(X), rtol=1e-9)
    found = model.log_prob_estimate(X, key=jax.random.key(0), n_samples=50)
    np.testing.assert_allclose(found.value, TRUTH.logpdf(X), rtol=1e-9)
    np.testing.assert_allclose(found.standard_error, 0, atol=1e-6)


def test_the_bound_lies_below_by_the_divergence_of_the_posterior(float64: None) -> None:
    shift, stretch, n = np.array([0.5, -0.3]), 0.7, 4000
    divergence = (shift**2).sum() / 2 + LATENT * ((stretch**2 - 1) / 2 - np.log(stretch))
    bound = linear_gaussian(shift, stretch).elbo(X, key=jax.random.key(0), n_samples=n)
    np.testing.assert_allclose(bound, TRUTH.logpdf(X) - divergence, atol=5 / n**0.5)
    assert (np.asarray(bound) < TRUTH.logpdf(X) - 0.1).all()


def test_the_importance_weighted_estimate_comes_within_its_standard_error(float64: None) -> None:
    model = linear_gaussian((0.4, -0.3), 1.2)
    few, many = (model.log_prob_estimate(X, key=jax.random.key(0), n_samples=n) for n in (50, 4000))
    for found in (few, many):
        apart = (np.asarray(found.value) - TRUTH.logpdf(X)) / np.asarray(found.standard_error)
        assert np.abs(apart).max() < 3.5 and np.sqrt((apart**2).mean()) > 0.2  # neither too small nor far too large
    assert np.all(np.asarray(many.standard_error) < 0.3 * np.asarray(few.standard_error))


def test_estimates_do_not_depend_on_the_rows_beside(float64: None) -> None:
    model = linear_gaussian((0.4, -0.3), 1.2)
    long = np.tile(X, (8, 1)).reshape(8, 6, DIM)  # more rows than are taken at once
    found = model.log_prob_estimate(long, key=jax.random.key(0), n_samples=50)
    assert found.value.shape == (8, 6) and np.isfinite(found.value).all()
    assert len(np.unique(np.asarray(found.value))) == 48  # draws of their own


@pytest.mark.long
def test_codes_reconstructions_and_samples(float64: None) -> None:
    model = linear_gaussian()
    mean = (X - B) @ GAIN.T
    np.testing.assert_allclose(model.encode(X), mean, rtol=1e-9)
    np.testing.assert_allclose(model.reconstruct(X), mean @ W.T + B, rtol=1e-9)
    draws = model.encode(np.tile(X[0], (20_000, 1)), key=jax.random.key(0))
    np.testing.assert_allclose(draws.mean(axis=0), mean[0], atol=0.02)
    np.testing.assert_allclose(draws.var(axis=0), VARIANCE, rtol=0.05)
    samples = model.sample(jax.random.key(1), (100, 200))
    assert samples.shape == (100, 200, DIM)
    np.testing.assert_allclose(np.cov(samples.reshape(-1, DIM).T), TRUTH.cov, atol=0.1)
    means = model.sample(jax.random.key(1), (20_000,), means=True)
    np.testing.assert_allclose(np.cov(means.T), W @ W.T, atol=0.1)
    assert model.sample(jax.random.key(1)).shape == (DIM,)


@pytest.mark.parametrize("posterior", ["planar", "iaf"])
def test_a_model_comes_back_from_its_folder(tmp_path: Path, posterior: str) -> None:
    options: dict[str, Any] = {"latent_dim": 2, "n_layers": 1, "hidden_sizes": (4,), "likelihood": "gaussian"}
    model = pf.vae(jax.random.key(0), DIM, posterior=posterior, **options)
    pf.save(model, tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    assert same(loaded, model)
    assert np.array_equal(loaded.decode(np.ones(2)), model.decode(np.ones(2)))


def test_what_does_not_fit_is_refused() -> None:
    model = linear_gaussian()
    key = jax.random.key(0)
    with pytest.raises(ValueError, match=r"x has shape \(6, 2\); expected 3 columns"):
        model.elbo(X[:, :2], key=key)
    with pytest.raises(ValueError, match=r"z has shape \(3,\); expected its last axis to be 2"):
        model.decode(np.zeros(3))
    with pytest.raises(ValueError, match="must be finite"):
        model.log_prob_estimate(np.full((1, DIM), np.nan), key=key)
    with pytest.raises(ValueError, match="n_samples must be a whole number of at least 2; got 1"):
        model.log_prob_estimate(X, key=key, n_samples=1)
    with pytest.raises(TypeError, match="call elbo for a bound, or log_prob_estimate"):
        model.log_prob(X)
    binary = pf.vae(key, DIM, latent_dim=2, posterior="none", hidden_sizes=(4,))
    with pytest.raises(ValueError, match="zeros and ones; got 0.5: draw them"):
        binary.elbo(np.full((1, DIM), 0.5), key=key)


def test_parts_that_do_not_fit_together_are_refused() -> None:
    model = linear_gaussian()
    network, posterior, likelihood = model.decoder, model.posterior, BernoulliLikelihood(DIM)
    flat = Pushforward(Uniform.standard((2,)), posterior.bijection)
    with pytest.raises(ValueError, match=r"the encoder gives shape \(2,\) for \(3,\); expected \(3,\)"):
        Autoencoder(Linear(jnp.zeros((2, 3)), jnp.zeros(2)), posterior, network, likelihood)
    with pytest.raises(ValueError, match=r"the decoder gives shape \(2,\) for \(2,\); expected \(3,\)"):
        Autoencoder(model.encoder, posterior, Linear(jnp.zeros((2, 2)), jnp.zeros(2)), likelihood)
    with pytest.raises(ValueError, match=r"the prior must be of shape \(2,\), without a condition; got \(3,\)"):
        Autoencoder(model.encoder, posterior, network, likelihood, Normal.standard((3,)))
    with pytest.raises(ValueError, match="base must be a Normal; got Uniform"):
        Autoencoder(model.encoder, flat, network, likelihood)
