"""FlowDensity: densities in the data's units, for every kind of column; samples; files; few compilations."""

import warnings
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from sklearn.base import clone

import pushforward as pf
from pushforward import trees
from pushforward.bijections import Scan, SolveError
from pushforward.estimators.defaults import default_settings
from pushforward.estimators.preparing import split_rows, training_settings
from tests.compilations import compilations
from tests.estimators.small import blobs, density

X, _ = blobs()
ONE: dict[str, Any] = {"flow": "spline_coupling", "n_layers": 1, "hidden_sizes": (8,), "random_state": 0}


def mass(model: pf.FlowDensity, low: float, high: float) -> float:
    """Of a one-column density between two points."""
    grid = np.linspace(low, high, 4001)
    return float(np.trapezoid(np.exp(model.score_samples(grid[:, None]).astype(float)), grid))


@pytest.mark.long
def test_one_bimodal_column() -> None:
    rng = np.random.default_rng(0)
    sides = rng.choice([-1, 1], size=(1000, 1))
    x = 100 + 30 * sides + 5 * rng.normal(size=(1000, 1))
    model = pf.FlowDensity(random_state=0).fit(x)
    assert mass(model, 0, 200) == pytest.approx(1, abs=0.01)
    at_modes, between, outside = model.score_samples([[70], [130]]), *model.score_samples([[100], [20]])
    assert at_modes.min() > between + 2 and between > outside - 50
    fresh = 100 + 30 * rng.choice([-1, 1], size=(1000, 1)) + 5 * rng.normal(size=(1000, 1))
    truth = np.log(0.5 * sum(scipy.stats.norm(100 + s, 5).pdf(fresh[:, 0]) for s in (-30, 30))).mean()
    assert truth - 0.15 < model.score(fresh) < truth + 0.02
    drawn = model.sample(1000, random_state=0)[:, 0]
    assert 0.4 < (drawn < 100).mean() < 0.6 and np.abs(np.abs(drawn - 100) - 30).mean() < 8


@pytest.mark.long
@pytest.mark.parametrize(
    ("bounds", "values"),
    [((0, 1), lambda rng: rng.beta(0.7, 2, 300)), ((0, None), lambda rng: rng.exponential(50, 300))],
    ids=["both ends", "positive"],
)
def test_bounded_columns_have_all_their_mass_inside(bounds: Any, values: Any) -> None:
    x = values(np.random.default_rng(0))
    model = pf.FlowDensity(**ONE, max_epochs=20, bounds={0: bounds}).fit(x[:, None])
    low, high = 0.0, 1.0 if bounds[1] else 2000.0
    # a steep end may hold mass between grid points: integrate over the logarithm of the distance to it
    log_grid = np.linspace(np.log(1e-9 * high), np.log(high / 2), 4001)
    density = np.exp(model.score_samples(np.exp(log_grid)[:, None]).astype(float) + log_grid)
    upper = mass(model, high / 2, high * (1 - 1e-6) if bounds[1] else high)
    assert np.trapezoid(density, log_grid) + upper == pytest.approx(1, abs=0.02)
    beyond = [[low - 0.1]] + ([[1.1]] if bounds[1] else [])
    assert (model.score_samples(beyond) == -np.inf).all()
    drawn = model.sample(500)
    assert drawn.min() >= low and (bounds[1] is None or drawn.max() <= high)
    assert model.columns_.kinds == ["bounded"]


def test_probabilities_of_whole_numbers_sum_to_one() -> None:
    counts = np.random.default_rng(0).poisson(3, (400, 1))
    model = pf.FlowDensity(**ONE, max_epochs=40).fit(counts)
    assert model.columns_.kinds == ["whole number"]
    p = np.exp(model.score_samples(np.arange(-30, 60)[:, None]).astype(float))
    assert p.sum() == pytest.approx(1, abs=0.02)
    assert np.abs(p[30:42] - scipy.stats.poisson(3).pmf(np.arange(12))).max() < 0.06
    np.testing.assert_array_equal(model.score_samples(counts), model.score_samples(counts))  # fixed draws
    drawn = model.sample(300)
    assert (drawn == np.round(drawn)).all()


@pytest.mark.long
def test_tied_values_do_not_gather_unlimited_density() -> None:
    rng = np.random.default_rng(0)
    x = np.where(rng.uniform(size=600) < 0.4, 0.5, rng.normal(size=600))
    model = pf.FlowDensity(**ONE, max_epochs=60).fit(x[:, None])
    assert model.columns_.width[0] > 0
    # the spike's mass over the width of its noise bounds the density there
    assert model.score_samples([[0.5]])[0] < np.log(0.5 / model.columns_.width[0])
    assert mass(model, -6, 7) == pytest.approx(1, abs=0.02)


