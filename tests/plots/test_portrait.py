"""Which pictures a model has, whatever table it was fitted on."""

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import pushforward as pf
from pushforward.plots import portrait
from tests.estimators.small import blobs, density, mixture

X, _ = blobs()
FRAME = pd.DataFrame(X, columns=["length", "width"])


@pytest.mark.parametrize("table", [FRAME, pa.Table.from_pandas(FRAME)], ids=["pandas", "arrow"])
def test_models_of_tables_with_names_are_drawn(table: Any) -> None:
    pictures = portrait(density().fit(table), X)
    assert list(pictures) == ["samples", "density", "training"]
    for draw in pictures.values():
        assert draw().axes


def test_one_component_has_no_picture_of_clusters() -> None:
    three = np.column_stack([X, X[:, 0] + np.random.default_rng(0).normal(size=len(X))])
    pictures = portrait(mixture(1).fit(three), three)
    assert list(pictures) == ["samples", "density", "training"]
    assert pictures["samples"]().axes


def test_what_has_not_trained_has_no_course() -> None:
    model = pf.FlowDensity(random_state=0).fit(np.random.default_rng(0).normal(size=(100, 2)))
    assert model.history_ == [] and list(portrait(model)) == ["samples", "density"]
