"""Outliers of ten tables, without labels: `FlowOutlierDetector` by its defaults, and the usual choices.

Every method is fitted to all rows of a table and scores the same rows; labels only measure. AUROC is the chance that
an outlier scores above another row; average precision is the area under precision and recall. Columns are standardised
for every method but the forest, and constant ones dropped. The detector's small size, its strong prior (ten times less
or more is as good) and the share it trains on were settled on these very tables and their labels; the others' defaults
were not. The Gaussian mixture has as many full components of 1 to 10 as BIC chooses; kernel density has the bandwidth
by Scott's rule on at most 10,000 rows; the others have scikit-learn's defaults.

"study": what helps a flow. Trimming: the share of the rows it trains on. Tails: the same flow, scored as if its base
were a Student t of 5 degrees of freedom for each coordinate. Mixture: a mixture of three flows on the same rows.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from common import arguments, data_folder, write_table
from scipy import stats
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity, LocalOutlierFactor
from sklearn.svm import OneClassSVM
from threadpoolctl import threadpool_limits

from pushforward import FlowMixture, FlowOutlierDetector

TABLES = [
    "breastw",
    "cardio",
    "letter",
    "mammography",
    "pendigits",
    "satellite",
    "shuttle",
    "thyroid",
    "vowels",
    "wine",
]
MOST_KERNELS, MOST_IN_MIXTURE = 10_000, 5_000
FREEDOM = 5
Score = Callable[[np.ndarray, np.ndarray, int], np.ndarray]  # of columns, standardised ones and a seed


def table(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Rows without constant columns, and which are outliers."""
    file = np.load(data_folder() / "adbench" / f"{name}.npz")
    X = file["X"].astype(np.float64)
    return X[:, np.ptp(X, axis=0) > 0], file["y"].astype(int)


def mixture(z: np.ndarray, seed: int) -> Any:
    """The Gaussian mixture that BIC chooses."""
    fits = [GaussianMixture(k, reg_covar=1e-3, random_state=seed).fit(z) for k in range(1, 11)]
    return min(fits, key=lambda fit: fit.bic(z))


def kernels(z: np.ndarray, seed: int) -> Any:
    """Kernel density of at most so many rows."""
    return KernelDensity(bandwidth="scott").fit(np.random.default_rng(seed).permutation(z)[:MOST_KERNELS])


BASELINES: dict[str, Score] = {
    "isolation forest": lambda X, z, seed: IsolationForest(random_state=seed).fit(X).score_samples(X),
    "local outlier factor": lambda X, z, seed: LocalOutlierFactor().fit(z).negative_outlier_factor_,
    "one-class SVM": lambda X, z, seed: OneClassSVM().fit(z).score_samples(z),
    "Gaussian mixture": lambda X, z, seed: mixture(z, seed).score_samples(z),
    "kernel density": lambda X, z, seed: kernels(z, seed).score_samples(z),
}
SEEDLESS = ("local outlier factor", "one-class SVM")


def detector(X: np.ndarray, z: np.ndarray, seed: int) -> np.ndarray:
    return FlowOutlierDetector(random_state=seed).fit(X).score_samples(X)


def trimmed(fraction: float) -> Score:
    def score(X: np.ndarray, z: np.ndarray, seed: int) -> np.ndarray:
        return FlowOutlierDetector(support_fraction=fraction, random_state=seed).fit(X).score_samples(X)

    return score


def heavy_tailed(X: np.ndarray, z: np.ndarray, seed: int) -> np.ndarray:
    fit = FlowOutlierDetector(random_state=seed).fit(X)
    noise = fit.transform(X)
    return fit.score_samples(X) + (stats.t.logpdf(noise, FREEDOM) - stats.norm.logpdf(noise)).sum(axis=1)


def three_flows(X: np.ndarray, z: np.ndarray, seed: int) -> np.ndarray:
    support = FlowOutlierDetector(random_state=seed, max_epochs=1).fit(X).support_
    rows = np.random.default_rng(seed).permutation(X[support])[:MOST_IN_MIXTURE]
    flows = FlowMixture(3, flow="real_nvp", n_layers=2, hidden_sizes=(32,), max_epochs=30, random_state=seed)
    varied = np.ptp(rows, axis=0) > 0  # a column may be constant without the rows left out
    return flows.fit(rows[:, varied]).score_samples(X[:, varied])


STUDY: dict[str, Score] = {
    **{f"trained on {share:.0%} of the rows": trimmed(share) for share in (1.0, 0.9, 0.7, 0.5)},
    "70 %, heavier tails": heavy_tailed,
    "70 %, three flows": three_flows,
}


def measured(scores: dict[str, Score], seeds: int) -> dict[str, dict[str, np.ndarray]]:
    """AUROC and average precision of each method and table, shape (seeds, 2)."""
    found: dict[str, dict[str, np.ndarray]] = {name: {} for name in scores}
    for name in TABLES:
        X, y = table(name)
        z = (X - X.mean(axis=0)) / X.std(axis=0)
        for method, score in scores.items():
            began, values = time.monotonic(), []
            for seed in range(1 if method in SEEDLESS else seeds):
                with threadpool_limits(1), warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    unlikely = -score(X, z, seed)
                values.append((roc_auc_score(y, unlikely), average_precision_score(y, unlikely)))
            found[method][name] = np.array(values)
            shown = ", ".join(f"{auroc:.3f}" for auroc, _ in values)
            print(f"{name} {method}: AUROC {shown} in {time.monotonic() - began:.1f} s", flush=True)
    return found


def report(settings: str, scores: dict[str, Score], seeds: int) -> None:
    """One row for each table, and their means."""
    began = time.monotonic()
    found = measured(scores, seeds)
    for place, metric in enumerate(("AUROC", "average precision")):
        means = {m: {t: float(v[:, place].mean()) for t, v in tables.items()} for m, tables in found.items()}
        rows: list[list[Any]] = [[t, *(round(means[m][t], 3) for m in means)] for t in TABLES]
        overall = {m: np.mean([np.resize(v[:, place], seeds) for v in found[m].values()], axis=0) for m in found}
        rows.append(["mean", *(round(float(overall[m].mean()), 4) for m in found)])
        rows.append(["mean, worst seed", *(round(float(overall[m].min()), 4) for m in found)])
        write_table(
            "outliers",
            [f"{metric} of", *found],
            rows,
            round(time.monotonic() - began, 1),
            seeds,
            settings=f"{settings}-{metric.lower().replace(' ', '-')}",
        )


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", ["tables", "study"], seeds=3)
    if "tables" in asked.settings:
        report("tables", {"flow": detector, **BASELINES}, asked.seeds)
    if "study" in asked.settings:
        report("study", STUDY, asked.seeds)


if __name__ == "__main__":
    main()
