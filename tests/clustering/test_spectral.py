"""Clusters by nearest neighbours: of any shape, and none of a handful of rows far from the others."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pushforward.clustering import spectral_partition
from pushforward.data.toy import pinwheel, two_circles


@pytest.mark.parametrize("seed", range(3))
def test_rings_and_wings_are_parts(seed: int) -> None:
    X, circle = two_circles(1024, seed=seed)
    assert adjusted_rand_score(circle, spectral_partition(X, 2, seed)) == 1
    X, wing = pinwheel(2560, seed=seed)
    assert adjusted_rand_score(wing, spectral_partition(X, 5, seed)) > 0.96


def test_a_few_rows_far_out_are_no_part_of_their_own() -> None:
    rng = np.random.default_rng(0)
    far = np.array([30.0, 0.0]) + 0.01 * rng.normal(size=(12, 2))
    y = np.arange(600) % 2
    X = np.concatenate([rng.normal(size=(600, 2)) + 7 * y[:, None], far])
    assert adjusted_rand_score(y, spectral_partition(X, 2, 0)[:600]) > 0.98


def test_one_seed_gives_one_partition() -> None:
    z = np.random.default_rng(0).normal(size=(200, 3))
    np.testing.assert_array_equal(spectral_partition(z, 4, 3), spectral_partition(z, 4, 3))
