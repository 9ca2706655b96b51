"""Recipes: densities that integrate to one and agree with their samples, with and without a condition."""

import inspect
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows, trees
from pushforward.bijections.affine import MIN_GATE
from tests.keys import cheap_key
from tests.quadrature import check_density
from tests.sweeps import sweep

OTHER_FORMS = {
    "sylvester_householder": partial(flows.sylvester, form="householder"),
    "sylvester_triangular": partial(flows.sylvester, form="triangular"),
    "iaf_gated": partial(flows.iaf, gated=True),
}
SMALL: dict[str, dict[str, Any]] = {
    "planar": {"n_layers": 4},
    "radial": {"n_layers": 4},
    "convex_combination_iaf": {"n_matrices": 3},
    "householder": {"n_layers": 2},
    "naf": {"n_layers": 2, "n_units": 4},
    "bnaf": {"n_layers": 2, "hidden_sizes": (8, 8)},
}
RECIPES = {**flows.RECIPES, **OTHER_FORMS}
CONDITION = jnp.array([0.5, -1.0, 2.0])


def small(name: str) -> dict[str, Any]:
    """Sizes of a recipe in any of its forms."""
    return next((sizes for start, sizes in SMALL.items() if name.startswith(start)), {})


def draw(name: str, dim: int, cond_dim: int | None, n_layers: int = 3) -> Any:
    """A flow of each recipe whose every number differs from its start."""

    @eqx.filter_jit
    def make(key: Any) -> Any:
        options = {"n_layers": n_layers, "hidden_sizes": (8,), **small(name)}
        flow = RECIPES[name](key, dim, cond_dim=cond_dim, **options)
        n = trees.n_parameters(flow)
        return trees.offset(flow, (0.2 if n < 100 else 0.05) * jax.random.normal(key, (n,)))

    return make(jax.random.key(3))


@pytest.mark.parametrize("cond_dim", [None, 3])
@pytest.mark.parametrize("name", sweep(RECIPES, {"planar", "real_nvp", "maf"}))
def test_the_density_integrates_to_one_and_samples_follow_it(name: str, cond_dim: int | None) -> None:
    flow = draw(name, 2, cond_dim)
    assert flow.cond_shape == (None if cond_dim is None else (3,))
    check_density(flow, None if cond_dim is None else CONDITION)


@pytest.mark.parametrize("name", sweep(RECIPES, {"nice", "real_nvp"}))
def test_conditions_matter_and_one_dimension_works(name: str) -> None:
    flow = draw(name, 1, 3)
    x = jnp.array([[0.3]])
    assert np.isfinite(flow.log_prob(x, CONDITION)).all()
    assert abs(float((flow.log_prob(x, CONDITION) - flow.log_prob(x, -CONDITION))[0])) > 1e-6


@pytest.mark.parametrize("name", list(RECIPES))
def test_an_update_keeps_the_type_of_every_parameter(name: str) -> None:
    """A weakly typed start would have a training step compiled twice."""
    flow = eqx.filter_eval_shape(lambda key: RECIPES[name](key, 3, **small(name)), jax.random.key(0))
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(flow) if isinstance(leaf, jax.ShapeDtypeStruct))


@pytest.mark.long
@pytest.mark.parametrize("name", list(RECIPES))
def test_deep_flows_are_programs_of_one_size(name: str) -> None:
    """Ten layers and forty trace to the same program: compile time does not grow with depth."""

    def size(n_layers: int) -> int:
        def make(key: Any) -> Any:
            options = small(name) | {"n_layers": n_layers, "hidden_sizes": (8,)}
            return RECIPES[name](key, 3, **options)

        flow = eqx.filter_eval_shape(make, jax.random.key(0))
        arrays, static = eqx.partition(flow, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct))
        log_prob = jax.make_jaxpr(lambda arrays, x: eqx.combine(arrays, static).log_prob(x))
        return len(str(log_prob(arrays, jax.ShapeDtypeStruct((5, 3), jnp.float32))).splitlines())

    assert size(40) == size(10)


@pytest.mark.parametrize("name", [*flows.RECIPES, "indexed_maf"])
def test_options_of_a_recipe_are_those_it_takes(name: str) -> None:
    """Given back at their own defaults, they change nothing; sizes that all share are not among them."""
    names = flows.options_of(name)
    assert not names & {"key", "dim", "cond_dim", "n_layers", "hidden_sizes", "recipe", "options"}
    signatures = [inspect.signature(flows.recipe(name)), inspect.signature(flows.maf)]
    given = {o: p.default for s in signatures for o, p in s.parameters.items() if o in names}
    assert set(given) == names
    made = [flows.recipe(name)(cheap_key(0), 2, n_layers=1, **options) for options in ({}, given)]
    assert trees.n_parameters(made[0]) == trees.n_parameters(made[1])


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown flow 'glowing'; choose one of"):
        flows.recipe("glowing")
    with pytest.raises(ValueError, match="unknown form 'diagonal'; choose one of"):
        flows.sylvester(jax.random.key(0), 2, form="diagonal")
    with pytest.raises(ValueError, match="fast must be one of 'density', 'sampling'; got 'both'"):
        flows.naf(jax.random.key(0), 2, fast="both")


@pytest.mark.parametrize("name", sweep(["spline_autoregressive", "naf", "bnaf", "planar", "sylvester"], {"planar"}))
def test_the_other_quick_direction_is_the_inverse_map(name: str) -> None:
    options = {"n_layers": 2, "hidden_sizes": (8,), **small(name)}
    one, other = (flows.recipe(name)(jax.random.key(0), 3, fast=fast, **options) for fast in ("density", "sampling"))
    z = jax.random.normal(jax.random.key(1), (3,))
    np.testing.assert_allclose(one.bijection.inverse(z), other.bijection.forward(z), rtol=1e-5, atol=1e-6)


def test_the_gated_form_is_the_gate_of_its_network() -> None:
    """x = σ ⊙ z + (1 − σ) ⊙ m with [m, s] from the masked network of z and the context (Kingma et al. 2016)."""
    flow = draw("iaf_gated", 3, 3, n_layers=1)
    layer = jax.tree.map(lambda leaf: leaf[0], flow.bijection.bijection.layers)
    z = jnp.array([0.5, -1.0, 2.0])
    value, logit = layer.network(z, CONDITION).T
    gate = MIN_GATE + (1 - MIN_GATE) * jax.nn.sigmoid(logit + layer.transformer.value.bijection.logit)
    x, log_det = flow.bijection.forward_and_log_det(z, CONDITION)
    np.testing.assert_allclose(x, gate * z + (1 - gate) * value, rtol=1e-5)
    np.testing.assert_allclose(log_det, jnp.log(gate).sum(), rtol=1e-5)
