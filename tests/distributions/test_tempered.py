"""Noise of another scale: what is drawn, and how densities change."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward import flows, trees
from pushforward.bijections import Affine
from pushforward.distributions import (
    GaussianMixture,
    Logistic,
    MixtureOfFlows,
    Normal,
    Pushforward,
    Uniform,
    tempered,
)
from pushforward.networks import MLP

T = 0.5


@pytest.fixture(scope="module")
def glow() -> Any:
    """Of two levels, whose networks do something."""
    flow = flows.glow(jax.random.key(0), 16, image_shape=(4, 4), n_levels=2, n_layers=1, hidden_sizes=(4,))
    parameters, rest = trees.partition(flow)
    leaves, structure = jax.tree.flatten(parameters)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    shaken = [leaf + 0.2 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return trees.combine(jax.tree.unflatten(structure, shaken), rest)


@eqx.filter_jit
def drawn(flow: Any, key: Any) -> Any:
    return flow.sample(key, (2000,))


@eqx.filter_jit
def noise_and_density(flow: Any, x: Any) -> Any:
    return jax.vmap(flow.bijection.inverse)(x), flow.log_prob(x)


def test_noise_of_every_level_is_scaled(glow: Any) -> None:
    x = drawn(tempered(glow, T), jax.random.key(2))
    z, warm = noise_and_density(glow, x)
    np.testing.assert_allclose(z.std(axis=0), T, rtol=0.06)  # of 16 numbers, whichever level they leave at
    _, cool = noise_and_density(tempered(glow, T), x)
    change = -16 * np.log(T) + 0.5 * (z**2).sum(axis=1) * (1 - 1 / T**2)
    np.testing.assert_allclose(cool - warm, change, rtol=1e-3, atol=1e-3)


def test_one_is_the_distribution_as_it_is(glow: Any) -> None:
    for leaf, same in zip(jax.tree.leaves(glow), jax.tree.leaves(tempered(glow, 1.0)), strict=True):
        np.testing.assert_allclose(leaf, same, atol=1e-6)


def test_bases_keep_their_centres() -> None:
    for base in (Normal, Logistic):
        cool = tempered(base(jnp.array([3.0, -1.0]), jnp.array([2.0, 0.1])), T)
        np.testing.assert_allclose(cool.loc, [3.0, -1.0])
        np.testing.assert_allclose(jnp.exp(cool.log_scale), [1.0, 0.05], rtol=1e-5)


def test_a_mixture_of_gaussians_keeps_its_means_and_weights() -> None:
    covariances = jnp.array([[[4.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 9.0]]])
    mixture = GaussianMixture(jnp.array([0.25, 0.75]), jnp.array([[0.0, 1.0], [5.0, 5.0]]), covariances)
    cool = tempered(mixture, T)
    np.testing.assert_allclose(cool.weights, mixture.weights, rtol=1e-6)
    np.testing.assert_allclose(cool.means, mixture.means)
    np.testing.assert_allclose(cool.covariances, covariances / 4, rtol=1e-5, atol=1e-6)


def test_every_component_of_a_mixture_of_flows_is_cooled() -> None:
    scales = jnp.array([[1.0, 2.0], [3.0, 0.5]])
    components = eqx.filter_vmap(lambda s: Pushforward(Normal.standard((2,)), Affine(jnp.zeros(2), s)))(scales)
    mixture = MixtureOfFlows(components, MLP.init(jax.random.key(0), 2, 2, (4,)), jnp.log(jnp.array([0.5, 0.5])))
    cool = tempered(mixture, T)
    for k in range(2):
        x = cool.components[k].sample(jax.random.key(k), (4000,))
        np.testing.assert_allclose(x.std(axis=0), T * scales[k], rtol=0.05)
    x = jnp.array([[0.3, -0.2]])
    each = [Normal(jnp.zeros(2), T * s).log_prob(x) for s in scales]
    np.testing.assert_allclose(cool.log_prob(x), np.logaddexp(*each) + np.log(0.5), rtol=1e-5)


@pytest.mark.parametrize("wrong", [0.0, -1.0, float("nan"), float("inf")])
def test_temperatures_are_positive(wrong: Any) -> None:
    with pytest.raises(ValueError, match="temperature must be"):
        tempered(Normal.standard((2,)), wrong)


def test_noise_without_a_scale_is_refused() -> None:
    with pytest.raises(ValueError, match="noise of Uniform has no scale"):
        tempered(Uniform.standard((2,)), 0.5)
