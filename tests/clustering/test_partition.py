"""Where components start: partitions of the rows, and the moments of their parts."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.datasets import make_circles
from sklearn.metrics import accuracy_score, adjusted_rand_score

from pushforward.clustering import conductance, gaussian_partition, moments, partition, partition_rows
from tests.estimators.small import CENTRES, blobs

X, Y = blobs(300)


def test_clusters_without_labels() -> None:
    assert adjusted_rand_score(Y, partition_rows(X, 3, None, 0)) == 1
    assert adjusted_rand_score(Y, partition_rows(X, 3, np.full(300, -1), 0)) == 1


def test_clusters_of_unlike_spread_are_told_apart_where_rows_are_plenty() -> None:
    rng = np.random.default_rng(0)
    y = np.arange(600) % 2
    z = np.where(y[:, None] == 0, 0.2 * rng.normal(size=(600, 2)), [3, 0] + 1.5 * rng.normal(size=(600, 2)))
    plenty, few = (adjusted_rand_score(y[:n], partition_rows(z[:n], 2, None, 0)) for n in (600, 30))
    assert plenty > 0.85 > few  # by their neighbours, and by k-means


def test_rows_too_few_for_covariances_still_split() -> None:
    part = partition_rows(X[:12], 3, None, 0)
    assert adjusted_rand_score(Y[:12], part) == 1


def test_labels_spread_along_the_shape_of_the_data() -> None:
    z, y = make_circles(1000, noise=0.05, factor=0.5, random_state=0)
    label = np.full(1000, -1)
    for k in (0, 1):
        label[np.flatnonzero(y == k)[:16]] = k
    assert accuracy_score(y, partition_rows(z, 2, label, 0)) > 0.98


@pytest.mark.parametrize("present", [[0], [1], [2], [0, 2]])
@pytest.mark.parametrize("seed", range(3))
def test_components_without_labels_take_the_rest(present: list[int], seed: int) -> None:
    label = np.where(np.isin(Y, present) & (np.arange(300) < 30), Y, -1)
    part = partition_rows(X, 3, label, seed)
    for component in present:
        assert (part[component == Y] == component).all()
    assert adjusted_rand_score(Y, part) == 1


@pytest.mark.parametrize("labelled", [False, True])
def test_large_tables_are_split_by_a_part_of_their_rows(monkeypatch: pytest.MonkeyPatch, labelled: bool) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 60)
    label = np.where(np.arange(300) < 9, Y, -1) if labelled else None
    part = partition_rows(X, 3, label, 0)
    assert part.shape == (300,) and adjusted_rand_score(Y, part) == 1
    if labelled:
        np.testing.assert_array_equal(part, Y)


def test_one_seed_gives_one_partition() -> None:
    z = np.random.default_rng(0).normal(size=(200, 3))
    np.testing.assert_array_equal(partition_rows(z, 4, None, 3), partition_rows(z, 4, None, 3))


def test_moments_of_large_parts_are_theirs() -> None:
    z, y = blobs(30_000)
    locations, factors, shares = moments(z, y, 3, dense=True)
    np.testing.assert_allclose(locations, CENTRES, atol=0.02)
    np.testing.assert_allclose(factors @ factors.swapaxes(1, 2), np.tile(0.25 * np.eye(2), (3, 1, 1)), atol=0.01)
    assert (np.triu(factors, 1) == 0).all()
    np.testing.assert_allclose(shares, 1 / 3, atol=1e-3)


@pytest.mark.parametrize("dense", [True, False])
def test_small_and_empty_parts_start_wide_enough(dense: bool) -> None:
    part = np.array([0] * 297 + [1, 3, 3])  # one row, none, and two that are equal
    z = X.copy()
    z[-1] = z[-2]
    locations, factors, shares = moments(z, part, 4, dense=dense)
    assert shares.sum() == pytest.approx(1) and (shares > 0).all()
    np.testing.assert_allclose(locations[1], z[297])
    np.testing.assert_allclose(locations[2], z.mean(axis=0))
    scales = np.diagonal(factors, axis1=1, axis2=2) if dense else factors
    assert scales.shape == (4, 2) and (scales > 0.1).all() and np.isfinite(factors).all()
    np.testing.assert_allclose(scales[2], z.std(axis=0), rtol=0.1)


def test_moments_of_weighted_rows_are_those_of_repeated_ones() -> None:
    weight = np.where(Y == 0, 3.0, 1.0)
    repeated = np.repeat(np.arange(300), weight.astype(int))
    for dense in (True, False):
        weighted = moments(X, Y, 3, dense=dense, weight=weight)
        plain = moments(X[repeated], Y[repeated], 3, dense=dense)
        for a, b in zip(weighted, plain, strict=True):
            np.testing.assert_allclose(a, b, atol=0.02)
    assert weighted[2][0] == pytest.approx(0.6, abs=0.01)


def test_covariances_of_few_rows_in_many_columns_shrink_to_their_diagonal() -> None:
    rng = np.random.default_rng(0)
    turn = np.linalg.qr(rng.normal(size=(60, 60)))[0] * np.sqrt(np.geomspace(0.1, 10, 60))
    for n, at_least in ((80, 40), (20_000, 0)):
        z, fresh = rng.normal(size=(n, 60)) @ turn.T, rng.normal(size=(500, 60)) @ turn.T
        locations, factors, _ = moments(z, np.zeros(n, int), 1, dense=True)
        score = multivariate_normal(locations[0], factors[0] @ factors[0].T).logpdf(fresh).mean()
        bare = multivariate_normal(z.mean(axis=0), np.cov(z.T)).logpdf(fresh).mean()
        assert score > bare + at_least - 0.5


def test_gaussians_are_taken_for_gaussians_whatever_their_sizes() -> None:
    rng = np.random.default_rng(1)
    y = (rng.uniform(size=1500) < 0.1).astype(int)
    z = rng.normal(size=(1500, 2)) + np.array([5.0, 0.0]) * y[:, None]
    part = gaussian_partition(z, 2, 0)
    assert part is not None
    assert adjusted_rand_score(y, part) > 0.9
    assert gaussian_partition(z, 4, 0) is None


def test_what_is_no_gaussian_is_not_taken_for_one() -> None:
    angle, radius = np.random.default_rng(2).uniform(0, 2 * np.pi, 800), np.repeat([1.0, 3.0], 400)
    rings = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    assert gaussian_partition(rings + np.random.default_rng(3).normal(0, 0.1, rings.shape), 2, 0) is None


def test_conductance_by_hand() -> None:
    neighbours = np.array([[1], [0], [3], [2]])
    assert conductance(np.array([0, 0, 1, 1]), neighbours) == 0
    assert conductance(np.array([0, 1, 1, 1]), neighbours) == 1  # row 0's only neighbour is elsewhere
    assert conductance(np.array([0, 0, 0, 1]), neighbours) == 1
