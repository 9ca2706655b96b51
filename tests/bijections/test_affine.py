"""Shifts and scalings: what trains and how far."""

import jax
import jax.numpy as jnp
import numpy as np

from pushforward import trees
from pushforward.bijections import Affine, Shift


def test_the_map_is_the_one_asked_for() -> None:
    affine = Affine(jnp.array([1.0, 0.0]), jnp.array([2.0, -0.5]))
    np.testing.assert_allclose(affine.forward(jnp.array([3.0, 4.0])), [7.0, -2.0], rtol=1e-6)
    np.testing.assert_allclose(affine.scale, [2.0, -0.5], rtol=1e-6)


def test_a_bounded_affine_is_the_one_asked_for_and_stays_within_its_bound() -> None:
    affine = Affine(jnp.zeros(2), jnp.array([2.0, -0.5]), max_log_scale=1.0)
    np.testing.assert_allclose(affine.scale, [2.0, -0.5], rtol=1e-6)
    far = trees.offset(affine, jnp.full(4, 1e3))
    np.testing.assert_allclose(far.log_scale, 1.0, rtol=1e-6)
    assert np.isfinite(jax.grad(lambda z: far.forward(z).sum())(jnp.ones(2))).all()


def test_training_keeps_the_sign() -> None:
    affine = trees.offset(Affine(jnp.zeros(1), jnp.array([-1.0])), jnp.array([0.0, 5.0]))
    assert affine.scale[0] < 0
    assert trees.n_parameters(affine) == 2


def test_shift_and_scale_broadcast_to_one_event() -> None:
    affine = Affine(jnp.array(1.0), jnp.ones((2, 3)))
    assert affine.shape == (2, 3)
    assert trees.n_parameters(affine) == 12


def test_constructors_work_on_traced_parameters() -> None:
    # no value can be looked at inside jit: the checks that need one are left out
    value = jax.jit(lambda s: Affine(jnp.zeros(2), s, max_log_scale=2.0).forward(jnp.ones(2)))(jnp.array([2.0, 3.0]))
    np.testing.assert_allclose(value, [2.0, 3.0], rtol=1e-6)
    assert jax.jit(lambda s: Shift(s).forward(jnp.ones(2)))(jnp.ones(2)).tolist() == [2.0, 2.0]
