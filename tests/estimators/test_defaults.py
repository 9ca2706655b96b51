import pytest

import pushforward as pf
from pushforward.data.toy import pinwheel
from pushforward.estimators.defaults import PRIOR_PRECISION, few_rows, mixture_precision


@pytest.mark.parametrize(
    ("n", "dim", "more"),
    [
        (2560, 2, 1),
        (5496, 16, 1),
        (5148, 36, (36 / 16) ** 4),
        (143, 13, 150 * 13 / 143),
        (1438, 61, 30),
        (57_000, 784, 10),
    ],
)
def test_the_prior_grows_with_the_columns_and_with_few_rows(n: int, dim: int, more: float) -> None:
    assert mixture_precision(n, dim) == pytest.approx(PRIOR_PRECISION * more)


def test_rows_are_few_for_each_column_of_each_component() -> None:
    assert few_rows(1707, 61, 10) and not few_rows(5148, 36, 6)
    assert not few_rows(57_000, 784, 10)  # components start diagonal there


def test_components_of_few_rows_have_two_layers_unless_layers_are_asked_for() -> None:
    X, _ = pinwheel(45, seed=0)
    options = {"hidden_sizes": (4,), "max_epochs": 1, "refine_posterior": False, "init": "random", "random_state": 0}
    sizes = [
        pf.FlowMixture(5, **options, **asked).fit(X).n_parameters()
        for asked in ({}, {"n_layers": 2}, {"n_layers": 6}, {"shared_layers": 6})
    ]
    assert sizes[0] == sizes[1] < sizes[2]
    assert sizes[3] != sizes[0]  # layers that are shared learn from all rows, so there are six
