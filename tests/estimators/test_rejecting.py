"""Draws that keep to rules which users state."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import pushforward as pf
from pushforward.data import DataError
from pushforward.data.duck import rows_where
from pushforward.estimators.rejecting import Draws, draw_where
from tests.estimators.small import SMALL

QUICK: dict[str, Any] = {"max_epochs": 2, "hidden_sizes": (8,), "random_state": 0}
RNG = np.random.default_rng(0)
NUMBERS = np.column_stack([RNG.normal(size=200), RNG.poisson(5, 200)])
pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def numbers() -> pf.FlowDensity:
    return pf.FlowDensity(**SMALL).fit(NUMBERS)


@pytest.fixture(scope="module")
def mixture() -> pf.FlowMixture:
    kind = RNG.uniform(size=200) < 0.5
    table = pd.DataFrame(
        {
            "age": RNG.normal(np.where(kind, 20, 60), 5).round(),
            "city of birth": pd.Categorical(np.where(RNG.uniform(size=200) < 0.7, "Porto", "Faro")),
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(RNG.integers(0, 900, 200), unit="D"),
        }
    )
    return pf.FlowMixture(2, **QUICK).fit(table)


def test_arrays_have_columns_by_number(numbers: pf.FlowDensity) -> None:
    rows = numbers.sample(300, where="x0 > 0 AND x1 % 2 = 0")
    assert rows.shape == (300, 2)
    assert (rows[:, 0] > 0).all()
    assert (rows[:, 1] % 2 == 0).all()
    np.testing.assert_array_equal(numbers.sample(300, where="x0 > 0 AND x1 % 2 = 0"), rows)
    assert not np.array_equal(numbers.sample(300, where="x0 > 0 AND x1 % 2 = 0", random_state=1), rows)


def test_what_is_kept_is_distributed_as_what_is_drawn(numbers: pf.FlowDensity) -> None:
    drawn, kept = numbers.sample(6000, random_state=1)[:, 0], numbers.sample(3000, where="x0 > 0.5")[:, 0]
    drawn = drawn[drawn > 0.5]
    np.testing.assert_allclose(kept.mean(), drawn.mean(), atol=4 * drawn.std() / np.sqrt(len(drawn)))


def test_tables_are_filtered_by_the_types_that_users_see(mixture: pf.FlowMixture) -> None:
    rule = "\"city of birth\" = 'Faro' AND since >= DATE '2021-01-01' AND age > 40"
    rows, components = mixture.sample(50, where=rule)
    assert len(rows) == len(components) == 50
    assert set(rows["city of birth"]) == {"Faro"}
    assert (rows["since"] >= "2021-01-01").all() and (rows["age"] > 40).all()
    assert rows["city of birth"].dtype == pd.CategoricalDtype(["Faro", "Porto"])
    _, chosen = mixture.sample(20, component=1, where="age IS NOT NULL")
    assert (chosen == 1).all()


def test_components_stay_with_their_rows() -> None:
    def draw(n: int, seed: int) -> Draws:
        rows = np.random.default_rng(seed).integers(0, 5, (n, 1))
        return Draws(rows, 10 * rows[:, 0])

    drawn = draw_where(draw, lambda rows: pa.table({"a": rows[:, 0]}), 3000, "a IN (1, 3)", 0)
    assert drawn.rows.shape == (3000, 1)
    assert set(drawn.rows[:, 0]) == {1, 3}
    np.testing.assert_array_equal(drawn.components, 10 * drawn.rows[:, 0])


def test_tables_of_numbers_are_known_by_their_names() -> None:
    table = pa.table({"price": NUMBERS[:, 0], "number of rooms": NUMBERS[:, 1].astype(int)})
    rows = pf.FlowDensity(**SMALL).fit(table).sample(20, where='"number of rooms" IN (4, 5)')
    assert set(rows.column("number of rooms").to_pylist()) <= {4, 5}


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("x9 > 0", "x9.*columns are x0, x1"),
        ("x0 > 0; DROP TABLE x", "condition in SQL"),
        ("x0 > 0) UNION SELECT (1", "syntax error"),
        ("", "condition in SQL"),
        ("(SELECT count(*) FROM read_csv('/etc/hostname')) > 0", "disabled"),
        ("avg(x0) > 0", "aggregate"),
        ("x0 > 1e9", r"0 of 20,480 rows drawn keep to it \(0.00%\), and at least one in 5,000"),
    ],
)
def test_rules_that_are_none_or_that_nothing_keeps_are_refused(numbers: pf.FlowDensity, where: str, says: str) -> None:
    with pytest.raises(DataError, match=says):
        numbers.sample(3, where=where)


def test_rules_do_not_go_with_what_is_given(mixture: pf.FlowMixture) -> None:
    with pytest.raises(ValueError, match="where= and given= do not go together"):
        mixture.sample(1, where="age > 0", given=pd.DataFrame({"age": [30]}))


def test_names_that_differ_by_case_alone() -> None:
    assert rows_where(pa.table({"Row_Number": [7, 8, 9], "x": [1, 2, 3]}), "x > 1").tolist() == [1, 2]
    with pytest.raises(DataError, match="does not tell the columns a, A apart"):
        rows_where(pa.table({"a": [1, 2, 3], "A": [30, 20, 10]}), "A >= 20")
