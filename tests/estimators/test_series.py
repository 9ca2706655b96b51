"""Series, one step after the other."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

import pushforward as pf
from pushforward.distributions import Categorical, Students
from pushforward.estimators.series import split_parts
from pushforward.estimators.windows import Part, SeriesLikelihood, Windows, tiles
from pushforward.objectives import Batch

SMALL: dict[str, Any] = {"channels": 6, "n_layers": 2, "max_epochs": 3, "random_state": 0}


def ar(n: int = 6, t: int = 120, phi: float = 0.8, seed: int = 0) -> np.ndarray:
    """A Gaussian autoregression of first order, of variance 1, shape (n, t)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, t))
    for i in range(1, t):
        x[:, i] = phi * x[:, i - 1] + (1 - phi**2) ** 0.5 * x[:, i]
    return x


@pytest.fixture(scope="module")
def fitted() -> pf.SeriesDensity:
    return pf.SeriesDensity(**SMALL).fit(10 * ar() + 50)


@pytest.fixture(scope="module")
def learned() -> pf.SeriesDensity:
    return pf.SeriesDensity(channels=6, n_layers=2, max_epochs=40, random_state=0).fit(10 * ar(24, 200) + 50)


def test_it_learns_an_autoregression(learned: pf.SeriesDensity) -> None:
    x = 10 * ar(50, 100, seed=1) + 50
    true = stats.norm.logpdf(x[:, 1:], 50 + 0.8 * (x[:, :-1] - 50), 6).mean()
    ours = -learned.score_steps(x)[:, 1:].mean()
    assert true - 0.05 < ours < true + 0.02


def test_forecasts_of_an_autoregression(learned: pf.SeriesDensity) -> None:
    past = [np.array([48.0, 52, 90])]
    draws = learned.forecast(past, 3, 4000, random_state=0)[:, 0, :, 0]
    k = np.arange(1, 4)
    np.testing.assert_allclose(draws.mean(0), 50 + 40 * 0.8**k, atol=2.5)
    np.testing.assert_allclose(draws.std(0), 10 * (1 - 0.8 ** (2 * k)) ** 0.5, rtol=0.15)
    quantiles = learned.forecast(past, 3, 4000, quantiles=(0.05, 0.5), random_state=0)
    np.testing.assert_allclose(quantiles[:, 0, :, 0], np.quantile(draws, (0.05, 0.5), axis=0))


def test_the_density_is_in_the_datas_units(fitted: pf.SeriesDensity) -> None:
    """Of three channels that are one in other units, densities differ by the units alone."""
    x = ar()
    one, other = (pf.SeriesDensity(**SMALL, value=Students()).fit(scale * x) for scale in (1, 100))
    np.testing.assert_allclose(one.score_samples(x), other.score_samples(100 * x) + 120 * np.log(100), rtol=1e-4)


def test_the_density_of_a_step_integrates_to_one(fitted: pf.SeriesDensity) -> None:
    grid = np.linspace(-400, 500, 4001)
    x = np.tile([50.0, 60, 0], (len(grid), 1))
    x[:, 2] = grid
    density = np.exp(-fitted.score_steps(x)[:, 2])
    assert np.trapezoid(density, grid) == pytest.approx(1, abs=0.01)


def test_levels_sum_to_one() -> None:
    rng = np.random.default_rng(0)
    model = pf.SeriesDensity(**SMALL).fit(rng.integers(3, 7, size=(30, 3)))
    assert isinstance(model.value_, Categorical) and model.value_.n_levels == 4
    every = np.stack(np.meshgrid(*[np.arange(3, 7)] * 3), axis=-1).reshape(-1, 3)
    assert np.exp(model.score_samples(every)).sum() == pytest.approx(1, abs=1e-4)
    assert model.score_samples([[3, 4, 9]]).tolist() == [-np.inf]
    assert {*np.unique(model.sample(20, 3, random_state=0))} <= {3, 4, 5, 6}
    with pytest.raises(ValueError, match="series 0 of X has a fraction at step 1"):
        model.score_samples([[3, 4.5, 3]])


