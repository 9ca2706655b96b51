"""How many clusters there are, and what speaks for the number."""

import numpy as np
import pytest

from pushforward.clustering import count_clusters, counting
from pushforward.clustering.counting import CONFUSED
from pushforward.data.toy import pinwheel
from tests.estimators.small import blobs


def test_blobs_are_counted_and_one_blob_is_one() -> None:
    found, confusion = count_clusters(blobs(300)[0], 0)
    assert found == 3
    assert (confusion[:2] < CONFUSED).all()
    assert count_clusters(np.random.default_rng(0).normal(size=(500, 4)), 0)[0] == 1


@pytest.mark.parametrize("seed", range(2))
def test_bent_wings_are_each_one(seed: int) -> None:
    X, _ = pinwheel(2560, seed=seed)
    found, confusion = count_clusters((X - X.mean(axis=0)) / X.std(axis=0), seed)
    assert found == 5
    assert len(confusion) > 8, "more Gaussians than wings"
    assert confusion[3] < CONFUSED < confusion[4]


def test_many_columns_and_rows_are_looked_at_in_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_FITTED", 200)
    rng = np.random.default_rng(0)
    y = np.arange(1000) % 4
    X = 8 * rng.normal(size=(4, 30))[y] + rng.normal(size=(1000, 30))
    assert count_clusters(X, 0)[0] == 4


@pytest.mark.parametrize("n", [2, 4, 9])
def test_few_rows_are_one_cluster_or_a_few(n: int) -> None:
    found, _ = count_clusters(np.random.default_rng(0).normal(size=(n, 2)), 0)
    assert 1 <= found <= max(1, n // 5)
