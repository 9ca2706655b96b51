"""Permutations and the gather they share with couplings."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.bijections import Permute
from pushforward.bijections.permute import take

ORDER = np.array([3, 0, 2, 1])
INVERSE = np.argsort(ORDER)


def test_coordinate_i_comes_from_coordinate_permutation_i() -> None:
    z = jnp.array([10.0, 11.0, 12.0, 13.0])
    assert Permute(ORDER).forward(z).tolist() == [13.0, 10.0, 12.0, 11.0]
    assert Permute(ORDER).inverse(Permute(ORDER).forward(z)).tolist() == z.tolist()


@pytest.mark.parametrize("mode", [jax.jacrev, jax.jacfwd])
def test_take_has_the_permutation_matrix_as_jacobian(mode: object) -> None:
    jacobian = mode(lambda x: take(x, jnp.asarray(ORDER), jnp.asarray(INVERSE)))(jnp.ones(4))  # type: ignore[operator]
    assert np.array_equal(jacobian, np.eye(4)[ORDER])


def test_take_has_second_derivatives() -> None:
    def cubes(x: jax.Array) -> jax.Array:
        return (take(x, jnp.asarray(ORDER), jnp.asarray(INVERSE)) ** 3 * jnp.arange(4.0)).sum()

    x = jnp.arange(1.0, 5.0)
    np.testing.assert_allclose(jax.hessian(cubes)(x), np.diag(6 * x * INVERSE), rtol=1e-6)


def test_take_gathers_neither_scatter() -> None:
    batch = jnp.ones((5, 4))

    def loss(x: jax.Array) -> jax.Array:
        return (jax.vmap(take, (0, None, None))(x, jnp.asarray(ORDER), jnp.asarray(INVERSE)) ** 2).sum()

    assert "scatter" not in jax.jit(jax.grad(loss)).lower(batch).as_text()


def test_a_batch_of_permutations() -> None:
    keys = jax.random.split(jax.random.key(0), 6)
    many = jax.vmap(lambda key: Permute.init(key, 5))(keys)
    z = jnp.arange(30.0).reshape(6, 5)
    x = jax.vmap(lambda p, z: p.forward(z))(many, z)
    assert np.array_equal(np.sort(x, axis=1), z)
    assert np.array_equal(jax.vmap(lambda p, x: p.inverse(x))(many, x), z)