def test_scores_of_a_long_series_are_those_of_its_parts(fitted: pf.SeriesDensity) -> None:
    """However a series is cut into windows, each step sees the same."""
    x = ar(1, 700)
    whole = fitted.score_steps(x)[0]
    context = fitted.context_
    part = fitted.score_steps(x[:, 333 - context : 400])[0]
    np.testing.assert_allclose(whole[333:400], part[context:], rtol=1e-4, atol=1e-4)


def test_gaps_are_left_out_and_unequal_lengths_are_no_loss(fitted: pf.SeriesDensity) -> None:
    x = 10 * ar(2, 60) + 50
    holed = x.copy()
    holed[0, 30], holed[1, 40:] = np.nan, np.nan
    steps = fitted.score_steps(holed)
    assert np.isnan(steps[0, 30]) and np.isnan(steps[1, 40:]).all() and np.isfinite(steps[1, :40]).all()
    np.testing.assert_allclose(steps[0, :30], fitted.score_steps(x)[0, :30], rtol=1e-5)
    unequal = fitted.score_steps([holed[0], x[1, :40]])
    np.testing.assert_allclose(unequal[1], steps[1, :40], rtol=1e-5)
    np.testing.assert_allclose(fitted.score_samples(holed), -np.nansum(steps, axis=1), rtol=1e-5)
    n = np.isfinite(steps).sum()
    assert fitted.score(holed) == pytest.approx(-np.nansum(steps) / n, rel=1e-5)


@pytest.mark.long
def test_conditions_of_series_and_of_steps() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 40)
    x = rng.normal(size=(40, 30)) + 10 * label[:, None]
    many = {**SMALL, "max_epochs": 60}
    model = pf.SeriesDensity(**many).fit(x, condition=label)
    drawn = model.sample(50, 6, condition=[[0], [1]], random_state=0)
    assert drawn.shape == (50, 2, 6, 1)
    assert drawn[:, 0].mean() < 4 < 6 < drawn[:, 1].mean()
    wave = rng.integers(0, 2, (40, 30, 1)).astype(float)
    model = pf.SeriesDensity(**many).fit(rng.normal(size=(40, 30)) + 10 * wave[..., 0], condition=wave)
    ahead = np.concatenate([np.zeros((1, 5, 1)), np.tile([[0.0], [1.0]], (2, 1))[None]], axis=1)
    median = model.forecast(rng.normal(size=(1, 5)), 4, quantiles=[0.5], condition=ahead, random_state=0)[0, 0, :, 0]
    assert median[0] < 4 < 6 < median[1] and median[2] < 4 < 6 < median[3]
    with pytest.raises(ValueError, match="condition of series 0 has 5 steps; expected 9"):
        model.forecast(rng.normal(size=(1, 5)), 4, condition=ahead[:, :5])
    with pytest.raises(ValueError, match="fitted with condition= of 1 numbers for each step"):
        model.score_samples(x)


def test_same_seed_same_model_and_parameters_are_cloned(fitted: pf.SeriesDensity) -> None:
    x = 10 * ar() + 50
    again = clone(fitted).fit(x)
    np.testing.assert_array_equal(again.score_samples(x), fitted.score_samples(x))
    np.testing.assert_array_equal(fitted.sample(2, 5, random_state=3), fitted.sample(2, 5, random_state=3))


def test_a_saved_model_is_the_same(fitted: pf.SeriesDensity, tmp_path: Path) -> None:
    pf.save(fitted, tmp_path / "model")
    loaded = pf.load(tmp_path / "model")
    x = 10 * ar(2, 40) + 50
    np.testing.assert_array_equal(loaded.score_steps(x), fitted.score_steps(x))
    np.testing.assert_array_equal(loaded.forecast(x, 2, 3), fitted.forecast(x, 2, 3))
    assert loaded.get_params() == fitted.get_params()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.arange(5.0), "for a single one give \\[X\\]"),
        ([], "X holds no series"),
        ([np.zeros((3, 2)), np.zeros((3, 1))], "series of \\[1, 2\\] channels"),
        (np.array([[1.0, np.inf]]), "series 0 of X is infinite at step 1, channel 0"),
        (np.array([[1.0, 2], [np.nan, np.nan]]), "series 1 of X holds no value at all"),
        (np.full((2, 9), 4.0), "channel 0 of X is 4 at every step"),
        (np.array([[[1.0, np.nan], [2.0, np.nan]]]), "channel 1 of X was never observed"),
        ([[1.0], [2.0]], "all series of X have a single step"),
        ([["a", "b"]], "series 0 of X holds cells that are not numbers"),
    ],
)
def test_series_that_cannot_be_are_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pf.SeriesDensity(**SMALL).fit(x)


