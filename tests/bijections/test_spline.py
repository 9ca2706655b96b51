"""Rational-quadratic splines against the paper's formulas, and at their edges."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import trees
from pushforward.bijections import RationalQuadraticSpline

WIDTHS = np.array([0.5, 2.0, 1.5, 0.3, 1.7])
HEIGHTS = np.array([1.9, 0.4, 0.7, 2.5, 0.5])
DERIVATIVES = np.array([0.2, 3.0, 1.0, 0.05])
BOUND = 3.0
XS = np.concatenate([[-BOUND], np.cumsum(WIDTHS) - BOUND])
YS = np.concatenate([[-BOUND], np.cumsum(HEIGHTS) - BOUND])
SLOPES = np.concatenate([[1.0], DERIVATIVES, [1.0]])


def spline() -> RationalQuadraticSpline:
    return RationalQuadraticSpline(*map(jnp.asarray, (WIDTHS, HEIGHTS, DERIVATIVES)), BOUND)


def paper(x: float) -> tuple[float, float]:
    """Equations 4 and 5 of Durkan et al. (2019)."""
    k = int(np.clip(np.searchsorted(XS, x, side="right") - 1, 0, len(WIDTHS) - 1))
    s, xi = HEIGHTS[k] / WIDTHS[k], (x - XS[k]) / WIDTHS[k]
    d0, d1 = SLOPES[k], SLOPES[k + 1]
    below = s + (d1 + d0 - 2 * s) * xi * (1 - xi)
    value = YS[k] + HEIGHTS[k] * (s * xi**2 + d0 * xi * (1 - xi)) / below
    slope = s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2) / below**2
    return value, np.log(slope)


def test_it_is_the_papers_spline_both_ways(float64: None) -> None:
    for x in np.linspace(-BOUND, BOUND, 37):
        value, log_slope = paper(x)
        y, log_det = spline().forward_and_log_det(jnp.asarray(x))
        np.testing.assert_allclose((y, log_det), (value, log_slope), rtol=1e-9, atol=1e-9)
        back, back_log_det = spline().inverse_and_log_det(jnp.asarray(value))
        np.testing.assert_allclose((back, back_log_det), (x, -log_slope), rtol=1e-8, atol=1e-8)


def test_knots_map_onto_knots_with_their_slopes(float64: None) -> None:
    y, log_slope = jax.vmap(spline().forward_and_log_det)(jnp.asarray(XS))
    np.testing.assert_allclose(y, YS, rtol=1e-12)
    np.testing.assert_allclose(log_slope, np.log(SLOPES), atol=1e-10)


def test_outside_its_interval_it_is_the_identity() -> None:
    for x in (-1e4, -3.001, 3.001, 1e4):
        for direction in (spline().forward_and_log_det, spline().inverse_and_log_det):
            y, log_det = direction(jnp.asarray(x))
            assert (y.item(), log_det.item()) == (jnp.asarray(x).item(), 0.0)


def test_zero_raw_leaves_are_the_identity(float64: None) -> None:
    start = RationalQuadraticSpline.init((2,), n_bins=6, half_width=2.5)
    np.testing.assert_allclose([np.abs(leaf).max() for leaf in jax.tree.leaves(start)], 0, atol=1e-12)
    assert trees.n_parameters(start) == 2 * (6 + 6 + 5)
    x = jnp.linspace(-4, 4, 50).reshape(25, 2)
    y, log_det = jax.vmap(start.forward_and_log_det)(x)
    np.testing.assert_allclose(y, x, atol=1e-12)
    np.testing.assert_allclose(log_det, 0, atol=1e-12)


def test_the_inverse_has_its_slope_where_the_two_roots_swap() -> None:
    # in the middle of a bin with equal slopes the numerator p vanishes, where |p| has no derivative
    start = RationalQuadraticSpline.init((), n_bins=2, half_width=1.0)
    assert jax.grad(start.inverse)(jnp.asarray(0.5)).item() == pytest.approx(1.0, abs=1e-5)


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_extreme_raw_leaves_stay_finite_and_monotone(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        start = RationalQuadraticSpline.init((), n_bins=8)
        grid = jnp.linspace(-4.0, 4.0, 801)

        def measure(raw: Any, direction: str) -> Any:
            def one(raw: Any, x: Any) -> Any:
                return getattr(trees.offset(start, raw), direction)(x)

            values, vjp = jax.vjp(lambda r, x: jax.vmap(lambda x: one(r, x))(x), raw, grid)
            return values, vjp(jax.tree.map(jnp.ones_like, values))

        compiled = jax.jit(measure, static_argnums=1)
        for seed in range(10):
            raw = 300 * jax.random.normal(jax.random.key(seed), (23,))
            for direction in ("forward_and_log_det", "inverse_and_log_det"):
                (y, log_slope), gradients = compiled(raw, direction)
                assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((y, log_slope, gradients)))
                assert (np.diff(y) >= -8 * np.finfo(dtype).eps * 4).all()
