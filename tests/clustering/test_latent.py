"""Latent classes of tables with masses and skewed columns: what tells rows apart, which class each is of, how many."""

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from pushforward.clustering import latent
from pushforward.clustering.latent import class_partition, count_classes
from pushforward.clustering.told import is_skewed, levels_told, masses
from pushforward.data.columns import FloatArray
from pushforward.data.toy import pinwheel, two_circles
from tests.estimators.small import shoppers


def levels(n: int = 1500, seed: int = 0) -> tuple[list[FloatArray], np.ndarray]:
    x, segment = shoppers(n, seed)
    found = levels_told(x)
    assert found is not None
    return found, segment


def test_masses_are_values_far_more_frequent_than_those_beside_them() -> None:
    rng = np.random.default_rng(0)
    counts = rng.poisson(4, 1000).astype(float)
    assert masses(counts).tolist() == []
    assert masses(np.concatenate([counts, np.zeros(300)])).tolist() == [0]
    assert masses(np.concatenate([rng.random(1000), np.zeros(50), np.ones(50)])).tolist() == [0, 1]
    assert masses(np.concatenate([rng.random(1000), np.full(9, 0.5)])).tolist() == [], "too few rows"
    assert masses(rng.integers(2, size=100).astype(float)).tolist() == [], "each as frequent as the other"
    assert masses(np.full(100, 3.0)).tolist() == []


def test_a_column_is_skewed_where_logarithms_are_nearer_to_a_gaussian() -> None:
    z = np.random.default_rng(0).normal(size=1000)
    assert is_skewed(np.exp(10 + z)) and is_skewed(1e-9 * np.exp(z))
    assert not is_skewed(10 + z) and not is_skewed(z) and not is_skewed(-np.exp(z))


def test_levels_are_masses_and_tenths_on_any_scale() -> None:
    x = shoppers(1000)[0]
    found, logged = levels_told(x), levels_told(np.stack([x[:, 0], np.log1p(x[:, 1]), *x.T[2:]], axis=1))
    assert found is not None and logged is not None
    for own, other in zip(found, logged, strict=True):
        np.testing.assert_array_equal(own, other)
        np.testing.assert_array_equal(own.sum(axis=1), 1)
    np.testing.assert_array_equal(found[3][:, 0], x[:, 3] == 0)
    np.testing.assert_array_equal(found[3][:, 1], x[:, 3] == 1)
    assert found[1].shape[1] == 10 and np.ptp(found[1].sum(axis=0)) <= 2


def test_tables_without_masses_and_skew_of_few_rows_or_many_columns_are_left_to_distances() -> None:
    for X in (pinwheel(1000, seed=0)[0], two_circles(1000, seed=0)[0], 9 + pinwheel(1000, seed=0)[0]):
        assert levels_told(X) is None
    x = shoppers(300)[0]
    assert levels_told(x) is not None
    assert levels_told(x[:150]) is None
    assert levels_told(np.tile(x, 3)) is None


@pytest.mark.parametrize("seed", range(2))
def test_classes_are_found_and_counted(seed: int) -> None:
    found, segment = levels(seed=seed)
    part = class_partition(found, 3, seed=seed)
    assert part is not None and adjusted_rand_score(segment, part) > 0.75
    assert count_classes(found, seed=seed) == 3
    for k in (1, 2, 4, 200):
        assert class_partition(found, k, seed=seed) is None


def test_one_class_is_one_and_weights_count() -> None:
    found, segment = levels()
    one = [code[segment == 0] for code in found]
    assert count_classes(one) == 1
    weight = np.where(segment == 2, 1e-9, 1.0)
    assert count_classes(found, weight) == 2
    assert class_partition(found, 3, weight) is None


def test_of_many_rows_some_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    found, segment = levels(3000)
    monkeypatch.setattr(latent, "MOST_ROWS", 1500)
    part = class_partition(found, 3)
    assert part is not None and part.shape == (3000,)
    assert adjusted_rand_score(segment, part) > 0.75


def test_classes_beyond_a_dozen_are_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found, _ = levels()
    monkeypatch.setattr(latent, "MOST_CLASSES", 2)
    assert count_classes(found) is None