def test_a_series_shorter_than_what_is_seen() -> None:
    model = pf.SeriesDensity(channels=4, n_layers=5, max_epochs=2, random_state=0).fit(ar(3, 5))
    assert np.isfinite(model.score_samples(ar(3, 5))).all()
    assert model.forecast(ar(3, 2), 40, 2).shape == (2, 3, 40, 1)


def test_an_epoch_visits_each_step_once() -> None:
    """Wherever tiles begin, what counts is each observed value, once."""
    parts = [
        Part(np.empty((0, 1)), np.arange(start, start + n, dtype=float)[:, None]) for start, n in ((1, 7), (100, 3))
    ]
    parts.append(Part(np.full((2, 1), -1.0), np.arange(200.0, 230)[:, None]))
    feed = Windows.over(parts, context=4, counted=5)
    import jax

    for seed in range(8):
        order, seen = feed.start_epoch(jax.random.key(seed), 4), []
        for i in range(int(feed.n_batches(4)[1])):
            rows, weight = feed.batch(order, jnp.asarray(i), 4, jnp.asarray(0.0))
            counted = np.asarray(rows.x[:, 4:])[np.asarray(weight) > 0]
            seen += counted[np.isfinite(counted)].tolist()
        assert sorted(seen) == [*range(1, 8), *range(100, 103), *range(200, 230)]


def test_what_is_before_a_part_is_seen_and_does_not_count() -> None:
    part = Part(np.full((2, 1), -1.0), np.arange(3.0)[:, None])
    windows, _ = tiles(part, 4, 2)
    expected = [[np.nan, np.nan, -1, -1, 0, 1], [-1, -1, 0, 1, 2, np.nan]]
    np.testing.assert_array_equal(windows[..., 0], expected)
    feed = Windows.over([part], 4, 5)
    order = feed.in_order(1)[1]
    rows, weight = feed.batch(order, jnp.asarray(0), 1, jnp.asarray(0.0))
    np.testing.assert_array_equal(np.asarray(rows.x)[0, :, 0], [np.nan, np.nan, -1, -1, 0, 1, 2, np.nan, np.nan])
    assert float(weight[0]) == 3


def test_the_loss_is_nats_a_step(fitted: pf.SeriesDensity) -> None:
    x = 10 * ar(3, 50) + 50
    x[0, 10:] = np.nan
    z = fitted.units_.standardise(x[..., None])
    cut = [tiles(Part(np.empty((0, 1)), one), fitted.context_, 50)[0] for one in z]
    n = np.isfinite(x).sum(1)
    model = fitted.model_.resized(fitted.context_ + 50)
    from pushforward.objectives import Rows

    batch = Batch(Rows(jnp.asarray(np.concatenate(cut), jnp.float32)), jnp.asarray(n, jnp.float32))
    import jax

    loss = SeriesLikelihood(fitted.context_)(model, batch, jax.random.key(0))
    expected = -fitted.score(x) - np.log(fitted.units_.scale[0])
    assert float(loss) == pytest.approx(expected, rel=1e-4)


def test_few_series_hold_out_their_ends() -> None:
    whole = Part(np.empty((0, 1)), np.arange(100.0)[:, None], np.arange(100.0)[:, None])
    (kept,), (held_out,) = split_parts([whole], 0.1, 8, 0)
    assert kept.x[-1, 0] == 89 and held_out.x[0, 0] == 90 and held_out.before[:, 0].tolist() == [*range(82, 90)]
    assert held_out.condition is not None and held_out.condition[0, 0] == 82
    kept_many, held_out_many = split_parts([whole] * 30, 0.1, 8, 0)
    assert (len(kept_many), len(held_out_many)) == (27, 3)
