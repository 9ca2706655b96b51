"""Block autoregressive layers: triangular, increasing, and solved coordinate by coordinate."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import trees
from pushforward.bijections import BlockAutoregressive
from pushforward.networks import BlockTriangular

CONDITION = jnp.array([0.5, -0.7])
X = np.array([0.3, -1.2, 0.8, 0.1])


@pytest.fixture
def layer(float64: None) -> Any:
    made = BlockTriangular.init(jax.random.key(0), 4, (3, 5), 2)
    n = trees.n_parameters(made)
    return BlockAutoregressive(trees.offset(made, 0.3 * jax.random.normal(jax.random.key(1), (n,))))


@pytest.mark.long
def test_the_pass_is_triangular_and_increasing(layer: Any) -> None:
    jacobian = np.asarray(jax.jit(jax.jacobian(lambda x: layer.inverse(x, CONDITION)))(X))
    assert not np.triu(jacobian, 1).any() and (np.abs(jacobian[np.tril_indices(4)]) > 0).all()
    assert (np.diag(jacobian) > 0).all()


@pytest.mark.long
def test_the_gradient_of_the_sequential_direction_is_that_of_differences(layer: Any) -> None:
    trainable, rest = trees.partition(layer)
    directions = [
        jax.tree.map(
            lambda leaf, i=i: jnp.cos(i + jnp.arange(leaf.size, dtype=float).reshape(leaf.shape)),
            (trainable, jnp.asarray(X), CONDITION),
        )
        for i in (0, 1)
    ]

    @jax.jit
    def value(arguments: Any) -> Any:
        trainable, z, condition = arguments
        x, log_det = trees.combine(trainable, rest).forward_and_log_det(z, condition)
        return jnp.sin(x) @ jnp.arange(1.0, 5) + log_det**2

    here = (trainable, jnp.asarray(X), CONDITION)
    gradient = jax.jit(jax.grad(value))(here)
    for direction in directions:
        ahead, behind = (
            value(jax.tree.map(lambda a, d, s=sign: a + s * 1e-6 * d, here, direction)) for sign in (1, -1)
        )
        along = sum(jnp.vdot(g, d) for g, d in zip(*map(jax.tree.leaves, (gradient, direction)), strict=True))
        np.testing.assert_allclose(along, (ahead - behind) / 2e-6, rtol=1e-5)


@pytest.mark.long
def test_the_gate_mixes_the_network_with_its_input(layer: Any) -> None:
    passing, share = layer.network.shares()
    assert 0 < passing < 1 and passing + share == pytest.approx(1)
    closed = eqx.tree_at(lambda b: b.network.gate, layer, jnp.asarray(-1e3))
    z, log_det = closed.inverse_and_log_det(jnp.asarray(X), CONDITION)
    np.testing.assert_allclose(z, X)
    np.testing.assert_allclose(log_det, 0, atol=1e-12)
