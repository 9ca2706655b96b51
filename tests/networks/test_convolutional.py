"""The convolutional network: against XLA's own convolution, on odd shapes, with numbers beside the image."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from pushforward.networks import Convolutional


@pytest.mark.long
@pytest.mark.parametrize("shape", [(8, 8), (7, 5, 3), (1, 4)])
def test_it_convolves(shape: tuple[int, ...]) -> None:
    net = Convolutional.init(jax.random.key(0), shape, 4)
    x = jax.random.normal(jax.random.key(1), (int(np.prod(shape)),))
    image = x.reshape(1, *(*shape, 1)[:3])
    for kernel, bias in zip(net.kernels, net.biases, strict=True):
        height, width = image.shape[1:3]
        out = [-(-n // 2) for n in (height, width)]
        pads = [(max(2 * (o - 1) + 3 - n, 0) // 2, 3) for o, n in zip(out, (height, width), strict=True)]
        weights = kernel.reshape(3, 3, -1, kernel.shape[1])
        found = lax.conv_general_dilated(image, weights, (2, 2), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))
        image = jax.nn.relu(found[:, : out[0], : out[1]] + bias)
    np.testing.assert_allclose(net(x), net.head(image.reshape(-1)), rtol=1e-5, atol=1e-7)


def test_numbers_beside_the_image_count() -> None:
    net = Convolutional.init(jax.random.key(0), (4, 4), 3, n_given=2)
    first, second = net(jnp.ones(18)), net(jnp.ones(18).at[-1].set(5.0))
    assert first.shape == (3,)
    assert not np.allclose(first, second, rtol=1e-6)


@pytest.mark.parametrize("shape", [(8,), (8, 8, 1, 1), (0, 8), (True, 8)])
def test_shapes_that_are_no_image_are_named(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="image_shape must be"):
        Convolutional.init(jax.random.key(0), shape, 2)
