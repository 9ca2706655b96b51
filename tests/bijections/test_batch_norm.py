"""Batch normalisation: statistics of a batch, gradients through them, one fixed density after."""

import jax
import jax.numpy as jnp
import numpy as np

from pushforward import trees
from pushforward.bijections import Affine, BatchNorm, Chain, Scan
from pushforward.distributions import Normal, Pushforward

X = np.random.default_rng(0).normal(size=(7, 2)) * [1.0, 3.0] + [0.0, -2.0]


def test_calibrate_takes_the_statistics_of_the_batch(float64: None) -> None:
    norm, z, log_det = BatchNorm.init(2).calibrate(jnp.asarray(X))
    np.testing.assert_allclose(norm.mean.value, X.mean(0))
    np.testing.assert_allclose(norm.variance.value, X.var(0))
    np.testing.assert_allclose(z, (X - X.mean(0)) / np.sqrt(X.var(0) + norm.epsilon))
    np.testing.assert_allclose(log_det, -0.5 * np.log(X.var(0) + norm.epsilon).sum())
    assert log_det.shape == (7,)


def test_the_calibrated_map_is_the_one_that_calibrate_applied(float64: None) -> None:
    chain = Chain([Affine(jnp.ones(2), jnp.full(2, 2.0)), BatchNorm.init(2)])
    assert chain.reads_data
    calibrated, z, log_det = chain.calibrate(jnp.asarray(X))
    again, log_det_again = jax.vmap(calibrated.inverse_and_log_det)(jnp.asarray(X))
    np.testing.assert_allclose(again, z)
    np.testing.assert_allclose(log_det_again, log_det)


def test_weights_count_rows(float64: None) -> None:
    counts = np.array([2, 0, 1, 3, 0, 1, 1])
    weighted, *_ = BatchNorm.init(2).calibrate(jnp.asarray(X), weights=jnp.asarray(counts, float))
    repeated, *_ = BatchNorm.init(2).calibrate(jnp.asarray(np.repeat(X, counts, axis=0)))
    np.testing.assert_allclose(weighted.mean.value, repeated.mean.value)
    np.testing.assert_allclose(weighted.variance.value, repeated.variance.value)


def test_a_batch_of_padding_alone_stays_finite() -> None:
    norm, z, log_det = BatchNorm.init(2).calibrate(jnp.asarray(X, jnp.float32), weights=jnp.zeros(7))
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((norm, z, log_det)))


def test_gradients_flow_through_the_statistics(float64: None) -> None:
    def loss(x: jax.Array) -> jax.Array:
        _, z, log_det = BatchNorm.init(2).calibrate(x)
        return (z**3).sum() + log_det.sum()

    # normalised values do not change when every row moves alike; with fixed statistics they would
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(X)).sum(axis=0), 0, atol=1e-10)
    step = 1e-6 * np.eye(14)[3].reshape(7, 2)
    numeric = (loss(jnp.asarray(X + step)) - loss(jnp.asarray(X - step))) / 2e-6
    np.testing.assert_allclose(jax.grad(loss)(jnp.asarray(X))[1, 1], numeric, rtol=1e-6)


def test_a_fitted_density_integrates_to_one(float64: None) -> None:
    flow, _ = Pushforward(Normal.standard((1,)), BatchNorm.init(1)).calibrate(jnp.asarray(X[:, 1:]))
    grid = np.linspace(-60, 60, 20_001)
    density = np.exp(flow.log_prob(jnp.asarray(grid[:, None])))
    np.testing.assert_allclose(np.trapezoid(density, grid), 1, rtol=1e-8)


def test_a_stack_calibrates_as_the_chain_of_its_layers(float64: None) -> None:
    parts = [Chain([Affine(jnp.ones(2), jnp.full(2, s)), BatchNorm.init(2)]) for s in (0.5, 2.0, 3.0)]
    weights = jnp.asarray([1.0, 2.0, 0.0, 1.0, 1.0, 3.0, 1.0])
    chain, z, log_det = Chain(parts).calibrate(jnp.asarray(X), weights=weights)
    stack, z_stack, log_det_stack = Scan(trees.stack(parts)).calibrate(jnp.asarray(X), weights=weights)
    np.testing.assert_allclose(z_stack, z)
    np.testing.assert_allclose(log_det_stack, log_det)
    np.testing.assert_allclose(stack.inverse(jnp.asarray(X[0])), chain.inverse(jnp.asarray(X[0])))
