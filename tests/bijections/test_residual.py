"""Residual maps: contraction, inverse, and log-determinants by series against exact ones."""

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array

from pushforward import flows, trees
from pushforward.bijections import InexactError, Residual, Scan
from pushforward.bijections.residual import with_series
from pushforward.networks import MLP, Convolution, Linear, Lipschitz, norm_bound
from pushforward.networks.lipschitz import contracted, lip_swish
from tests.keys import cheap_key


def layer(dim: int, log_det: str | None = None, n_terms: int = 10, lipschitz: float = 0.9) -> Residual:
    return Residual(
        Lipschitz.init(cheap_key(1), dim, dim, (16, 16), lipschitz, output_scale=3.0), dim, log_det, n_terms
    )


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("shape", [(3, 2), (20, 50), (1, 4)])
def test_norm_bound_is_just_above_the_norm(shape: tuple[int, int], scale: float) -> None:
    weight = scale * jax.random.normal(cheap_key(0), shape)
    norm = np.linalg.norm(np.asarray(weight, float), 2)
    assert norm * (1 - 1e-5) <= float(norm_bound(weight)) <= norm * min(shape) ** (1 / 258) * (1 + 1e-5)


def test_norm_bound_of_nothing_is_finite_with_its_gradient() -> None:
    assert float(norm_bound(jnp.zeros((3, 2)))) < 1e-5
    assert np.isfinite(np.asarray(jax.grad(norm_bound)(jnp.zeros((3, 2))))).all()
    assert np.isfinite(
        np.asarray(jax.grad(lambda w: contracted(Linear(w, w[:, 0]), 0.9).weight.sum())(jnp.zeros((3, 2))))
    ).all()


def test_the_norm_bound_and_its_gradient_are_those_of_its_formula() -> None:
    """On singular values so alike that each has its share in both."""
    with jax.enable_x64(True):
        for shape in ((5, 3), (3, 5)):
            weight = jnp.eye(*shape) + 0.01 * jax.random.normal(cheap_key(0), shape)
            value, slope = jax.value_and_grad(lambda w: jnp.trace(jnp.linalg.matrix_power(w.T @ w, 129)) ** (1 / 258))(
                weight
            )
            assert np.allclose(norm_bound(weight), value, rtol=1e-12)
            assert np.allclose(jax.grad(norm_bound)(weight), slope, rtol=1e-9)


def test_lip_swish_has_the_slopes_of_its_formula() -> None:
    """The slope and the slope's slopes in both arguments, by a rule of its own."""

    def formula(x: Array, sharpness: Array) -> Array:
        return x * jax.nn.sigmoid(sharpness * x) / 1.0999

    with jax.enable_x64(True):
        points = jnp.array([-800.0, -30.0, -1.5, 0.0, 0.3, 4.0, 700.0])
        for take in (lambda f: f, lambda f: jax.grad(f, (0, 1)), lambda f: jax.hessian(f, (0, 1))):
            found, expected = (jax.vmap(take(f), (0, None))(points, jnp.asarray(0.7)) for f in (lip_swish, formula))
            for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
                assert np.allclose(a, b, rtol=1e-12, atol=1e-14)
        steepest = jax.vmap(jax.grad(lip_swish), (0, None))(jnp.linspace(2, 3, 10_001), jnp.asarray(1.0)).max()
        assert 0.9999 < steepest <= 1


def test_slopes_of_lip_swish_are_those_of_a_line_far_out() -> None:
    points = jnp.array([-3e38, -1e20, 1e20, 3e38])
    values, (slopes, by_sharpness) = jax.vmap(jax.value_and_grad(lip_swish, (0, 1)), (0, None))(
        points, jnp.asarray(0.7)
    )
    assert np.allclose(values / points, [0, 0, 1 / 1.0999, 1 / 1.0999])
    assert np.allclose(slopes, [0, 0, 1 / 1.0999, 1 / 1.0999])
    assert not by_sharpness.any()


def test_networks_keep_their_bound_whatever_their_weights() -> None:
    network = Lipschitz.init(cheap_key(0), 3, 3, (16,), 0.9)
    wild = trees.offset(network, 30 * jax.random.normal(cheap_key(1), (trees.n_parameters(network),)))
    points = 3 * jax.random.normal(cheap_key(2), (200, 3))
    norms = jnp.linalg.norm(jax.vmap(jax.jacfwd(wild))(points), 2, axis=(1, 2))
    assert float(norms.max()) <= 0.9 + 1e-5
    assert float(norms.max()) > 0.2  # and are no constant


