"""Rows of numbers and categories: probabilities sum to one, draws follow them, columns see those before them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from pushforward.distributions import GapFiller, Layout, MixedRows
from pushforward.distributions.mixed import HIGH, LOW, STRAY, WIDTH, started

LAYOUT = Layout((2, 3, 2), (False, False, True))  # two categories, and a number with one mass
EDGES = np.linspace(-12, 12, 2001)


def shaken(model: eqx.Module, scale: float = 0.5) -> eqx.Module:
    """The same with parameters far from where they start."""
    leaves, structure = jax.tree.flatten(eqx.filter(model, eqx.is_inexact_array))
    keys = jax.random.split(jax.random.key(3), len(leaves))
    moved = [leaf + scale * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    return eqx.combine(jax.tree.unflatten(structure, moved), model)


@pytest.fixture(scope="module")
def rows() -> MixedRows:
    made = shaken(MixedRows.init(jax.random.key(0), LAYOUT, (16,)))
    assert isinstance(made, MixedRows)
    return made


def row(a: int, b: int, code: float, low: float = 0.0, high: float = 0.0) -> list[list[float]]:
    return [[a, 0, 0, 0], [b, 0, 0, 0], [code, low, high, high - low]]


def every(code: float, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.array(
        [row(a, b, code, lo, hi) for a in (0, 1) for b in (0, 1, 2) for lo, hi in zip(low, high, strict=True)]
    )


def test_points_and_masses_integrate_to_one(rows: MixedRows) -> None:
    points = np.linspace(-60, 60, 24_001)
    density = np.exp(rows.log_prob(every(0, points, points))).reshape(6, -1)
    masses = np.exp(rows.log_prob(every(1, np.zeros(1), np.zeros(1))))
    assert np.trapezoid(density, points, axis=1).sum() + masses.sum() == pytest.approx(1, abs=1e-4)


def test_cells_and_masses_sum_to_one(rows: MixedRows) -> None:
    edges = np.concatenate([[-1e4], np.arange(-30, 31.0), [1e4]])
    total = np.exp(rows.log_prob(every(0, edges[:-1], edges[1:]))).sum()
    masses = np.exp(rows.log_prob(every(1, np.zeros(1), np.zeros(1)))).sum()
    assert total + masses == pytest.approx(1, abs=1e-4)


def test_a_mass_on_a_grid_has_its_own_probability_and_that_of_its_cell(rows: MixedRows) -> None:
    mass, cell, both = rows.log_prob(np.array([row(1, 2, 1), row(1, 2, 0, 0.5, 1.5), row(1, 2, 1, 0.5, 1.5)]))
    np.testing.assert_allclose(both, np.logaddexp(mass, cell), rtol=1e-5)


def test_draws_follow_the_probabilities(rows: MixedRows) -> None:
    drawn = np.asarray(rows.sample(jax.random.key(1), (20_000,)))
    shares = np.array([[((drawn[:, 0, 0] == a) & (drawn[:, 1, 0] == b)).mean() for b in range(3)] for a in range(2)])
    points = np.linspace(-60, 60, 6001)
    density = np.exp(rows.log_prob(every(0, points, points))).reshape(2, 3, -1)
    masses = np.exp(rows.log_prob(every(1, np.zeros(1), np.zeros(1)))).reshape(2, 3)
    expected = np.trapezoid(density, points, axis=-1) + masses
    np.testing.assert_allclose(shares, expected, atol=0.02)
    a, b = np.unravel_index(np.trapezoid(density, points, axis=-1).argmax(), (2, 3))
    inside = drawn[(drawn[:, 2, 0] == 0) & (drawn[:, 0, 0] == a) & (drawn[:, 1, 0] == b), 2, 1]
    assert len(inside) > 2000
    cumulative = np.cumsum(density[a, b]) / density[a, b].sum()
    for share in (0.25, 0.5, 0.75):
        assert (inside < points[np.searchsorted(cumulative, share)]).mean() == pytest.approx(share, abs=0.05)


def test_columns_see_those_before_them_and_no_others(rows: MixedRows) -> None:
    def said(features: jax.Array) -> jax.Array:
        return rows.network(features)

    slopes = np.asarray(jax.jacobian(said)(jax.random.normal(jax.random.key(2), (len(LAYOUT.inputs),))))
    before = np.asarray(LAYOUT.inputs)[None, :] < np.asarray(LAYOUT.outputs)[:, None]
    assert (slopes[~before] == 0).all()
    assert (np.abs(slopes[before]) > 0).mean() > 0.9


def test_far_points_and_cells_have_finite_logarithms_and_slopes(rows: MixedRows) -> None:
    far = np.array(
        [row(0, 0, 0, at, at) for at in (-900.0, 900.0)] + [row(0, 0, 0, 500.0, 500.5), row(0, 0, 0, -1e4, -500)]
    )
    values, slopes = eqx.filter_value_and_grad(lambda m: m.log_prob(far).sum())(rows)
    assert np.isfinite(rows.log_prob(far)).all()
    assert np.isfinite(values)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes))


def test_filled_gaps_are_as_likely_as_is_said() -> None:
    filler = shaken(GapFiller.init(jax.random.key(0), LAYOUT, (16,)))
    assert isinstance(filler, GapFiller)
    given = jnp.array(row(0, 0, 0, 0.3, 0.3)).at[:2].set(jnp.nan)
    keys = jax.random.split(jax.random.key(1), 20_000)
    columns = jnp.array([1, 0, 2])
    drawn = np.asarray(jax.vmap(lambda key: filler.fill(key, given, columns, 2))(keys))
    assert (drawn[:, 2] == np.asarray(given)[2]).all()
    total = 0.0
    for a in range(2):
        for b in range(3):
            filled = given.at[:2, :].set(0.0).at[0, 0].set(a).at[1, 0].set(b)
            probability = float(np.exp(filler.log_prob(given, filled, columns, 2)))
            assert ((drawn[:, 0, 0] == a) & (drawn[:, 1, 0] == b)).mean() == pytest.approx(probability, abs=0.02)
            total += probability
    assert total == pytest.approx(1, abs=1e-5)


def test_a_start_knows_shares_and_regressions() -> None:
    rng = np.random.default_rng(0)
    layout = Layout((3, 1, 1), (False, True, True))
    x = np.zeros((3000, 3, 4))
    x[:, 0, 0] = rng.choice(3, 3000, p=[0.5, 0.3, 0.2])
    first = rng.normal(size=3000)
    for j, values in ((1, first), (2, 0.8 * first + 0.1 * rng.normal(size=3000))):
        x[:, j, 1] = x[:, j, 2] = values
    model = started(MixedRows.init(jax.random.key(0), layout, (8,)), x)
    said = np.exp(model.bias[:3]) / np.exp(model.bias[:3]).sum()
    np.testing.assert_allclose(said, [0.5, 0.3, 0.2], atol=0.03)
    assert model.linear[1, 0] == pytest.approx(0.8, abs=0.02)
    assert np.exp(model.log_scale[1]) == pytest.approx(0.1, abs=0.02)


def test_draws_of_masses_on_a_grid_lie_where_those_are() -> None:
    layout = Layout((3, 1), (True, True))
    rows = MixedRows.init(jax.random.key(0), layout, (8,), masses=[0.0, -1.5, 2.5, 0.0])
    drawn = np.asarray(rows.sample(jax.random.key(1), (500,)))
    for code, at in ((1, -1.5), (2, 2.5)):
        assert (drawn[drawn[:, 0, 0] == code, 0, 1] == at).all()
    assert set(np.unique(drawn[:, 0, 0])) == {0, 1, 2}


def test_a_value_unlike_all_before_costs_no_more_than_one_from_anywhere() -> None:
    same = np.zeros((8, 1, 4))  # eight rows of one value: what is said of their spread is next to nothing
    same[:, 0, LOW], same[:, 0, HIGH], same[:, 0, WIDTH] = -0.05, 0.05, 0.1
    model = started(MixedRows.init(jax.random.key(0), Layout((1,), (True,)), (4,)), same)
    other = np.array([[0.0, 3.0, 3.1, 0.1]])
    assert float(model.log_prob(jnp.asarray(same[0], jnp.float32))) > -1e-3
    assert -20 < float(model.log_prob(jnp.asarray(other, jnp.float32))) < np.log(STRAY)
    drawn = np.asarray(model.sample(jax.random.key(1), (200_000,)))[:, 0, LOW]
    assert 5 < (np.abs(drawn) > 0.1).sum() < 45  # about 20 of them
