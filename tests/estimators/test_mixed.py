"""Estimators on tables as people have them: categories, dates and gaps among numbers."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow as pa
import pytest
from jaxtyping import Array, PRNGKeyArray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import pushforward as pf
from pushforward.data import DataError
from pushforward.distributions.base import AbstractDistribution
from pushforward.estimators import mixed, mixed_tables
from pushforward.estimators.any_kind import AnyKindEstimator
from pushforward.estimators.completing import resampled

N = 300
QUICK: dict[str, Any] = {"max_epochs": 3, "hidden_sizes": (16,), "random_state": 0}
pd = pytest.importorskip("pandas")


def customers(n: int = N, gaps: bool = True, seed: int = 0) -> Any:
    """Two kinds of customers, who differ in all columns."""
    rng = np.random.default_rng(seed)
    kind = rng.uniform(size=n) < 0.4
    table = pd.DataFrame(
        {
            "age": rng.normal(np.where(kind, 30, 60), 4),
            "city": np.where(rng.uniform(size=n) < np.where(kind, 0.9, 0.1), "Porto", "Faro"),
            "visits": rng.poisson(np.where(kind, 8, 2)),
            "tip": np.where(rng.uniform(size=n) < 0.4, 0.0, rng.gamma(2, 1, n)),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
            "member": rng.uniform(size=n) < np.where(kind, 0.8, 0.3),
        }
    )
    if gaps:
        for name in ("age", "city"):
            table.loc[rng.uniform(size=n) < 0.1, name] = None
    return table


@pytest.fixture(scope="module")
def density() -> pf.FlowDensity:
    return pf.FlowDensity(**QUICK).fit(customers())


def test_a_table_is_taken_as_it_is(density: pf.FlowDensity) -> None:
    table = customers()
    scores = density.score_samples(table)
    assert scores.shape == (N,)
    assert np.isfinite(scores).all()
    assert [field.kind for field in density.columns_.all] == [
        "positive",
        "category",
        "whole",
        "real",
        "date",
        "boolean",
    ]
    assert density.exactness_.startswith("exact; of rows with gaps")
    drawn = density.sample(20)
    assert list(drawn.columns) == list(table.columns)
    assert drawn.dtypes.tolist() == table.dtypes.tolist()
    assert set(drawn["city"]) <= {"Porto", "Faro"}
    assert (drawn["visits"] >= 0).all()
    assert (drawn["tip"] == 0).any()


def test_without_gaps_all_is_exact() -> None:
    whole = pf.FlowDensity(**QUICK).fit(customers(gaps=False))
    assert whole.exactness_ == "exact"
    assert np.isfinite(whole.score_samples(customers())).all()  # other rows may have gaps for all that


def test_rows_are_completed(density: pf.FlowDensity) -> None:
    drawn = density.sample(50, given=pd.DataFrame({"city": ["Porto", "Faro"]}), random_state=0)
    assert drawn["city"].tolist() == ["Porto"] * 50 + ["Faro"] * 50
    assert list(drawn.columns) == list(customers().columns)
    assert not drawn.isna().any().any()
    with pytest.raises(DataError, match="some of the columns"):
        density.sample(1, given=pd.DataFrame({"town": ["Porto"]}))
    numbers = pf.FlowDensity(**QUICK).fit(np.random.default_rng(0).normal(size=(60, 2)))
    with pytest.raises(ValueError, match="numbers alone"):
        numbers.sample(1, given=np.zeros((1, 2)))


@pytest.mark.long
def test_the_density_of_one_column_given_others() -> None:
    fitted = pf.FlowDensity(random_state=0, max_epochs=40).fit(customers(1000))
    given = pd.DataFrame({"city": ["Porto", "Faro"], "visits": [9, 1]})
    age = fitted.conditional_density("age", given)
    np.testing.assert_allclose(np.trapezoid(age.density, age.values, axis=1), 1, atol=0.02)
    assert age.mean[0] < 40 < 50 < age.mean[1]
    assert (age.quantile(0.05) < age.mean).all()
    assert (age.mean < age.quantile(0.95)).all()
    visits = fitted.conditional_density("visits", given[["city"]])
    np.testing.assert_allclose(visits.density.sum(axis=1), 1, rtol=1e-6)
    city = fitted.conditional_density("city", pd.DataFrame({"age": [30.0, 62.0]}))
    assert city.values[city.density.argmax(axis=1)].tolist() == ["Porto", "Faro"]


@pytest.mark.parametrize("form", ["polars", "arrow"])
def test_every_kind_of_table_is_given_back(form: str, density: pf.FlowDensity) -> None:
    arrow = pa.Table.from_pandas(customers(), preserve_index=False)
    table: Any = arrow
    if form == "polars":
        table = pytest.importorskip("polars").from_arrow(arrow)
    fitted = pf.FlowDensity(**QUICK).fit(table)
    np.testing.assert_allclose(fitted.score_samples(table), density.score_samples(customers()), atol=1e-3)
    drawn = fitted.sample(5)
    assert type(drawn) is type(table)
    assert (drawn.schema.names if form == "arrow" else drawn.columns) == list(customers().columns)


@pytest.mark.long
def test_objects_and_gaps_in_arrays(density: pf.FlowDensity) -> None:
    rng = np.random.default_rng(0)
    objects = np.array(
        [[float(v), c] for v, c in zip(rng.normal(size=60), rng.choice(["a", "b"], 60), strict=True)], dtype=object
    )
    fitted = pf.FlowDensity(**QUICK).fit(objects)
    assert fitted.sample(3).shape == (3, 2)
    numbers = rng.normal(size=(60, 2))
    numbers[:5, 0] = np.nan
    assert np.isfinite(pf.FlowDensity(**QUICK).fit(numbers).score_samples(numbers)).all()


def test_saved_and_loaded_it_is_the_same(density: pf.FlowDensity, tmp_path: Path) -> None:
    density.save(tmp_path / "model")
    again = pf.load(tmp_path / "model")
    np.testing.assert_allclose(again.score_samples(customers()), density.score_samples(customers()), rtol=1e-5)
    pd.testing.assert_frame_equal(again.sample(5, random_state=1), density.sample(5, random_state=1))


def test_gaps_are_filled_and_nothing_else_changes(density: pf.FlowDensity) -> None:
    table = customers()
    filled = density.impute(table)
    assert not filled.isna().any().any()
    known = table.notna()
    assert ((filled == table) | ~known).all().all()
    several = density.impute(table, n_samples=3, random_state=1)
    assert len(several) == 3
    gap = table["age"].isna()
    assert not np.allclose(several[0].loc[gap, "age"], several[1].loc[gap, "age"])


class Normals(AbstractDistribution):
    """Two Gaussians of rows whose columns are all points."""

    shape: tuple[int, ...]
    cond_shape: None
    means: Array
    covariances: Array

    def _log_prob(self, x: Array, condition: Array | None = None) -> Array:
        each = jax.vmap(lambda m, c: jax.scipy.stats.multivariate_normal.logpdf(x[:, 1], m, c))(
            self.means, self.covariances
        )
        return jax.nn.logsumexp(each) - jnp.log(2.0)

    def _sample(self, key: PRNGKeyArray, condition: Array | None = None) -> Array:
        raise NotImplementedError


def normals(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows of two Gaussians with a fifth of the cells missing, and the means and covariances."""
    rng = np.random.default_rng(0)
    means = np.array([[-1.0, 0.0, 1.0], [1.0, 0.5, -1.0]])
    roots = 0.6 * rng.normal(size=(2, 3, 3)) + np.eye(3)
    z = rng.integers(0, 2, n)
    x = means[z] + np.einsum("nij,nj->ni", roots[z], rng.normal(size=(n, 3)))
    x[rng.uniform(size=x.shape) < 0.2] = np.nan
    return x[~np.isnan(x).all(axis=1)], means, roots @ roots.transpose(0, 2, 1)


