"""Exact copies of rows are weights."""

import numpy as np
import pytest

from pushforward.estimators.copies import merge_copies
from pushforward.estimators.preparing import Table
from tests.clustering.test_copies import agreement, copied
from tests.estimators.small import density, mixture

RNG = np.random.default_rng(0)
TIMES = np.where(np.arange(450) < 50, 12, 1)


def test_copies_add_no_components() -> None:
    x, y = copied()
    fitted = mixture("auto", max_epochs=10, start_epochs=5).fit(x)
    assert fitted.n_components_ == 3 and agreement(fitted.labels_, y) > 0.98
    assert fitted.labels_.shape == (1000,)


@pytest.mark.parametrize(
    "make", [density, pytest.param(lambda **options: mixture(3, **options), marks=pytest.mark.long)]
)
def test_a_weight_and_as_many_copies_are_one(make: object) -> None:
    x = copied()[0][:450]
    options = {"validation_fraction": 0.1}
    weighted = make(**options).fit(x, sample_weight=TIMES)  # type: ignore[operator]
    replicated = make(**options).fit(np.repeat(x, TIMES, axis=0))  # type: ignore[operator]
    assert np.allclose(weighted.score_samples(x), replicated.score_samples(x), atol=1e-4)


def test_detectors_say_of_every_copy_whether_it_was_learned() -> None:
    import pushforward as pf

    x, _ = copied()
    detector = pf.FlowOutlierDetector(max_epochs=2, random_state=0, contamination=0.1).fit(x)
    assert detector.support_.shape == (1000,)
    assert (detector.support_[450:461] == detector.support_[0]).all()
    weighted = pf.FlowOutlierDetector(max_epochs=2, random_state=0, contamination=0.1).fit(x[:450], sample_weight=TIMES)
    assert weighted.offset_ == pytest.approx(detector.offset_, abs=1e-4)


def test_rows_that_agree_by_chance_stay_as_they_are() -> None:
    whole = RNG.integers(5, size=(400, 3)).astype(float)
    rounded = np.round(RNG.normal(size=(400, 2)), 1)
    line = np.column_stack([np.round(RNG.normal(size=400), 2), np.zeros(400)])
    points = RNG.normal(size=(5, 2))[RNG.integers(5, size=400)]
    column = np.tile(RNG.normal(size=(200, 1)), (2, 1))
    for x in (whole, rounded, line, points, column, RNG.normal(size=(400, 2))):
        table, merged = merge_copies(Table(x))
        assert merged is None and table.x is x


@pytest.mark.parametrize("decimals", [2, 4])
def test_copies_of_rounded_rows_are_told_from_rows_that_agree_by_chance(decimals: int) -> None:
    x = np.round(copied()[0][:450], decimals)
    table, _ = merge_copies(Table(np.repeat(x, TIMES, axis=0)))
    assert len(table.x) == 450 and table.weight is not None
    assert (table.weight == TIMES).all()


@pytest.mark.parametrize("n", [1_000, 100_000])
def test_counts_of_any_size_agree_by_chance(n: int) -> None:
    counts = np.random.default_rng(n).poisson(300.0, size=(n, 2)).astype(float)
    for x in (counts, counts[:, [0, 0]], np.column_stack([counts, counts.sum(axis=1)])):
        assert len(np.unique(x, axis=0)) < n  # some do agree
        assert merge_copies(Table(x))[1] is None


def test_weights_add_up_and_labels_and_conditions_tell_rows_apart() -> None:
    x = RNG.normal(size=(100, 2))
    label, condition = np.r_[np.zeros(100), np.zeros(50), np.ones(50)].astype(int), np.zeros((200, 1))
    condition[150:] = 1
    both = Table(np.tile(x, (2, 1)), None, None, np.arange(200.0))
    table, merged = merge_copies(both)
    assert merged is not None and (table.weight == np.arange(100) + np.arange(100, 200)).all()
    assert len(merge_copies(both._replace(label=label))[0].x) == 150
    assert len(merge_copies(both._replace(condition=condition))[0].x) == 150


def test_described_means_are_of_all_rows() -> None:
    x = np.concatenate([RNG.normal(size=(50, 2)), np.repeat(RNG.normal(10, 1, size=(10, 2)), 20, axis=0)])
    np.testing.assert_allclose(density(max_epochs=1).fit(x).columns_.mean, x.mean(axis=0))
    weight = np.arange(60.0)
    weighted = density(max_epochs=1).fit(x[:60], sample_weight=weight)
    np.testing.assert_allclose(weighted.columns_.mean, np.average(x[:60], axis=0, weights=weight))
