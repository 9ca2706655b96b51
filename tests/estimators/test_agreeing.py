"""Columns that nearly agree, or agree entirely."""

from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from scipy.stats import norm

import pushforward as pf
from pushforward.bijections import Untrained
from pushforward.estimators.repeats import refuse_repeats
from tests.estimators.small import density, mixture
from tests.sweeps import long_if

N = 1000
QUICK: dict[str, Any] = {"max_epochs": 15, "random_state": 0}


def sensors(width: float, seed: int = 0, n: int = N) -> tuple[np.ndarray, np.ndarray]:
    """Two sensors of one quantity, equal up to `width` of its spread, and that difference in its own width."""
    rng = np.random.default_rng(seed)
    first, difference = rng.normal(20, 5, n), rng.normal(size=n)
    return np.stack([first, first + 5 * width * difference], axis=1), difference


def exact(x: np.ndarray, width: float) -> float:
    """The mean log-density of the Gaussian that `sensors` draws from."""
    return float((norm(20, 5).logpdf(x[:, 0]) + norm(0, 5 * width).logpdf(x[:, 1] - x[:, 0])).mean())


@pytest.mark.parametrize("width", [pytest.param(w, marks=long_if(w != 1e-3)) for w in (1e-2, 1e-3, 1e-4)])
def test_rows_off_by_ten_widths_are_outliers(width: float) -> None:
    x, _ = sensors(width)
    off = np.arange(N) < N // 20
    x[off, 1] += 10 * 5 * width * np.where(np.arange(off.sum()) % 2, 1, -1)
    found = pf.FlowOutlierDetector(contamination=0.05, **QUICK).fit_predict(x) == -1
    assert found[off].mean() >= 0.9


@pytest.mark.parametrize("width", [pytest.param(w, marks=long_if(w != 1e-4)) for w in (1e-2, 1e-4)])
def test_density_and_draws_are_as_narrow_as_the_difference(width: float) -> None:
    fitted = density(**QUICK).fit(sensors(width)[0])
    test = sensors(width, 1)[0]
    assert fitted.score(test) == pytest.approx(exact(test, width), abs=0.1)
    drawn = fitted.sample(2000, random_state=0)
    assert np.std(drawn[:, 1] - drawn[:, 0]) == pytest.approx(5 * width, rel=0.15)


@pytest.mark.long
def test_mixtures_whiten_too() -> None:
    x, _ = sensors(1e-4)
    x[: N // 2] += 100  # both sensors: two clusters
    fitted = mixture(2, **QUICK).fit(x)
    assert len(set(fitted.labels_[: N // 2])) == 1 and fitted.labels_[0] != fitted.labels_[-1]
    drawn, _ = fitted.sample(2000, random_state=0)
    assert np.std(drawn[:, 1] - drawn[:, 0]) == pytest.approx(5e-4, rel=0.2)


@pytest.mark.long
def test_whitening_lies_under_bounds_restarts_and_shared_layers() -> None:
    x = np.exp(sensors(1e-3)[0] / 10)
    bounded = density(bounds=(0, None), n_init=2).fit(x)
    assert np.isfinite(bounded.score_samples(x)).all() and (bounded.sample(500) > 0).all()
    shared = mixture(2, n_init=2, shared_layers=1, bounds=(0, None)).fit(x)
    assert np.isfinite(shared.score_samples(x)).all()


def whitens(model: Any) -> bool:
    """Whether a model has a map that does not train."""
    nodes = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, Untrained))
    return any(isinstance(node, Untrained) for node in nodes)


def test_ordinary_tables_are_not_whitened() -> None:
    x = np.random.default_rng(0).normal(size=(200, 2)) @ [[1.0, 0.95], [0.0, 0.3]]
    assert not whitens(density().fit(x).model_)
    assert whitens(density().fit(sensors(1e-3)[0]).model_)


U = np.random.default_rng(0).normal(size=(300, 3))
COPY = np.column_stack([U, U[:, 0]])


@pytest.mark.parametrize(
    ("repeated", "message"),
    [
        (U[:, 0], "'x3' is a copy of 'x0'; leave them out$"),
        (32 + 1.8 * U[:, 1], "'x3' is a copy of 'x1'; leave them out$"),
        (-U[:, 2], "'x3' is a copy of 'x2'; leave them out$"),
        (U[:, 0] + U[:, 1], "'x3' follows from 'x0', 'x1'; leave them out$"),
        (U[:, 0] + 1e-9 * U[:, 1], "'x3' is a copy of 'x0' up to 1e-09 of its spread; leave them out, or run in"),
    ],
)
def test_columns_that_repeat_others_are_named(repeated: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        density().fit(np.column_stack([U, repeated]))


@pytest.mark.parametrize("made", [density(), mixture(2), pf.FlowOutlierDetector(max_epochs=1)])
def test_every_estimator_names_them(made: Any) -> None:
    with pytest.raises(ValueError, match="'x3' is a copy of 'x0'"):
        made.fit(COPY)


def test_double_precision_tells_more_apart(float64: None) -> None:
    fitted = density().fit(np.column_stack([U, U[:, 0] + 1e-9 * U[:, 1]]))
    assert np.isfinite(fitted.score(np.column_stack([U, U[:, 0] + 1e-9 * U[:, 1]])))


def test_whole_numbers_that_repeat_others_are_said() -> None:
    whole = np.round(3 * U)
    with pytest.warns(UserWarning, match="'x3' is a copy of 'x0'"):
        density(max_epochs=1).fit(np.column_stack([whole, 1 - whole[:, 0]]))


def test_few_rows_say_nothing_of_repeats() -> None:
    fitted = density(max_epochs=1).fit(U[:20])
    refuse_repeats(np.random.default_rng(0).normal(size=(6, 3)), fitted.columns_)


@pytest.mark.long
def test_whitened_models_are_kept_in_files(tmp_path: Path) -> None:
    x, _ = sensors(1e-3, n=200)
    for made in (density(), mixture(2)):
        fitted = made.fit(x)
        fitted.save(tmp_path / type(fitted).__name__)
        assert (pf.load(tmp_path / type(fitted).__name__).score_samples(x) == fitted.score_samples(x)).all()
