"""Recipes: densities that integrate to one and agree with their samples, with and without a condition."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from pushforward import flows, trees

FORMS = {f"sylvester_{form}": partial(flows.sylvester, form=form) for form in ("householder", "triangular")}
SMALL: dict[str, dict[str, Any]] = {
    "planar": {"n_layers": 4},
    "radial": {"n_layers": 4},
    "convex_combination_iaf": {"n_matrices": 3},
    "householder": {"n_layers": 2},
}
NAMES = ("planar", "radial", "sylvester", "householder", "convex_combination_iaf")
RECIPES = {**{name: flows.recipe(name) for name in NAMES}, **FORMS}
CONDITION = jnp.array([0.5, -1.0, 2.0])


def draw(name: str, dim: int, cond_dim: int | None, n_layers: int = 3) -> Any:
    """A flow of each recipe whose every number differs from its start."""

    @eqx.filter_jit
    def make(key: Any) -> Any:
        options = {"n_layers": n_layers, "hidden_sizes": (8,), **SMALL.get(name, {})}
        flow = RECIPES[name](key, dim, cond_dim=cond_dim, **options)
        n = trees.n_parameters(flow)
        return trees.offset(flow, (0.2 if n < 100 else 0.05) * jax.random.normal(key, (n,)))

    return make(jax.random.key(3))


@pytest.mark.parametrize("cond_dim", [None, 3])
@pytest.mark.parametrize("name", list(RECIPES))
def test_the_density_integrates_to_one_and_samples_follow_it(name: str, cond_dim: int | None) -> None:
    flow = draw(name, 2, cond_dim)
    condition = None if cond_dim is None else CONDITION
    n = 400
    x, log_p = flow.sample_and_log_prob(jax.random.key(0), (n,), condition)
    assert x.shape == (n, 2) and flow.cond_shape == (None if cond_dim is None else (3,))
    np.testing.assert_allclose(flow.log_prob(x, condition), log_p, rtol=2e-3, atol=2e-3)
    axis = np.linspace(-14, 14, 161)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    density = np.exp(np.asarray(flow.log_prob(grid.reshape(-1, 2), condition), float)).reshape(161, 161)
    cell = (axis[1] - axis[0]) ** 2
    assert density.sum() * cell == pytest.approx(1, abs=5e-3)
    # the first coordinate's distribution function against samples; one false alarm in ten thousand
    marginal = np.cumsum(density.sum(axis=1)) * cell
    found = scipy.stats.kstest(np.asarray(x[:, 0]), lambda v: np.interp(v, axis, marginal))
    assert found.pvalue > 1e-4


@pytest.mark.parametrize("name", list(RECIPES))
def test_conditions_matter_and_one_dimension_works(name: str) -> None:
    flow = draw(name, 1, 3)
    x = jnp.array([[0.3]])
    assert np.isfinite(flow.log_prob(x, CONDITION)).all()
    assert abs(float((flow.log_prob(x, CONDITION) - flow.log_prob(x, -CONDITION))[0])) > 1e-6


@pytest.mark.parametrize("name", ["planar", "sylvester"])
def test_deep_flows_are_programs_of_one_size(name: str) -> None:
    """Ten layers and forty trace to the same program: compile time does not grow with depth."""

    def size(n_layers: int) -> int:
        def make(key: Any) -> Any:
            options = SMALL.get(name, {}) | {"n_layers": n_layers, "hidden_sizes": (8,)}
            return RECIPES[name](key, 3, **options)

        flow = eqx.filter_eval_shape(make, jax.random.key(0))
        arrays, static = eqx.partition(flow, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        log_prob = jax.make_jaxpr(lambda arrays, x: eqx.combine(arrays, static).log_prob(x))
        return len(str(log_prob(arrays, jax.ShapeDtypeStruct((5, 3), jnp.float32))).splitlines())

    assert size(40) == size(10)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown flow 'glow'; choose one of"):
        flows.recipe("glow")
    with pytest.raises(ValueError, match="unknown form 'diagonal'; choose one of"):
        flows.sylvester(jax.random.key(0), 2, form="diagonal")
