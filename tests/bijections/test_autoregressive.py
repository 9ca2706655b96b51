"""Autoregressive layers: one pass one way, an exact sweep with an implicit gradient the other."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows, trees
from pushforward.bijections import (
    Affine,
    BlockAutoregressive,
    DeepSigmoid,
    Gated,
    Invert,
    MaskedAutoregressive,
    RationalQuadraticSpline,
    Scan,
    shuffle_orders,
)
from pushforward.bijections.autoregressive import reordered
from pushforward.networks import MADE, Linear

DIM, COND = 4, 2


def layer(seed: int = 0, order: Any = None, cond: bool = True, transformer: Any = None) -> MaskedAutoregressive:
    """A float64 layer whose network matters."""
    rng = np.random.default_rng(seed)

    def array(*shape: int) -> Any:
        return jax.device_put(rng.normal(size=shape) * 0.5)

    transformer = Affine(jnp.zeros(()), jnp.ones(()), max_log_scale=3.0) if transformer is None else transformer
    n = trees.n_parameters(transformer)
    layers = (Linear(array(6, DIM), array(6)), Linear(array(9, 6), array(9)), Linear(array(n * DIM, 9), array(n * DIM)))
    network = MADE(layers, array(6, COND) if cond else None, DIM, n, "tanh")
    return MaskedAutoregressive(network, transformer, order)


def naive_forward(layer: MaskedAutoregressive, z: Any, condition: Any) -> Any:
    """D whole passes, which autodiff can follow, and the log-determinant."""
    network, template, order = layer.network, layer.transformer.value, layer.order.value

    def move(params: Any, z: Any) -> Any:
        return jax.vmap(lambda p, v: trees.offset(template, p).forward_and_log_det(v))(params, z)

    z = z[order]
    x, _ = jax.lax.scan(lambda x, _: (move(network(x, condition), z)[0], None), jnp.zeros_like(z), length=DIM)
    x, log_dets = move(network(x, condition), z)
    return x[layer.inverse_order.value], log_dets.sum()


SCALARS: dict[str, Any] = {
    "affine": lambda: None,
    "spline": lambda: RationalQuadraticSpline.init((), 4, 3.0),
    "deep sigmoid": lambda: Invert(DeepSigmoid.init((), 3)),
    "gated": lambda: Invert(Gated(jnp.zeros(()), jnp.asarray(0.8))),
}


@pytest.mark.long
@pytest.mark.parametrize("transformer", list(SCALARS))
def test_the_implicit_gradient_equals_that_through_d_whole_passes(float64: None, transformer: str) -> None:
    made = layer(order=[2, 0, 3, 1], transformer=SCALARS[transformer]())
    z, condition = jnp.array([0.3, -1.2, 0.8, 0.1]), jnp.array([0.5, -0.7])
    trainable, rest = trees.partition(made)

    def value(forward: Any) -> Any:
        def scalar(trainable: Any, z: Any, condition: Any) -> Any:
            x, log_det = forward(trees.combine(trainable, rest), z, condition)
            return jnp.sin(x) @ jnp.arange(1.0, DIM + 1) + log_det**2

        return jax.jit(jax.value_and_grad(scalar, argnums=(0, 1, 2)))(trainable, z, condition)

    exact = value(MaskedAutoregressive.forward_and_log_det)
    naive = value(naive_forward)
    found, expected = jax.tree.leaves(exact), jax.tree.leaves(naive)
    assert len(found) == len(expected) == 1 + 7 + 2
    for a, b in zip(found, expected, strict=True):
        assert np.any(b)
        np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10)


@pytest.mark.long
@pytest.mark.parametrize("what", ["x", "log_det"])
def test_a_gradient_of_one_output_alone_is_right(float64: None, what: str) -> None:
    made = layer()
    z, condition = jnp.array([0.3, -1.2, 0.8, 0.1]), jnp.array([0.5, -0.7])

    def part(forward: Any) -> Any:
        return jax.jit(jax.grad(lambda z: forward(made, z, condition)[what == "log_det"].sum()))(z)

    np.testing.assert_allclose(part(MaskedAutoregressive.forward_and_log_det), part(naive_forward), rtol=1e-9)


@pytest.mark.long
@pytest.mark.parametrize("transformer", ["affine", "deep sigmoid"])
def test_second_derivatives_hold_in_scanned_layers_side_by_side(float64: None, transformer: str) -> None:
    """Components of a mixture, of two layers each: reverse mode through a scan must not lose the layers' rule."""
    made = [
        Scan(trees.stack([layer(seed, None, False, SCALARS[transformer]()) for seed in seeds]))
        for seeds in ((0, 1), (2, 3))
    ]
    components, z = trees.stack(made), jnp.array([[0.3, -1.2, 0.8, 0.1], [0.0, 0.5, -0.4, 1.0]])

    def value(component: Any, z: Any) -> Any:
        x, log_det = component.forward_and_log_det(z)
        return jnp.sin(x) @ jnp.arange(1.0, DIM + 1) + log_det**2

    @eqx.filter_jit
    def second(components: Any) -> Any:
        def of(way: Any) -> Any:
            return eqx.filter_vmap(lambda component: jax.vmap(way(lambda z: value(component, z)))(z))(components)

        ahead, behind = (
            eqx.filter_vmap(lambda c, s=s: jax.vmap(jax.grad(lambda z: value(c, z)))(z + s * 1e-5))(components)
            for s in (1, -1)
        )
        return of(jax.hessian), of(lambda f: jax.jacrev(jax.jacrev(f))), (ahead - behind) / 2e-5

    forward, reverse, difference = map(np.asarray, second(components))
    assert forward.shape == (2, 2, DIM, DIM)
    np.testing.assert_allclose(forward, reverse, rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(forward.sum(-1), difference, rtol=1e-5, atol=1e-5)


def test_a_drawn_layer_is_close_to_the_identity_and_takes_options() -> None:
    z = jnp.array([0.5, -1.0, 2.0])
    for made in (MaskedAutoregressive.init(jax.random.key(0), 3), BlockAutoregressive.init(jax.random.key(0), 3)):
        assert np.abs(eqx.filter_jit(lambda m: m.inverse(z))(made) - z).max() < 0.5
    made = MaskedAutoregressive.init(
        jax.random.key(0),
        3,
        hidden_sizes=(5, 6),
        transformer=RationalQuadraticSpline.init((), 4, 3.0),
        cond_dim=2,
        order=[2, 0, 1],
        activation="tanh",
    )
    assert made.cond_shape == (2,) and made.order.value.tolist() == [2, 0, 1]
    assert made.network.activation == "tanh" and [len(h.bias) for h in made.network.layers] == [5, 6, 33]
    with pytest.raises(ValueError, match="at least one hidden layer"):
        MaskedAutoregressive.init(jax.random.key(0), 3, hidden_sizes=())


def test_maf_and_iaf_of_the_same_network_are_each_others_inverse() -> None:
    key = jax.random.key(0)
    maf, iaf = (eqx.filter_jit(f)(key, 3, n_layers=2, hidden_sizes=(8,)) for f in (flows.maf, flows.iaf))
    assert isinstance(iaf.bijection, Invert)
    z = jnp.array([0.5, -1.0, 2.0])
    there, log_det = eqx.filter_jit(lambda b, z: b.forward_and_log_det(z))(maf.bijection, z)
    back, back_log_det = eqx.filter_jit(lambda b, x: b.forward_and_log_det(x))(iaf.bijection, there)
    np.testing.assert_allclose(back, z, atol=1e-5)
    np.testing.assert_allclose(back_log_det, -log_det, atol=1e-5)


def test_a_layer_follows_its_order(float64: None) -> None:
    made = layer(order=[2, 0, 3, 1], cond=False)
    jacobian = np.abs(jax.jit(jax.jacobian(made.inverse))(jnp.arange(1.0, DIM + 1)))
    arranged = jacobian[np.ix_([2, 0, 3, 1], [2, 0, 3, 1])]
    assert not np.triu(arranged, 1).any()
    assert (arranged[np.tril_indices(DIM)] > 0).all()


def stacked(n: int) -> MaskedAutoregressive:
    return trees.stack([layer(seed) for seed in range(n)])


BATCH = 5


@pytest.mark.parametrize("per_point", [True, False])
def test_a_batch_equals_a_loop(float64: None, per_point: bool) -> None:
    made = layer()
    rng = np.random.default_rng(0)
    z = jax.device_put(rng.normal(size=(BATCH, DIM)))
    condition = jax.device_put(rng.normal(size=(BATCH, COND) if per_point else COND))
    axes = (0, 0 if per_point else None)
    batched = jax.jit(jax.vmap(made.forward_and_log_det, in_axes=axes))(z, condition)
    one = eqx.filter_jit(made.forward_and_log_det)
    for i in range(BATCH):
        alone = one(z[i], condition[i] if per_point else condition)
        for a, b in zip(batched, alone, strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("layers_outside", [True, False])
def test_layers_side_by_side_equal_each_alone_in_value_and_gradient(float64: None, layers_outside: bool) -> None:
    """The components of a mixture, vmapped over the points' batch or within it."""
    many = stacked(3)
    rng = np.random.default_rng(0)
    z, condition = (jax.device_put(rng.normal(size=(BATCH, n))) for n in (DIM, COND))

    def run(layer: Any, z: Any, condition: Any) -> Any:
        x, log_det = layer.forward_and_log_det(z, condition)
        return jnp.concatenate([x, log_det[None]])

    def side_by_side(many: Any) -> Any:
        if layers_outside:
            return eqx.filter_vmap(lambda m: jax.vmap(lambda z, c: run(m, z, c))(z, condition))(many)
        return jax.vmap(lambda z, c: eqx.filter_vmap(lambda m: run(m, z, c))(many), out_axes=1)(z, condition)

    def one_by_one(many: Any) -> Any:
        arrays, static = eqx.partition(many, eqx.is_array)

        def rows(leaves: Any) -> Any:
            return jax.lax.map(lambda point: run(eqx.combine(leaves, static), *point), (z, condition))

        return jax.lax.map(rows, arrays)

    @eqx.filter_jit
    def value_and_gradient(many: Any) -> Any:
        def value(many: Any, way: Any) -> Any:
            out = way(many)
            return jnp.sin(out).sum(), out

        return [eqx.filter_value_and_grad(value, has_aux=True)(many, way) for way in (side_by_side, one_by_one)]

    together, alone = value_and_gradient(many)
    assert len(jax.tree.leaves(together)) == len(jax.tree.leaves(alone))
    for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)


def test_a_stack_runs_its_layers_in_turn(float64: None) -> None:
    made = [layer(seed, order=order, cond=False) for seed, order in ((0, None), (1, [3, 2, 1, 0]))]
    z = jnp.array([0.3, -1.2, 0.8, 0.1])
    x, log_det = eqx.filter_jit(Scan(trees.stack(made)).forward_and_log_det)(z)
    middle, first = eqx.filter_jit(made[0].forward_and_log_det)(z)
    end, second = eqx.filter_jit(made[1].forward_and_log_det)(middle)
    np.testing.assert_allclose(x, end, rtol=1e-12)
    np.testing.assert_allclose(log_det, first + second, rtol=1e-12)


def test_networks_and_orders_that_do_not_fit_are_refused() -> None:
    network = MADE.init(jax.random.key(0), 3, 2, (4,))
    with pytest.raises(ValueError, match="gives 2 numbers for each coordinate.*build the MADE with n_params=11"):
        MaskedAutoregressive(network, RationalQuadraticSpline.init((), 4, 3.0))
    with pytest.raises(ValueError, match=r"order must be a permutation of 0\.\.2; got \[0, 2, 2\]"):
        MaskedAutoregressive(network, Affine(jnp.zeros(()), jnp.ones(())), [0, 2, 2])
    with pytest.raises(ValueError, match=r"scalar bijection, of shape \(\); got shape \(2,\)"):
        MaskedAutoregressive(network, Affine(jnp.zeros(2), jnp.ones(2)))


@pytest.mark.long
@pytest.mark.parametrize("transformer", ["affine", "spline"])
def test_three_thousand_coordinates_in_value_gradient_and_memory(transformer: str) -> None:
    """The sweep and its reverse at D = 3,072, in the memory of a few passes."""
    dim, scalar = 3072, SCALARS[transformer]() or Affine(jnp.zeros(()), jnp.ones(()), max_log_scale=2.0)
    n = trees.n_parameters(scalar)
    made = MaskedAutoregressive(MADE.init(jax.random.key(0), dim, n, (64,), 2, output_scale=0.1), scalar)
    z, condition = jax.random.normal(jax.random.key(1), (dim,)), jnp.array([0.5, -0.7])
    trainable, rest = trees.partition(made)

    def total(trainable: Any, z: Any, run: Any) -> Any:
        out, log_det = run(trees.combine(trainable, rest), z, condition)
        return out.sum() + log_det, out

    def gradient(run: Any) -> Any:
        value = jax.grad(lambda t, z: total(t, z, run), argnums=(0, 1), has_aux=True)
        return jax.jit(value).lower(trainable, z).compile()

    sampling = gradient(MaskedAutoregressive.forward_and_log_det)
    density = gradient(MaskedAutoregressive.inverse_and_log_det)
    assert sampling.memory_analysis().temp_size_in_bytes < 6 * density.memory_analysis().temp_size_in_bytes
    (weights_bar, z_bar), x = sampling(trainable, z)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(weights_bar))

    # λ = dL/dz solves Jᵀλ = dL/dx, with L = Σ x − log|det J| as a function of x
    @jax.jit
    def residual(x: Any, z_bar: Any) -> Any:
        (back, _), pull = jax.vjp(lambda x: made.inverse_and_log_det(x, condition), x)
        pulled = pull((z_bar, jnp.ones(())))[0]
        return back, pulled

    back, pulled = residual(x, z_bar)
    np.testing.assert_allclose(back, z, atol=2e-3)
    np.testing.assert_allclose(pulled, np.ones(dim), atol=2e-3)


