"""Neighbours and the embedding learned from them."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.datasets import load_digits
from sklearn.metrics import adjusted_rand_score, pairwise_distances
from sklearn.preprocessing import StandardScaler

from pushforward.clustering import embed, nearest_neighbours
from pushforward.clustering.neighbours import NEIGHBOURS

RNG = np.random.default_rng(0)


def test_neighbours_are_the_nearest_others() -> None:
    z = RNG.normal(size=(60, 3))
    found = nearest_neighbours(z, 0)
    far = pairwise_distances(z)
    np.fill_diagonal(far, np.inf)
    assert found.shape == (60, NEIGHBOURS)
    np.testing.assert_array_equal(np.sort(found), np.sort(np.argsort(far, axis=1)[:, :NEIGHBOURS]))


def test_few_rows_have_few_neighbours() -> None:
    assert nearest_neighbours(RNG.normal(size=(7, 50)), 0).shape == (7, 2)


@pytest.mark.long
def test_clusters_part_that_distances_do_not() -> None:
    X, y = load_digits(return_X_y=True)
    rows = StandardScaler().fit_transform(X[y < 5][:, X[y < 5].std(axis=0) > 0])
    found = embed(rows, nearest_neighbours(rows, 0), (64,), None, 0)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, rtol=1e-5)
    plain, embedded = (
        adjusted_rand_score(y[y < 5], KMeans(5, n_init=5, random_state=0).fit_predict(z)) for z in (rows, found)
    )
    assert embedded > max(0.85, plain + 0.05)
