"""The masked network: what each output sees, and that sweeps agree with plain passes."""

from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.networks import MADE, Linear
from pushforward.networks.made import sweep, transposed_solve

# dim, hidden sizes, size of the condition: plain, several layers, narrower than D, D = 1, one unit
CASES = [
    (5, (16,), None),
    (6, (12, 20), 3),
    (7, (3, 2), 2),
    (1, (4, 3), 2),
    (20, (40, 30), None),
    (3, (1,), None),
]
PARAMS = pytest.mark.parametrize(("dim", "hidden", "cond"), CASES)


def draw(dim: int, hidden: tuple[int, ...], cond: int | None) -> tuple[MADE, Any, Any]:
    """A network with weights and biases large enough to matter, a point and a condition, in float64."""
    rng = np.random.default_rng(dim)

    def array(*shape: int) -> Any:
        return jax.device_put(rng.normal(size=shape) / max(shape[-1], 1) ** 0.5)

    sizes = [dim, *hidden, 2 * dim]
    layers = tuple(Linear(array(n_out, n_in), array(n_out)) for n_in, n_out in pairwise(sizes))
    context = None if cond is None else array(hidden[0], cond)
    network = MADE(layers, context, dim, 2, "tanh")
    return network, array(dim), None if cond is None else array(cond)


def forward(z_i: Any, params: Any) -> Any:
    return z_i * jnp.exp(params[0]) + params[1]


def inverse(x_i: Any, params: Any) -> Any:
    return (x_i - params[1]) * jnp.exp(-params[0])


@PARAMS
def test_outputs_see_only_the_inputs_before_them_and_the_whole_condition(
    float64: None, dim: int, hidden: tuple[int, ...], cond: int | None
) -> None:
    network, x, condition = draw(dim, hidden, cond)
    jacobians = jax.jit(jax.jacobian(MADE.__call__, argnums=(1, 2) if cond else (1,)))(network, x, condition)
    on_inputs = np.abs(jacobians[0]).sum(axis=1)
    assert not np.triu(on_inputs).any()
    if len(hidden) == 1 and hidden[0] >= dim:  # wide enough to see everything they may
        assert (on_inputs[np.tril_indices(dim, -1)] > 0).all()
    if cond:
        assert (np.abs(jacobians[1]).sum(axis=(1, 2)) > 0).all()


@PARAMS
def test_a_sweep_equals_as_many_whole_passes_as_there_are_inputs(
    float64: None, dim: int, hidden: tuple[int, ...], cond: int | None
) -> None:
    network, z, condition = draw(dim, hidden, cond)
    points = jnp.stack([z, -z, 2 * z], axis=1)

    @jax.jit
    def both(network: MADE, points: Any, condition: Any) -> Any:
        def whole_pass(_: int, x: Any) -> Any:
            params = jax.vmap(network, in_axes=(1, None), out_axes=1)(x, condition)
            return jax.vmap(jax.vmap(forward))(points, params)

        swept = sweep(network, forward, points, network.biases(condition)[0][:, None])
        return swept, jax.lax.fori_loop(0, dim, whole_pass, jnp.zeros_like(points))

    swept, naive = both(network, points, condition)
    np.testing.assert_allclose(swept, naive, rtol=1e-10, atol=1e-10)


@PARAMS
def test_the_transposed_solve_equals_a_dense_one(
    float64: None, dim: int, hidden: tuple[int, ...], cond: int | None
) -> None:
    network, x, condition = draw(dim, hidden, cond)
    g = jax.device_put(np.cos(np.arange(dim)))

    @jax.jit
    def solve(network: MADE, x: Any, condition: Any) -> Any:
        pre = network.pre_activations(x, condition)
        diagonal, slopes = jax.vmap(jax.grad(inverse, argnums=(0, 1)))(x, pre[-1].reshape(dim, 2))
        jacobian = jax.jacobian(lambda x: jax.vmap(inverse)(x, network(x, condition)))(x)
        return transposed_solve(network, pre, diagonal, slopes, g), jacobian

    solved, jacobian = solve(network, x, condition)
    np.testing.assert_allclose(solved, np.linalg.solve(np.asarray(jacobian).T, g), rtol=1e-9, atol=1e-9)


def test_a_condition_that_is_missing_is_said_so() -> None:
    network = MADE.init(jax.random.key(0), 2, 1, (4,), cond_dim=3)
    with pytest.raises(ValueError, match=r"needs a condition of shape \(3,\)"):
        network(jnp.zeros(2))


@pytest.mark.parametrize(("dim", "n_params", "hidden"), [(2, 1, ()), (2, 1, (0,)), (0, 1, (4,)), (2, 0, (4,))])
def test_sizes_below_one_are_refused(dim: int, n_params: int, hidden: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least one hidden layer of at least one unit"):
        MADE.init(jax.random.key(0), dim, n_params, hidden)
