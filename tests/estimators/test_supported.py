"""FlowDensity on a base of Gaussians: these where they are right, a flow where held-out rows support it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
from sklearn.covariance import LedoitWolf

import pushforward as pf
from pushforward.clustering import Average
from pushforward.distributions import GaussianMixture, Normal
from pushforward.estimators import supported
from pushforward.training import Checkpoint, Settings, TrainingError

SHORT: dict[str, Any] = {"max_epochs": 12, "random_state": 0}


def correlated(n: int, dim: int, seed: int = 0) -> np.ndarray:
    mixing = np.random.default_rng(5).normal(size=(dim, dim)) / np.sqrt(dim) + np.eye(dim)
    return np.random.default_rng(seed).normal(size=(n, dim)) @ mixing + 5


def bent(n: int, seed: int = 0) -> np.ndarray:
    """A column along a parabola of another, and one along a wave."""
    z = np.random.default_rng(seed).normal(size=(n, 4))
    z[:, 1] = 0.3 * z[:, 1] + z[:, 0] ** 2
    z[:, 3] = 0.3 * z[:, 3] + np.sin(3 * z[:, 2])
    return z


def gaussian(rows: np.ndarray, fresh: np.ndarray) -> float:
    """The mean log-density of fresh rows under a shrunk Gaussian."""
    known = LedoitWolf().fit(rows)
    values = scipy.stats.multivariate_normal(known.location_, known.covariance_).logpdf(fresh)
    return float(values.mean())


def test_gaussian_rows_are_left_to_gaussians(tmp_path: Path) -> None:
    rows, fresh = correlated(400, 4), correlated(4000, 4, seed=1)
    model = pf.FlowDensity(**SHORT).fit(rows)
    assert model.spec_.n_layers == 0 and model.best_epoch_ == 0 and model.history_ == []
    assert model.score(fresh) > gaussian(rows, fresh) - 0.02
    assert "Gaussian" in model.describe()["flow"] and not model.describe()["flow_chosen"]
    drawn = model.sample(4000, random_state=1)
    np.testing.assert_allclose(np.cov(drawn.T), np.cov(fresh.T), atol=0.3)
    np.testing.assert_allclose(model.inverse_transform(model.transform(fresh)), fresh, atol=1e-3)
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(pf.load(tmp_path / "model").score_samples(fresh), model.score_samples(fresh))


@pytest.mark.long
def test_where_a_flow_is_right_it_is_about_as_good_as_one() -> None:
    rows, fresh = bent(1500), bent(3000, seed=1)
    model = pf.FlowDensity(random_state=0).fit(rows)
    plain = pf.FlowDensity("spline_coupling", n_layers=4, hidden_sizes=(32,), random_state=0).fit(rows)
    assert model.score(fresh) > plain.score(fresh) - 0.15
    assert model.spec_.n_layers == 4 and model.best_epoch_ > 0
    assert isinstance(model._flow.base, GaussianMixture) and len(model._flow.base.weights) > 1
    assert model.describe()["flow"] == "spline_coupling"


@pytest.mark.parametrize(("n", "dim"), [(25, 10), (100, 20)])
def test_of_few_rows_it_is_no_worse_than_a_shrunk_gaussian(n: int, dim: int) -> None:
    rows, fresh = correlated(n, dim), correlated(3000, dim, seed=1)
    model = pf.FlowDensity(**SHORT).fit(rows)
    assert model.score(fresh) > gaussian(rows, fresh) - 0.3
    assert model.history_ == [] and model.best_epoch_ == 0  # too few rows are held out to judge a flow by


@pytest.mark.parametrize("spread", [100.0, 5e5])
def test_heavy_tails_leave_the_bulk_as_wide_as_it_is(spread: float) -> None:
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 1)) * np.where(rng.random((4000, 1)) < 0.03, spread, 1.0)
    model = pf.FlowDensity(**SHORT).fit(rows[:2000])
    normal, tested = scipy.stats.norm.logpdf, rows[2000:]
    truth = np.logaddexp(np.log(0.97) + normal(tested), np.log(0.03) + normal(tested, scale=spread)).mean()
    assert truth - 0.15 < model.score(tested) < truth + 0.02
    middle = np.subtract(*np.quantile(model.sample(4000, random_state=0), (0.75, 0.25)))
    assert middle == pytest.approx(np.subtract(*np.quantile(tested, (0.75, 0.25))), rel=0.1)


def test_a_warm_start_fits_gaussians_anew() -> None:
    model = pf.FlowDensity(**SHORT, warm_start=True).fit(correlated(300, 3))
    assert model.spec_.n_layers == 0
    model.fit(correlated(300, 3, seed=2))
    assert model.spec_.n_layers == 0


def test_bounded_and_whole_columns_are_judged_where_gaussians_are_fitted() -> None:
    rng = np.random.default_rng(0)
    rows = np.stack([rng.gamma(2.0, 3.0, 600), rng.poisson(8.0, 600)], axis=1)
    model = pf.FlowDensity(**SHORT, bounds={0: (0, None)}).fit(rows)
    # a gamma and a Poisson, about: the entropies of both
    truth = scipy.stats.gamma(2.0, scale=3.0).entropy() + scipy.stats.poisson(8.0).entropy()
    fresh = np.stack([rng.gamma(2.0, 3.0, 3000), rng.poisson(8.0, 3000)], axis=1)
    assert -truth - 0.15 < model.score(fresh) < -truth + 0.1


@pytest.mark.long
def test_a_flow_that_has_not_moved_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds, whitening and whole numbers lie between the Gaussians and the rows that a flow scores."""
    seen: list[np.ndarray] = []

    def watched(gains: np.ndarray, weight: Any) -> float:
        seen.append(gains)
        return 1.5  # nothing for sure

    monkeypatch.setattr(supported, "standard_errors", watched)
    rng = np.random.default_rng(0)
    a = rng.normal(size=400) + 8 * (rng.random(400) < 0.5)
    rows = np.stack([rng.gamma(2.0, 3.0, 400), rng.poisson(8.0, 400), a, a + 1e-4 * rng.normal(size=400)], axis=1)
    pf.FlowDensity(**SHORT, learning_rate=1e-9, bounds={0: (0, None)}).fit(rows)
    assert abs(seen[0].mean()) < 0.1  # a flow starts near the identity, by small random numbers


