"""Continuous maps among others; their densities and inverses are checked with all other maps'."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.bijections import Affine, Amortized, Chain, Continuous
from pushforward.networks import MLP
from tests.keys import cheap_key


@pytest.mark.long
def test_a_chain_with_a_condition_holds_one_without() -> None:
    flow = Continuous(MLP.init(cheap_key(0), 3, 2, (4,), "tanh"), 2)
    z, condition = jnp.ones(2), jnp.ones(2)
    given = Amortized(Affine(jnp.zeros(2), jnp.ones(2)), MLP.init(cheap_key(1), 2, 4, (4,)), (2,))
    x, log_det = Chain([flow, given]).forward_and_log_det(z, condition)
    between, first = flow.forward_and_log_det(z)
    expected, second = given.forward_and_log_det(between, condition)
    assert np.allclose(x, expected, atol=1e-5)
    assert float(log_det) == pytest.approx(float(first + second), abs=1e-5)


@pytest.mark.long
def test_points_of_less_precision_than_the_network_are_solved_in_its_own() -> None:
    with jax.enable_x64(True):
        flow = Continuous(MLP.init(cheap_key(0), 4, 3, (4,), "tanh", 1.0), 3, "unbiased")
        x, log_weight = flow.forward_batch(jnp.ones((2, 3), np.float32), cheap_key(1))
        expected = flow.forward_batch(jnp.ones((2, 3)), cheap_key(1))
        assert x.dtype == log_weight.dtype == np.float64
        assert np.allclose(x, expected[0], atol=1e-12)


@pytest.mark.parametrize("adjoint", ["checkpointed", "backsolve"])
def test_a_map_in_reverse_mode_alone_names_the_option_for_both(adjoint: str) -> None:
    flow = Continuous(MLP.init(cheap_key(0), 3, 2, (4,), "tanh"), 2, adjoint=adjoint)
    with pytest.raises(TypeError, match='adjoint="direct"'):
        jax.jvp(flow.forward, (jnp.ones(2),), (jnp.ones(2),))
