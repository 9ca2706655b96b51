"""MNIST with residual flows of convolutions, and with the continuously-indexed ones of Cornish et al., at equal time.

Each block of the indexed flow has an index of one channel of its own, with convolutions for p(u|z), q(u|x) and the
scale and shift of what goes into the block (Cornish et al. 2020, their CIF-ResFlow, smaller). The residual flow has
wider dense blocks, so that it has no fewer numbers to train. Both are fitted for as many passes over the same images
as take the same time of one core, by a pace measured once programs are compiled; all figures are of the 10,000 test
images, which nothing was chosen by. Figures are of single draws of the noise within bytes, of the index and of the
series of log-determinants, which is right in the mean: bounds in bits per dimension. The standard error of the
difference is that over seeds.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from common import RESULTS, write_table
from image_density import pictures_of

from pushforward import FlowDensity, trees

MINUTES, ROWS, SEEDS = 6.0, 19_200, 3
SIZES: dict[str, Any] = {"n_layers": 2, "hidden_sizes": (16, 16), "batch_size": 64}
RECIPES: dict[str, dict[str, Any]] = {
    "residual_image": {"flow_options": {"n_levels": 1, "n_dense": 2, "dense_sizes": (96, 80)}},
    "indexed_residual_image": {
        "flow_options": {"n_levels": 1, "n_dense": 2, "dense_sizes": (64, 64), "index_hidden_sizes": (16, 16)}
    },
}
HEAD = [
    "flow",
    "numbers that train",
    "seed",
    "processor seconds",
    "epochs",
    "bits/dim, one draw",
    "± standard error",
]


def model_of(name: str, epochs: int, seed: int) -> FlowDensity:
    """The density of a recipe, to be fitted for some passes."""
    return FlowDensity(
        name,
        max_epochs=epochs,
        patience=10**6,
        validation_fraction=1 / 30,
        random_state=seed,
        verbose=1,
        **SIZES,
        **RECIPES[name],
    )


def pace_of(name: str, train: np.ndarray) -> float:
    """Processor seconds of a pass over the images, once programs are compiled."""
    seconds = []
    for epochs in (1, 1, 2):  # the first compiles
        began = time.process_time()
        model_of(name, epochs, 99).fit(train)
        seconds.append(time.process_time() - began)
    return seconds[2] - seconds[1]


def fitted(name: str, train: np.ndarray, test: np.ndarray, epochs: int, seed: int) -> list[Any]:
    """A row of the table."""
    began = time.process_time()
    model = model_of(name, epochs, seed).fit(train)
    taken = time.process_time() - began
    bits = np.asarray(model.bits_per_dim(test, n_samples=1), dtype=float)
    error = float(bits.std() / np.sqrt(len(bits)))
    numbers = trees.n_parameters(model.model_)
    return [name, numbers, seed, round(taken), model.n_iter_, round(float(bits.mean()), 4), round(error, 4)]


def gain(rows: list[list[Any]]) -> tuple[float, float, int]:
    """How many bits/dim the index takes off, the standard error of that over seeds, and how many seeds."""
    bits = {name: {row[2]: row[5] for row in rows if row[0] == name} for name in RECIPES}
    plain, indexed = (bits[name] for name in RECIPES)
    gains = np.array([plain[seed] - indexed[seed] for seed in sorted(plain.keys() & indexed.keys())])
    error = float(gains.std(ddof=1) / np.sqrt(len(gains))) if len(gains) > 1 else float("nan")
    return float(gains.mean()), error, len(gains)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of each fit (default: {MINUTES:g})")
    parser.add_argument("--rows", type=int, default=ROWS, help=f"training images (default: {ROWS:,})")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"how many, from 0 (default: {SEEDS})")
    asked = parser.parse_args()
    (train, test), began = pictures_of("mnist"), time.monotonic()
    train = train[np.random.default_rng(0).permutation(len(train))[: asked.rows]]
    epochs = {}
    for name in RECIPES:
        pace = pace_of(name, train)
        epochs[name] = max(1, round(60 * asked.minutes / pace))
        print(f"{name}: {pace:.0f} s an epoch, {epochs[name]} epochs", flush=True)
    rows: list[list[Any]] = []
    for seed in range(asked.seeds):
        for name in RECIPES:
            rows.append(fitted(name, train, test, epochs[name], seed))
            print(json.dumps(rows[-1]), flush=True)
        taken, error, n = gain(rows)
        notes = [
            f"The index takes {taken:.4f} bits/dim off, ± {error:.4f} over {n} seeds, of {asked.rows:,} training "
            f"images and {asked.minutes:g} minutes a fit."
        ]
        seconds = round(time.monotonic() - began, 1)
        write_table("indexed_images", HEAD, sorted(rows, key=str), seconds, seed + 1, notes=notes)
    print((RESULTS / "indexed_images.json").read_text())


if __name__ == "__main__":
    main()
