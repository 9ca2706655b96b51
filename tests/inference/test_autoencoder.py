"""Variational autoencoders: every posterior, their training, and what is refused."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pushforward as pf
from pushforward import trees
from pushforward.inference.autoencoder import POSTERIORS
from pushforward.training import Settings
from tests.sweeps import sweep

DIM, LATENT = 6, 3
SIZES: dict[str, Any] = {"latent_dim": LATENT, "hidden_sizes": (8,)}


def table(n: int = 200) -> Any:
    """Rows of two patterns with some noise, zeros and ones."""
    rng = np.random.default_rng(0)
    pattern = np.array([[1, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]])[rng.integers(2, size=n)]
    return np.where(rng.random((n, DIM)) < 0.05, 1 - pattern, pattern).astype(float)


@pytest.mark.parametrize("posterior", sweep(["none", *POSTERIORS], {"none", "planar", "iaf"}))
def test_every_posterior_has_a_finite_bound_and_gradients_everywhere(posterior: str) -> None:
    options = {} if posterior == "none" else {"n_layers": 1}

    @eqx.filter_jit
    def check(key: Any, x: Any) -> Any:
        drawn = pf.vae(key, DIM, posterior=posterior, **SIZES, **options)
        # off the start, where some numbers are zero
        model = trees.offset(drawn, 0.3 * jax.random.normal(jax.random.key(9), (trees.n_parameters(drawn),)))

        def bound(params: Any, rest: Any) -> Any:
            whole = trees.combine(params, rest)
            return sum(whole.terms_at(whole.encoder(x), x, jax.random.split(jax.random.key(1), 2))).sum()

        return jax.value_and_grad(bound)(*trees.partition(model))

    value, grads = check(jax.random.key(0), jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]))
    assert np.isfinite(value)
    for part in (grads.encoder, grads.posterior, grads.decoder):
        leaves = [leaf for leaf in jax.tree.leaves(part) if leaf.size]
        assert leaves and all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in leaves)


@pytest.mark.long
@pytest.mark.parametrize("posterior", ["planar", "sylvester_orthogonal"])
def test_the_log_density_of_the_posterior_follows_the_jacobian_of_its_map(float64: None, posterior: str) -> None:
    @eqx.filter_jit
    def check(key: Any, x: Any) -> Any:
        drawn = pf.vae(key, DIM, posterior=posterior, n_layers=1, **SIZES)
        model = trees.offset(drawn, 0.3 * jax.random.normal(jax.random.key(9), (trees.n_parameters(drawn),)))
        features = model.encoder(x)
        draw = jax.random.key(2)
        start = model.posterior.base._sample(draw)
        jacobian = jax.jacfwd(lambda z: model.posterior.bijection.forward(z, features))(start)
        by_autodiff = model.posterior.base._log_prob(start) - jnp.linalg.slogdet(jacobian)[1]
        return model.terms_at(features, x, draw[None]).log_posterior[0], by_autodiff

    found, by_autodiff = check(jax.random.key(0), jnp.array([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]))
    assert float(found) == pytest.approx(float(by_autodiff), abs=1e-9)


@pytest.mark.long
def test_models_of_one_key_differ_in_the_flow_alone_and_start_near_the_plain_one() -> None:
    plain, flow = (pf.vae(jax.random.key(0), DIM, posterior=name, **SIZES) for name in ("none", "planar"))
    for part in ("encoder", "decoder"):
        pairs = zip(jax.tree.leaves(getattr(plain, part)), jax.tree.leaves(getattr(flow, part)), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    moments = (model.posterior.bijection.bijections[:2] for model in (plain, flow))
    assert all(np.array_equal(a, b) for a, b in zip(*map(jax.tree.leaves, moments), strict=True))
    x = jnp.asarray(table(1)[0])
    away = flow.posterior.bijection.forward(jnp.zeros(LATENT), flow.encoder(x)) - plain.code(x)
    assert float(jnp.linalg.norm(away)) < 0.5


@pytest.mark.long
def test_training_finds_the_patterns() -> None:
    X = table(600)
    settings = Settings(max_epochs=40, batch_size=50, learning_rate=5e-3)
    model = pf.vae(jax.random.key(0), DIM, posterior="planar", **SIZES)
    fit = pf.fit_vae(model, X[:500], key=jax.random.key(1), validation=X[500:], settings=settings, anneal_steps=100.0)
    bound = float(fit.model.elbo(X, key=jax.random.key(2), n_samples=20).mean())
    assert -fit.history[0]["validation_loss"] < -4 and -2.3 < bound < -1.8  # a bit, and six of entropy 0.199: −1.88
    assert fit.history[-1]["validation_loss"] == pytest.approx(-bound, abs=0.5)
    estimate = float(fit.model.log_prob_estimate(X, key=jax.random.key(3), n_samples=20).value.mean())
    assert bound < estimate < -1.8


def test_a_plain_autoencoder_reconstructs_and_has_no_bound() -> None:
    X = table(600)
    settings = Settings(max_epochs=20, batch_size=50, learning_rate=1e-2)
    model = pf.vae(jax.random.key(0), DIM, posterior="point", **SIZES)
    plain = pf.fit_vae(model, X, key=jax.random.key(1), settings=settings).model
    assert np.abs(np.asarray(plain.reconstruct(X)) - X).mean() < 0.1
    key = jax.random.key(0)
    assert np.array_equal(plain.encode(X, key=key), plain.encode(X))
    for ask in (lambda: plain.elbo(X, key=key), lambda: plain.log_prob_estimate(X, key=key), lambda: plain.sample(key)):
        with pytest.raises(ValueError, match="a plain autoencoder has no"):
            ask()


def test_unknown_names_and_wrong_sizes_are_refused() -> None:
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="posterior must be one of 'none', .*; got 'glow'"):
        pf.vae(key, DIM, posterior="glow")
    with pytest.raises(ValueError, match="likelihood must be one of .*; got 'poisson'"):
        pf.vae(key, DIM, likelihood="poisson")
    with pytest.raises(ValueError, match="'none' has no flow; leave out n_layers"):
        pf.vae(key, DIM, posterior="none", n_layers=3)
    with pytest.raises(ValueError, match="latent_dim must be a whole number of at least 1; got 0"):
        pf.vae(key, DIM, latent_dim=0)
    with pytest.raises(ValueError, match="hidden_sizes must name at least one layer"):
        pf.vae(key, DIM, hidden_sizes=())
    with pytest.raises(ValueError, match="unknown activation 'sine'"):
        pf.vae(key, DIM, activation="sine")


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.zeros((4, 5)), r"X has shape \(4, 5\); expected \(n, 6\)"),
        (np.zeros(6), "Expected 2D array, got 1D array"),
        (np.zeros((0, 6)), r"0 sample\(s\) \(shape=\(0, 6\)\)"),
        (np.full((2, 6), 128), r"in \[0, 1\]; got 128: divide by the largest"),
        (np.full((2, 6), -0.5), r"in \[0, 1\]; got -0.5"),
        (np.where(np.arange(12).reshape(2, 6) == 7, np.nan, 0.0), "Input X contains NaN"),
        (np.full((2, 6), "a"), "dtype='numeric' is not compatible|could not convert string to float"),
    ],
)
def test_bad_tables_are_refused(X: Any, message: str) -> None:
    model = pf.vae(jax.random.key(0), DIM, posterior="none", **SIZES)
    with pytest.raises(ValueError, match=message):
        pf.fit_vae(model, X, key=jax.random.key(1))
    with pytest.raises(ValueError, match=message.replace("X", "validation", 1)):
        pf.fit_vae(model, table(10), key=jax.random.key(1), validation=X)


def test_bad_settings_are_refused() -> None:
    model = pf.vae(jax.random.key(0), DIM, posterior="none", **SIZES)
    with pytest.raises(ValueError, match="anneal_steps must be positive and finite; got 0.0"):
        pf.fit_vae(model, table(10), key=jax.random.key(1), anneal_steps=0.0)
    with pytest.raises(ValueError, match="n_samples must be a whole number of at least 1; got 0"):
        pf.fit_vae(model, table(10), key=jax.random.key(1), n_samples=0)
