"""Distributions of one value: they sum or integrate to 1, and draws are as frequent as they say."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward.bijections import Exp, RationalQuadraticSpline
from pushforward.distributions import Bernoulli, Categorical, DiscretisedLogistics, Real

N = 20_000
DISCRETE = {
    "bernoulli": (Bernoulli(), 2),
    "categorical": (Categorical(5), 5),
    "unordered": (Categorical(3, ordered=False), 3),
    "two logistics": (DiscretisedLogistics(6, 2), 6),
    "two levels": (DiscretisedLogistics(2, 3), 2),
}
REAL = {"affine": Real(), "spline": Real(RationalQuadraticSpline.init((), 4))}


def raw(value: Any, seed: int = 0, scale: float = 1.0) -> Any:
    return scale * jax.random.normal(jax.random.key(seed), (value.n_params,))


@pytest.mark.parametrize("name", DISCRETE)
@pytest.mark.parametrize("scale", [0.0, 1.0, 30.0])
def test_levels_sum_to_one_and_nothing_else_is_possible(name: str, scale: float) -> None:
    value, n = DISCRETE[name]
    params, levels = raw(value, scale=scale), jnp.arange(float(n))
    log_prob = jax.jit(jax.vmap(value.log_prob, (None, 0)))
    assert float(jnp.exp(log_prob(params, levels)).sum()) == pytest.approx(1, abs=1e-5)
    assert (log_prob(params, jnp.array([-1.0, n, 0.5, jnp.inf])) == -jnp.inf).all()
    slopes = jax.vmap(jax.grad(value.log_prob), (None, 0))(params, jnp.append(levels, float(n)))
    assert bool(jnp.isfinite(slopes).all())


@pytest.mark.parametrize("name", DISCRETE)
def test_draws_are_as_frequent_as_levels_are_likely(name: str) -> None:
    value, n = DISCRETE[name]
    params = raw(value, 1)
    noise = value.noise(jax.random.key(2), (N,), jnp.float32)
    drawn = np.asarray(jax.jit(jax.vmap(value.draw, (None, 0)))(params, noise))
    expected = N * np.exp(np.asarray(jax.vmap(value.log_prob, (None, 0))(params, jnp.arange(float(n))), float))
    counts = (drawn[:, None] == np.arange(n)).sum(0)
    assert counts.sum() == N
    assert scipy.stats.chisquare(counts, expected * N / expected.sum()).pvalue > 1e-3


@pytest.mark.parametrize("name", REAL)
def test_reals_integrate_to_one_and_draws_follow_them(name: str) -> None:
    value = REAL[name]
    params = raw(value, 3, 0.5)
    grid = jnp.linspace(-60, 60, 24_001)
    density = np.exp(np.asarray(jax.jit(jax.vmap(value.log_prob, (None, 0)))(params, grid), float))
    assert density.sum() * 120 / 24_000 == pytest.approx(1, abs=1e-4)
    noise = value.noise(jax.random.key(4), (2000,), jnp.float32)
    drawn = jax.jit(jax.vmap(value.draw, (None, 0)))(params, noise)
    below = np.interp(drawn, grid, np.cumsum(density) * 120 / 24_000)
    assert scipy.stats.kstest(below, "uniform").pvalue > 1e-3


def test_a_real_beyond_the_support_or_infinite_has_no_density() -> None:
    assert float(Real(Exp(())).log_prob(jnp.zeros(0), jnp.array(-1.0))) == -np.inf
    assert float(Real().log_prob(jnp.zeros(2), jnp.array(jnp.inf))) == -np.inf


@pytest.mark.parametrize("value", [*(v for v, _ in DISCRETE.values()), *REAL.values()])
def test_networks_see_values_and_gaps(value: Any) -> None:
    assert value.encode(jnp.array(1.0)).shape == (value.n_features,)
    assert value.encode(jnp.array(0.0))[-1] == 1
    assert (value.encode(jnp.array(jnp.nan)) == 0).all()


def test_values_that_cannot_be_are_named() -> None:
    Bernoulli().check([0.0, 1.0, np.nan])
    for value, wrong, message in (
        (Bernoulli(), [0, 2], "whole number from 0 to 1, .*; got 2"),
        (Categorical(4), [[1, 4]], "whole number from 0 to 3, .*; got 4"),
        (DiscretisedLogistics(256), [0.5], "whole number from 0 to 255, .*; got 0.5"),
        (Real(), [np.inf], "must be finite"),
    ):
        with pytest.raises(ValueError, match=message):
            value.check(wrong)
    with pytest.raises(ValueError, match="n_levels must be a whole number of at least 2; got 1"):
        Categorical(1)
    with pytest.raises(ValueError, match="n_components"):
        DiscretisedLogistics(4, 0)
    with pytest.raises(ValueError, match="scalar bijection"):
        Real(Exp((2,)))
