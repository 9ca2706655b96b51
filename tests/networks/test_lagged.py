"""A linear forecast beside a WaveNet."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.networks import Lagged, WaveNet
from tests.networks.causal import one_by_one, random


def network(t: int = 12, channels: int = 2) -> WaveNet:
    return WaveNet.init(jax.random.key(0), (t, channels), 2, 3, channels=4, dilations=(1, 2))


def test_the_forecast_moves_places_alone_and_each_channel_by_its_own_past() -> None:
    inner, weights = random(network()), np.array([[0.5, 2.0], [-1.0, 0.25]])
    lagged = Lagged.beside(inner, (1, 7), (False, True, False), weights)
    x = jax.random.normal(jax.random.key(1), (12, 2, 2))
    moved = np.asarray(lagged(x) - inner(x))
    assert np.abs(moved[..., [0, 2]]).max() == 0
    values = np.asarray(x[..., 0])
    expected = sum(
        w * np.concatenate([np.zeros((lag, 2)), values[:-lag]]) for lag, w in zip((1, 7), weights, strict=True)
    )
    np.testing.assert_allclose(moved[..., 1], expected, atol=1e-5)


def test_what_is_kept_gives_the_same_beyond_the_networks_reach() -> None:
    lagged = random(Lagged.beside(network(), (1, 5, 9), (True, True, False)))
    x = jax.random.normal(jax.random.key(1), (12, 2, 2))
    assert lagged.receptive_field == 9
    np.testing.assert_allclose(one_by_one(lagged, x), lagged(x), atol=1e-5)
    np.testing.assert_allclose(lagged.resized(6)(x[:6]), lagged(x)[:6], atol=1e-5)


def test_it_starts_as_the_last_value() -> None:
    lagged = Lagged.beside(network(), (2, 1), (True, False, False))
    np.testing.assert_array_equal(lagged.weights, [[0, 0], [1, 1]])


@pytest.mark.parametrize(("lags", "start"), [((), None), ((1, 1), None), ((0,), None), ((1,), jnp.zeros((2, 2)))])
def test_lags_and_weights_that_cannot_be_are_refused(lags: tuple[int, ...], start: object) -> None:
    with pytest.raises(ValueError, match="lags|start"):
        Lagged.beside(network(), lags, (True, False, False), start)


def test_alone_the_forecast_says_places_and_its_weights_stay() -> None:
    inner = random(network())
    lagged = random(Lagged.beside(inner, (1, 7), (False, True, False), alone=True))
    x = jax.random.normal(jax.random.key(1), (12, 2, 2))
    said = np.asarray(lagged(x))
    np.testing.assert_allclose(said[1:, :, 1], x[:-1, :, 0], atol=1e-6)
    np.testing.assert_allclose(said[..., [0, 2]], lagged.network(x)[..., [0, 2]], atol=1e-6)
    np.testing.assert_allclose(one_by_one(lagged, x), said, atol=1e-5)
