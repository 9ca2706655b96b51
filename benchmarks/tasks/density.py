"""Density estimation with defaults: what a user of scikit-learn would pick instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import data
from benchmarks.task import Side, Task, Work

SIZES = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40)  # what BIC chooses from


def _split(rows: np.ndarray, step: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """Training and held-out rows (a fifth), spread evenly over the recording step so that ties hold no likelihood."""
    rng = np.random.default_rng(data.SEED)
    rows = rows + step * (rng.random(rows.shape) - 0.5)
    rows = np.asarray(rows[rng.permutation(len(rows))], np.float32)
    n_test = len(rows) // 5
    return rows[n_test:], rows[:n_test]


def _smallest_step(rows: np.ndarray) -> np.ndarray:
    """The smallest gap between distinct values of each column: the precision it was recorded with."""
    return np.array([np.diff(np.unique(column)).min() for column in rows.T])


def _pinwheel() -> tuple[np.ndarray, np.ndarray]:
    return data.pinwheel(2560, seed=0), data.pinwheel(20_000, seed=1)


def _power_plant() -> tuple[np.ndarray, np.ndarray]:
    rows = np.loadtxt(data.folder() / "uci" / "power-plant.txt.gz")
    return _split(rows, _smallest_step(rows))


def _pendigits() -> tuple[np.ndarray, np.ndarray]:
    """Pen positions on a grid of 100, rescaled to [0, 1] with many points on the border."""
    return _split(np.load(data.folder() / "adbench" / "pendigits.npz")["X"], 0.01)


def _wine() -> tuple[np.ndarray, np.ndarray]:
    rows = np.loadtxt(data.folder() / "uci" / "winequality-white.csv", delimiter=",")[:, :-1]
    return _split(rows, _smallest_step(rows))


def _gaussian_mixture(load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Callable[[bool], Work]:
    """Standardise, fit every size, keep the one with the lowest BIC."""

    def side(quick: bool) -> Work:
        from sklearn.mixture import GaussianMixture

        train, test = load()
        sizes = SIZES[:3] if quick else SIZES

        def block(i: int) -> dict[str, float]:
            centre, spread = train.mean(0, dtype=np.float64), train.std(0, dtype=np.float64)
            scaled = (train - centre) / spread
            fits = [GaussianMixture(size, random_state=i).fit(scaled) for size in sizes]
            best = min(fits, key=lambda fit: fit.bic(scaled))
            nats = best.score((test - centre) / spread) - np.log(spread).sum()
            return {"held-out log-likelihood (nats)": float(nats), "components": best.n_components}

        return Work(block, 1)

    return side


def _ours(name: str, load: Callable[[], tuple[np.ndarray, np.ndarray]]) -> Callable[[bool], Work]:
    """An estimator of this package, nothing tuned."""

    def side(quick: bool) -> Work:
        import pushforward as pf

        train, test = load()
        limit: dict[str, Any] = {"max_epochs": 3} if quick else {}

        def block(i: int) -> dict[str, float]:
            estimator = getattr(pf, name)(random_state=i, **limit).fit(train)
            return {
                "held-out log-likelihood (nats)": float(np.mean(estimator.score_samples(test))),
                "components": float(getattr(estimator, "n_components", 1)),
            }

        return Work(block, 1)

    return side


ONE_FIT = "One fit in a fresh process, compilation included."
TRUTH = "The true density scores -2.31 nats. Each block is a fit with another seed."


def _task(
    name: str, title: str, load: Callable[[], tuple[np.ndarray, np.ndarray]], rounds: int = 0, note: str = ONE_FIT
) -> Task:
    missing = load is not _pinwheel and not data.folder().is_dir()
    return Task(
        name=f"density_{name}",
        title=f"Density of {title}",
        about=(
            "The whole fit with defaults and the mean log-density of held-out rows, in the data's own units (higher "
            "is better). The Gaussian mixture is scikit-learn's with full covariances on standardised columns, its "
            f"size chosen by BIC among {', '.join(map(str, SIZES))}; its time is that of the whole choice. Real "
            "tables are jittered by one recording step, for all sides alike, so that repeated values hold no "
            f"likelihood. {note}"
        ),
        unit="fit and score",
        sides=(
            Side("pushforward FlowDensity", _ours("FlowDensity", load), peer=False),
            Side("pushforward FlowMixture", _ours("FlowMixture", load), peer=False),
            Side("scikit-learn GaussianMixture by BIC", _gaussian_mixture(load)),
        ),
        rounds=rounds,
        skip="the real tables are not here; set PUSHFORWARD_DATA to their folder" if missing else None,
    )


TASKS = (
    _task("pinwheel", "the pinwheel (2,560 points in 2-D, 20,000 held out)", _pinwheel, rounds=3, note=TRUTH),
    _task("power_plant", "the power-plant table (9,568 rows, 5 columns)", _power_plant),
    _task("wine", "the white-wine table (4,898 rows, 11 columns)", _wine),
    _task("pendigits", "the pen-digits table (6,870 rows, 16 columns)", _pendigits),
)
