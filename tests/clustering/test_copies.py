"""Exact copies of rows: found, and of one weight with their row."""

import numpy as np
import pytest

from pushforward.clustering import (
    count_clusters,
    distinct_rows,
    gaussian_partition,
    nearest_neighbours,
    partition_rows,
    spectral_partition,
)
from tests.estimators.small import CENTRES
from tests.sweeps import long_if


def copied(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three blobs of 450 rows, 50 of them twelve times over, and which blob each row is of."""
    rng = np.random.default_rng(seed)
    y = np.arange(450) % 3
    x = CENTRES[y] + rng.normal(size=(450, 2))
    return np.concatenate([x, np.repeat(x[:50], 11, axis=0)]), np.concatenate([y, np.repeat(y[:50], 11)])


def agreement(part: np.ndarray, y: np.ndarray) -> float:
    return float(sum(np.bincount(y[part == k]).max() for k in np.unique(part)) / len(y))


def test_distinct_rows_come_in_the_order_of_the_table() -> None:
    table = np.array([[3.0, 0.0], [1.0, 2.0], [3.0, -0.0], [0.0, 0.0], [1.0, 2.0], [1.0, 2.0]])
    found = distinct_rows(table)
    assert found.first.tolist() == [0, 1, 3] and found.place.tolist() == [0, 1, 0, 2, 1, 1]
    assert found.total(None).tolist() == [2, 3, 1]
    assert found.total(np.array([1, 2, 3, 4, 5, 6.0])).tolist() == [4, 13, 4]
    assert len(distinct_rows(table, np.array([0, 0, 1, 0, 0, 0])).first) == 4  # another label, another row


def test_distinct_rows_are_those_of_a_slow_search() -> None:
    table = np.random.default_rng(0).integers(3, size=(3000, 6)).astype(float)
    found = distinct_rows(table)
    assert len(found.first) == len(np.unique(table, axis=0)) and (table[found.first][found.place] == table).all()


@pytest.mark.parametrize("seed", [pytest.param(seed, marks=long_if(seed > 1)) for seed in range(10)])
def test_copies_add_no_clusters(seed: int) -> None:
    assert count_clusters(copied(seed)[0], seed)[0] == 3


def test_neighbours_are_of_distinct_rows() -> None:
    x, _ = copied()
    near = nearest_neighbours(x)
    assert near.shape == (1000, 10)
    assert (near[:450] == nearest_neighbours(x[:450])).all()
    assert all(len(np.unique(x[row], axis=0)) == 10 for row in near)
    assert (near[450:461] == near[0]).all()


def test_parts_are_those_of_the_distinct_rows() -> None:
    x, y = copied()
    for part in (spectral_partition(x, 3), partition_rows(x, 3), gaussian_partition(x, 3)):
        assert part is not None and agreement(part, y) > 0.99
    label = np.where(np.arange(1000) < 30, y, -1)
    assert (partition_rows(x, 3, label) == y).mean() > 0.99


def test_fewer_distinct_rows_than_are_asked_for_still_part() -> None:
    x = np.tile(np.random.default_rng(0).normal(size=(3, 2)), (40, 1))
    assert partition_rows(x, 3).shape == (120,) and nearest_neighbours(x).shape[0] == 120
