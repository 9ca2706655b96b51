"""Draws stay where the table's tails say, and repeated values come back as they were."""

from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import pushforward as pf
from pushforward.data.columns import learn_columns
from pushforward.estimators.draws import within_reach
from pushforward.estimators.preparing import draw_seed, split_rows
from pushforward.estimators.scoring import in_batches, rows_of_width
from tests.estimators.small import density, mixture


def tolls(n: int, seed: int = 0) -> Any:
    """Nothing to pay in 19 of 20 rows, else one of four prices; and a normal column."""
    rng = np.random.default_rng(seed)
    prices = rng.choice([2.29, 5.76, 10.5, 12.5], n)
    return np.stack([np.where(rng.random(n) < 0.95, 0, prices), rng.normal(size=n)], axis=1)


def held_out(model: pf.FlowDensity, x: Any) -> tuple[float, float]:
    """The loss on the rows held out, as a log-density in the data's units, and their score."""
    rows = x[split_rows(x, 0.1, draw_seed(0))[1]]
    best = model.history_[model.best_epoch_ - 1]["validation_loss"]
    return -best - model.columns_.log_scale, model.score(rows)


@pytest.mark.long
def test_ties_on_a_bound_are_scored_and_drawn_where_they_were_trained() -> None:
    x = tolls(1000)
    small: dict[str, Any] = {"n_layers": 1, "hidden_sizes": (16,), "max_epochs": 150, "learning_rate": 1e-2}
    model = pf.FlowDensity("spline_coupling", **small, bounds={0: (0, None)}, random_state=0).fit(x)
    loss, score = held_out(model, x)
    assert score == pytest.approx(loss, abs=0.1)
    scores, free = model.score_samples(x), x[:, 0] == 0
    assert scores[free].mean() > scores[~free].mean() + 2
    drawn = model.sample(4000, random_state=1)[:, 0]
    assert set(drawn) <= set(x[:, 0]) and (drawn == 0).mean() == pytest.approx(free.mean(), abs=0.02)
    assert (model.score_samples([[-0.1, 0.0], [-1e-9, 0.0]]) == -np.inf).all()


@pytest.mark.parametrize("make", [density, pytest.param(partial(mixture, 2), marks=pytest.mark.long)])
@pytest.mark.parametrize("n_columns", [1, pytest.param(2, marks=pytest.mark.long)])
def test_scores_of_counts_hold_what_draws_below_their_minimum_become(make: Any, n_columns: int) -> None:
    """A flow that is hardly trained leaks much there."""
    x = np.random.default_rng(0).poisson(0.5, (2000, n_columns))
    model = make(max_epochs=2).fit(x)
    counts = np.stack(np.meshgrid(*[np.arange(16)] * n_columns), axis=-1).reshape(-1, n_columns)
    probability = np.exp(model.score_samples(counts))
    drawn = model.sample(20_000, random_state=1)
    drawn = drawn[0] if isinstance(drawn, tuple) else drawn
    assert probability.sum() == pytest.approx(1, abs=0.02 * n_columns)
    assert probability[0] == pytest.approx((drawn == 0).all(axis=1).mean(), abs=0.02 * n_columns)


@pytest.mark.long
def test_ties_on_a_bound_are_learned_by_default() -> None:
    x = tolls(2000)
    model = pf.FlowDensity(bounds={0: (0, None)}, random_state=0).fit(x)
    loss, score = held_out(model, x)
    assert score == pytest.approx(loss, abs=0.1)
    drawn = model.sample(20_000, random_state=1)[:, 0]
    # A twentieth of the rows carries the mean, which one smooth density does not share out well between its values.
    assert drawn.mean() == pytest.approx(x[:, 0].mean(), rel=0.6)
    assert (drawn == 0).mean() == pytest.approx((x[:, 0] == 0).mean(), abs=0.02)


