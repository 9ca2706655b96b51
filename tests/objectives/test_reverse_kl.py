"""Variational inference: the bound, path gradients, annealing."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.distributions import Normal
from pushforward.objectives import Batch, ReverseKL

LOC, SCALE = np.array([1.0, -0.5]), np.array([0.5, 2.0])


def log_density(x: Any) -> Any:
    """A standard normal's, without its constant."""
    return -0.5 * (x**2).sum()


def at(epoch: float) -> Batch:
    nothing = jnp.zeros((1, 1))
    return Batch(nothing, jnp.ones(1), jnp.asarray(epoch))


@pytest.mark.parametrize("path", [False, True])
@pytest.mark.parametrize(("epoch", "share"), [(0.0, 0.01), (3.0, 0.31), (50.0, 1.0), (np.inf, 1.0)])
def test_an_annealed_density_counts_by_its_share(float64: None, path: bool, epoch: float, share: float) -> None:
    loss = ReverseKL(log_density, 40_000, path=path, anneal_epochs=jnp.asarray(10.0))
    value = float(loss(Normal(LOC, SCALE), at(epoch), jax.random.key(0)))
    entropy = np.log(2 * np.pi * np.e) + np.log(SCALE).sum()
    assert value == pytest.approx(-entropy + share * 0.5 * (LOC**2 + SCALE**2).sum(), abs=0.05)


def test_path_gradients_vanish_on_every_draw_where_the_model_is_the_target(float64: None) -> None:
    model = Normal(np.zeros(2), np.ones(2))
    for path, exact in ((True, True), (False, False)):
        grads = eqx.filter_grad(lambda m, path=path: ReverseKL(log_density, 5, path=path)(m, None, jax.random.key(1)))
        sizes = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(grads(model))]
        assert (max(sizes) < 1e-12) is exact


def test_arrays_of_a_density_that_is_a_module_compile_nothing_anew() -> None:
    class Shifted(eqx.Module):
        by: Any

        def __call__(self, x: Any) -> Any:
            return log_density(x - self.by)

    traced = []

    @eqx.filter_jit
    def run(loss: ReverseKL) -> Any:
        traced.append(0)
        return loss(Normal.standard((2,)), None, jax.random.key(0))

    values = [float(run(ReverseKL(Shifted(jnp.asarray(by)), 100))) for by in (0.0, 3.0)]
    assert len(traced) == 1 and values[1] > values[0] + 5
