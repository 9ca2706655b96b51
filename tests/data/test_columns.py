"""What columns are taken to be, and their way to standard units and back."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from pushforward.data.columns import N_DRAWS, Columns, column_number, learn_columns
from tests.sweeps import long_if


def learn(*columns: Any, **options: Any) -> Columns:
    x = np.stack([np.asarray(c, np.float64) for c in columns], axis=1)
    return learn_columns(x, [f"x{i}" for i in range(len(columns))], **options)


def draws(n: int = 400, seed: int = 0) -> Any:
    return np.random.default_rng(seed).normal(size=n)


def test_kinds_are_read_off_the_values_and_the_bounds() -> None:
    counts = np.random.default_rng(0).poisson(4, 400)
    columns = learn(draws(), counts, np.abs(draws()), bounds={"x2": (0, None)})
    assert columns.kinds == ["real", "whole number", "bounded"]
    assert columns.n == 3 and columns.bounded
    assert columns.integer.tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("discrete", "whole"),
    [("auto", [True, True]), ("none", [False, False]), (["b"], [False, True]), ([0], [True, False])],
)
def test_discrete_says_which_columns_are_whole(discrete: Any, whole: list[bool]) -> None:
    x = np.random.default_rng(0).integers(0, 50, (200, 2)).astype(float)
    assert learn_columns(x, ["a", "b"], discrete=discrete).integer.tolist() == whole


def test_standard_units_have_mean_zero_and_spread_one() -> None:
    x = 100 + 7 * draws()
    s = learn(x).standardize(x[:, None])
    assert abs(s.mean()) < 1e-12 and s.std() == pytest.approx(1, abs=0.05)


def test_rare_values_far_out_are_brought_near() -> None:
    x = np.concatenate([draws(999), [1e6]])
    columns = learn(x)
    s = columns.standardize(x[:, None])
    assert np.ptp(s) <= 8.0 + 1e-9
    np.testing.assert_allclose(columns.restore(s)[:, 0], x, rtol=1e-9, atol=1e-6)


def test_statistics_are_in_float64_so_small_spreads_on_large_offsets_survive() -> None:
    x = 1e9 + draws()
    columns = learn(x)
    s = columns.standardize(x[:, None])
    np.testing.assert_allclose(s[:, 0], (x - x.mean()) / x.std(), atol=1e-6)
    # and they survive float32 in between
    np.testing.assert_allclose(columns.restore(s.astype(np.float32))[:, 0], x, atol=1e-5)


@pytest.mark.parametrize("bounds", [None, {0: (-10, 10), 1: (0, None)}])
def test_restoring_undoes_standardizing(bounds: Any) -> None:
    x = np.stack([3 * draws().clip(-3, 3), np.abs(draws(seed=1)) + 0.1, np.round(5 * draws(seed=2))], axis=1)
    columns = learn_columns(x, list("abc"), bounds=bounds)
    middle = np.where(columns.integer, 0.5, 0) / columns.scale
    np.testing.assert_allclose(columns.restore(columns.standardize(x) + middle), x, rtol=1e-12, atol=1e-12)


def test_log_scale_is_the_log_determinant_of_the_units() -> None:
    columns = learn(5 * draws(), 0.01 * draws(seed=1))
    assert columns.log_scale == pytest.approx(np.log(columns.scale).sum())
    slope = np.diff(columns.restore(np.array([[0.0, 0.0], [1.0, 1.0]])), axis=0)
    np.testing.assert_allclose(slope[0], columns.scale)


def test_whole_numbers_fill_their_unit_step_in_training_and_come_back_whole() -> None:
    x = np.random.default_rng(0).poisson(3, 500).astype(float)
    columns = learn(x)
    assert columns.noise is not None
    np.testing.assert_allclose(columns.noise * columns.scale, 1.0)
    s = columns.standardize(x[:, None], training=True)
    rng = np.random.default_rng(1)
    for _ in range(3):
        filled = s + columns.noise * rng.uniform(0, 1 - 1e-9, size=s.shape)
        np.testing.assert_array_equal(columns.restore(filled)[:, 0], x)


def test_the_fixed_draws_cover_the_unit_step_evenly_and_are_the_same_every_time() -> None:
    x = np.stack([np.random.default_rng(0).integers(0, 9, 300), draws(300)], axis=1)
    columns = learn_columns(x, ["a", "b"])
    fixed = columns.draws()
    np.testing.assert_array_equal(fixed, columns.draws())
    u, n = fixed[:, 0] * columns.scale[0], len(fixed)
    np.testing.assert_array_equal(np.sort(np.floor(u * n)), np.arange(n))
    assert n > N_DRAWS  # as there is a column that stops, and few are besides
    assert len(dataclasses.replace(columns, stops=np.zeros(2, dtype=bool)).draws()) == N_DRAWS
    assert not fixed[:, 1].any()
    assert learn(draws()).draws().tolist() == [[0.0]]
    # so a density that is linear in x keeps its mass to the square of the slices' width
    assert np.exp(logsumexp(np.log(1 + u)) - np.log(n)) == pytest.approx(1.5, abs=0.5 / n)


def test_ties_of_a_continuous_column_are_spread_over_the_step_between_values() -> None:
    rounded = np.round(draws(2000), 1)
    columns = learn(rounded)
    assert not columns.integer[0] and columns.width[0] == pytest.approx(0.1)
    # centred: half a step down, so that the noise keeps the mean
    shift = columns.standardize(rounded[:, None]) - columns.standardize(rounded[:, None], training=True)
    np.testing.assert_allclose(shift * columns.scale, 0.05)
    assert learn(draws(2000)).width[0] == 0 and learn(draws(2000)).noise is None


def test_the_noise_of_ties_is_neither_negligible_nor_more_than_half_a_standard_deviation() -> None:
    fine = np.concatenate([np.zeros(100), draws(900) + 1e-9])  # a spike among values that lie close
    wide = np.random.default_rng(0).choice([-0.5, 0.5], 1000)
    for x in (fine, wide):
        columns = learn(x, discrete="none")
        assert 0.01 * x.std() <= columns.width[0] <= 0.5 * x.std()


TOLL = np.where(np.arange(1000) % 20 > 0, 0, np.array([2.29, 5.76, 10.5, 12.5])[np.arange(1000) // 20 % 4])
TIED = {
    "a few values": (TOLL, {}),
    "a few values, bounded": (TOLL, {0: (0, None)}),
    "a few values between bounds": (TOLL, {0: (0, 12.5)}),
    "rounded": (np.round(draws(2000), 1), {}),
    "rounded, bounded": (np.abs(np.round(draws(2000), 1)), {0: (0, None)}),
    "clipped": (np.clip(draws(2000), -1, 1), {0: (-1, 1)}),
    "two close values and a far one": (np.repeat([0.0, 0.1, 40.5], [900, 50, 50]), {0: (0, None)}),
}


@pytest.mark.parametrize(
    ("x", "bounds"),
    [
        pytest.param(*given, id=name, marks=long_if(name in ("rounded", "clipped", "two close values and a far one")))
        for name, given in TIED.items()
    ],
)
def test_noise_scores_and_draws_of_a_repeated_value_share_one_cell(x: Any, bounds: Any) -> None:
    columns = learn(x, bounds=bounds)
    width, ends = columns.cell[0], columns._bounds()
    values, counts = np.unique(x, return_counts=True)
    common = values[counts > 0.005 * len(x)][:, None]
    rows, u = common[:, None, :], np.random.default_rng(0).uniform(1e-3, 1 - 1e-3, size=(50, 1))
    trained = columns.standardize(common, training=True)[:, None, :] + u * columns.width / columns.scale
    scored = columns.standardize(common)[:, None, :] + columns.draws()
    for placed in (trained, scored):
        offset = placed * columns.scale + columns.shift - rows
        assert np.abs(offset).max() <= width / 2 * (1 + 1e-3) and np.ptp(offset, axis=1).min() > 0.7 * width
        np.testing.assert_array_equal(columns.restore(placed), np.broadcast_to(rows, placed.shape))
        inside = jax.vmap(ends.inverse_and_log_det)(jnp.asarray(placed.reshape(-1, 1), jnp.float32))[1]
        assert np.isfinite(inside).all()


def test_draws_of_a_column_of_few_values_are_of_these() -> None:
    columns = learn(TOLL)
    s = np.random.default_rng(0).uniform(-9, 9, size=(200, 1))
    assert set(columns.restore(s)[:, 0]) == set(TOLL)
    rounded = np.round(draws(2000), 1)
    assert set(learn(rounded).restore(s)[:, 0]) <= set(rounded)


def test_values_that_only_some_rows_repeat_take_the_draws_in_their_cell_alone() -> None:
    x = np.concatenate([np.zeros(400), 1 + np.abs(draws(600))])
    columns = learn(x)
    back = columns.restore((np.array([[-3.0], [0.4], [1.7], [2.3]]) - columns.shift) / columns.scale)[:, 0]
    # no other value is nearer than 1: as far as halfway there draws are of the one that repeats
    np.testing.assert_allclose(back, [0, 0, 1.7, 2.3])
    within = learn(np.concatenate([np.zeros(400), draws(600)]))
    near = np.array([[0.3], [0.7]]) * within.width[0]
    back = within.restore((near - within.shift) / within.scale)[:, 0]
    assert back[0] == 0 and back[1] == pytest.approx(near[1, 0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("bounds", [(0, 1), None])
def test_levels_of_a_common_grid_are_drawn_in_every_column(dtype: Any, bounds: Any) -> None:
    rng = np.random.default_rng(0)
    every = (np.arange(256) / 255).astype(dtype).astype(float)
    x = every[np.stack([rng.integers(20, 60, 50), rng.integers(200, 256, 50), np.full(50, 7)], axis=1)]
    columns = learn_columns(x, list("abc"), bounds=bounds, alike=True)
    units = (np.linspace(-0.2, 1.2, 2000)[:, None] - columns.shift) / columns.scale
    drawn = columns.restore(units)
    for column in drawn.T:
        assert np.isin(column, columns.levels).all() and len(np.unique(column)) > 200
    assert np.isin(x, columns.levels).all() and (columns.restore(columns.standardize(x)) == x).all()
    assert np.isin(columns.reach, columns.levels).all() and (columns.reach[:, 2] == every[7]).all()
    assert abs(columns.levels * 255 - np.round(columns.levels * 255)).max() < 1e-4
    if bounds is not None:
        assert drawn.min() >= 0 and drawn.max() <= 1
    np.testing.assert_allclose(columns.cell, 1 / 255, rtol=1e-4)
    again = Columns.from_state(columns.to_state())
    assert (again.restore(units) == drawn).all()


def test_one_rounded_value_that_arithmetic_spoiled_changes_no_cell() -> None:
    tenths = np.round(draws(2000), 1)
    spoiled = np.where(np.arange(2000) % 3, tenths, (tenths * 10 + 0.1 - 0.1) / 10 * (1 + 2e-16))
    assert learn(spoiled).width[0] == pytest.approx(0.1)


def test_beyond_a_bound_no_part_of_a_cell_is_inside() -> None:
    columns = learn(TOLL, bounds={0: (0, 12.5)})
    for outside in (-1e-9, -0.1, 12.6):
        placed = columns.standardize(np.array([[outside]])) + columns.draws()
        beyond = jax.vmap(columns._bounds().inverse_and_log_det)(jnp.asarray(placed, jnp.float32))[1]
        assert (np.asarray(beyond) == -np.inf).all()


def test_whole_numbers_that_stop_at_their_minimum_are_bounded_there() -> None:
    rng = np.random.default_rng(0)
    counts, ages, rare = rng.poisson(2, 900), rng.integers(18, 90, 900), 3 + rng.poisson(9, 900)
    years, differences = np.round(rng.normal(1990, 8, 900)), rng.integers(-5, 9, 900)
    columns = learn(counts, ages, rare, years, differences, np.abs(draws(900)))
    assert columns.low.tolist() == [0, 18, 0, -np.inf, -np.inf, -np.inf]
    assert columns.restore(np.full((1, 6), -9.0))[0, :3].tolist() == [0, 18, 0]
    assert not columns.bounded  # nothing is mapped away, and a smaller number has a density
    below = columns.shift - columns.scale
    np.testing.assert_allclose(columns.standardize(below[None]), -np.ones((1, 6)))


def test_draws_below_stops_weigh_what_lies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Independent normal columns: one that is not at its stop, one that has none, and two that are there."""
    monkeypatch.setattr("pushforward.data.columns.MORE_DRAWS", 20_000)
    columns = learn(*np.random.default_rng(0).poisson(0.5, (3, 900)), draws(900))
    x = np.array([[1.0, 0.0, 0.0, 0.3], [1.0, 1.0, 1.0, 0.3]])
    low, high = columns.standardize(x), columns.standardize(x + 1)
    mass = sum(weighed(s, weight) for s, weight in columns.draws_below(x)) / len(columns.draws())
    cell = norm.cdf(high) - norm.cdf(low)
    beside = cell[0, 0] * norm.pdf(low[0, 3]) / columns.scale[3]
    expected = beside * (np.prod(norm.cdf(high[0, 1:3])) - np.prod(cell[0, 1:3]))
    np.testing.assert_allclose(mass / columns.scale.prod(), [expected, 0], rtol=0.05)


