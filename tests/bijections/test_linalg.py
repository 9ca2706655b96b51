"""Solutions, inverses and factors against numpy's, their derivatives, batches, and many at once."""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.scipy.linalg import solve_triangular
from jax.test_util import check_grads

from pushforward.bijections import _linalg as linalg

SIZES = [1, 2, 5, 32, 33, 70]


def a_matrix(dim: int, *batch: int):
    return np.random.default_rng(dim).normal(size=(*batch, dim, dim)) / dim**0.5 + 2 * np.eye(dim)


@pytest.mark.long
@pytest.mark.parametrize("dim", SIZES)
@pytest.mark.parametrize("columns", [(), (3,)])
def test_solve_lower_is_substitution_and_reads_nothing_above(float64, dim, columns):
    matrix, right = jnp.asarray(a_matrix(dim)), jnp.asarray(np.random.default_rng(0).normal(size=(dim, *columns)))
    spoilt = jnp.where(np.triu(np.ones((dim, dim)), 1) == 1, jnp.nan, matrix)

    def wanted(matrix, right):
        return solve_triangular(matrix, right, lower=True)

    def with_gradients(solve):
        grads = jax.grad(lambda *at: jnp.sin(solve(*at)).sum(), (0, 1))
        return jax.jit(lambda *at: (solve(*at), *grads(*at)))

    np.testing.assert_allclose(jax.jit(linalg.solve_lower)(spoilt, right), wanted(matrix, right), rtol=0, atol=1e-12)
    found, others = (with_gradients(solve)(matrix, right) for solve in (linalg.solve_lower, wanted))
    for one, other in zip(found, others, strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("diagonal", [0.01, 0.05])
def test_solve_lower_is_as_exact_as_substitution_where_the_inverse_overflows(diagonal):
    matrix = jnp.tril(jnp.ones((32, 32)), -1) + diagonal * jnp.eye(32)
    last = jnp.zeros(32).at[-1].set(1)
    np.testing.assert_allclose(linalg.solve_lower(matrix, matrix @ last), last, atol=1e-6)
    gradient = jax.grad(lambda right: linalg.solve_lower(matrix, right)[-1])(matrix @ last)
    assert gradient[-1] == pytest.approx(1 / diagonal)


@pytest.mark.parametrize("scale", [1.0, 3.0])
def test_solve_lower_keeps_the_digits_that_substitution_keeps(scale):
    rng = np.random.default_rng(0)
    worst = []
    for _ in range(10):
        matrix = np.tril(scale * rng.normal(size=(24, 24)), -1).astype(np.float32) + np.eye(24, dtype=np.float32)
        z = rng.normal(size=24).astype(np.float32)
        right = (matrix.astype(np.float64) @ z).astype(np.float32)
        ours, scipys = (
            linalg.solve_lower(jnp.asarray(matrix), jnp.asarray(right)),
            solve_triangular(matrix, right, lower=True),
        )
        worst.append(np.abs(ours - z).max() / (np.abs(scipys - z).max() + 1e-6))
    assert np.median(worst) < 3


@pytest.mark.long
@pytest.mark.parametrize("dim", [1, 3, 20])
def test_inverse_and_log_det(float64, dim):
    matrix = jnp.asarray(a_matrix(dim)).at[0].multiply(-1)
    inverse, log_det = linalg.inverse_and_log_det(matrix)
    np.testing.assert_allclose(inverse @ matrix, np.eye(dim), atol=1e-12)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(matrix)[1], rtol=1e-12)
    check_grads(jax.jit(linalg.inverse_and_log_det), (matrix,), order=2)


@pytest.mark.long
@pytest.mark.parametrize("shape", [(1, 1), (5, 2), (6, 6)])
def test_qr_has_a_positive_diagonal(float64, shape):
    matrix = jnp.asarray(np.random.default_rng(1).normal(size=shape))
    q, r = linalg.qr(matrix)
    np.testing.assert_allclose(q @ r, matrix, atol=1e-12)
    np.testing.assert_allclose(q.T @ q, np.eye(shape[1]), atol=1e-12)
    assert (jnp.diag(r) > 0).all() and (jnp.tril(r, -1) == 0).all()
    check_grads(jax.jit(linalg.qr), (matrix,), order=2)


def test_lu_multiplies_to_the_permuted_matrix(float64):
    matrix = jnp.asarray(np.random.default_rng(2).normal(size=(7, 7)))
    permutation, lower, upper = linalg.lu(matrix)
    np.testing.assert_allclose(lower @ upper, matrix[permutation], atol=1e-12)
    assert (jnp.triu(lower, 1) == 0).all() and (jnp.diag(lower) == 1).all() and (jnp.tril(upper, -1) == 0).all()


@pytest.mark.parametrize("name", ["inverse_and_log_det", "qr", "lu"])
def test_batches_of_batches_are_one_by_one(float64, name):
    one, matrices = getattr(linalg, name), jnp.asarray(a_matrix(4, 2, 3))
    found = jax.jit(jax.vmap(jax.vmap(one)))(matrices)
    for i, j in np.ndindex(2, 3):
        for all_of_them, alone in zip(found, one(matrices[i, j]), strict=True):
            np.testing.assert_allclose(all_of_them[i, j], alone, atol=1e-12)


def test_random_orthogonal_matrices_have_mean_zero_and_variance_1_over_d():
    drawn = jax.vmap(lambda key: linalg.random_orthogonal(key, 3))(jax.random.split(jax.random.key(0), 4000))
    np.testing.assert_allclose(jnp.einsum("nij,nik->njk", drawn, drawn), np.tile(np.eye(3), (4000, 1, 1)), atol=1e-5)
    np.testing.assert_allclose(drawn.mean(0), np.zeros((3, 3)), atol=0.04)
    np.testing.assert_allclose((drawn**2).mean(0), np.full((3, 3), 1 / 3), atol=0.02)


MANY = """
import jax, jax.numpy as jnp
from pushforward.bijections import _linalg as linalg

def at_once(one):
    def body(i, values):
        return tuple(one(matrices, value) / 2 for value in values)
    return jax.jit(lambda: jax.lax.fori_loop(0, 200, body, (jnp.ones((5, 64, 9)),) * 6))()

matrices = jnp.tile(jnp.eye(64), (5, 1, 1))
for one in (linalg.solve_lower, lambda a, x: linalg.inverse_and_log_det(a + x[:, :1])[0] @ x,
            lambda a, x: linalg.qr(a + x[:, :1])[0] @ x, lambda a, x: linalg.lu(a + x[:, :1])[1] @ x):
    jax.block_until_ready(at_once(jax.vmap(one)))
"""


@pytest.mark.long
def test_many_at_once_do_not_wait_for_each_other_for_ever():
    """Batches that a jaxlib kernel would hand out: with two threads and `jax.scipy`'s own this hangs."""
    environment = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "OMP_NUM_THREADS")}
    subprocess.run([sys.executable, "-c", MANY], check=True, timeout=200, env=environment)
