"""Frozen leaves: no gradient reaches them, in anyone's training loop."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from pushforward import flows, trees
from pushforward.distributions import MixtureOfFlows, Normal
from pushforward.networks import MLP
from tests.keys import cheap_key

X = jnp.asarray(np.random.default_rng(0).normal(1, 2, size=(64, 3)), jnp.float32)


def mixture() -> MixtureOfFlows:
    components = [flows.real_nvp(cheap_key(k), 3, n_layers=2, hidden_sizes=(4,)) for k in range(2)]
    return MixtureOfFlows(components, MLP.init(cheap_key(2), 3, 2, (4,)), learn_weights=False)


MODELS = {
    "maf": lambda: flows.maf(cheap_key(0), 3, n_layers=2, hidden_sizes=(4,)),
    "spline": lambda: flows.spline_autoregressive(cheap_key(0), 3, n_layers=2, hidden_sizes=(4,)),
    "mixture": mixture,
}
OPTIMIZERS = {
    "adam": lambda: optax.adam(0.01),
    "adamw": lambda: optax.adamw(0.01, weight_decay=0.1, mask=trees.trainable),
}


def frozen(model: Any) -> list[Any]:
    nodes = jax.tree.leaves(model, is_leaf=trees.is_frozen)
    return [leaf for node in nodes if trees.is_frozen(node) for leaf in jax.tree.leaves(node)]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_a_plain_equinox_loop_leaves_every_frozen_leaf_as_it_is(name: str, optimizer: str) -> None:
    model, update = MODELS[name](), OPTIMIZERS[optimizer]()
    state = update.init(eqx.filter(model, eqx.is_inexact_array))
    first = model

    @eqx.filter_jit
    def step(model: Any, state: Any) -> Any:
        loss, gradients = eqx.filter_value_and_grad(lambda m: -m.log_prob(X).mean())(model)
        updates, state = update.update(gradients, state, eqx.filter(model, eqx.is_inexact_array))
        return eqx.apply_updates(model, updates), state, loss

    losses = []
    for _ in range(5):
        model, state, loss = step(model, state)
        losses.append(float(loss))
    assert losses[-1] < losses[0]
    assert any(eqx.is_inexact_array(leaf) for leaf in frozen(first))
    assert [np.asarray(leaf).tobytes() for leaf in frozen(model)] == [
        np.asarray(leaf).tobytes() for leaf in frozen(first)
    ]


def test_the_filter_marks_what_partition_takes() -> None:
    model = MODELS["maf"]()
    marked, rest = eqx.partition(model, trees.trainable(model))
    expected = trees.partition(model)[0]
    assert jax.tree.leaves(marked) and all(
        a is b for a, b in zip(jax.tree.leaves(marked), jax.tree.leaves(expected), strict=True)
    )
    assert eqx.tree_equal(eqx.combine(marked, rest), model)
    assert trees.n_parameters(model) == sum(leaf.size for leaf in jax.tree.leaves(marked))


def test_a_base_that_trains_has_gradients() -> None:
    free = eqx.filter_grad(lambda m: m.log_prob(X).sum())(Normal(jnp.zeros(3), jnp.ones(3)))
    held = eqx.filter_grad(lambda m: m.log_prob(X).sum())(Normal.standard((3,)))
    assert bool((free.raw_loc != 0).all()) and not held.raw_loc.content.any() and not held.raw_scale.content.any()
