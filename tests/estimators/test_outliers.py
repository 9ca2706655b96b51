"""FlowOutlierDetector: planted outliers, thresholds, support, files, bad input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import pushforward as pf
from pushforward.estimators.outliers import concentrated
from pushforward.service.kinds import scores
from tests.estimators.small import SMALL

N, FAR = 200, 12


def detector(**options: Any) -> pf.FlowOutlierDetector:
    return pf.FlowOutlierDetector(**{**SMALL, "max_epochs": 20, **options})


def planted(seed: int = 0) -> tuple[Any, Any]:
    """A correlated Gaussian, with a small cluster off its axis that no single column tells apart."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 2)) @ [[1.0, 0.95], [0.0, 0.3]]
    x[:FAR] = [1.5, -1.5] + 0.05 * rng.normal(size=(FAR, 2))
    return x, np.arange(N) < FAR


X, OUT = planted()


@pytest.fixture(scope="module")
def fitted() -> pf.FlowOutlierDetector:
    return detector(contamination=FAR / N).fit(X)


def test_a_planted_cluster_is_found(fitted: pf.FlowOutlierDetector) -> None:
    assert ((fitted.predict(X) == -1) == OUT).all()
    assert not fitted.support_[OUT].any()  # it was not learned
    assert fitted.support_.sum() == round(0.7 * N)
    assert roc_auc_score(OUT, -fitted.score_samples(X)) == 1.0


def test_decisions_are_scores_above_the_threshold(fitted: pf.FlowOutlierDetector) -> None:
    decisions = fitted.decision_function(X)
    assert np.allclose(decisions, fitted.score_samples(X) - fitted.offset_)
    assert ((decisions < 0) == (fitted.predict(X) == -1)).all()
    assert fitted.predict([[50.0, -50.0]]).tolist() == [-1]


def test_images_are_no_rows_of_a_table(fitted: pf.FlowOutlierDetector) -> None:
    with pytest.raises(ValueError, match="dim 3"):
        fitted.score_samples(X[:, None])


def test_fit_predict_is_fit_and_predict(fitted: pf.FlowOutlierDetector) -> None:
    assert (detector(contamination=FAR / N).fit_predict(X) == fitted.predict(X)).all()


def test_the_automatic_threshold_spares_rows_that_belong(fitted: pf.FlowOutlierDetector) -> None:
    auto = detector().fit(X)
    assert (auto.predict(X[OUT]) == -1).all()
    assert (auto.predict(X[~OUT]) == -1).mean() < 0.05
    assert auto.offset_ != fitted.offset_


def test_detectors_keep_their_threshold_in_files(fitted: pf.FlowOutlierDetector, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    assert isinstance(loaded, pf.FlowOutlierDetector) and loaded.offset_ == fitted.offset_
    assert (loaded.predict(X) == fitted.predict(X)).all() and (loaded.support_ == fitted.support_).all()


def test_a_single_column_goes_through_a_spline() -> None:
    rows = np.random.default_rng(0).normal(size=(100, 1))
    rows[0] = 30
    found = pf.FlowOutlierDetector(contamination=0.01, max_epochs=3, random_state=0).fit(rows)
    assert found.spec_.flow == "spline_coupling" and np.flatnonzero(found.predict(rows) == -1).tolist() == [0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"contamination": 0.0}, r'contamination must be in \(0, 0.5\] or "auto"; got 0.0'),
        ({"contamination": 0.6}, "contamination must be"),
        ({"contamination": "some"}, "contamination must be"),
        ({"support_fraction": 0.0}, r"support_fraction must be in \(0, 1\]; got 0.0"),
        ({"support_fraction": 1.5}, "support_fraction must be"),
        ({"support_fraction": float("nan")}, "support_fraction must be"),
    ],
)
def test_shares_that_are_none_are_refused_before_any_work(options: dict[str, Any], message: str) -> None:
    made = pf.FlowOutlierDetector()
    made.set_params(**options)
    with pytest.raises(ValueError, match=message):
        made.fit(X)
    assert not hasattr(made, "columns_")


@pytest.mark.parametrize("fraction", [0.5, 0.6])
def test_concentration_leaves_a_large_minority(fraction: float) -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(300, 3))
    z[:100] = 6 + 2 * rng.normal(size=(100, 3))
    assert not concentrated(z, fraction)[:100].any()
    assert concentrated(z, fraction).sum() == np.ceil(fraction * 300)


