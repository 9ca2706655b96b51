"""Whole numbers as densities that are constant around each."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import trees
from pushforward.distributions import Autoregressive, Bernoulli, Categorical, Cells, DiscretisedLogistics, tempered
from pushforward.networks import PixelCNN

SIZES = {"channels": 2, "n_layers": 1}


def cells(value: Bernoulli | Categorical | DiscretisedLogistics) -> Cells:
    """Of 2 x 2 images, every number of it other than at its start."""
    model = Cells(Autoregressive.init(jax.random.key(0), PixelCNN, (2, 2, 1), value, **SIZES))
    moved: Cells = trees.offset(model, 0.3 * jax.random.normal(jax.random.key(1), (trees.n_parameters(model),)))
    return moved


def test_density_is_the_probability_of_the_nearest_whole_numbers() -> None:
    model, x = cells(Categorical(3)), jnp.array([[0.0, 2.0, 1.0, 0.0], [2.0, 2.0, 0.0, 1.0]])
    expected = model.model.log_prob(x.reshape(2, 2, 2, 1))
    for place in (-0.49, 0.0, 0.49):
        np.testing.assert_allclose(model.log_prob(x + place), expected, rtol=1e-6)
    assert (model.log_prob(x + 1.6) == -jnp.inf).all()  # beyond the levels


def test_draws_fill_their_cells_and_have_the_density_they_come_with() -> None:
    model = cells(Categorical(3))
    x, log_prob = model.sample_and_log_prob(jax.random.key(2), (500,))
    off = np.asarray(x - jnp.round(x))
    assert np.abs(off).max() < 0.5 and abs(off.std() - 12**-0.5) < 0.01
    np.testing.assert_allclose(log_prob, model.log_prob(x), rtol=1e-5)


@pytest.mark.parametrize("value", [Bernoulli(), Categorical(3)])
def test_temperature_is_a_power_of_each_probability(value: Bernoulli | Categorical) -> None:
    model = cells(value)
    x = jnp.array([1.0, 0.0, 1.0, 1.0])
    first = np.array([model.model.log_prob_terms(x.at[0].set(v).reshape(2, 2, 1)).ravel()[0] for v in range(2)])
    cold = tempered(model, 0.5)
    found = np.array([cold.model.log_prob_terms(x.at[0].set(v).reshape(2, 2, 1)).ravel()[0] for v in range(2)])
    np.testing.assert_allclose(found[1] - found[0], 2 * (first[1] - first[0]), rtol=1e-4)


def test_temperature_of_logistics_is_refused() -> None:
    with pytest.raises(ValueError, match="these are DiscretisedLogistics: leave it at 1"):
        tempered(cells(DiscretisedLogistics(4, 2)), 0.5)