@pytest.mark.long
@pytest.mark.parametrize("seed", [0, 1])
def test_a_true_bound_costs_a_detector_nothing(seed: int) -> None:
    rng, x = np.random.default_rng(seed + 10), tolls(2000, seed + 5)
    paid = rng.choice([2.29, 5.76, 10.5, 12.5], 100)
    odd = np.stack([np.where(rng.random(100) < 0.5, 0, paid), 2.5 * rng.normal(size=100)], axis=1)
    table, is_odd = np.concatenate([x, odd]), np.repeat([0, 1], [2000, 100])
    found = [
        roc_auc_score(is_odd, -pf.FlowOutlierDetector(bounds=bounds, random_state=seed).fit(table).score_samples(table))
        for bounds in (None, {0: (0, None)})
    ]
    assert found[1] > found[0] - 0.01


COUNTS = np.random.default_rng(0).negative_binomial(2, 0.2, 300)
TABLE = np.stack([np.random.default_rng(1).normal(size=300), COUNTS], axis=1)


def throwing(rows: list[list[float]]) -> Any:
    """Draws of the table's own rows, of which the first ones are some others, at first."""
    columns = learn_columns(TABLE, ["a", "b"])
    own = columns.standardize(TABLE) + 0.5 / columns.scale * columns.integer
    keys: list[Any] = []

    def draw(key: Any) -> np.ndarray:
        keys.append(key)
        thrown = own.copy()
        if len(keys) == 1:
            thrown[: len(rows)] = columns.standardize(np.array(rows))
        return thrown

    return columns, draw, keys


def test_rows_far_beyond_the_table_are_drawn_again() -> None:
    columns, draw, keys = throwing([[9.0, 3.0], [0.0, 900.0], [0.0, -16.0], [3.5, 3.0]])
    drawn = within_reach(columns, jax.random.key(0), draw)
    assert len(keys) == 2 and not (keys[0] == keys[1]).all()
    np.testing.assert_allclose(drawn[[0, 1]], TABLE[[0, 1]], atol=1e-9)
    assert drawn[2].tolist() == pytest.approx([0, 0])  # a count below zero is moved to it
    assert drawn[3, 0] == pytest.approx(3.5)  # a little beyond the largest is a tail
    np.testing.assert_allclose(drawn[4:], TABLE[4:], atol=1e-9)


def test_rows_that_stay_beyond_are_moved_to_the_end_of_the_reach() -> None:
    columns, _, _ = throwing([])
    wild = np.full((5, 2), 1e6)
    drawn = within_reach(columns, jax.random.key(0), lambda key: wild)
    np.testing.assert_array_equal(drawn, np.broadcast_to(columns.reach[1], (5, 2)))
    assert (drawn[:, 1] == np.round(drawn[:, 1])).all()


def test_heavy_tails_reach_further_than_thin_ones() -> None:
    rng = np.random.default_rng(0)
    normal, heavy, even = rng.normal(size=900), rng.standard_t(2, 900), rng.uniform(size=900)
    low, high = learn_columns(np.stack([normal, heavy, even], axis=1), list("abc")).reach
    assert -7 < low[0] < -4 and 4 < high[0] < 7
    assert high[1] > 1.5 * heavy.max()
    assert -0.2 < low[2] < 0 and 1 < high[2] < 1.2


@pytest.mark.parametrize(
    "make", [density, pytest.param(lambda **options: mixture(2, **options), marks=pytest.mark.long)]
)
def test_samples_of_stretched_flows_stay_within_reach(make: Any) -> None:
    model = make(learning_rate=0.3, weight_decay=0.0).fit(TABLE)
    drawn = model.sample(2000, random_state=0)
    rows = drawn[0] if isinstance(drawn, tuple) else drawn
    assert (rows >= model.columns_.reach[0]).all() and (rows <= model.columns_.reach[1]).all()
    assert rows[:, 1].min() >= 0 and (rows[:, 1] == np.round(rows[:, 1])).all()


@pytest.mark.parametrize(("width", "rows"), [(1, 4096), (128, 4096), (129, 2048), (784, 512), (3072, 128)])
def test_wide_rows_go_through_a_model_few_at_a_time(width: int, rows: int) -> None:
    sizes = []

    def function(part: Any, _: Any) -> Any:
        sizes.append(len(part))
        return part[:, 0]

    n = 2 * rows
    (out,) = in_batches(function, np.broadcast_to(np.arange(float(n))[:, None], (n, width)))
    assert max(sizes) == rows == rows_of_width(width)
    np.testing.assert_array_equal(out, np.arange(n))
