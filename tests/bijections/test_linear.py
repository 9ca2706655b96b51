"""Linear maps against the dense matrices they stand for."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import trees
from pushforward.bijections import PLU, Dense, LowRank, Triangular

RNG = np.random.default_rng(0)
DIM = 4
SHIFT = RNG.normal(size=DIM)
LOWER = np.tril(RNG.normal(size=(DIM, DIM)), -1)
UPPER = np.triu(RNG.normal(size=(DIM, DIM)), 1)
DIAGONAL = np.array([2.0, -0.5, 1.5, -3.0])
PERMUTATION = np.array([2, 0, 3, 1])
VECTORS = RNG.normal(size=(DIM, 2))
WEIGHTS = np.array([0.5, 2.0])


def plu() -> tuple[Any, Any]:
    permute = np.eye(DIM)[PERMUTATION]
    parts = (PERMUTATION, LOWER + np.eye(DIM), UPPER, DIAGONAL, SHIFT)
    return PLU(*map(jnp.asarray, parts)), permute @ (LOWER + np.eye(DIM)) @ (UPPER + np.diag(DIAGONAL))


def low_rank(base: Any) -> tuple[Any, Any]:
    whole = (np.diag(base) if base.ndim == 1 else base) + VECTORS @ np.diag(WEIGHTS) @ VECTORS.T
    return LowRank(*map(jnp.asarray, (base, VECTORS, WEIGHTS, SHIFT))), whole


def cases() -> dict[str, tuple[Any, Any]]:
    triangular = LOWER + np.diag(np.abs(DIAGONAL))
    return {
        "dense": (Dense(jnp.asarray(UPPER + LOWER), jnp.asarray(SHIFT)), UPPER + LOWER),
        "triangular": (Triangular(jnp.asarray(triangular), jnp.asarray(SHIFT)), triangular),
        "plu": plu(),
        "low_rank_diagonal": low_rank(np.abs(DIAGONAL)),
        "low_rank_triangular": low_rank(triangular),
    }


@pytest.mark.parametrize("name", ["dense", "triangular", "plu", "low_rank_diagonal", "low_rank_triangular"])
def test_a_linear_map_is_its_matrix(name: str, float64: None) -> None:
    bijection, matrix = cases()[name]
    z = RNG.normal(size=DIM)
    x, log_det = bijection.forward_and_log_det(jnp.asarray(z))
    np.testing.assert_allclose(x, matrix @ z + SHIFT, rtol=1e-10)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1], rtol=1e-10)
    np.testing.assert_allclose(bijection.inverse(jnp.asarray(x)), z, rtol=1e-9)


def test_only_free_entries_train() -> None:
    keys, d = jax.random.key(0), 5
    below = d * (d - 1) // 2
    assert trees.n_parameters(Triangular.init(keys, d)) == below + 2 * d
    assert trees.n_parameters(PLU.init(keys, d)) == 2 * below + 2 * d
    assert trees.n_parameters(LowRank.init(keys, d, 2)) == 2 * d + 2 * d + 2


@pytest.mark.parametrize("kind", [Dense, pytest.param(PLU, marks=pytest.mark.long)])
def test_dense_maps_start_orthogonal(kind: Any, float64: None) -> None:
    bijection = kind.init(jax.random.key(3), 6)
    columns = jax.vmap(bijection.forward)(jnp.eye(6))
    np.testing.assert_allclose(columns @ columns.T, np.eye(6), atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("init", [Dense.init, Triangular.init, PLU.init, lambda k, d: LowRank.init(k, d, 1)])
def test_maps_are_drawn_side_by_side_as_alone(init: Any) -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    together = eqx.filter_vmap(lambda key: init(key, 3))(keys)
    for i, key in enumerate(keys):
        z = jnp.array([1.0, -2.0, 0.5])
        np.testing.assert_allclose(trees.unstack(together, i).forward(z), init(key, 3).forward(z), rtol=1e-5, atol=1e-6)


def test_the_singular_low_rank_example_names_what_is_singular() -> None:
    base, vectors = jnp.array([[1.0, 0.0], [4.0, 1.0]]), jnp.ones((2, 1)) / 2**0.5
    with pytest.raises(ValueError, match=r"base \+ vectors · diag\(weights\) · vectorsᵀ must be nonsingular"):
        LowRank(base, vectors, jnp.ones(1), jnp.zeros(2))


def test_low_rank_weights_may_vanish(float64: None) -> None:
    # through 1/d the identity of Woodbury would divide by zero here
    tiny = LowRank(jnp.full(3, 2.0), jnp.ones((3, 1)), jnp.array([1e-300]), jnp.zeros(3))
    z, log_det = tiny.inverse_and_log_det(jnp.ones(3))
    np.testing.assert_allclose(z, 0.5)
    np.testing.assert_allclose(log_det, -3 * np.log(2.0))
