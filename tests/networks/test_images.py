"""Convolutions by products of views: XLA's own convolution says what they are, and so do their derivatives."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.networks import Convolve, PlainConvolutions, ResidualConvolutions, convolve


def reference(images: Any, kernel: Any) -> Any:
    return jax.lax.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def one_by_one(images: Any, kernel: Any) -> Any:
    return jax.vmap(convolve, in_axes=(0, None))(images, kernel)


@pytest.mark.parametrize(
    ("n_in", "n_out", "side"), [(2, 5, 3), (5, 2, 3), (3, 4, 5), (4, 3, 5), (3, 2, 1), (16, 17, 3), (18, 16, 5)]
)
def test_values_and_derivatives_are_those_of_xlas_convolution(n_in: int, n_out: int, side: int) -> None:
    with jax.enable_x64(True):
        keys = jax.random.split(jax.random.key(0), 4)
        images, kernel = (
            jax.random.normal(keys[0], (3, 6, 4, n_in)),
            jax.random.normal(keys[1], (side, side, n_in, n_out)),
        )
        along = jax.random.normal(keys[2], images.shape), jax.random.normal(keys[3], kernel.shape)
        for ours in (convolve, one_by_one):  # a batch at once, and image by image
            for found, expected in zip(
                jax.jvp(ours, (images, kernel), along), jax.jvp(reference, (images, kernel), along), strict=True
            ):
                np.testing.assert_allclose(found, expected, atol=1e-10)
            loss, other = (lambda *a, f=f: (f(*a) ** 3).sum() for f in (ours, reference))
            for found, expected in zip(
                jax.grad(loss, (0, 1))(images, kernel), jax.grad(other, (0, 1))(images, kernel), strict=True
            ):
                np.testing.assert_allclose(found, expected, rtol=1e-9)
            second = jax.jvp(jax.grad(loss, 1), (images, kernel), along)[1]
            np.testing.assert_allclose(second, jax.jvp(jax.grad(other, 1), (images, kernel), along)[1], rtol=1e-8)


def test_wide_convolutions_of_a_mixture_have_kernels_of_their_own() -> None:
    images, kernels = (
        jax.random.normal(jax.random.key(i), shape) for i, shape in enumerate([(2, 5, 4, 16), (2, 3, 3, 16, 16)])
    )
    loss = lambda f: lambda i, k: (jax.vmap(f)(i, k) ** 2).sum()  # noqa: E731
    found = jax.value_and_grad(loss(convolve), (0, 1))(images, kernels)
    expected = jax.value_and_grad(loss(lambda i, k: reference(i[None], k)[0]), (0, 1))(images, kernels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-2), found, expected)


def test_wide_convolutions_take_no_images_and_two_precisions(float64: None) -> None:
    nothing, kernel = jnp.zeros((0, 2, 3, 16)), jnp.ones((3, 3, 16, 17))
    for ours in (convolve, one_by_one):
        assert ours(nothing, kernel).shape == (0, 2, 3, 17)
        assert bool((jax.grad(lambda k, f=ours: f(nothing, k).sum())(kernel) == 0).all())
    images = jax.random.normal(jax.random.key(0), (2, 2, 3, 16))
    single = kernel.astype(jnp.float32)
    np.testing.assert_allclose(convolve(images, single), convolve(images, kernel), rtol=1e-12)
    assert jax.grad(lambda k: convolve(images, k).sum())(single).dtype == jnp.float32


def test_normalised_weights_have_the_norm_of_their_gain() -> None:
    layer = Convolve.init(jax.random.key(0), 3, 4, normalised=True)
    image = jax.random.normal(jax.random.key(1), (5, 5, 3))
    doubled = Convolve(2 * layer.kernel, layer.bias, layer.log_gain)
    np.testing.assert_allclose(layer(image), doubled(image), rtol=2e-5)
    assert layer.log_gain is not None
    louder = Convolve(layer.kernel, layer.bias, layer.log_gain + np.log(2))
    np.testing.assert_allclose(louder(image), 2 * layer(image), rtol=2e-5)


@pytest.mark.parametrize("network", [PlainConvolutions, ResidualConvolutions])
def test_networks_start_at_zero_and_see_their_condition(network: Any) -> None:
    made = network.init(jax.random.key(0), 2, 3, (4, 4), cond_dim=2)
    images, given = jax.random.normal(jax.random.key(1), (5, 4, 6, 2)), jnp.eye(5, 2)
    assert (made(images, given) == 0).all()
    moved = jax.tree.map(lambda leaf: leaf + 0.1, made)
    out = moved(images, given)
    assert out.shape == (5, 4, 6, 3)
    np.testing.assert_allclose(out[1], moved(images[1], given[1]), rtol=1e-4, atol=1e-5)
    assert not jnp.allclose(out, moved(images, 0 * given))
    with pytest.raises(ValueError, match=r"needs a condition of shape \(2,\)"):
        made(images)


def test_blocks_have_as_many_channels() -> None:
    with pytest.raises(ValueError, match=r"as many channels; got \(4, 8\)"):
        ResidualConvolutions.init(jax.random.key(0), 1, 1, (4, 8))


def test_kernels_have_a_middle() -> None:
    """Of an even side, what convolutions are made of would not be each other's transposes, and gradients wrong."""
    with pytest.raises(ValueError, match="side of a kernel must be odd, so that it has a middle; got 2"):
        convolve(jnp.ones((4, 4, 3)), jnp.ones((2, 2, 3, 1)))
    with pytest.raises(ValueError, match="side must be odd, so that a kernel has a middle; got 2"):
        PlainConvolutions.init(jax.random.key(0), 2, 3, (4,), side=2)
