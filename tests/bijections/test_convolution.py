"""Convolutions of 1 x 1 are their linear map at every pixel, as exactly as it is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from pushforward.bijections import Convolution1x1


def test_a_far_shift_costs_no_more_digits_than_its_own() -> None:
    drawn = Convolution1x1.init(jax.random.key(0), (2, 2, 3))
    layer = eqx.tree_at(lambda c: c.linear.shift, drawn, jnp.full(3, 1e4))
    z = jax.random.normal(jax.random.key(1), (2, 2, 3))
    x = layer.forward(z)
    np.testing.assert_allclose(x, jax.vmap(jax.vmap(layer.linear.forward))(z), rtol=1e-6)
    np.testing.assert_allclose(layer.inverse(x), z, atol=5e-3)  # 1e4 in 32 bits is known to 1e-3