@pytest.mark.long
def test_large_offsets_change_nothing() -> None:
    near, far = density().fit(X), density().fit(X + 2.0**30)
    np.testing.assert_allclose(far.score_samples(X + 2.0**30), near.score_samples(X), atol=1e-4)
    assert abs(far.transform(X + 2.0**30) - near.transform(X)).max() < 1e-4


@pytest.mark.long
def test_draws_keep_the_digits_of_large_numbers() -> None:
    times = 1_700_000_000 + np.random.default_rng(0).integers(0, 10**5, size=(90, 1))
    model = density(flow="spline_coupling").fit(times)
    drawn = model.sample(300)
    assert (drawn == np.round(drawn)).all() and 0.3 < (drawn % 2).mean() < 0.7
    assert np.abs(model.inverse_transform(model.transform(times)) - times).max() <= 1


@pytest.mark.long
def test_ties_on_a_bound_are_learned() -> None:
    rng = np.random.default_rng(0)
    rain = np.where(rng.uniform(size=400) < 0.3, 0, rng.exponential(size=400))
    model = pf.FlowDensity(**ONE, max_epochs=20, bounds=(0, None)).fit(rain[:, None])
    assert len(model.history_) == 20 and np.isfinite([row["train_loss"] for row in model.history_]).all()
    assert np.isfinite(model.score_samples(rain[:, None])).all() and (model.sample(200) >= 0).all()


@pytest.mark.long
def test_one_far_cell_does_not_decide_when_training_ends() -> None:
    x = np.random.default_rng(0).normal(size=(400, 1))
    x[3] = 1e4
    for seed in range(3):
        model = density(flow="spline_coupling", max_epochs=30, validation_fraction=0.3, random_state=seed).fit(x)
        assert model.best_epoch_ > 5


@pytest.mark.long
def test_patience_follows_the_epochs_that_are_asked_for() -> None:
    model = density(max_epochs=300, patience=None, validation_fraction=0.2).fit(X)
    assert training_settings(model, default_settings(72)).patience == 100


@pytest.fixture(scope="module")
def fitted() -> pf.FlowDensity:
    return density().fit(X)


def test_the_units_are_the_datas(fitted: pf.FlowDensity) -> None:
    scaled = density().fit(X * [10, 0.1])
    np.testing.assert_allclose(scaled.score_samples(X * [10, 0.1]), fitted.score_samples(X), atol=1e-3)
    stretched = density().fit(X * 10)
    np.testing.assert_allclose(stretched.score_samples(X * 10), fitted.score_samples(X) - 2 * np.log(10), atol=1e-3)
    np.testing.assert_allclose(fitted.model_.log_prob(X), fitted.score_samples(X), atol=1e-4)
    assert fitted.score(X) == pytest.approx(fitted.score_samples(X).mean())
    assert fitted.score_samples(X).dtype == np.float32


@pytest.mark.long
def test_results_are_float64_where_jax_is(float64: None) -> None:
    model = density().fit(X)
    assert model.score_samples(X).dtype == model.sample(3).dtype == model.transform(X).dtype == np.float64


def test_noise_and_back(fitted: pf.FlowDensity) -> None:
    z = fitted.transform(X)
    assert z.shape == X.shape
    np.testing.assert_allclose(fitted.inverse_transform(z), X, atol=1e-3)


def test_many_rows_are_scored_in_parts(monkeypatch: pytest.MonkeyPatch, fitted: pf.FlowDensity) -> None:
    from pushforward.estimators import scoring

    monkeypatch.setattr(scoring, "SCORE_ROWS", 40)
    parts = fitted.score_samples(X)
    monkeypatch.undo()
    np.testing.assert_allclose(parts, fitted.score_samples(X), rtol=1e-5)


def test_samples_follow_their_seed(fitted: pf.FlowDensity) -> None:
    assert fitted.sample(4).shape == (4, 2)
    np.testing.assert_array_equal(fitted.sample(4), fitted.sample(4))  # the estimator's own seed
    np.testing.assert_array_equal(fitted.sample(4, random_state=7), fitted.sample(4, random_state=7))
    assert not np.array_equal(fitted.sample(4), fitted.sample(4, random_state=7))


def test_one_seed_gives_equal_bits(fitted: pf.FlowDensity) -> None:
    again = clone(fitted).fit(X)
    assert again.history_ == fitted.history_
    np.testing.assert_array_equal(again.score_samples(X), fitted.score_samples(X))
    assert not np.array_equal(density(random_state=1).fit(X).score_samples(X), fitted.score_samples(X))


