"""Plain networks: what they compute, how they start, what they refuse."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.networks import ACTIVATIONS, MLP
from pushforward.networks.mlp import activation, draw_layers


def test_a_network_is_its_layers_with_an_activation_between() -> None:
    network = MLP.init(jax.random.key(0), 3, 2, (5, 4), "tanh", output_scale=1.0)
    x = np.array([0.5, -1.0, 2.0], np.float32)
    for layer in network.layers[:-1]:
        x = np.tanh(np.asarray(layer.weight) @ x + np.asarray(layer.bias))
    expected = np.asarray(network.layers[-1].weight) @ x + np.asarray(network.layers[-1].bias)
    np.testing.assert_allclose(network(jnp.array([0.5, -1.0, 2.0])), expected, rtol=1e-5)


def test_no_input_gives_a_learned_constant() -> None:
    network = MLP.init(jax.random.key(0), 0, 2, (4,))
    assert network(jnp.zeros(0)).tolist() == [0.0, 0.0]
    gradient = jax.grad(lambda bias: (bias + network(jnp.zeros(0))).sum())(network.layers[-1].bias)
    assert gradient.tolist() == [1.0, 1.0]


def test_hidden_layers_start_at_hes_scale_and_the_last_one_small() -> None:
    first, second, last = draw_layers(jax.random.key(0), [50, 400, 300, 200], 0.01)
    assert np.std(first.weight) == pytest.approx((2 / 50) ** 0.5, rel=0.05)
    assert np.std(second.weight) == pytest.approx((2 / 400) ** 0.5, rel=0.05)
    assert np.std(last.weight) == pytest.approx(0.01 / 300**0.5, rel=0.05)
    assert not any(np.any(layer.bias) for layer in (first, second, last))


def test_an_output_scale_of_zero_starts_at_zero() -> None:
    assert not np.any(MLP.init(jax.random.key(0), 3, 2, (8,), output_scale=0.0)(jnp.ones(3)))


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_are_finite_far_out_in_value_and_slope(name: str) -> None:
    points = jnp.array([-1e4, -1.0, 0.0, 1.0, 1e4])
    values, slopes = jax.vmap(jax.value_and_grad(activation(name)))(points)
    assert np.isfinite(values).all() and np.isfinite(slopes).all()


def test_elu_and_its_slopes_are_those_of_jax() -> None:
    with jax.enable_x64(True):
        points = jnp.array([-800.0, -30.0, -1.5, -1e-9, 1e-9, 0.3, 4.0, 700.0])
        for take in (lambda f: f, jax.grad, lambda f: jax.grad(jax.grad(f))):
            found, expected = (jax.vmap(take(f))(points) for f in (activation("elu"), jax.nn.elu))
            np.testing.assert_allclose(found, expected, rtol=1e-15, atol=1e-15)


def test_an_unknown_activation_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="unknown activation 'rleu'; choose one of .*'relu'"):
        MLP.init(jax.random.key(0), 1, 1, (2,), "rleu")(jnp.ones(1))
