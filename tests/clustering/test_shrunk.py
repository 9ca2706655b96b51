"""Gaussian mixtures with shrunk covariances: densities, weights, heavy tails, few rows, averages."""

import numpy as np
import pytest
import scipy.stats
from sklearn.covariance import LedoitWolf

from pushforward.clustering import Gaussians, choose_gaussians, shrunk_gaussians
from pushforward.clustering.shrunk import _stacked, standard_errors


def best_gaussians(rows: np.ndarray, seed: int = 0) -> Gaussians:
    return choose_gaussians(rows, seed=seed).fit(rows, seed=seed)


def two_clusters(n: int = 300) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) * [1, 3] + 12 * (np.arange(n) % 2)[:, None]


def correlated(n: int, dim: int, seed: int = 0) -> np.ndarray:
    mixing = np.random.default_rng(5).normal(size=(dim, dim)) / np.sqrt(dim) + np.eye(dim)
    return np.random.default_rng(seed).normal(size=(n, dim)) @ mixing


def test_the_density_is_scipys() -> None:
    found = shrunk_gaussians(two_clusters(), 2, 0.1)
    assert found.weights.sum() == pytest.approx(1)
    each = [
        weight * scipy.stats.multivariate_normal(mean, factor @ factor.T).pdf(two_clusters())
        for weight, mean, factor in zip(*found, strict=True)
    ]
    np.testing.assert_allclose(found.log_prob(two_clusters()), np.log(sum(each)), rtol=1e-9)


def test_clusters_are_found_as_they_are() -> None:
    rows = two_clusters(20_000)  # more than components are looked for in
    found = shrunk_gaussians(rows, 2, 0.1)
    order = np.argsort(found.means[:, 0])
    np.testing.assert_allclose(found.means[order], [[0, 0], [12, 12]], atol=0.1)
    covariances = found.factors @ np.swapaxes(found.factors, 1, 2)
    np.testing.assert_allclose(covariances[order], [np.diag([1.0, 9.0])] * 2, atol=0.4)


def test_moved_to_other_coordinates_and_back_they_are_the_same() -> None:
    found = shrunk_gaussians(two_clusters(), 3, 0.1)
    location, factor = np.array([1.0, -2.0]), np.array([[2.0, 0.0], [0.5, 0.3]])
    rows = two_clusters()
    inner = np.linalg.solve(factor, (rows - location).T).T
    moved = found.moved(location, factor)
    np.testing.assert_allclose(moved.log_prob(inner) - np.log(0.6), found.log_prob(rows), atol=1e-8)
    for one, other in zip(moved.under(location, factor), found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-9)


@pytest.mark.parametrize("size", [1, 2])
def test_a_weight_is_so_many_copies(size: int) -> None:
    rows, twice = two_clusters(), np.arange(300) % 3 == 0
    weighted = shrunk_gaussians(rows, size, 0.01, 1.0 + twice)
    copied = shrunk_gaussians(np.concatenate([rows, rows[twice]]), size, 0.01)
    # the mean weight is one, while copies are more rows: the prior counts for a little less
    np.testing.assert_allclose(weighted.log_prob(rows), copied.log_prob(rows), atol=0.02)


@pytest.mark.parametrize("spread", [100.0, 5e5])
def test_heavy_tails_are_a_mixture_of_scales(spread: float) -> None:
    rng = np.random.default_rng(1)
    scale = np.where(rng.random(4000) < 0.03, spread, 1.0)
    rows = (scale * rng.normal(size=4000))[:, None]
    found = best_gaussians(rows[:2000] / rows.std())
    tested = rows[2000:]
    normal = scipy.stats.norm.logpdf
    truth = np.logaddexp(np.log(0.97) + normal(tested), np.log(0.03) + normal(tested, scale=spread)).mean()
    assert truth - 0.1 < found.log_prob(tested / rows.std()).mean() - np.log(rows.std()) < truth + 0.02


