"""FlowMixture: clusters, labels, exact and learned posteriors, samples by component, model choice."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score

import pushforward as pf
from pushforward.data.toy import two_circles
from tests.compilations import compilations
from tests.estimators.small import CENTRES, blobs, mixture, shoppers

X, Y = blobs()
FRESH, FRESH_Y = blobs(seed=1)


@pytest.fixture(scope="module")
def fitted() -> pf.FlowMixture:
    return mixture(max_epochs=300, learning_rate=5e-3).fit(X)


def test_clusters_are_found_by_the_network_and_exactly(fitted: pf.FlowMixture) -> None:
    assert adjusted_rand_score(FRESH_Y, fitted.predict(FRESH)) == 1
    assert adjusted_rand_score(FRESH_Y, fitted.responsibilities(FRESH).argmax(axis=1)) == 1
    np.testing.assert_array_equal(fitted.labels_, fitted.predict(X))
    assert fitted.classes_ is None
    np.testing.assert_allclose(fitted.weights_, 1 / 3, atol=0.05)


def test_posteriors_are_distributions_and_predict_is_the_networks(fitted: pf.FlowMixture) -> None:
    for p in (fitted.predict_proba(FRESH), fitted.responsibilities(FRESH)):
        assert p.shape == (90, 3) and (p >= 0).all()
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(fitted.predict(FRESH), fitted.predict_proba(FRESH).argmax(axis=1))
    np.testing.assert_array_equal(mixture().fit_predict(X), mixture().fit(X).labels_)


def test_scores_are_the_sum_over_components_and_the_bound_lies_below_by_the_gap(fitted: pf.FlowMixture) -> None:
    scores = fitted.score_samples(FRESH)
    components = [flow.log_prob(FRESH) for flow in fitted.model_.components]
    expected = logsumexp(np.stack(components, axis=1), axis=1, b=fitted.weights_)
    np.testing.assert_allclose(scores, expected, atol=1e-4)
    np.testing.assert_allclose(fitted.model_.log_prob(FRESH), scores, atol=1e-4)
    gap = scores - fitted.elbo_samples(FRESH)
    assert (gap > -1e-5).all() and gap.max() > 1e-6
    np.testing.assert_allclose(fitted.posterior_gap(FRESH), gap, atol=1e-4)
    assert fitted.score(FRESH) == pytest.approx(scores.mean())


def test_information_criteria_count_what_generates(fitted: pf.FlowMixture) -> None:
    # each coupling: (1·4 + 4) + (4·2 + 2); each start: 2 locations, 2 scales, 1 below the diagonal
    flow = 2 * ((4 + 4) + (8 + 2)) + 5
    assert fitted.n_parameters() == 3 * flow + 2  # weights sum to one
    total = fitted.score_samples(X).astype(float).sum()
    assert fitted.bic(X) == pytest.approx(-2 * total + (3 * flow + 2) * np.log(90), rel=1e-6)
    assert fitted.aic(X) == pytest.approx(-2 * total + 2 * (3 * flow + 2), rel=1e-6)


@pytest.mark.long
def test_samples_come_from_the_component_that_is_asked_for(fitted: pf.FlowMixture) -> None:
    places = [fitted.labels_[k == Y][0] for k in range(3)]
    for k, component in enumerate(places):
        rows, component_of = fitted.sample(40, component=int(component))
        assert rows.shape == (40, 2) and (component_of == component).all()
        np.testing.assert_allclose(rows.mean(axis=0), CENTRES[k], atol=0.7)
    rows, component_of = fitted.sample(600, random_state=1)
    np.testing.assert_allclose(np.bincount(component_of) / 600, fitted.weights_, atol=0.08)
    nearest = np.linalg.norm(rows[:, None] - CENTRES, axis=2).argmin(axis=1)
    assert (np.asarray(places)[nearest] == component_of).mean() > 0.98
    np.testing.assert_array_equal(rows, fitted.sample(600, random_state=1)[0])
    assert not np.array_equal(rows, fitted.sample(600, random_state=2)[0])
    assert fitted.sample()[0].shape == (1, 2)


@pytest.mark.long
@pytest.mark.parametrize("kind", [int, float])
def test_few_labels_name_their_components(kind: type) -> None:
    label = np.full(90, -1)
    label[:6] = Y[:6]
    model = mixture(max_epochs=300, learning_rate=5e-3).fit(X, label.astype(kind))
    assert model.classes_.tolist() == [0, 1, 2]
    np.testing.assert_array_equal(model.predict(FRESH), FRESH_Y)
    np.testing.assert_array_equal(model.responsibilities(FRESH).argmax(axis=1), FRESH_Y)


@pytest.mark.long
def test_there_may_be_more_components_than_classes_and_all_rows_may_be_labelled() -> None:
    some = np.where(Y == 1, 1, -1)
    model = mixture(max_epochs=300, learning_rate=5e-3).fit(X, some)
    assert model.classes_.tolist() == [1]
    assert (model.predict(FRESH)[FRESH_Y == 1] == 1).all()
    assert adjusted_rand_score(FRESH_Y, model.predict(FRESH)) == 1
    whole = mixture(max_epochs=300, learning_rate=5e-3).fit(X, Y)
    np.testing.assert_array_equal(whole.predict(FRESH), FRESH_Y)
    assert mixture().fit(X, np.full(90, -1)).classes_ is None


@pytest.mark.long
def test_components_that_all_start_in_one_place_learn_labels_too() -> None:
    model = mixture(init="random", max_epochs=60, learning_rate=1e-2, start_epochs=20).fit(X, Y)
    assert (model.predict(FRESH) == FRESH_Y).mean() > 0.95
    unlabelled = mixture(init="random").fit(X)
    assert np.isfinite(unlabelled.score(X))


@pytest.mark.long
def test_weights_may_stay_uniform() -> None:
    lopsided = X[(Y != 0) | (np.arange(90) < 15)]
    model = mixture(learn_weights=False, max_epochs=10).fit(lopsided)
    learned = mixture(max_epochs=10).fit(lopsided)
    assert learned.weights_.min() < 0.2
    before = model.weights_
    model.set_params(warm_start=True).fit(lopsided)
    np.testing.assert_array_equal(model.weights_, before)


@pytest.mark.long
def test_refining_closes_the_gap() -> None:
    overlapping = np.random.default_rng(0).normal(size=(90, 2)) * [1, 2]
    plain = mixture(max_epochs=40).fit(overlapping)
    refined = mixture(max_epochs=40, refine_posterior=True).fit(overlapping)
    np.testing.assert_array_equal(refined.score_samples(overlapping), plain.score_samples(overlapping))
    assert refined.posterior_gap(overlapping).mean() < 0.8 * plain.posterior_gap(overlapping).mean()
    alone = mixture(1, refine_posterior=True).fit(overlapping)
    np.testing.assert_allclose(alone.posterior_gap(overlapping), 0, atol=1e-6)


@pytest.mark.long
def test_restarts_train_side_by_side() -> None:
    model = mixture(n_init=2, validation_fraction=0.2, max_epochs=5).fit(X)
    again = mixture(n_init=2, validation_fraction=0.2, max_epochs=5).fit(X)
    np.testing.assert_array_equal(model.score_samples(X), again.score_samples(X))
    assert model.n_iter_ == len(model.history_) and 1 <= model.best_epoch_ <= 5
    np.testing.assert_allclose(model.model_.log_prob(X), model.score_samples(X), atol=1e-4)


@pytest.mark.long
def test_whole_number_and_bounded_columns() -> None:
    rng = np.random.default_rng(0)
    table = np.stack([rng.poisson(3 + 20 * (Y == 1)), rng.uniform(0, 1, 90)], axis=1)
    model = mixture(2, max_epochs=40, learning_rate=5e-3, bounds={1: (0, 1)}).fit(table)
    assert model.columns_.kinds == ["whole number", "bounded"]
    assert adjusted_rand_score(Y == 1, model.predict(table)) > 0.9
    assert model.score_samples([[3, 1.5]])[0] == -np.inf
    np.testing.assert_allclose(model.responsibilities([[3, 1.5]])[0], model.weights_, rtol=1e-4)
    assert np.isfinite(model.posterior_gap([[3, 1.5]])).all()
    assert (model.posterior_gap(table) >= 0).all()
    assert (model.elbo_samples(table) <= model.score_samples(table) + 1e-4).all()
    rows, _ = model.sample(100)
    assert (rows[:, 0] == np.round(rows[:, 0])).all() and (rows[:, 1] > 0).all() and (rows[:, 1] < 1).all()


@pytest.mark.long
def test_conditions() -> None:
    rng = np.random.default_rng(0)
    side, c = rng.integers(2, size=200), rng.uniform(-1, 1, size=(200, 1))
    x = np.stack([8.0 * side + 2 * c[:, 0], rng.normal(size=200)], axis=1) + 0.2 * rng.normal(size=(200, 2))
    model = mixture(2, max_epochs=300, learning_rate=1e-2).fit(x, condition=c)
    assert model.score(x, condition=c) > model.score(x, condition=-c) + 0.5
    assert adjusted_rand_score(side, model.predict(x, condition=c)) > 0.95
    drawn, component = model.sample(1, condition=c)
    assert drawn.shape == (1, 200, 2) and component.shape == (1, 200)
    rows = drawn[0]
    assert np.corrcoef(np.minimum(rows[:, 0], rows[:, 0] - 8 * (rows[:, 0] > 4)), c[:, 0])[0, 1] > 0.8
    assert model.sample(3, condition=c[:2])[0].shape == (3, 2, 2)


def test_a_saved_model_comes_back_equal(fitted: pf.FlowMixture, tmp_path: Path) -> None:
    fitted.save(tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    assert isinstance(loaded, pf.FlowMixture) and loaded.get_params() == fitted.get_params()
    for name in ("predict", "predict_proba", "responsibilities", "score_samples", "elbo_samples", "posterior_gap"):
        np.testing.assert_array_equal(getattr(loaded, name)(FRESH), getattr(fitted, name)(FRESH))
    np.testing.assert_array_equal(loaded.labels_, fitted.labels_)
    for a, b in zip(loaded.sample(5), fitted.sample(5), strict=True):
        np.testing.assert_array_equal(a, b)


def test_one_seed_gives_equal_bits() -> None:
    label = np.where(np.arange(90) < 6, Y, -1)
    fits = [mixture(random_state=seed).fit(X, label).score_samples(X) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert not np.array_equal(fits[0], fits[2])


def test_a_second_fit_of_like_shaped_data_compiles_nothing(fitted: pf.FlowMixture) -> None:
    def fit(data: Any, **options: Any) -> None:
        model = mixture(**options).fit(data)
        model.predict(data)
        model.score_samples(data)

    fit(X)
    with compilations() as compiled:
        fit(2 * X[:70] + 1, max_epochs=5, learning_rate=0.01, weight_decay=0.1, temperature=2.0, random_state=3)
    assert compiled == []


@pytest.mark.long
def test_components_are_counted_where_nobody_says() -> None:
    model = mixture("auto", max_epochs=10).fit(X)
    assert model.n_components_ == 3 and model.weights_.shape == (3,)
    assert (model.confusion_[:2] < 0.025).all()
    assert adjusted_rand_score(FRESH_Y, model.predict(FRESH)) == 1
    labelled = mixture("auto").fit(X, np.where(np.arange(90) < 2, 4, -1))
    assert labelled.n_components_ == 5, "as many as the labels need"
    with pytest.raises(ValueError, match=r"with n_components=auto they must be -1 \(unlabelled\) or 0..89"):
        mixture("auto").fit(X, np.full(90, 90))


@pytest.mark.long
def test_segments_of_columns_with_masses_and_skew_are_counted_and_kept() -> None:
    rows, segment = shoppers(600)
    model = mixture("auto", max_epochs=30).fit(rows)
    assert model.n_components_ == 3 and model.confusion_ is None and model.classes_ is None
    assert adjusted_rand_score(segment, model.labels_) > 0.7
    fresh, theirs = shoppers(600, seed=1)
    assert adjusted_rand_score(theirs, model.predict(fresh)) > 0.7
    again = mixture(3, max_epochs=30).fit(rows)
    np.testing.assert_array_equal(again.labels_, model.labels_)
    labelled = mixture("auto").fit(rows, np.where(np.arange(600) < 20, segment, -1))
    assert labelled.classes_ is not None, "labels say what the parts are"


@pytest.mark.long
def test_two_circles_are_told_apart_without_labels() -> None:
    rings, _ = two_circles(1024, seed=0)
    fresh, fresh_ring = two_circles(2000, seed=1)
    model = pf.FlowMixture(2, max_epochs=120, refine_posterior=False, random_state=0).fit(rings)
    assert adjusted_rand_score(fresh_ring, model.predict(fresh)) > 0.9


@pytest.mark.long
def test_a_shared_stack_lies_under_all_components(fitted: pf.FlowMixture) -> None:
    several = mixture(shared_layers=1, n_init=2, bounds=(-20, 20)).fit(X)
    gaussians = mixture(shared_layers=2).fit(X)
    assert gaussians.n_parameters() < fitted.n_parameters()
    for model in (several, gaussians):
        assert adjusted_rand_score(FRESH_Y, model.predict(FRESH)) == 1
    rows, _ = gaussians.sample(50)
    assert np.isfinite(gaussians.score_samples(rows)).all()
    with pytest.raises(ValueError, match=r"shared_layers must be a whole number in 0..2, or \"all\"; got 3"):
        mixture(shared_layers=3).fit(X)


@pytest.mark.long
def test_a_shared_stack_is_conditioned_too() -> None:
    shift = np.random.default_rng(0).normal(size=(90, 1))
    model = mixture(shared_layers=1).fit(X + shift, condition=shift)
    assert np.isfinite(model.score_samples(FRESH, condition=np.zeros((90, 1)))).all()


@pytest.mark.long
def test_of_many_components_the_likely_ones_are_evaluated() -> None:
    with pytest.raises(ValueError, match="n_likely must be a whole number of at least 1; got 0"):
        mixture(n_likely=0).fit(X)
    many = mixture(40, max_epochs=2).fit(np.random.default_rng(0).normal(size=(400, 2)))
    assert many.n_components_ == 40 and np.isfinite(many.score_samples(X)).all()


def test_shared_layers_without_exact_densities_are_refused_by_name() -> None:
    rows, _ = blobs()
    with pytest.raises(ValueError, match="shared_layers must be 0 with flow='indexed_real_nvp'"):
        mixture(2, flow="indexed_real_nvp", shared_layers=1).fit(rows)
