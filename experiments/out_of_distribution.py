"""Images from elsewhere: what is trained on digits scores silhouettes of objects, and the other way round.

Both are made alike first: black and white, the white pixels of each block of 4 × 4 counted (49 columns of 0 to 16),
uniform noise on the counts. Silhouettes are large and digits small, so that two numbers without any model tell them
apart: the sum of the columns in standard units (how far it is from its mean), and the distance from the mean image. The
check is whether densities see it too, which those of flows on images are known to miss. Every method is fitted to 5,000
images of one kind and scores 2,000 others of the same kind and 2,000 of the other; AUROC is the chance that one from
elsewhere scores lower. Near copies of a silhouette may lie on both sides of the split, which is at random. Flows:
`FlowDensity` by its defaults, of a MAF and of its continuously-indexed version (log-densities estimated), and
`FlowOutlierDetector` with every row as its support.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from common import arguments, digits, silhouettes, write_table
from outliers import kernels, mixture
from sklearn.ensemble import IsolationForest
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pushforward import FlowDensity, FlowOutlierDetector

N_TRAIN, N_TEST, BLOCK = 5_000, 2_000, 4
METHODS: dict[str, Callable[[np.ndarray, int], Any]] = {
    "MAF": lambda z, seed: FlowDensity("maf", discrete="none", random_state=seed).fit(z),
    "indexed MAF": lambda z, seed: FlowDensity("indexed_maf", discrete="none", random_state=seed).fit(z),
    "outlier detector": lambda z, seed: FlowOutlierDetector(
        support_fraction=1.0, discrete="none", random_state=seed
    ).fit(z),
    "isolation forest": lambda z, seed: IsolationForest(random_state=seed).fit(z),
    "Gaussian mixture": mixture,
    "kernel density": kernels,
    "sum of the columns": lambda z, seed: Nearness(lambda z: z.sum(axis=1, keepdims=True)),
    "distance from the mean": lambda z, seed: Nearness(lambda z: z),
}


class Nearness(NamedTuple):
    """Minus the distance of some numbers of a row from their means over the training rows, which are 0."""

    numbers: Callable[[np.ndarray], np.ndarray]

    def score_samples(self, z: np.ndarray) -> np.ndarray:
        values: np.ndarray = -np.linalg.norm(self.numbers(z), axis=1)
        return values


def counted(images: np.ndarray, seed: int) -> np.ndarray:
    """White pixels of each block, with noise; images (n, 784), zeros and ones."""
    blocks = images.reshape(-1, 28 // BLOCK, BLOCK, 28 // BLOCK, BLOCK).sum(axis=(2, 4)).reshape(len(images), -1)
    shuffled: np.ndarray = np.random.default_rng(seed).permutation(blocks)
    return shuffled + np.random.default_rng(seed + 1000).random(shuffled.shape)


def measured(home: np.ndarray, away: np.ndarray, seeds: int) -> dict[str, list[float]]:
    """AUROC of each method and seed."""
    found: dict[str, list[float]] = {name: [] for name in METHODS}
    for seed in range(seeds):
        train, rest = np.split(counted(home, seed)[: N_TRAIN + N_TEST], [N_TRAIN])
        mean, sd = train.mean(axis=0), train.std(axis=0)
        tests = (np.concatenate([rest, counted(away, seed)[:N_TEST]]) - mean) / sd
        elsewhere = np.arange(len(tests)) >= len(rest)
        for name, fit in METHODS.items():
            began = time.monotonic()
            with threadpool_limits(1), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scores = fit((train - mean) / sd, seed).score_samples(tests)
            found[name].append(float(roc_auc_score(elsewhere, -scores)))
            print(f"seed {seed} {name}: AUROC {found[name][-1]:.4f} in {time.monotonic() - began:.0f} s", flush=True)
    return found


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", ["digits", "silhouettes"], seeds=3)
    began = time.monotonic()
    kinds = {"digits": digits("train", 10)[0] > 127, "silhouettes": silhouettes()}
    rows: list[list[Any]] = []
    for home in asked.settings:
        away = next(kind for kind in kinds if kind != home)
        for name, values in measured(kinds[home], kinds[away], asked.seeds).items():
            rows.append([home, away, name, *(round(f(values), 4) for f in (np.median, np.min, np.max))])
    head = ["trained on", "elsewhere", "method", "AUROC, median", "lowest", "highest"]
    if asked.epochs is None and len(asked.settings) == len(kinds):
        write_table("out_of_distribution", head, rows, round(time.monotonic() - began, 1), asked.seeds)
    else:
        print(rows)


if __name__ == "__main__":
    main()