@pytest.mark.parametrize(("n", "dim"), [(25, 10), (100, 20), (200, 60)])
def test_of_few_rows_the_covariance_is_shrunk(n: int, dim: int) -> None:
    rows, fresh = correlated(n, dim), correlated(5000, dim, seed=1)
    known = LedoitWolf().fit(rows)
    rival = scipy.stats.multivariate_normal(known.location_, known.covariance_).logpdf(fresh).mean()
    assert best_gaussians(rows).log_prob(fresh).mean() > rival - 0.1


def test_of_many_rows_one_gaussian_is_as_good_as_it_can_be() -> None:
    rows, fresh = correlated(2000, 20), correlated(5000, 20, seed=1)
    plain = scipy.stats.multivariate_normal(rows.mean(axis=0), np.cov(rows.T)).logpdf(fresh).mean()
    assert best_gaussians(rows).log_prob(fresh).mean() > plain - 0.01


def test_models_are_averaged_as_held_out_rows_like_best() -> None:
    better = np.array([[0.0, -1.0], [0.0, -1.0], [0.0, -2.0]])
    assert _stacked(better, np.full(3, 1 / 3)).tolist() == [1.0, 0.0]
    each_its_own = np.array([[0.0, -5.0], [-5.0, 0.0]])
    np.testing.assert_allclose(_stacked(each_its_own, np.full(2, 0.5)), 0.5, atol=1e-6)
    np.testing.assert_allclose(_stacked(each_its_own, np.array([0.8, 0.2])), [0.8, 0.2], atol=0.02)


@pytest.mark.parametrize(("n", "seed"), [(500, 5), (1500, 0)])
def test_heavy_tails_are_not_left_to_one_gaussian(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, fresh = rng.standard_t(2, (n, 2)), rng.standard_t(2, (3000, 2))
    truth = scipy.stats.t(2).logpdf(fresh).sum(axis=1).mean()
    assert truth - 0.15 < best_gaussians(rows).log_prob(fresh).mean() < truth + 0.02


def test_weights_of_any_size_are_shares() -> None:
    rows = two_clusters()
    huge = shrunk_gaussians(rows, 2, 0.1, np.full(300, 1e308))
    np.testing.assert_allclose(huge.log_prob(rows), shrunk_gaussians(rows, 2, 0.1).log_prob(rows), atol=1e-9)


def test_rows_of_one_gaussian_are_one() -> None:
    found = [len(best_gaussians(correlated(400, 3, seed), seed=seed).weights) for seed in range(8)]
    assert sum(n == 1 for n in found) >= 7
    assert len(best_gaussians(two_clusters()).weights) > 1


def test_what_is_sure_is_counted_in_standard_errors() -> None:
    gains = np.array([0.0, 2.0, 0.0, 2.0])
    assert standard_errors(gains) == pytest.approx(2.0, rel=1e-5)
    assert standard_errors(gains, np.array([1.0, 1.0, 3.0, 3.0])) == pytest.approx(1 / np.sqrt(20 / 64), rel=1e-5)
    assert standard_errors(np.full(9, 1e-4)) == pytest.approx(0.1) and standard_errors(np.array([1.0, -np.inf])) == 0.0


def test_many_that_are_alike_leave_an_average() -> None:
    for seed in range(8):
        rows = np.random.default_rng(seed).normal(size=(700, 1))
        assert np.isfinite(best_gaussians(rows, seed=seed).log_prob(rows)).all()


def test_an_average_is_one_mixture() -> None:
    found = best_gaussians(np.random.default_rng(0).standard_t(3, size=(400, 2)))
    assert isinstance(found, Gaussians)
    assert found.weights.sum() == pytest.approx(1) and (found.weights > 0).all()
    axis = np.linspace(-40, 40, 501)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    density = np.exp(found.log_prob(grid)).reshape(501, 501)
    assert np.trapezoid(np.trapezoid(density, axis), axis) == pytest.approx(1, abs=5e-3)


def test_copies_leave_the_density_as_it_is() -> None:
    found = shrunk_gaussians(two_clusters(), 3, 0.1)
    more = found.of_size(8)
    assert len(more.weights) == 8 and more.weights.max() < found.weights.max() / 2
    np.testing.assert_allclose(more.log_prob(two_clusters()), found.log_prob(two_clusters()), atol=1e-12)