def test_rows_of_weight_zero_are_as_if_they_were_not_there(fitted: pf.FlowDensity) -> None:
    more = np.concatenate([X, np.full((5, 2), 1e3)])
    weighted = density().fit(more, sample_weight=np.repeat([2.0, 0.0], [90, 5]))
    np.testing.assert_array_equal(weighted.score_samples(X), fitted.score_samples(X))


def test_weights_pull() -> None:
    heavy = density(max_epochs=30).fit(X, sample_weight=np.where(X[:, 0] < -2, 50.0, 1.0))
    light = density(max_epochs=30).fit(X)
    left = [[-4.0, 0.0]]
    assert heavy.score_samples(left)[0] > light.score_samples(left)[0] + 0.5


@pytest.mark.long
@pytest.mark.parametrize("dim", [1, 2])
def test_conditions(dim: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    c = rng.uniform(-1, 1, size=(600, 1)) * 1000
    x = np.concatenate([5 * (c / 1000) + 0.3 * rng.normal(size=(600, 1)), rng.normal(size=(600, 1))], axis=1)[:, :dim]
    model = density(max_epochs=40, learning_rate=1e-2).fit(x, condition=c)
    assert model.score(x, condition=c) > model.score(x, condition=-c) + 2
    two = np.array([[-900.0], [900.0]])
    drawn = model.sample(200, condition=two)
    assert drawn.shape == (200, 2, dim)
    np.testing.assert_allclose(drawn[..., 0].mean(axis=0), [-4.5, 4.5], atol=1)
    np.testing.assert_allclose(model.inverse_transform(model.transform(x, c), c), x, atol=1e-2)
    with pytest.raises(ValueError, match=r"fitted with condition= of 1 columns \(c0\)"):
        model.score_samples(x)
    with pytest.raises(ValueError, match="condition has 2 columns; the model was fitted with 1"):
        model.score_samples(x, condition=np.ones((600, 2)))
    model.save(tmp_path / "model")
    np.testing.assert_array_equal(pf.load(tmp_path / "model").score_samples(x, c), model.score_samples(x, c))


@pytest.mark.long
def test_a_saved_model_comes_back_equal(tmp_path: Path) -> None:
    table = pd.DataFrame({"far": 1e9 + X[:, 0], "share": scipy.stats.norm.cdf(X[:, 1] / 6), "count": np.arange(90) % 7})
    model = density(bounds={"share": (0, 1)}, patience=5, training={"averaging": 0.5}).fit(table)
    model.save(tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    assert isinstance(loaded, pf.FlowDensity) and loaded.get_params() == model.get_params()
    for name, value in model.columns_.to_state().items():
        np.testing.assert_array_equal(getattr(loaded.columns_, name), value)
    assert loaded.columns_.shift.dtype == np.float64
    assert loaded.history_ == model.history_ and loaded.n_iter_ == model.n_iter_ == 3
    assert loaded.feature_names_in_.tolist() == ["far", "share", "count"]
    np.testing.assert_array_equal(loaded.score_samples(table), model.score_samples(table))
    np.testing.assert_array_equal(loaded.sample(5), model.sample(5))


def test_warm_start_goes_on_and_keeps_the_columns() -> None:
    model = density(warm_start=True).fit(X)
    columns, before = model.columns_, model.score(X)
    model.fit(X + 0.1)
    assert model.columns_ is columns
    assert model.score(X) > before
    with pytest.raises(ValueError, match="X has 3 features"):
        model.fit(np.ones((5, 3)))


@pytest.mark.long
def test_the_best_restart_wins() -> None:
    model = density(n_init=2, validation_fraction=0.2).fit(X)
    assert {"train_loss", "validation_loss"} <= set(model.history_[0])
    np.testing.assert_allclose(model.model_.log_prob(X), model.score_samples(X), atol=1e-4)
    again = density(n_init=2, validation_fraction=0.2).fit(X)
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


@pytest.mark.long
def test_held_out_rows_are_a_share_and_small_tables_have_none() -> None:
    model = density(validation_fraction=0.2, max_epochs=4)
    few = model.fit(X[:40])
    assert all(entry["validation_loss"] is None for entry in few.history_)
    train, held_out = split_rows(X, 0.2, 0)
    assert len(held_out) == 18 and sorted([*train, *held_out]) == list(range(90))
    keep = np.arange(90) < 30
    train, held_out = split_rows(X, 0.2, 0, keep)
    assert len(held_out) == 12 and not keep[held_out].any()


def test_a_second_fit_of_like_shaped_data_compiles_nothing(fitted: pf.FlowDensity) -> None:
    fitted.score_samples(X)
    fitted.transform(X)
    with compilations() as compiled:
        other = density(max_epochs=5, learning_rate=0.01, weight_decay=0.1, random_state=3).fit(2 * X[:70] + 1)
        other.score_samples(X)
        other.transform(X)
    assert compiled == []


@pytest.mark.long
def test_a_bounded_column_over_orders_of_magnitude_is_a_density() -> None:
    sigma = 5.0
    x = np.exp(sigma * np.random.default_rng(0).normal(size=(1000, 1)))
    model = density(bounds=(0, None), discrete="none", **ONE | {"max_epochs": 30}).fit(x)
    t = np.linspace(-8 * sigma, 8 * sigma, 4001)
    assert np.trapezoid(np.exp(model.score_samples(np.exp(t)[:, None]) + t), t) == pytest.approx(1, abs=1e-3)
    drawn = np.log(model.sample(2000)[:, 0])
    np.testing.assert_allclose(np.quantile(drawn, [0.25, 0.5, 0.75]) / sigma, [-0.67, 0, 0.67], atol=0.25)


@pytest.mark.long
def test_rows_beyond_the_bounds_have_no_noise() -> None:
    model = density(bounds=(0, 1)).fit(np.random.default_rng(0).uniform(size=(60, 2)))
    with pytest.raises(ValueError, match=r"beyond the bounds of the fit in columns 'x1' \(1\)"):
        model.transform([[0.5, 2.0]])
    assert model.score_samples([[0.5, 2.0]])[0] == -np.inf


def test_results_are_in_the_precision_of_the_rows() -> None:
    model = density().fit(X)
    assert model.score_samples(X.astype(np.float32)).dtype == np.float32
    with jax.enable_x64(True):
        assert model.score_samples(X.astype(np.float32)).dtype == np.float32
        assert model.score_samples(X).dtype == np.float64


@pytest.mark.long
def test_draws_whose_equation_does_not_converge_are_no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    model = density(flow="residual", n_layers=1).fit(X)
    assert np.isfinite(model.score_samples(X)).all()  # densities take no iteration
    monkeypatch.setattr("pushforward.bijections.residual.STEPS", 1)
    with pytest.raises(SolveError, match="no number for [12][0-9] of 20 rows"):
        model.sample(20)


@pytest.mark.long
def test_estimates_of_a_row_do_not_depend_on_its_company() -> None:
    model = density(flow="indexed_real_nvp", n_layers=1).fit(X)
    scores = model.score_samples(X)
    assert np.allclose(model.score_samples(X[::-1])[::-1], scores, atol=1e-5)
    assert model.score_samples(X[4:5])[0] == pytest.approx(scores[4], abs=1e-5)
    assert len(np.unique(scores)) == len(X)
    noise = model.transform(X)
    assert np.allclose(model.transform(X[4:5])[0], noise[4], atol=1e-5)
    assert np.allclose(model.inverse_transform(noise[4:5])[0], model.inverse_transform(noise)[4], atol=1e-4)


@pytest.mark.long
def test_scores_that_hang_on_one_draw_are_told() -> None:
    model = density(flow="indexed_real_nvp", n_layers=1).fit(X)
    far = np.vstack([X.mean(0), X.mean(0) + 1e4 * X.std(0)])
    with pytest.warns(UserWarning, match=r"of 1 of 2 rows rest on less than 2 effective draws of 64"):
        scores = model.score_samples(far)
    assert scores[1] < scores[0] - 1000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.score_samples(far[:1])


def test_a_warm_start_keeps_the_options_of_its_recipe() -> None:
    model = density(flow="indexed_real_nvp", n_layers=1, flow_options={"index_dim": 1}, warm_start=True).fit(X)
    with pytest.raises(ValueError, match=r"flow_options=\{'index_dim': 3\} \(was \{'index_dim': 1\}\)"):
        model.set_params(flow_options={"index_dim": 3}).fit(X)


@pytest.mark.long
def test_options_of_a_recipe_reach_it() -> None:
    """Names are checked, the model is what the recipe makes of them, and it comes back from its parameters."""
    options = {"index": "layer", "index_hidden_sizes": [4]}
    model = density(flow="indexed_real_nvp", n_layers=1, flow_options=options).fit(X)
    networks = [leaf.shape[-2:] for leaf in jax.tree.leaves(model._flow) if getattr(leaf, "ndim", 0) > 1]
    assert (4, X.shape[1]) in networks
    assert isinstance(model._flow.bijection.bijections[0], Scan)
    assert clone(model).get_params()["flow_options"] == options
    few = density(flow="spline_coupling", n_layers=1, flow_options={"n_bins": 3}).fit(X)
    many = density(flow="spline_coupling", n_layers=1, flow_options={"n_bins": 9}).fit(X)
    assert trees.n_parameters(few._flow) < trees.n_parameters(many._flow)
    with pytest.raises(ValueError, match=r"flow_options has \['bins'\], which 'maf' does not take; it takes"):
        density(flow="maf", flow_options={"bins": 3}).fit(X)
