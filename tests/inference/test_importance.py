"""Smoothed importance ratios."""

import arviz
import numpy as np
import pytest

from pushforward.inference.importance import smooth


def test_k_hat_is_the_shape_of_a_known_tail() -> None:
    # ratios U^-k have a Pareto tail of shape k
    u = np.random.default_rng(0).random(100_000)
    for k in (0.3, 0.9):
        weights, found = smooth(-k * np.log(u))
        assert found == pytest.approx(k, abs=0.06)
        assert np.exp(weights).sum() == pytest.approx(1)


def test_zeros_of_the_density_have_no_weight() -> None:
    ratios = np.random.default_rng(0).normal(size=1000)
    kept, k_hat = smooth(ratios)
    with_zeros, k_with = smooth(np.concatenate([ratios, np.full(500, -np.inf)]))
    assert np.exp(with_zeros[1000:]).max() < 1e-200
    assert np.isfinite(k_hat) and np.isfinite(k_with)
    np.testing.assert_allclose(arviz.psislw(ratios)[0], kept)


@pytest.mark.parametrize("bad", [np.full(10, -np.inf), np.array([0.0, np.inf]), np.array([0.0, np.nan])])
def test_ratios_without_a_mean_are_not_trusted(bad: np.ndarray) -> None:
    weights, k_hat = smooth(bad)
    assert k_hat == np.inf and np.exp(weights).sum() == pytest.approx(1)
