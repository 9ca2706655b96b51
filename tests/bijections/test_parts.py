"""Maps that change shape or act on parts: shapes, batches, calibration, keys, multi-scale levels."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.bijections import (
    ActNorm,
    BatchNorm,
    Chain,
    Concatenate,
    Dense,
    Exp,
    Fixed,
    Identity,
    Invert,
    Permute,
    Reshape,
    Residual,
    Vmap,
    split,
)
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward
from pushforward.networks import Lipschitz

KEY = jax.random.key(0)


def image_flow() -> Chain:
    """Two levels of a multi-scale flow of 4 x 4 pixels and 2 channels."""

    def step(height: int, width: int, channels: int) -> Any:
        matrix = jnp.eye(channels) + 0.3 * jax.random.normal(KEY, (channels, channels))
        mixed = Vmap(Vmap(Dense(matrix, jnp.zeros(channels)), width), height)
        return Chain([ActNorm.init((height, width, channels)), mixed])

    deep = Chain([Reshape((16,), (2, 2, 4)), step(2, 2, 4), Reshape((2, 2, 4), (4, 4, 1))])
    return Chain([split(deep, 1), step(4, 4, 2)])


@pytest.mark.long
def test_a_multi_scale_flow_has_flat_noise_and_images_of_exact_density(float64: None) -> None:
    bijection = image_flow()
    assert (bijection.noise_shape, bijection.shape) == ((32,), (4, 4, 2))
    flow = Pushforward(Normal.standard((32,)), bijection)
    x = jax.random.normal(KEY, (50, 4, 4, 2)) * 3 + 1
    calibrated, log_prob = flow.calibrate(x)
    assert flow.reads_data and flow.shape == (4, 4, 2)
    np.testing.assert_allclose(calibrated.log_prob(x), log_prob, rtol=1e-10)
    z, log_det = calibrated.bijection.inverse_and_log_det(x[0])
    jacobian = jax.jacfwd(lambda x: calibrated.bijection.inverse(x).reshape(-1))(x[0]).reshape(32, 32)
    np.testing.assert_allclose(log_det, jnp.linalg.slogdet(jacobian)[1], rtol=1e-8)
    np.testing.assert_allclose(calibrated.bijection.forward(z), x[0], rtol=1e-8)
    assert calibrated.sample(KEY, (3,)).shape == (3, 4, 4, 2)


def test_a_mixture_takes_a_shared_map_that_changes_shape() -> None:
    components = [Pushforward(Normal(jnp.full(4, m), jnp.ones(4)), Identity((4,))) for m in (-1.0, 1.0)]
    mixture = MixtureOfFlows(components, shared=Reshape((4,), (2, 2)))
    x = mixture.sample(KEY, (5,))
    assert x.shape == (5, 2, 2)
    np.testing.assert_allclose(mixture.log_prob(x), MixtureOfFlows(components).log_prob(x.reshape(5, 4)), rtol=1e-6)
    with pytest.raises(ValueError, match=r"components have event shape \(4,\), noise of the shared map \(2, 2\)"):
        MixtureOfFlows(components, shared=Reshape((2, 2), (4,)))


def test_one_map_over_an_axis_reads_all_entries_together() -> None:
    x = jax.random.normal(KEY, (20, 3, 2)) * 3 + jnp.arange(2.0)
    found, z, log_det = Vmap(BatchNorm.init(3), 2, axis=1).calibrate(x, weights=jnp.ones(20))
    entries = np.asarray(x).transpose(0, 2, 1).reshape(-1, 3)
    np.testing.assert_allclose(found.bijection.mean.value, entries.mean(0), rtol=1e-5)
    np.testing.assert_allclose(z, jax.vmap(found.inverse)(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, jax.vmap(found.inverse_and_log_det)(x)[1], rtol=1e-5)


def test_parts_read_their_own_part_of_a_batch() -> None:
    x = jax.random.normal(KEY, (20, 5)) * 3 + 1
    found, z, log_det = Concatenate([BatchNorm.init(2), Fixed(BatchNorm.init(3))]).calibrate(x)
    np.testing.assert_allclose(found.bijections[0].mean.value, x[:, :2].mean(0), rtol=1e-5)
    assert not found.bijections[1].bijection.mean.value.any()
    np.testing.assert_allclose(z, jax.vmap(found.inverse)(x), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, jax.vmap(found.inverse_and_log_det)(x)[1], rtol=1e-5)


@pytest.mark.long
@pytest.mark.parametrize(
    "make", [lambda part: Vmap(part, 2), lambda part: Concatenate([part, Identity((2,))])], ids=["vmap", "concatenate"]
)
def test_estimates_of_parts_carry_to_the_whole(make: Any) -> None:
    part = Residual(Lipschitz.init(KEY, 6, 6, (8,), 0.9), 6, "unbiased")
    layer = make(part)
    assert layer.exactness == "unbiased"
    z = jax.random.normal(KEY, (3, *layer.noise_shape))
    x, log_weights = layer.forward_batch(z, KEY)
    assert x.shape == (3, *layer.shape) and log_weights.shape == (3,)
    np.testing.assert_allclose(layer.inverse_batch(x, KEY)[0], z, atol=1e-4)
    assert layer.inverse_and_log_weight(x[0], KEY)[1].shape == ()


def test_inverting_swaps_the_shapes() -> None:
    inverse = Invert(Reshape((4,), (2, 2)))
    assert (inverse.noise_shape, inverse.shape) == ((2, 2), (4,))
    with pytest.raises(ValueError, match=r"base has event shape \(4,\), noise of Invert \(2, 2\)"):
        Pushforward(Normal.standard((4,)), inverse)


def test_an_inverted_fixed_map_keeps_its_numbers() -> None:
    inverse = Invert(Chain([Permute([1, 0]), Fixed(BatchNorm.init(2)), Exp((2,))]))
    assert not inverse.reads_data
    assert eqx.tree_equal(inverse.calibrate(jnp.ones((3, 2)))[0], inverse)