@pytest.mark.long
def test_training_is_eased_unless_the_prior_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    from pushforward.estimators import flow_fitting

    seen: list[Settings] = []
    train = flow_fitting.train

    def watched(*args: Any, **given: Any) -> Any:
        seen.append(given["settings"])
        return train(*args, **given)

    monkeypatch.setattr(flow_fitting, "train", watched)
    rows = bent(400)
    pf.FlowDensity(max_epochs=1, random_state=0).fit(rows)
    pf.FlowDensity(max_epochs=1, random_state=0, weight_decay=0.1).fit(rows)
    pf.FlowDensity("spline_coupling", max_epochs=1, random_state=0).fit(rows)
    assert [settings.easing for settings in seen] == [supported.EASING, 1.0, 1.0, 1.0, 1.0]


@pytest.fixture
def shallow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Flows of one layer, which compile sooner."""
    recipe = pf.FlowDensity._recipe
    monkeypatch.setattr(pf.FlowDensity, "_recipe", lambda self, *given: recipe(self, *given)._replace(n_layers=1))


@pytest.mark.usefixtures("shallow")
@pytest.mark.parametrize("n_init", [1, pytest.param(2, marks=pytest.mark.long)])
def test_a_second_training_follows_and_is_resumed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, n_init: int) -> None:
    monkeypatch.setattr(supported, "SURE", -np.inf)
    monkeypatch.setattr(supported, "EASING", 1e4)  # the first flow stays where it is
    rows, options = bent(400), {"random_state": 0, "n_init": n_init}
    monkeypatch.setattr(
        "pushforward.estimators.density.default_settings",
        lambda n, **_: {"max_epochs": 20, "most_epochs": 40, "learning_rate": 2e-3},
    )
    model = pf.FlowDensity(**options).fit(rows, checkpoint=Checkpoint(tmp_path, epochs=5))
    assert {path.name for path in tmp_path.iterdir()} == {"training.safetensors"}
    again = pf.FlowDensity(**options).fit(rows, checkpoint=Checkpoint(tmp_path, epochs=5, resume=True))
    np.testing.assert_allclose(again.score_samples(rows), model.score_samples(rows), rtol=1e-5)


@pytest.mark.usefixtures("shallow")
def test_of_many_rows_a_flow_on_one_gaussian_is_tried_where_none_gains_for_sure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, options = bent(400), {"random_state": 0, "max_epochs": 20}
    monkeypatch.setattr(supported, "MANY", 100)
    sure = pf.FlowDensity(**options).fit(rows)
    assert isinstance(sure._flow.base, GaussianMixture)
    bars = iter([np.inf, -np.inf])  # the first flow is not sure to gain, and any is good enough at last
    monkeypatch.setattr(supported, "_gains", lambda *given: np.full(400, -1.0))
    monkeypatch.setattr(supported, "standard_errors", lambda gains, weight: next(bars) * -1)
    monkeypatch.setattr(supported, "_better", lambda best, train: train(None))
    assert isinstance(pf.FlowDensity(**options).fit(rows)._flow.base, Normal)


@pytest.mark.usefixtures("shallow")
def test_the_gaussians_that_are_kept_are_those_that_no_flow_gained_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supported, "SURE", np.inf)
    rows = bent(400)
    one = pf.FlowDensity(max_epochs=2, random_state=0).fit(rows)
    assert one.spec_.n_layers == 0 and one.n_iter_ == 2 and "none gains for sure" in one.describe()["flow"]
    fit = Average.fit

    def pressed(self: Average, given: np.ndarray, *more: Any) -> Any:
        if len(given) == len(rows):
            raise KeyboardInterrupt
        return fit(self, given, *more)

    monkeypatch.setattr(Average, "fit", pressed)  # those of the training rows are kept
    ended = pf.FlowDensity(max_epochs=2, random_state=0).fit(rows)
    assert ended.interrupted_ and ended.score(rows) == pytest.approx(one.score(rows), abs=0.2)


@pytest.mark.usefixtures("shallow")
def test_a_warm_start_keeps_wide_gaussians_wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supported, "SURE", -np.inf)
    rows = np.random.default_rng(0).standard_t(2, size=(400, 2))
    model = pf.FlowDensity(max_epochs=5, random_state=0, warm_start=True, weight_decay=10.0).fit(rows)
    first = model._flow.base
    model.fit(rows)  # a prior so strong holds whatever it pulls on
    assert isinstance(model._flow.base, GaussianMixture)
    np.testing.assert_allclose(model._flow.base.raw_weights, first.raw_weights, atol=0.02)


@pytest.mark.parametrize("far", [40.0, 1e4])
def test_a_row_far_outside_does_not_decide(far: float) -> None:
    rows, fresh = correlated(300, 2), correlated(3000, 2, seed=1)
    clean = pf.FlowDensity(random_state=0).fit(rows).score(fresh)
    rows[0, 0] = far
    assert pf.FlowDensity(**SHORT).fit(rows).score(fresh) > clean - 0.4


@pytest.mark.parametrize("n", [2, 3, 20])
def test_hardly_any_rows_are_enough(n: int) -> None:
    model = pf.FlowDensity(**SHORT).fit(np.random.default_rng(0).normal(size=(n, 2)))
    assert np.isfinite(model.score_samples(np.zeros((1, 2)))).all()


@pytest.mark.long
def test_where_gaussians_are_no_base_a_flow_trains_as_ever() -> None:
    rows = correlated(60, 2)
    repeated = np.repeat(correlated(20, 2), 10, axis=0)  # so few that copies look like shared values
    for given, condition, options in (
        (rows, None, {"flow": "maf"}),
        (rows, None, {"base": "normal"}),
        (rows, None, {"hidden_sizes": (8,)}),  # who gives sizes wants a flow of these
        (rows, rows[:, :1], {}),
        (repeated, None, {}),
    ):
        model = pf.FlowDensity(**options, max_epochs=1, random_state=0).fit(given, condition=condition)
        assert isinstance(model._flow.base, Normal) and model.n_iter_ == 1 and model.spec_.n_layers != 0


def test_bad_settings_are_refused_also_where_nothing_trains() -> None:
    rows = correlated(30, 2)
    with pytest.raises(ValueError, match="base must be one of"):
        pf.FlowDensity(base="nonsense").fit(rows)
    with pytest.raises(ValueError, match="unknown settings"):
        pf.FlowDensity(training={"nonsense": 1}).fit(rows)


@pytest.mark.usefixtures("shallow")
def test_what_diverges_later_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supported, "SURE", -np.inf)
    from pushforward.estimators import density, flow_fitting

    train, calls = flow_fitting.train, []

    def diverging(*args: Any, **given: Any) -> Any:
        calls.append(given)
        if len(calls) > 1:
            raise TrainingError("the loss is not finite")
        return train(*args, **given)

    monkeypatch.setattr(flow_fitting, "train", diverging)
    monkeypatch.setattr(density, "default_settings", lambda n, **_: {"max_epochs": 3, "most_epochs": 3})
    model = pf.FlowDensity(random_state=0).fit(bent(400))
    assert len(calls) == 2 and model.n_iter_ == 3 and np.isfinite(model.score(bent(400)))


def test_without_held_out_rows_a_flow_trains_as_ever() -> None:
    model = pf.FlowDensity(validation_fraction=0.0, max_epochs=2, random_state=0).fit(correlated(80, 2))
    assert model.n_iter_ == 2 and model.spec_.n_layers == 4
