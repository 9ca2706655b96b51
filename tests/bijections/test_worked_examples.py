"""The examples that the lectures work out by hand come out exactly, and their maps in full."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.bijections import (
    ConvexCombination,
    Householder,
    LinearIAF,
    Orthogonal,
    OrthonormalColumns,
    Permute,
    Planar,
    Radial,
    Sylvester,
)

POINTS = np.array([[0.0, 0.0], [1.0, 0.0], [-0.3, 0.7], [2.5, -1.5]])


def test_the_planar_map_of_the_lecture(float64: None) -> None:
    """w = (5, 0), u = (1, 0), b = 0: each point moves along the first axis by tanh(5 z₁)."""
    planar = Planar(jnp.array([5.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array(0.0))
    x, log_det = jax.vmap(planar.forward_and_log_det)(POINTS)
    np.testing.assert_allclose(x, POINTS + np.tanh(5 * POINTS[:, :1]) * [1, 0], atol=1e-12)
    np.testing.assert_allclose(log_det, np.log(1 + 5 / np.cosh(5 * POINTS[:, 0]) ** 2), atol=1e-12)
    np.testing.assert_allclose(planar.u, [1, 0], atol=1e-12)


def test_the_radial_map_of_the_lecture(float64: None) -> None:
    """z₀ = (1, 0), α = 2, β = 5: each point moves away from z₀ by 5 r / (2 + r)."""
    radial = Radial(jnp.array([1.0, 0.0]), jnp.array(2.0), jnp.array(5.0))
    x, log_det = jax.vmap(radial.forward_and_log_det)(POINTS)
    away = POINTS - [1, 0]
    r = np.linalg.norm(away, axis=1, keepdims=True)
    np.testing.assert_allclose(x, POINTS + 5 * away / (2 + r), atol=1e-12)
    outward = 1 + 5 / (2 + r) - 5 * r / (2 + r) ** 2
    np.testing.assert_allclose(log_det, np.log((1 + 5 / (2 + r)) * outward)[:, 0], atol=1e-12)


def test_parameters_come_back_as_they_were_given(float64: None) -> None:
    w, u = jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, 0.5, -0.2])
    np.testing.assert_allclose(Planar(w, u, jnp.array(0.1)).u, u, atol=1e-12)
    rows = Householder(jnp.array([[1.0, 2.0, 3.0], [0.0, 1.0, -1.0]]))
    expected = np.eye(3)
    for v in np.asarray(rows.vectors):
        expected = (np.eye(3) - 2 * np.outer(v, v) / (v @ v)) @ expected
    np.testing.assert_allclose(jax.vmap(rows.forward, out_axes=1)(jnp.eye(3)), expected, atol=1e-12)
    q = jax.random.orthogonal(jax.random.key(0), 3)
    np.testing.assert_allclose(jax.vmap(Orthogonal(q).forward, out_axes=1)(jnp.eye(3)), q, atol=1e-12)
    unit = jnp.array([[1.0, 0, 0], [2.0, 1, 0], [3.0, 4, 1]])
    np.testing.assert_array_equal(LinearIAF(unit).matrix, unit)
    mixed = ConvexCombination(jnp.log(jnp.array([1.0, 3.0])), jnp.stack([unit, jnp.eye(3)]))
    np.testing.assert_allclose(mixed.matrix, unit / 4 + 3 * np.eye(3) / 4, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("form", ["orthogonal", "householder", "triangular"])
def test_sylvester_is_what_its_equation_says_for_units_of_either_sign(float64: None, form: str) -> None:
    dim, m = 4, 2 if form == "orthogonal" else 4
    key = jax.random.key(1)
    basis = {
        "orthogonal": OrthonormalColumns.init(key, dim, m),
        "householder": Householder.init(key, dim, 3),
        "triangular": Permute([3, 1, 0, 2]),
    }[form]
    q = np.asarray(jax.vmap(basis.forward, out_axes=1)(jnp.eye(m)))
    r, s = (np.triu(np.random.default_rng(i).normal(size=(m, m))) for i in (0, 1))
    r[np.diag_indices(m)] = 0.9 * np.sign(np.diag(s)) / np.abs(np.diag(s))
    r[0, 0] *= -1
    b = np.arange(m) / 2
    sylvester = Sylvester(basis, jnp.asarray(r), jnp.asarray(s), jnp.asarray(b))
    z = np.random.default_rng(2).normal(size=(5, dim))
    expected = z + np.tanh(z @ q @ s.T + b) @ r.T @ q.T
    x, log_det = jax.vmap(sylvester.forward_and_log_det)(z)
    np.testing.assert_allclose(x, expected, atol=1e-12)
    back, back_log_det = jax.vmap(sylvester.inverse_and_log_det)(x)
    np.testing.assert_allclose(back, z, atol=1e-9)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-9)


def test_the_inverse_reports_failure_instead_of_a_wrong_point(float64: None) -> None:
    planar = Planar(jnp.array([5.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array(0.0))
    z, log_det = planar.inverse_and_log_det(jnp.array([jnp.inf, 0.0]))
    assert np.isnan(z[0]) and np.isnan(log_det)


@pytest.mark.long
def test_at_the_edge_of_invertibility_roots_are_still_found(float64: None) -> None:
    """wᵀu just above −1: the slope at the kink is almost zero, where Newton's steps alone would run away."""
    planar = Planar(jnp.array([1.0]), jnp.array([-1 + 1e-9]), jnp.array(0.5))
    z = jnp.linspace(-3, 3, 101)[:, None]
    x = jax.vmap(planar.forward)(z)
    np.testing.assert_allclose(jax.vmap(planar.forward)(jax.vmap(planar.inverse)(x)), x, atol=1e-12)