def weighed(s: Any, weight: Any) -> Any:
    return np.exp(norm.logpdf(s).sum(axis=1) + weight)


def test_declared_bounds_overrule_those_of_whole_numbers() -> None:
    counts = np.random.default_rng(0).poisson(2, (900, 3))
    columns = learn(*counts.T, bounds={0: (None, None), 1: (-2, None)})
    assert columns.low.tolist() == [-np.inf, -2, 0] and columns.lowest.tolist() == [-np.inf, -2, -np.inf]
    assert not np.isfinite(learn(*counts.T, bounds=(None, None)).low).any()


def test_states_of_before_are_read() -> None:
    x = np.clip(draws(500), 0, 1)
    state = learn(x, np.random.default_rng(0).poisson(4, 500), draws(500), bounds={0: (0, 1)}).to_state()
    state = {name: value for name, value in state.items() if name not in ("ties", "stops", "mean")}
    state |= {"low": np.array([0.0, -np.inf, -np.inf]), "shift": np.array([0.0, 4.5, 0.1])}
    columns = Columns.from_state(state)
    assert columns.cell.tolist() == [0, 1, 0] and np.isnan(columns.mean[0])
    np.testing.assert_allclose(columns.mean[1:], [4.0, 0.1])
    assert columns.restore(np.zeros((1, 3))).tolist() == [[0, 4, 0.1]]


