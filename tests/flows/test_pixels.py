"""Images of levels one pixel after the other, as flows of flat images."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows, trees
from pushforward.distributions import Bernoulli, Categorical
from tests.sweeps import sweep

NAMES = sorted(flows.PIXEL_RECIPES)


def draw(name: str, levels: int = 2, cond_dim: int | None = None) -> Any:
    """A flow of 2 x 2 images whose every number differs from its start."""

    @eqx.filter_jit
    def make(key: Any) -> Any:
        sizes: dict[str, Any] = {"n_layers": 1, "hidden_sizes": (4,), "cond_dim": cond_dim}
        flow = flows.recipe(name)(key, 4, image_shape=(2, 2), levels=levels, **sizes)
        return trees.offset(flow, 0.3 * jax.random.normal(key, (trees.n_parameters(flow),)))

    return make(jax.random.key(3))


def everything(levels: int) -> Any:
    """All images of 2 x 2 pixels, flat."""
    return jnp.stack(jnp.meshgrid(*[jnp.arange(float(levels))] * 4), axis=-1).reshape(-1, 4)


@pytest.mark.parametrize("name", sweep(NAMES, {"gated_pixel_cnn"}))
def test_probabilities_of_all_images_are_one(name: str) -> None:
    log_prob = draw(name).log_prob(everything(2))
    np.testing.assert_allclose(np.exp(log_prob).sum(), 1, rtol=1e-5)
    assert np.ptp(log_prob) > 0.5


@pytest.mark.parametrize("name", sweep(NAMES, {"pixel_cnn"}))
def test_samples_have_the_probabilities(name: str) -> None:
    flow = draw(name)
    x = np.round(np.asarray(flow.sample(jax.random.key(1), (4000,))))
    weights = 2 ** np.arange(4)
    found = np.bincount((x @ weights).astype(int), minlength=16) / len(x)
    images = everything(2)
    expected = np.zeros(16)
    expected[(np.asarray(images) @ weights).astype(int)] = np.exp(flow.log_prob(images))
    np.testing.assert_allclose(found, expected, atol=0.03)


@pytest.mark.parametrize("name", sweep(NAMES, {"row_lstm"}))
def test_conditions_shape_the_density(name: str) -> None:
    flow, x = draw(name, cond_dim=2), everything(2)[5:6]
    one, other = (flow.log_prob(x, jnp.array(given)) for given in ([0.0, 1.0], [1.0, 0.0]))
    assert abs(one - other)[0] > 1e-3


def test_two_levels_have_one_logit_and_more_have_each_their_own() -> None:
    assert isinstance(draw("pixel_cnn").base.model.value, Bernoulli)
    assert isinstance(draw("pixel_cnn", levels=3).base.model.value, Categorical)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"levels": 1}, "levels must be a whole number of at least 2 and at most 4096; got 1"),
        ({"hidden_sizes": (4, 4)}, r"hidden_sizes must be one number, the channels, as in \(64,\); got \(4, 4\)"),
        ({"image_shape": (2, 3)}, "image_shape must make 4 pixels"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(wrong: dict[str, Any], message: str) -> None:
    options: dict[str, Any] = {"image_shape": (2, 2)} | wrong
    with pytest.raises(ValueError, match=message):
        flows.pixel_cnn(jax.random.key(0), 4, **options)


def test_they_have_no_indexed_form() -> None:
    with pytest.raises(ValueError, match="unknown flow 'indexed_pixel_cnn'"):
        flows.recipe("indexed_pixel_cnn")