@pytest.mark.parametrize(("sides", "share"), [((5, 4), 0.5), ((2, 7), 0.5), ((1, 1), 0.1)])
def test_frequencies_bound_a_convolution_from_above(sides: tuple[int, int], share: float) -> None:
    """Against the norm of its whole matrix, which a border of zeros makes smaller than the torus's."""
    layer = Convolution(jax.random.normal(cheap_key(0), (3, 9 * 2)), jnp.zeros(3), sides)
    matrix = jax.jacfwd(layer)(jnp.zeros(2 * sides[0] * sides[1]))
    norm = np.linalg.norm(np.asarray(matrix, float), 2)
    bound = np.linalg.norm(np.asarray(layer.frequencies(), float), 2, axis=(1, 2)).max()
    assert norm <= bound * (1 + 1e-5)
    assert norm > share * bound


def test_a_convolution_on_a_torus_has_the_norm_of_its_frequencies() -> None:
    """All of them: the pairs of the torus that the test above cuts a corner out of."""
    layer = Convolution(jax.random.normal(cheap_key(0), (2, 9 * 3)), jnp.zeros(2), (4, 5))
    kernel = np.asarray(layer.weight, float).reshape(2, 3, 3, 3)
    matrix = np.zeros((5, 6, 2, 5, 6, 3))
    for i, j, a, b in np.ndindex(5, 6, 3, 3):
        matrix[i, j, :, (i + a) % 5, (j + b) % 6] += kernel[:, a, b]
    found = np.linalg.norm(np.asarray(layer.frequencies(), float), 2, axis=(1, 2)).max()
    assert found == pytest.approx(np.linalg.norm(matrix.reshape(60, 90), 2), rel=1e-5)


