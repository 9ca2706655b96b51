"""How long fits take: as the curve asks, as max_epochs says, and what is said of it."""

import time
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

import pushforward as pf
from pushforward.estimators import mixture as of_mixture
from pushforward.estimators import mixture_fitting, starting
from pushforward.estimators.defaults import default_longest, default_settings
from pushforward.estimators.preparing import training_settings
from tests.estimators.small import blobs, density, mixture

X, Y = blobs(300)
JUDGED: dict[str, Any] = {"validation_fraction": 0.2, "learning_rate": 2e-2}


def test_a_fit_that_ends_while_it_improves_says_what_to_do() -> None:
    with pytest.warns(ConvergenceWarning, match="after all 6 epochs.* max_epochs=24, or set warm_start=True"):
        density(max_epochs=6, **JUDGED).fit(X)


def test_a_fit_that_has_settled_says_nothing() -> None:
    gaussian = np.random.default_rng(0).normal(size=(300, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        density(max_epochs=12, **{**JUDGED, "learning_rate": 1e-3}).fit(gaussian)
        density(max_epochs=2).fit(X)  # nothing to judge by


def test_budgets_follow_the_curve_unless_the_user_says_how_long() -> None:
    defaults = default_settings(200_000, longest=default_longest(10))
    assert training_settings(pf.FlowDensity(), defaults).most_epochs == 160
    for given in (pf.FlowDensity(max_epochs=20), pf.FlowDensity(training={"max_epochs": 20})):
        assert training_settings(given, defaults).most_epochs is None
    asked = pf.FlowDensity(max_epochs=20, training={"most_epochs": 30})
    assert training_settings(asked, defaults).most_epochs == 30
    assert default_longest(784) == 1


def test_a_default_budget_that_proves_too_small_is_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    from pushforward.estimators import density as of_density

    few = {**default_settings(240), "max_epochs": 4, "most_epochs": 8}
    monkeypatch.setattr(of_density, "default_settings", lambda *_, **__: few)
    with pytest.warns(ConvergenceWarning, match="all 8 epochs"):
        fitted = density(max_epochs=None, **JUDGED).fit(X)
    assert fitted.n_iter_ == 8


@pytest.mark.long
def test_seconds_are_of_the_start_and_the_refining_too(monkeypatch: pytest.MonkeyPatch) -> None:
    times = []

    def timed(function: Any) -> Any:
        def run(*args: Any, **options: Any) -> Any:
            times.append(time.monotonic())
            result = function(*args, **options)
            times.append(time.monotonic())
            return result

        return run

    for module, name in ((mixture_fitting, "start_mixture"), (of_mixture, "refine_posterior")):
        monkeypatch.setattr(module, name, timed(getattr(module, name)))
    fitted = mixture(refine_posterior=True, max_epochs=2).fit(X)
    assert fitted.seconds_ >= times[-1] - times[0]


@pytest.mark.long
def test_a_short_fit_starts_on_some_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    looked, near = [], []
    real_parts, real_near = starting.start_parts, starting.nearest_neighbours

    def parts(plan: Any, seed: int, z: Any, *rest: Any) -> Any:
        looked.append(len(z))
        return real_parts(plan, seed, z, *rest)

    def neighbours(z: Any, seed: int = 0, most: int = 0) -> Any:
        near.append((len(z), most))
        return real_near(z, seed)

    monkeypatch.setattr(starting, "start_parts", parts)
    monkeypatch.setattr(starting, "nearest_neighbours", neighbours)
    monkeypatch.setattr(starting, "MOST_PLACED", 90)
    monkeypatch.setattr(starting, "ROWS_AN_EPOCH", 50)
    short = mixture(max_epochs=2).fit(X)
    assert looked == [90] and near == [(300, 100), (90, 0)]
    assert all(len(set(short.labels_[k == Y])) == 1 for k in range(3))
    mixture(max_epochs=10).fit(X)  # whose first epoch trains on parts
    assert looked == [90, 300] and near[-1] == (300, 500)
    few_labels = np.where(np.arange(300) >= 290, Y, -1)
    mixture(max_epochs=2).fit(X, few_labels)
    assert 90 <= looked[-1] <= 100


@pytest.mark.long
def test_a_look_is_not_refined(monkeypatch: pytest.MonkeyPatch) -> None:
    refined = []
    real = of_mixture.refine_posterior

    def refine(*args: Any) -> Any:
        refined.append(args[-1])
        return real(*args)

    monkeypatch.setattr(of_mixture, "refine_posterior", refine)
    for options in ({"max_epochs": 2}, {"max_epochs": 5}, {"max_epochs": 2, "refine_posterior": True}):
        mixture(**{"refine_posterior": None, **options}).fit(X)
    assert refined == [5, 2]


def test_a_detector_that_learns_little_on_purpose_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        pf.FlowOutlierDetector(max_epochs=6, random_state=0, **JUDGED).fit(X)
