"""Images moved a little: what stays, how far they go, and that each goes its own way."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.objectives import ImageViews

SIDE = 17


def spot() -> np.ndarray:
    image = np.zeros((SIDE, SIDE))
    image[6:11, 6:11] = 1.0
    return image


def centre(images: np.ndarray) -> np.ndarray:
    grid = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij"), axis=-1)
    images = images.reshape(-1, SIDE, SIDE)
    return np.einsum("nij,ijd->nd", images, grid) / images.sum((1, 2))[:, None]


@pytest.mark.long
def test_spots_move_a_little_and_each_its_own_way() -> None:
    rows = np.tile(spot().reshape(1, -1), (200, 1))
    moved = np.asarray(ImageViews((SIDE, SIDE))(jnp.asarray(rows), jax.random.key(0)))
    away = centre(moved) - (SIDE - 1) / 2
    most = 0.07 * SIDE * np.exp(0.15) * np.sqrt(2) + 0.1
    assert np.abs(away).max() < most
    assert (away.std(axis=0) > 0.3).all()
    assert np.abs(away.mean(axis=0)).max() < 0.2
    size = moved.sum(axis=1) / spot().sum()
    assert 0.7 < size.min() < 0.9 < 1.1 < size.max() < 1.4
    assert moved.min() >= 0 and moved.max() <= 1 + 1e-6


@pytest.mark.long
def test_flat_images_stay_and_channels_keep_apart() -> None:
    flat = np.tile(np.array([0.2, 0.7, -1.0]), SIDE * SIDE)[None]
    moved = ImageViews((SIDE, SIDE, 3))(jnp.asarray(flat), jax.random.key(1))
    np.testing.assert_allclose(moved, flat, rtol=1e-5)


@pytest.mark.long
def test_one_key_gives_one_view() -> None:
    rows = np.random.default_rng(0).uniform(size=(3, 24))
    view = ImageViews((4, 6))
    np.testing.assert_array_equal(
        view(jnp.asarray(rows), jax.random.key(2)), view(jnp.asarray(rows), jax.random.key(2))
    )
    assert not np.allclose(view(jnp.asarray(rows), jax.random.key(2)), view(jnp.asarray(rows), jax.random.key(3)))