def test_bounds_are_kept_inside_and_restored_values_stay_within() -> None:
    x = np.concatenate([[0.0, 1.0], np.random.default_rng(0).uniform(size=100)])
    columns = learn(x, bounds={"x0": (0, 1)})
    inside = columns.standardize(np.array([[0.0], [1.0], [-0.5], [1.5]])) * columns.scale + columns.shift
    assert 0 < inside[0, 0] < 1e-4 and 1 - 1e-4 < inside[1, 0] < 1
    np.testing.assert_allclose(inside[2:, 0], [-0.5, 1.5])  # beyond: untouched, of density zero
    far = columns.restore(np.array([[-1e3], [1e3], [0.0]]))
    assert far.min() >= 0 and far.max() <= 1


def test_the_map_of_the_bounds_is_standard_on_the_inside() -> None:
    x = np.random.default_rng(0).gamma(2, 3, 500)
    columns = learn(x, bounds={0: (0, None)})
    s = jnp.asarray(columns.standardize(x[:50, None]), np.float32)
    z = np.asarray(jax.vmap(columns.bounds_map().inverse)(s))
    assert np.isfinite(z).all() and abs(z.mean()) < 0.5 and 0.5 < z.std() < 1.5


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ([[0.5, 0.5, 0.5], [0.1, 0.2, 0.3]], {}, "columns that are constant have no density: 'x0'; leave them out"),
        ([[0.1, 0.2], [0.5, 0.5]], {"discrete": "none"}, "no density: 'x1'; leave them out$"),
        ([[0.1, 0.2]], {"discrete": [0]}, "declared discrete but not whole numbers: 'x0'; round them first"),
        ([[0.1, 0.2]], {"discrete": ["y"]}, "there is no column 'y'; the columns are x0"),
        ([[0.1, 0.2]], {"discrete": "all"}, "discrete must be 'auto', 'none' or a list of columns; got 'all'"),
        ([[0.1, 0.2]], {"bounds": {3: (0, 1)}}, "there is no column 3; the columns are x0"),
        ([[0.1, 0.2]], {"bounds": {0: (1, 0)}}, r"bounds of column 'x0' must be .* low < high; got \(1, 0\)"),
        ([[0.1, 2.0, -3.0]], {"bounds": {"x0": (0, 1)}}, r"'x0' has 2 values outside its bounds \(0, 1\); widen them"),
    ],
)
def test_what_cannot_be_is_refused(columns: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        learn(*columns, **options)


def test_columns_are_found_by_name_first_then_by_number() -> None:
    assert column_number("b", ["a", "b"]) == 1
    assert column_number(np.int64(0), ["a", "b"]) == 0
    with pytest.raises(ValueError, match="there is no column -1"):
        column_number(-1, ["a"])


def test_the_state_comes_back_equal() -> None:
    columns = learn(1e9 + draws(), np.abs(draws()), bounds={1: (0, None)})
    again = Columns.from_state({k: v for k, v in columns.to_state().items()})
    for name, value in columns.to_state().items():
        np.testing.assert_array_equal(getattr(again, name), value)


def test_one_pair_of_bounds_holds_for_all_columns() -> None:
    x = np.random.default_rng(0).uniform(0, 1, (50, 3))
    one, each = learn(*x.T, bounds=(0, 1)), learn(*x.T, bounds={f"x{i}": (0, 1) for i in range(3)})
    assert one.kinds == ["bounded"] * 3
    np.testing.assert_array_equal(one.low, each.low)
    np.testing.assert_array_equal(one.inner_scale, each.inner_scale)
    np.testing.assert_array_equal(learn(*x.T, bounds=[0, 1]).low, each.low)
    with pytest.raises(ValueError, match="column 'x0' has .* values outside its bounds"):
        learn(*x.T, bounds=(0.5, 1))


@pytest.mark.parametrize("bounds", [[(0, 1)] * 3, (0, 1, 2), {0: "ab"}])
def test_bounds_of_other_forms_are_refused(bounds: Any) -> None:
    with pytest.raises(ValueError, match="bounds must be"):
        learn(*np.random.default_rng(0).uniform(0, 1, (3, 50)), bounds=bounds)


@pytest.mark.parametrize("high", [1, None])
def test_noise_around_ties_on_a_bound_stays_inside(high: float | None) -> None:
    x = np.clip(np.random.default_rng(0).normal(0.5, 0.7, size=500), 0, 1)
    columns = learn(x, bounds={"x0": (0, high)})
    assert columns.width[0] > 0
    low, top = columns.standardize(x[:, None], training=True), columns.noise
    for u in (0.0, 1.0):
        inside = columns._bounds().inverse_and_log_det(jnp.asarray(low + u * top, jnp.float32)[..., 0])[1]
        assert np.isfinite(inside)


def test_numbers_too_large_to_have_fractions_are_not_taken_for_whole_ones() -> None:
    assert learn(1e20 * draws(), np.arange(400.0)).kinds == ["real", "whole number"]


def test_advice_for_constant_columns_is_only_what_helps() -> None:
    with pytest.raises(ValueError, match="'x1'; leave them out$"):
        learn(draws(), np.full(400, 2.5))
    with pytest.raises(ValueError, match=r"'x1'; leave them out, or declare them .* discrete=\[...\]"):
        learn(draws(), np.full(400, 2.0), discrete="none")
