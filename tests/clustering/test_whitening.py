"""Directions much thinner than others."""

import numpy as np
import pytest

from pushforward.clustering import whitening

RNG = np.random.default_rng(0)
U = RNG.normal(size=(400, 3))


@pytest.mark.parametrize("width", [1e-2, 1e-4, 1e-7])
def test_thin_directions_are_as_wide_as_others_after_whitening(width: float) -> None:
    z = np.stack([U[:, 0], U[:, 1], U[:, 0] - U[:, 1] + width * U[:, 2]], axis=1)
    white = whitening(z)
    assert white is not None
    inner = white.inverse(z)
    assert np.allclose(np.cov(inner.T, bias=True), np.eye(3), atol=1e-6)
    assert np.allclose(inner @ white.factor.T + white.location, z, atol=1e-12)


def test_ordinary_rows_are_left_as_they_are() -> None:
    assert whitening(U) is None
    assert whitening(U * [1, 1e-5, 1e5]) is None  # units of columns are no thin direction
    assert whitening(U[:, :1]) is None
    assert whitening(np.stack([U[:, 0], U[:, 0] + 0.2 * U[:, 1]], axis=1)) is None


def test_few_rows_say_nothing_of_thin_directions() -> None:
    assert whitening(RNG.normal(size=(8, 10))) is None


def test_what_follows_exactly_from_others_is_not_whitened() -> None:
    assert whitening(np.stack([U[:, 0], np.zeros(400)], axis=1)) is None


def test_weights_count_as_copies() -> None:
    z = np.stack([U[:, 0], U[:, 0] + 1e-3 * U[:, 1]], axis=1)
    times = np.arange(400) % 3 + 1
    weighted, copied = whitening(z, times.astype(float)), whitening(np.repeat(z, times, axis=0))
    assert weighted is not None and copied is not None
    assert np.allclose(weighted.factor, copied.factor, rtol=1e-6, atol=1e-12)
