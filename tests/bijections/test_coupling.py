"""Coupling layers: which coordinates move, and by whom."""

from itertools import pairwise
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows
from pushforward.bijections import Affine, Coupling, RationalQuadraticSpline, Scan, coupling_masks
from pushforward.networks import MLP

KINDS = ("half", "alternating", "checkerboard")
SHAPES = [(1,), (2,), (3,), (8,), (9,), (3, 3), (2, 3), (4, 4), (3, 3, 3)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_two_consecutive_masks_move_every_coordinate_and_keep_as_many(kind: str, shape: tuple[int, ...]) -> None:
    masks = coupling_masks(kind, shape, 4)
    size = int(np.prod(shape))
    assert masks.shape == (4, *shape) and masks.dtype == bool
    assert (masks.reshape(4, -1).sum(axis=1) == size // 2).all()
    for first, second in pairwise(masks):
        assert not (first & second).any()


def test_masks_have_the_pattern_of_their_name() -> None:
    assert coupling_masks("half", (4,), 2).tolist() == [[True, True, False, False], [False, False, True, True]]
    assert coupling_masks("alternating", (4,), 2).tolist() == [[False, True, False, True], [True, False, True, False]]
    board = coupling_masks("checkerboard", (2, 4), 1)[0]
    assert board.tolist() == [[False, True, False, True], [True, False, True, False]]
    for axis in (0, 1):  # neighbours differ along every axis of the event
        whole = coupling_masks("checkerboard", (4, 4), 1)[0]
        assert (np.diff(whole.astype(int), axis=axis) != 0).all()


def layer(mask: Any, cond_dim: int | None = None) -> Coupling:
    mask = np.asarray(mask)
    n_kept = int(mask.sum())
    network = MLP.init(
        jax.random.key(0), n_kept + (cond_dim or 0), 2 * int((~mask).sum()), (8,), "tanh", output_scale=1.0
    )
    return Coupling(mask, network, Affine(jnp.zeros(()), jnp.ones(())), cond_dim)


@pytest.mark.parametrize("mask", [[True, False, True], [[False, True], [True, False]]])
def test_kept_coordinates_stay_and_each_moved_one_depends_on_them_and_itself(mask: Any) -> None:
    mask = np.asarray(mask)
    z = jnp.arange(1.0, mask.size + 1).reshape(mask.shape)
    x, jacobian = jax.jit(lambda c, z: (c.forward(z), jax.jacobian(c.forward)(z)))(layer(mask), z)
    assert (np.asarray(x)[mask] == np.asarray(z)[mask]).all()
    assert (np.asarray(x)[~mask] != np.asarray(z)[~mask]).all()
    depends = np.abs(jacobian).reshape(mask.size, mask.size) > 0
    kept = mask.reshape(-1)
    assert (depends[np.ix_(kept, kept)] == np.eye(kept.sum(), dtype=bool)).all()
    assert (depends[np.ix_(~kept, ~kept)] == np.eye((~kept).sum(), dtype=bool)).all()
    assert depends[np.ix_(~kept, kept)].all()
    assert not depends[np.ix_(kept, ~kept)].any()


def test_the_log_det_of_an_affine_coupling_is_the_sum_of_log_scales() -> None:
    coupling = layer([True, False, False], cond_dim=2)
    z, condition = jnp.array([0.3, 1.0, -2.0]), jnp.array([0.5, -0.5])
    params = np.asarray(coupling.conditioner(jnp.concatenate([z[:1], condition]))).reshape(2, 2)
    x, log_det = coupling.forward_and_log_det(z, condition)
    np.testing.assert_allclose(log_det, params[:, 1].sum(), rtol=1e-5)
    np.testing.assert_allclose(x[1:], z[1:] * np.exp(params[:, 1]) + params[:, 0], rtol=1e-5)


def test_masks_that_move_nothing_or_are_no_masks_are_refused() -> None:
    with pytest.raises(ValueError, match="keeps every coordinate"):
        layer([True, True])
    with pytest.raises(ValueError, match="must be boolean"):
        Coupling(np.array([0, 1]), layer([True, False]).conditioner, Affine(jnp.zeros(()), jnp.ones(())))
    with pytest.raises(ValueError, match="unknown coupling mask 'third'"):
        coupling_masks("third", (3,), 2)


def equations(jaxpr: Any) -> int:
    """Equations of a program, those of its parts included: what the compiler has to work through."""
    count = 0
    for eqn in jaxpr.eqns:
        inner = [getattr(p, "jaxpr", p) for p in jax.tree.leaves(list(eqn.params.values()), is_leaf=is_program)]
        count += 1 + sum(equations(p) for p in inner if is_program(p))
    return count


def is_program(node: Any) -> bool:
    return hasattr(node, "eqns") or hasattr(getattr(node, "jaxpr", None), "eqns")


@pytest.mark.parametrize("recipe", [flows.real_nvp, flows.maf])
def test_a_deep_stack_is_no_larger_a_program_than_a_shallow_one(recipe: Any) -> None:
    def size(n_layers: int) -> int:
        flow = eqx.filter_eval_shape(lambda: recipe(jax.random.key(0), 3, n_layers=n_layers, hidden_sizes=(8,)))
        flow = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), flow)
        assert isinstance(flow.bijection, Scan) and len(flow.bijection) == n_layers
        params, rest = eqx.partition(flow, eqx.is_inexact_array)
        loss = jax.grad(lambda p, x: eqx.combine(p, rest)._log_prob(x))
        return equations(jax.make_jaxpr(loss)(params, jnp.zeros(3)).jaxpr)

    assert size(64) <= size(12) + 2


@pytest.mark.parametrize("transformer", [None, RationalQuadraticSpline.init(())])
def test_a_drawn_layer_is_close_to_the_identity_and_takes_a_condition(transformer: Any) -> None:
    layer = Coupling.init(jax.random.key(0), (2, 3), "checkerboard", (8,), transformer, cond_dim=2)
    z = jax.random.normal(jax.random.key(1), (2, 3))
    x = layer.forward(z, jnp.ones(2))
    assert 0 < float(jnp.abs(x - z).max()) < 0.1
    np.testing.assert_allclose(layer.inverse(x, jnp.ones(2)), z, atol=1e-5)
    with pytest.raises(ValueError, match=r"mask must have the event shape, \(2, 3\); got shape \(3,\)"):
        Coupling.init(jax.random.key(0), (2, 3), np.array([True, False, True]))
