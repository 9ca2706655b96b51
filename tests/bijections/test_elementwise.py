"""Elementary maps against their closed forms, in tails where naive ones break."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from pushforward import trees
from pushforward.bijections import Bounded, Exp, Planar, PReLU, Shift, Sigmoid, Softplus, Tanh

Z = np.array([-30.0, -3.0, -0.5, 0.0, 0.5, 3.0, 15.0])
FORMULAS = [
    (Exp, np.exp, Z),
    (Sigmoid, scipy.special.expit, scipy.special.log_expit(Z) + scipy.special.log_expit(-Z)),
    (Softplus, lambda z: np.logaddexp(z, 0), scipy.special.log_expit(Z)),
    (Tanh, np.tanh, -2 * np.log(np.cosh(Z))),
]


@pytest.mark.parametrize(("kind", "formula", "log_slope"), FORMULAS)
def test_closed_forms(kind: Any, formula: Any, log_slope: Any, float64: None) -> None:
    x, log_det = jax.vmap(kind(()).forward_and_log_det)(jnp.asarray(Z))
    np.testing.assert_allclose(x, formula(Z), rtol=1e-12, atol=0)
    np.testing.assert_allclose(log_det, log_slope, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("bijection", "low", "high"),
    [
        (lambda: Exp(()), 0, np.inf),
        (lambda: Sigmoid(()), 0, 1),
        (lambda: Softplus(()), 0, np.inf),
        (lambda: Tanh(()), -1, 1),
        (lambda: Bounded(jnp.array(1000.0), jnp.array(1001.0)), 1000, 1001),
        (lambda: Bounded(jnp.array(-jnp.inf), jnp.array(0.0)), -np.inf, 0),
        (lambda: Bounded(jnp.array(-1e-3), jnp.array(0.0)), -1e-3, 0),
    ],
)
def test_samples_lie_strictly_inside(bijection: Any, low: float, high: float, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        for z in (-1e4, -100.0, -20.0, 20.0, 100.0, 1e4):
            x, log_det = bijection().forward_and_log_det(jnp.asarray(z))
            assert low < x < high and np.isfinite(log_det)
            assert np.isfinite(bijection().inverse_and_log_det(x)[1])


def test_the_logit_keeps_its_digits_near_zero() -> None:
    z = Sigmoid(()).inverse(jnp.asarray(1e-30))
    assert z.item() == pytest.approx(np.log(1e-30), rel=1e-6)


def test_prelu_takes_one_slope_for_all_or_one_each() -> None:
    shared = PReLU(jnp.array(0.25), (3,))
    assert trees.n_parameters(shared) == 1
    x, log_det = shared.forward_and_log_det(jnp.array([-4.0, 2.0, -8.0]))
    assert x.tolist() == [-1.0, 2.0, -2.0]
    assert log_det.item() == pytest.approx(2 * np.log(0.25))
    assert trees.n_parameters(PReLU(jnp.ones(3), (3,))) == 3


@pytest.mark.parametrize("kind", [Exp, Sigmoid, Softplus, Tanh])
def test_shapes_are_of_whole_numbers(kind: Any) -> None:
    with pytest.raises(ValueError, match=r"shape must be a tuple of whole numbers, \(\) for a scalar; got \(-1,\)"):
        kind((-1,))


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(ValueError, match="shift must be a floating array; got None"):
        Shift(None)


@pytest.mark.parametrize("size", [1.0, 1e-3, 1e-5, 1e-7, 1e-9])
def test_a_planar_map_of_small_w_is_the_one_asked_for(size: float) -> None:
    w, u = jnp.array([size, 0.0]), jnp.array([0.3, 0.7])
    np.testing.assert_allclose(Planar(w, u, jnp.array(1.0)).u, u, rtol=1e-5)


@pytest.mark.parametrize("along", [-0.999, -0.5, 0.0, 0.5, 2.0, 50.0, 1e4])
def test_planar_directions_come_back_over_their_whole_range(along: float) -> None:
    planar = Planar(jnp.array([1.0, 0.0]), jnp.array([along, 0.3]), jnp.array(0.0))
    np.testing.assert_allclose(planar.u, [along, 0.3], rtol=1e-5, atol=1e-6)
    gradient = jax.grad(lambda raw: eqx.tree_at(lambda p: p.raw_u, planar, raw).u.sum())(planar.raw_u)
    assert jnp.isfinite(gradient).all()