def with_true(fitted: pf.FlowDensity, means: np.ndarray, covariances: np.ndarray) -> Normals:
    """The Gaussians in the standard units of a fitted estimator, in which they take the model's place."""
    shift, scale = (np.array([getattr(field, name) for field in fitted.columns_.all]) for name in ("shift", "scale"))
    fitted._flow = Normals(
        (3, 4), None, jnp.asarray((means - shift) / scale), jnp.asarray(covariances / np.outer(scale, scale))
    )
    return fitted._flow


def log_marginal(row: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> float:
    known = ~np.isnan(row)
    each = [
        multivariate_normal.logpdf(row[known], m[known], c[np.ix_(known, known)])
        for m, c in zip(means, covariances, strict=True)
    ]
    return float(logsumexp(each) - np.log(2))


def moments_given(row: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of what is missing of a row given what is known."""
    gap = np.isnan(row)
    parts = []
    for m, c in zip(means, covariances, strict=True):
        known = c[np.ix_(~gap, ~gap)]
        slopes = np.linalg.solve(known, c[np.ix_(~gap, gap)]).T
        weight = multivariate_normal.pdf(row[~gap], m[~gap], known)
        centre = m[gap] + slopes @ (row[~gap] - m[~gap])
        parts.append((weight, centre, c[np.ix_(gap, gap)] - slopes @ c[np.ix_(~gap, gap)]))
    shares = np.array([weight for weight, _, _ in parts]) / sum(weight for weight, _, _ in parts)
    mean = sum(share * centre for share, (_, centre, _) in zip(shares, parts, strict=True))
    second = sum(share * (c + np.outer(m, m)) for share, (_, m, c) in zip(shares, parts, strict=True))
    return mean, second - np.outer(mean, mean)


@pytest.mark.long
def test_estimates_of_rows_with_gaps_agree_with_the_closed_form() -> None:
    x, means, covariances = normals(1000)
    fitted = pf.FlowDensity(random_state=0, max_epochs=60).fit(x)
    with_true(fitted, means, covariances)
    some = x[:200]
    errors = fitted.score_samples(some) - [log_marginal(row, means, covariances) for row in some]
    whole = ~np.isnan(some).any(axis=1)
    np.testing.assert_allclose(errors[whole], 0, atol=1e-3)
    assert np.abs(errors).mean() < 0.1
    assert abs(errors[~whole].mean()) < 0.05  # a bound, near what it bounds
    (row,) = some[~whole][:1]
    drawn = np.array(fitted.impute(np.repeat(row[None], 400, axis=0)), dtype=float)[:, np.isnan(row)]
    mean, covariance = moments_given(row, means, covariances)
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.3)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.6)


@pytest.mark.long
def test_many_draws_agree_within_their_standard_errors() -> None:
    x, means, covariances = normals(5000)
    fitted = pf.FlowDensity(random_state=0).fit(x)
    true = with_true(fitted, means, covariances)
    some = x[np.isnan(x).any(axis=1)][:200]
    rows = fitted.columns_.encode(mixed_tables.as_table(some))
    log_w = mixed.log_weights(true, mixed.fill(fitted.columns_, fitted.filler_, rows.x, 1000, 0))
    estimates = logsumexp(log_w, axis=1) - np.log(1000) + rows.log_extra.sum(axis=1)
    weights = np.exp(log_w - log_w.max(axis=1, keepdims=True))
    standard_errors = weights.std(axis=1) / weights.mean(axis=1) / np.sqrt(1000)
    errors = estimates - [log_marginal(row, means, covariances) for row in some]
    assert (np.abs(errors) <= 3 * standard_errors).mean() > 0.98
    assert np.median(standard_errors) < 0.01 and np.quantile(standard_errors, 0.95) < 0.02
    (row,) = some[np.isnan(some).sum(axis=1) == 2][:1]
    gap = np.isnan(row)
    drawn = np.stack([t[0, gap] for t in fitted.impute(row[None], n_samples=2000)]).astype(float)
    mean, covariance = moments_given(row, means, covariances)
    scale = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose((drawn.mean(axis=0) - mean) / scale, 0, atol=3 / np.sqrt(2000) + 0.03)
    np.testing.assert_allclose((np.cov(drawn.T) - covariance) / np.outer(scale, scale), 0, atol=0.15)


def test_draws_are_taken_as_often_as_they_weigh() -> None:
    shares = np.array([[0.7, 0.3, 0.0], [0.05, 0.05, 0.9]])
    with np.errstate(divide="ignore"):
        chosen = resampled(np.log(shares), 10, np.random.default_rng(0))
    counts = np.stack([(chosen == i).sum(axis=0) for i in range(3)], axis=1)
    assert (np.abs(counts - 10 * shares) < 1).all()
    firsts = [resampled(np.log(shares[1:]), 2, np.random.default_rng(seed))[0, 0] for seed in range(500)]
    assert abs(np.mean(np.array(firsts) == 2) - 0.9) < 0.05  # each sample alone is a draw by the weights


@pytest.mark.long
def test_mixtures_find_the_two_kinds() -> None:
    table = customers(600)
    mixture = pf.FlowMixture(2, random_state=0, max_epochs=30, hidden_sizes=(16,)).fit(table)
    kind = customers(600, gaps=False)["age"] < 45
    agree = ((mixture.responsibilities(table).argmax(axis=1) == 1) == kind).mean()
    assert max(agree, 1 - agree) > 0.9
    assert (mixture.labels_ == mixture.responsibilities(table).argmax(axis=1)).mean() > 0.9
    assert np.abs(mixture.responsibilities(table).sum(axis=1) - 1).max() < 1e-4
    drawn, component = mixture.sample(10, component=1)
    assert (component == 1).all()
    assert list(drawn.columns) == list(table.columns)


@pytest.mark.long
def test_labels_of_some_rows_name_components() -> None:
    table = customers(600)
    young = (customers(600, gaps=False)["age"] < 45).to_numpy().astype(int)
    y = np.full(600, -1)
    y[:20] = young[:20]
    mixture = pf.FlowMixture(2, random_state=0, max_epochs=30, hidden_sizes=(16,)).fit(table, y)
    assert (mixture.responsibilities(table).argmax(axis=1) == young).mean() > 0.9


@pytest.mark.long
def test_rows_unlike_the_others_are_found() -> None:
    table = customers(400)
    table.loc[:3, ["age", "visits"]] = [150.0, 60]
    detector = pf.FlowOutlierDetector(0.01, random_state=0, max_epochs=10).fit(table)
    assert set(np.flatnonzero(detector.predict(table) == -1)) == {0, 1, 2, 3}


def test_gaps_as_a_level_and_refused() -> None:
    table = customers()[["city", "visits"]]
    level = pf.FlowDensity(missing="level", **QUICK).fit(table)
    assert level.exactness_ == "exact"
    assert level.sample(200)["city"].isna().any()
    with pytest.raises(DataError, match=r"\d+ rows have gaps, in city"):
        pf.FlowDensity(missing="refuse", **QUICK).fit(table)
    with pytest.raises(ValueError, match="missing"):
        pf.FlowDensity(missing="drop", **QUICK).fit(table)


def test_a_category_not_seen_is_rare_and_no_error(density: pf.FlowDensity) -> None:
    table = customers(gaps=False)
    strange = table.assign(city="Braga")
    assert np.isfinite(density.score_samples(strange)).all()
    assert density.score(strange) < density.score(table)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda t: t.assign(age=[1, "x"] * (len(t) // 2)), "several types"),
        (lambda t: t.assign(age=np.inf), "infinite"),
        (lambda t: pd.concat([t, t[["age"]]], axis=1), "named 'age'"),
        (lambda t: t.iloc[:1], "expected at least 2"),
    ],
)
def test_bad_tables_are_refused_by_name(change: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        pf.FlowDensity(**QUICK).fit(change(customers()))


def test_what_is_of_numbers_alone_is_refused() -> None:
    for options in ({"flow": "maf"}, {"bounds": {"age": (0, None)}}, {"discrete": ["visits"]}):
        with pytest.raises(ValueError, match="numbers"):
            pf.FlowDensity(**{**QUICK, **options}).fit(customers())


def test_what_maps_to_noise_is_there_for_numbers(density: pf.FlowDensity) -> None:
    assert callable(pf.FlowDensity().transform)
    for name in ("transform", "inverse_transform"):
        with pytest.raises(AttributeError, match="has no attribute") as raised:
            getattr(density, name)
        assert "no map takes these" in str(raised.value.__cause__)


def test_columns_left_out_are_named() -> None:
    table = customers().assign(key=[f"k{i}" for i in range(N)])
    with pytest.warns(UserWarning, match="'key'"):
        fitted = pf.FlowDensity(**QUICK).fit(table)
    assert "key" not in fitted.columns_.names
    assert isinstance(fitted, AnyKindEstimator)
    assert fitted.score_samples(table.drop(columns="key")).shape == (N,)


@pytest.mark.long
def test_a_number_with_a_mass_given_others_has_the_mean_of_draws() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {"v": np.where(rng.random(N) < 0.3, 0, rng.integers(100, 2000, N)), "g": rng.choice(["a", "b"], N)}
    )
    fitted = pf.FlowDensity(random_state=0, max_epochs=30).fit(table)
    given = pd.DataFrame({"g": ["a"]})
    of_v, drawn = fitted.conditional_density("v", given), fitted.sample(4000, given=given)["v"]
    assert of_v.shares[0, of_v.values == 0].sum() == pytest.approx((drawn == 0).mean(), abs=0.04)
    assert of_v.mean[0] == pytest.approx(drawn.mean(), rel=0.1)


def test_what_a_row_scores_hangs_on_no_other(density: pf.FlowDensity) -> None:
    table = customers()
    scores = density.score_samples(table)
    np.testing.assert_allclose(density.score_samples(table[::-1])[::-1], scores, atol=1e-4)


@pytest.mark.long
def test_samples_do_not_pile_up_at_the_ends() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"u": rng.uniform(-1, 1, 400), "k": rng.choice(["a", "b"], 400), "v": rng.uniform(-1, 1, 400)})
    density = pf.FlowDensity(**QUICK).fit(table)
    mixture = pf.FlowMixture(2, **QUICK).fit(table)
    (far,) = (field.reach for field in density.columns_.all if field.name == "u")
    given = density.sample(6000, given=pd.DataFrame({"k": ["a"]}))
    for drawn in (density.sample(6000), density.sample(500), mixture.sample(6000)[0], given):
        beyond = ~drawn["u"].between(*far, inclusive="neither")  # a tenth of draws of so short a fit, at first
        assert beyond.sum() <= 5


def test_only_ratios_of_weights_count() -> None:
    weight = np.random.default_rng(0).uniform(size=N)
    scores = [
        pf.FlowDensity(**QUICK).fit(customers(), sample_weight=w).score(customers()) for w in (weight, 1e4 * weight)
    ]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)


@pytest.mark.long
def test_categories_keep_their_levels_and_gaps_their_types() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "c": pd.Categorical(rng.choice(["b", "a", None], N, p=[0.5, 0.4, 0.1]), categories=["z", "b", "a"]),
            "o": pd.array(rng.choice([True, False, None], N), dtype="boolean"),
            "t": pd.to_timedelta(rng.integers(0, 900, N), unit="min"),
            "small": rng.integers(0, 256, N).astype("uint8"),
        },
        index=np.arange(1000, 1000 + N),
    )
    fitted = pf.FlowDensity(missing="level", **QUICK).fit(table)
    drawn = fitted.sample(500)
    assert drawn.dtypes.tolist() == table.dtypes.tolist()
    assert drawn["c"].isna().any() and drawn["o"].isna().any()
    assert (drawn["t"].dt.total_seconds() % 60 == 0).all()
    filled = pf.FlowDensity(**QUICK).fit(table).impute(table)
    assert filled.dtypes.tolist() == table.dtypes.tolist()
    assert filled.index.equals(table.index)
    assert not filled.isna().any().any()


def test_a_file_read_as_other_types_means_the_same() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"g": rng.choice(["1", "2", "A"], N), "ok": rng.choice(["true", "false", "maybe"], N)})
    fitted = pf.FlowDensity(**QUICK).fit(table)
    as_text = fitted.score_samples(pd.DataFrame({"g": ["1", "2"], "ok": ["true", "false"]}))
    np.testing.assert_array_equal(fitted.score_samples(pd.DataFrame({"g": [1, 2], "ok": [True, False]})), as_text)


@pytest.mark.long
def test_what_is_left_open_is_no_gap_that_tells_something() -> None:
    table = customers()[["city", "visits"]]
    level = pf.FlowDensity(missing="level", **QUICK).fit(table)
    assert level.sample(300, given=pd.DataFrame({"visits": [2]}))["city"].isna().mean() < 0.5
    refusing = pf.FlowDensity(missing="refuse", **QUICK).fit(table.dropna())
    assert len(refusing.sample(3, given=pd.DataFrame({"visits": [2]}))) == 3


def test_texts_that_are_numbers_are_taken_as_such() -> None:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"a": [f"{v:.3f}" for v in rng.normal(size=60)], "b": rng.normal(size=60)})
    fitted = pf.FlowDensity(**QUICK).fit(table)
    assert [field.kind for field in fitted.columns_.all] == ["real", "real"]


def test_a_checkpoint_of_other_rows_is_refused(tmp_path: Path) -> None:
    checkpoint = pf.training.Checkpoint(tmp_path / "state", epochs=1)
    pf.FlowDensity(**QUICK).fit(customers(), checkpoint=checkpoint)
    again = pf.training.Checkpoint(tmp_path / "state", resume=True)
    with pytest.raises(pf.training.CheckpointError, match="the data"):
        pf.FlowDensity(**QUICK).fit(customers(seed=1), checkpoint=again)


@pytest.mark.long
def test_an_array_with_gaps_comes_back_as_one() -> None:
    x, _, _ = normals(200)
    fitted = pf.FlowDensity(**QUICK).fit(x)
    filled = fitted.impute(x)
    assert filled.dtype == fitted.sample(3).dtype == np.float64
    assert not np.isnan(filled).any() and (filled[~np.isnan(x)] == x[~np.isnan(x)]).all()
    with pytest.raises(DataError, match="infinite"):
        pf.FlowDensity(**QUICK).fit(np.where(x > 2, np.inf, x))


@pytest.mark.long
def test_yes_and_no_that_a_file_turned_into_truth_values() -> None:
    table = customers(300).assign(active=np.where(np.arange(300) % 3 == 0, "Yes", "No"))
    fitted = pf.FlowDensity(**QUICK).fit(table)
    turned = table.assign(active=table["active"] == "Yes")
    np.testing.assert_allclose(fitted.score_samples(turned), fitted.score_samples(table))


def test_the_density_of_what_another_column_tells() -> None:
    table = customers(300, gaps=False)
    table = table.assign(total=table["age"] + table["visits"])
    fitted = pf.FlowDensity(**QUICK).fit(table)
    (following,) = fitted.columns_.following
    assert following.name == "total"
    given = table[["total", "visits"]].head(3)
    told = fitted.conditional_density("age", given, values=np.unique(table["age"]))
    np.testing.assert_allclose(told.mean, table["age"].head(3), atol=0.05)