@pytest.mark.long
def test_another_order_keeps_the_weights_with_their_coordinates(float64: None) -> None:
    made = layer(order=[2, 0, 3, 1], cond=False)
    same = reordered(made, jnp.array([2, 0, 3, 1]))
    x = jnp.array([0.3, -1.2, 0.8, 0.1])
    np.testing.assert_array_equal(same.inverse(x), made.inverse(x))
    other = reordered(made, jnp.array([1, 3, 0, 2]))
    np.testing.assert_allclose(other.inverse(other.forward(x)), x, atol=1e-12)
    jacobian = np.abs(jax.jacobian(other.inverse)(x))[np.ix_([1, 3, 0, 2], [1, 3, 0, 2])]
    assert not np.triu(jacobian, 1).any() and np.tril(jacobian, -1).any()
    # the columns of the first layer follow their coordinates
    old, new = (np.asarray(m.network.layers[0].weight)[:, m.inverse_order.value] for m in (made, other))
    np.testing.assert_array_equal(old, new)


@pytest.mark.long
def test_orders_are_shuffled_in_every_layer_of_a_flow() -> None:
    flow = eqx.filter_jit(lambda key: flows.maf(key, 6, n_layers=3, hidden_sizes=(8,)))(jax.random.key(0))
    shuffled = eqx.filter_jit(shuffle_orders)(flow, jax.random.key(1))
    orders = np.asarray(shuffled.bijection.layers.order.value)
    assert np.array_equal(np.sort(orders), np.tile(np.arange(6), (3, 1))) and len(np.unique(orders, axis=0)) == 3
    z = jnp.arange(6.0) / 3
    np.testing.assert_allclose(shuffled.bijection.inverse(shuffled.bijection.forward(z)), z, atol=1e-4)
