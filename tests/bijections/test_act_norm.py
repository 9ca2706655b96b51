"""Activation normalisation: started by data, trained from there."""

import jax
import jax.numpy as jnp
import numpy as np

from pushforward import trees
from pushforward.bijections import ActNorm, Chain, Scan
from pushforward.distributions import Normal, Pushforward
from pushforward.objectives import NegativeLogLikelihood, Rows
from pushforward.training import Resident, Settings, train

X = np.random.default_rng(0).normal(size=(200, 2)) * [1.0, 30.0] + [0.0, -20.0]


def test_the_first_batch_sets_it_and_later_ones_do_not(float64: None) -> None:
    norm, z, log_det = ActNorm.init((2,)).calibrate(jnp.asarray(X))
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(z.std(0), 1)
    np.testing.assert_allclose(log_det, -np.log(X.std(0)).sum())
    again, moved, _ = norm.calibrate(jnp.asarray(X + 5))
    np.testing.assert_array_equal(again.shift, norm.shift)
    np.testing.assert_allclose(moved, (X + 5 - X.mean(0)) / X.std(0))


def test_padding_alone_starts_nothing() -> None:
    norm, z, _ = ActNorm.init((2,)).calibrate(jnp.asarray(X, jnp.float32), weights=jnp.zeros(len(X)))
    np.testing.assert_array_equal(z, np.float32(X))
    started, *_ = norm.calibrate(jnp.asarray(X, jnp.float32))
    np.testing.assert_allclose(started.shift, X.mean(0), rtol=1e-4, atol=1e-4)


def test_given_parameters_stay(float64: None) -> None:
    norm = ActNorm(jnp.array([1.0, 2.0]), jnp.array([0.5, 3.0]))
    calibrated, *_ = norm.calibrate(jnp.asarray(X))
    np.testing.assert_array_equal(calibrated.shift, norm.shift)
    np.testing.assert_array_equal(calibrated.log_scale, norm.log_scale)


def test_channels_are_the_last_axis(float64: None) -> None:
    images = np.random.default_rng(1).normal(size=(50, 3, 4, 2)) * [1.0, 5.0] + [2.0, 0.0]
    norm, z, log_det = ActNorm.init((3, 4, 2)).calibrate(jnp.asarray(images))
    np.testing.assert_allclose(z.mean((0, 1, 2)), 0, atol=1e-12)
    np.testing.assert_allclose(z.std((0, 1, 2)), 1)
    np.testing.assert_allclose(log_det, -12 * norm.log_scale.sum())


def test_training_starts_from_the_rows_and_moves_on() -> None:
    layers = Scan(trees.stack([Chain([ActNorm.init((2,))])] * 3))
    rows = Resident.of(Rows(X))
    flow = Pushforward(Normal.standard((2,)), layers)

    def fit(learning_rate: float) -> ActNorm:
        settings = Settings(max_epochs=3, batch_size=50, learning_rate=learning_rate)
        model = train(flow, NegativeLogLikelihood(), rows, key=jax.random.key(0), settings=settings).model
        return model.bijection.layers.bijections[0]

    started, trained = fit(1e-12), fit(0.05)
    # the layer nearest to the data takes all of its mean and spread
    np.testing.assert_allclose(started.shift[-1], X.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(np.exp(started.log_scale[-1]), X.std(0), rtol=1e-4)
    assert (np.abs(trained.log_scale - started.log_scale) > 1e-3).any()