def test_convolutions_match_the_definition() -> None:
    layer = Convolution(jax.random.normal(cheap_key(0), (2, 9 * 3)), jnp.arange(2.0), (4, 5))
    image = jax.random.normal(cheap_key(1), (4, 5, 3))
    kernel = layer.weight.reshape(2, 3, 3, 3).transpose(1, 2, 3, 0)
    expected = jax.lax.conv_general_dilated(
        image[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0] + jnp.arange(2.0)
    assert np.allclose(layer(image.ravel()).reshape(4, 5, 2), expected, atol=1e-5)


@pytest.mark.long
def test_convolutional_networks_keep_their_bound_and_are_undone() -> None:
    network = Lipschitz.init_convolutional(cheap_key(0), (4, 3, 2), (5,), 0.9, cond_dim=2)
    wild = trees.offset(network, 3 * jax.random.normal(cheap_key(1), (trees.n_parameters(network),)))
    points, given = 3 * jax.random.normal(cheap_key(2), (50, 24)), jnp.array([1.0, -2.0])
    norms = jnp.linalg.norm(jax.vmap(jax.jacfwd(wild), in_axes=(0, None))(points, given), 2, axis=(1, 2))
    assert 0.1 < float(norms.max()) <= 0.9 + 1e-5
    layer = Residual(wild, 24, cond_dim=2)
    assert layer.exactness == "unbiased"
    back = jax.vmap(lambda z: layer.inverse(layer.forward(z, given), given))(points)
    assert np.allclose(back, points, atol=1e-5)
    assert not np.allclose(layer.forward(points[0], given), layer.forward(points[0], -given))


@pytest.mark.long
def test_residual_flows_of_images() -> None:
    flow = flows.residual(cheap_key(0), 12, n_layers=2, hidden_sizes=(4,), image_shape=(3, 4))
    x = flow.sample(jax.random.key(0), (3,))
    assert np.isfinite(np.asarray(flow.elbo(x, key=jax.random.key(1), n_samples=5))).all()
    with pytest.raises(ValueError, match="image_shape must make 12 pixels"):
        flows.residual(cheap_key(0), 12, image_shape=(3, 3))


@pytest.mark.parametrize("dim", [1, pytest.param(2, marks=pytest.mark.long), pytest.param(4, marks=pytest.mark.long)])
@pytest.mark.parametrize("log_det", ["unbiased", "truncated"])
def test_estimates_agree_with_the_exact_log_det(dim: int, log_det: str) -> None:
    """Within 3.5 standard errors of 20,000 draws."""
    estimated = layer(dim, log_det, n_terms=80)
    z = jax.random.normal(cheap_key(3), (dim,))
    keys = jax.random.split(jax.random.key(0), 20_000)
    values = np.asarray(jax.vmap(lambda key: estimated.forward_and_log_weight(z, key)[1])(keys), float)
    exact = float(estimated.forward_and_log_det(z)[1])
    assert abs(values.mean() - exact) < 3.5 * values.std() / len(values) ** 0.5 + 1e-5


@pytest.mark.long
@pytest.mark.parametrize("n_terms", [1, 2, 3])
def test_a_truncated_series_has_as_many_terms_as_it_says(n_terms: int) -> None:
    """In one dimension, where the trace along a sign is exact: Σ (−1)ᵏ⁺¹ Jᵏ / k."""
    with jax.enable_x64(True):
        map_ = layer(1, "truncated", n_terms)
        z = jnp.array([0.3])
        slope = float(jax.jacfwd(map_.forward)(z)[0, 0]) - 1
        series = sum((-1) ** (k + 1) * slope**k / k for k in range(1, n_terms + 1))
        assert float(map_.forward_and_log_weight(z, cheap_key(0))[1]) == pytest.approx(series, rel=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("n_terms", [1, 2, 5])
def test_the_mean_over_all_probes_is_the_series_with_its_gradients(n_terms: int) -> None:
    """In parameters, point and condition: over every vector of signs, vᵀ A v has the mean tr A to the last digit."""
    with jax.enable_x64(True):
        network = Lipschitz.init(cheap_key(1), 3, 3, (8, 8), 0.9, cond_dim=2, output_scale=3.0)
        trainable, rest = trees.partition(network)
        probes = jnp.array(list(itertools.product([-1.0, 1.0], repeat=3)))
        direction, goes_on = jnp.array([0.3, -1.0, 2.0]), 2 / 3

        def estimated(params: Any, z: Array, condition: Array) -> Array:
            held = trees.combine(params, rest).fixed_norms()
            moved, log_dets = jax.vmap(lambda v: with_series(held, z, condition, v, jnp.asarray(n_terms), goes_on))(
                probes
            )
            return (log_dets + moved @ direction).mean()

        def whole(params: Any, z: Array, condition: Array) -> Array:
            held = trees.combine(params, rest).fixed_norms()
            jacobian = jax.jacfwd(held.raw)(z, condition)
            terms = [
                (-1) ** (k + 1) / k / goes_on ** max(k - 2, 0) * jnp.trace(jnp.linalg.matrix_power(jacobian, k))
                for k in range(1, n_terms + 1)
            ]
            return sum(terms) + held.raw(z, condition) @ direction

        given = (trainable, jnp.array([0.5, -1.0, 0.2]), jnp.array([1.0, -0.4]))
        found, expected = (jax.tree.leaves(jax.value_and_grad(f, (0, 1, 2))(*given)) for f in (estimated, whole))
        for a, b in zip(found, expected, strict=True):
            assert np.allclose(a, b, rtol=1e-10, atol=1e-13)


@pytest.mark.long
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_inverse_is_exact_to_the_dtype_and_says_its_steps(dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        map_ = layer(6, lipschitz=0.97)
        z = 3 * jax.random.normal(cheap_key(0), (50, 6))
        found, steps = jax.vmap(map_.solve)(jax.vmap(map_.forward)(z))
        assert float(jnp.abs(found - z).max()) < {"float32": 1e-5, "float64": 1e-13}[dtype]
        assert 1 < int(steps.min()) <= int(steps.max()) < 2000


def test_points_that_rounding_keeps_moving_are_solved() -> None:
    """A slope of nearly the bound everywhere lets the steps of the iteration cycle above two units of rounding."""
    network = Lipschitz.init(cheap_key(0), 3, 3, (16, 16))
    eye = jnp.eye(16)
    weights = [2 * eye[:, :3], 2 * eye, 2 * eye[:3]]
    network = eqx.tree_at(lambda n: [layer.weight for layer in n.layers], network, weights)
    map_ = Residual(eqx.tree_at(lambda n: n.raw_sharpness, network, jnp.full(2, 5.0)), 3)
    z = jax.random.normal(cheap_key(2), (2000, 3))
    found = jax.vmap(map_.inverse)(jax.vmap(map_.forward)(z))
    assert float(jnp.abs(found - z).max()) < 1e-5


def test_gradient_of_the_inverse_is_implicit() -> None:
    map_ = layer(3)
    z = jnp.array([0.3, -1.0, 0.7])
    product = jax.jacrev(map_.inverse)(map_.forward(z)) @ jax.jacfwd(map_.forward)(z)
    assert np.allclose(product, np.eye(3), atol=1e-4)


@pytest.mark.long
def test_batches_share_their_number_of_terms_and_keep_their_mean() -> None:
    map_, points = layer(3, "unbiased"), jax.random.normal(cheap_key(0), (4, 3))
    keys = jax.random.split(jax.random.key(0), 5000)
    found = np.asarray(jax.vmap(lambda key: map_.forward_batch(points, key)[1])(keys), float)
    exact = np.asarray(jax.vmap(map_.forward_and_log_det)(points)[1])
    assert (np.abs(found.mean(0) - exact) < 4 * found.std(0) / 5000**0.5).all()


@pytest.mark.long
def test_noisy_log_dets_are_refused_where_they_would_bias() -> None:
    flow = flows.residual(cheap_key(0), 6, n_layers=2, hidden_sizes=(8,))
    assert flow.exactness == "unbiased"
    x = flow.sample(jax.random.key(0), (4,))
    with pytest.raises(InexactError, match="bias importance weights"):
        flow.log_prob_estimate(x, key=jax.random.key(1))
    with pytest.raises(InexactError, match="elbo"):
        flow.log_prob(x)
    exact = flows.residual(cheap_key(0), 6, n_layers=2, hidden_sizes=(8,), log_det="exact")
    assert np.allclose(flow.elbo(x, key=jax.random.key(1), n_samples=3000), exact.log_prob(x), atol=0.1)


class Steep(eqx.Module):
    """Says that it contracts."""

    lipschitz: float = eqx.field(static=True, default=0.9)

    def fixed_norms(self):
        return self

    def raw(self, z, condition):
        return -3 * jnp.tanh(z)


def test_networks_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="lipschitz, fixed_norms and raw; got a MLP"):
        Residual(MLP.init(cheap_key(0), 2, 2, (4,)), 2)


def test_networks_that_are_no_contraction_are_refused() -> None:
    with pytest.raises(ValueError, match="stretches 3 times where its bound is 0.9"):
        Residual(Steep(), 2)
    with pytest.raises(ValueError, match="does not take 2 numbers|to as many"):
        Residual(Lipschitz.init(cheap_key(0), 3, 2, (8,)), 2)
    with pytest.raises(ValueError, match="below 1"):
        layer(2, lipschitz=1.0)
    with pytest.raises(ValueError, match="log_det must be one of"):
        layer(2, "guessed")
    with pytest.raises(ValueError, match="n_terms must be a whole number of at least 1; got 0"):
        layer(2, "truncated", n_terms=0)


@pytest.mark.long
@pytest.mark.parametrize("log_det", ["unbiased", "truncated"])
def test_an_estimate_is_differentiated_in_both_modes_with_its_key_held(float64: None, log_det: str) -> None:
    flow = Residual(Lipschitz.init(cheap_key(0), 3, 3, (8,), 0.6, output_scale=1.0), 3, log_det, n_terms=30)
    trainable, rest = trees.partition(flow)
    arguments = (trainable, jnp.array([0.3, -0.5, 0.8]))
    tangents = jax.tree.map(lambda leaf: jnp.cos(jnp.arange(leaf.size, dtype=float)).reshape(leaf.shape), arguments)

    def estimate(trainable: Any, z: Any, key: Any) -> Any:
        return trees.combine(trainable, rest).forward_and_log_weight(z, key)[1]

    def with_one_key(trainable: Any, z: Any) -> Any:
        return estimate(trainable, z, cheap_key(1))

    @jax.jit
    def both(arguments: Any) -> Any:
        pushed = jax.jvp(with_one_key, arguments, tangents)[1]
        pulled = jax.grad(with_one_key, argnums=(0, 1))(*arguments)
        pairs = zip(jax.tree.leaves(pulled), jax.tree.leaves(tangents), strict=True)
        return pushed, sum(jnp.vdot(a, b) for a, b in pairs)

    np.testing.assert_allclose(*both(arguments), rtol=1e-10)

    @jax.jit
    def hessians(arguments: Any) -> Any:
        def mean(z: Any) -> Any:
            keys = jax.random.split(jax.random.key(2), 4000)
            return jax.vmap(lambda key: estimate(arguments[0], z, key))(keys).mean()

        exact = Residual(trees.combine(arguments[0], rest).network, 3, "exact")
        return jax.hessian(mean)(arguments[1]), jax.hessian(lambda z: exact.forward_and_log_det(z)[1])(arguments[1])

    mean, exact = map(np.asarray, hessians(arguments))
    np.testing.assert_allclose(mean, exact, atol=0.05 * np.abs(exact).max())


@pytest.mark.long
def test_the_inverse_of_a_scanned_stack_has_second_derivatives_in_every_mode(float64: None) -> None:
    layers = [Residual(Lipschitz.init(cheap_key(i), 2, 2, (4,)), 2) for i in range(9)]  # more than are unrolled
    stack = Scan(trees.stack(layers))

    def value(x: Any) -> Array:
        z, log_det = stack.inverse_and_log_det(x)
        return jnp.sin(z).sum() + log_det

    x, step = jnp.array([0.3, -0.7]), 1e-5
    slope = jax.jit(jax.grad(value))
    differences = jnp.stack([(slope(x + step * e) - slope(x - step * e)) / (2 * step) for e in jnp.eye(2)])
    for outer, inner in itertools.product((jax.jacfwd, jax.jacrev), repeat=2):
        np.testing.assert_allclose(jax.jit(outer(inner(value)))(x), differences, atol=1e-8)
