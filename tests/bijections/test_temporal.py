"""Flows over time steps: the equation itself, over more steps than the window."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import trees
from pushforward.bijections import TemporalAutoregressive

T, D, WINDOW = 7, 3, 2


def shaken(shape: tuple[int, int], window: int) -> Any:
    flow = TemporalAutoregressive.init(jax.random.key(0), shape, window, (8,))
    return trees.offset(flow, 0.3 * jax.random.normal(jax.random.key(1), (trees.n_parameters(flow),)))


def test_each_step_is_shifted_and_scaled_by_the_steps_in_its_window(float64: None) -> None:
    flow = shaken((T, D), WINDOW)
    z = np.random.default_rng(0).normal(size=(T, D))
    x, total = np.zeros((T + WINDOW, D)), 0.0
    for t in range(T):
        raw = np.asarray(flow.conditioner(jnp.asarray(x[t : t + WINDOW].reshape(-1)))).reshape(D, 2)
        log_scale = 3 * np.tanh(raw[:, 1] / 3)
        x[t + WINDOW] = raw[:, 0] + np.exp(log_scale) * z[t]
        total += log_scale.sum()
    found, log_det = flow.forward_and_log_det(jnp.asarray(z))
    np.testing.assert_allclose(found, x[WINDOW:], atol=1e-12)
    assert float(log_det) == pytest.approx(total, abs=1e-12)
    back, log_det = flow.inverse_and_log_det(found)
    np.testing.assert_allclose(back, z, atol=1e-12)
    assert float(log_det) == pytest.approx(-total, abs=1e-12)


def test_a_step_depends_on_its_window_and_nothing_else(float64: None) -> None:
    flow = shaken((T, D), WINDOW)
    jacobian = jax.jacobian(flow.inverse)(jnp.ones((T, D)))
    touched = np.abs(np.asarray(jacobian)).max(axis=(1, 3)) > 0
    steps = np.arange(T)
    lag = steps[:, None] - steps[None]
    np.testing.assert_array_equal(touched, (lag >= 0) & (lag <= WINDOW))