def test_a_whole_support_is_every_row() -> None:
    assert concentrated(np.zeros((5, 2)), 1.0).all()


def test_rows_of_no_weight_change_nothing_but_the_length_of_the_support() -> None:
    x = np.concatenate([X, 40 + np.random.default_rng(1).normal(size=(300, 2))])
    weight = np.r_[np.ones(N), np.zeros(300)]
    with_more = detector(contamination=FAR / N).fit(x, sample_weight=weight)
    alone = detector(contamination=FAR / N).fit(X, sample_weight=np.ones(N))
    assert with_more.offset_ == pytest.approx(alone.offset_, rel=1e-5)
    assert with_more.support_.shape == (N + 300,) and (with_more.support_[:N] == alone.support_).all()


def test_the_support_is_of_the_weight_not_of_the_rows() -> None:
    rng = np.random.default_rng(0)
    z = np.concatenate([rng.normal(size=(100, 2)), 8 + rng.normal(size=(300, 2))])
    kept = concentrated(z, 0.7, weight=np.r_[np.full(100, 10.0), np.full(300, 0.1)])
    assert kept[:100].mean() > 0.6 and not kept[100:].any()


def test_rows_are_judged_given_their_condition() -> None:
    rng = np.random.default_rng(0)
    c = (rng.random(400) < 0.25).astype(float)[:, None]
    x = rng.normal(size=(400, 2)) + 8 * c
    x[:3] = 20
    found = detector().fit_predict(x, condition=c) == -1
    assert found[:3].all() and found[3:].mean() < 0.05
    assert (concentrated(x, 0.7, c)[c[:, 0] == 1].mean()) > 0.5


def test_a_small_support_keeps_rows_enough_for_a_covariance() -> None:
    assert concentrated(np.random.default_rng(0).normal(size=(60, 2)), 0.01).sum() == 6


@pytest.mark.long
def test_typicality_is_measured_from_the_median_of_the_weight() -> None:
    x = np.random.default_rng(0).normal(size=(60, 2)) ** 3
    times = np.where(np.arange(60) < 21, 10, 1)
    options: dict[str, Any] = {"scoring": "typicality", "support_fraction": 1.0, "max_epochs": 1}
    model = detector(**options, validation_fraction=0.0).fit(x, sample_weight=times)
    dense = model.centre_ - np.abs(model.score_samples(x))  # of the rows below the centre
    nats = np.asarray(model.model_.log_prob(x))
    np.testing.assert_allclose(model.centre_, np.median(np.repeat(nats, times)), atol=1e-3)
    np.testing.assert_allclose(dense[nats < model.centre_], nats[nats < model.centre_], atol=1e-3)
    np.testing.assert_allclose(model.score(x), nats.mean(), atol=1e-3)  # not the mean typicality
    assert model.describe()["centre"] == model.centre_ and model.offset_ <= 0


@pytest.mark.parametrize("scoring", ["density", "typicality"])
def test_a_cooled_detector_has_no_threshold_until_it_is_given_one(scoring: str, tmp_path: Path) -> None:
    warm = detector(contamination=FAR / N, scoring=scoring, max_epochs=1).fit(X)
    cool = warm.cooled(0.5)
    assert warm.offset_ is not None and (warm.cooled(1.0).predict(X) == warm.predict(X)).all()
    assert cool.describe()["threshold"] is None and cool.describe()["centre"] is None
    for method in (cool.predict, cool.decision_function):
        with pytest.raises(ValueError, match="a cooled detector has no threshold, .* or set offset_"):
            method(X)
    assert cool.score(X) == pytest.approx(cool.score_samples(X).mean())  # log-densities
    assert list(scores(cool, X, None)) == ["log_density"]
    cool.save(tmp_path / "model")
    assert pf.load(tmp_path / "model").offset_ is None
    cool.offset_ = float(np.quantile(cool.score_samples(X), 0.2))
    assert (cool.predict(X) == -1).sum() == 0.2 * N
    assert list(scores(cool, X, None)) == ["log_density", "outlier"]
    assert warm.sample(3, temperature=0.5).shape == (3, 2)
