from typing import Any

import pytest

import pushforward as pf
from pushforward.data.toy import pinwheel
from pushforward.estimators import starting
from pushforward.estimators.build import FlowSpec
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


class Built(Exception):
    """What was to be built."""


@pytest.mark.parametrize(
    ("asked", "n_layers"),
    [({}, 2), ({"n_layers": 6}, 6), ({"shared_layers": 4}, 2), ({"shared_layers": "all"}, 0), ({"flow": "maf"}, None)],
)
def test_components_of_few_rows_have_two_layers_unless_layers_are_asked_for(
    asked: Any, n_layers: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(keys: Any, spec: Any, *rest: Any) -> None:
        raise Built(spec)

    monkeypatch.setattr(starting, "build_mixtures", build)
    X, _ = pinwheel(45, seed=0)
    with pytest.raises(Built) as found:
        pf.FlowMixture(5, init="random", consistency=0.0, random_state=0, **asked).fit(X)
    assert found.value.args[0].n_layers == n_layers  # of six, four shared leave two


def test_components_of_many_rows_have_six() -> None:
    assert FlowSpec.choose("auto", 2, alone=False).n_layers == 6
