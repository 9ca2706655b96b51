"""Plane densities: each integrates to one, and its draws are of it."""

import numpy as np
import pytest

from pushforward.data import SHAPES, shape

REACH, SPACING = 6.0, 0.125  # of a grid a little wider than the noise, on which Gaussians sum to parts in 10⁵


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_densities_integrate_to_one_and_draws_have_their_entropy(name: str) -> None:
    """The mean log-density of draws is the integral of p log p, within 4 standard errors."""
    along = np.arange(-REACH, REACH, SPACING) + SPACING / 2
    log_p = shape(name).log_prob(np.stack(np.meshgrid(along, along), -1).reshape(-1, 2))
    p = np.exp(log_p) * SPACING**2
    assert p.sum() == pytest.approx(1, abs=0.002)
    found = shape(name).log_prob(shape(name).sample(2000, 1))
    assert np.isfinite(found).all()
    expected = (p[p > 0] * log_p[p > 0]).sum() / p.sum()
    assert abs(found.mean() - expected) < 4 * found.std() / len(found) ** 0.5 + 0.02


def test_unknown_shapes_are_refused_with_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"unknown shape 'square'; choose one of \['checkerboard', 'circles'"):
        shape("square")


@pytest.mark.parametrize("name", sorted(SHAPES))
def test_points_must_lie_on_the_plane(name: str) -> None:
    with pytest.raises(ValueError, match=r"\(n, 2\)"):
        shape(name).log_prob(np.zeros((2, 3)))
    assert (shape(name).log_prob(np.array([[np.inf, 0.0], [0.0, -1e300]])) < -1e6).all()
