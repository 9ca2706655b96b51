"""Images of another kind: what likelihood alone misses, and typicality finds.

`FlowOutlierDetector("glow")` learns one kind of image (every one of them its support) and scores held-out images of
that kind and images of others: AUROC, the chance that one of another kind has the lower score. By log-density alone,
images without content can be likelier than any of the data (Nalisnick et al. 2019); typicality, the detector's own
choice for images, asks how far a log-density is from the usual one, to either side. Log-densities of one draw within
the bytes' cells. Grey CIFAR: luma of a JPEG copy, cropped to 28 x 28; constants: all pixels of one value, drawn for
each image; noise: every pixel drawn alone, from all values alike. Frey faces have 28 x 20 pixels, and digits beside
them are cropped to the same. Fits end after the minutes asked, by the pace of a short one.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
from common import RESULTS, data_folder, digits, silhouettes, write_table
from image_density import epochs_in, pictures_of
from sklearn.metrics import roc_auc_score

from pushforward import FlowOutlierDetector

MINUTES, N_TEST = 12.0, 1000
OPTIONS: dict[str, Any] = {"flow": "glow"}


def kinds(seed: int) -> dict[str, tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Of each kind that is learned: its images, held-out ones first; and those of other kinds."""
    rng = np.random.default_rng(seed)
    train, test = pictures_of("cifar-grey")
    written, fresh = (digits(part, 10)[0].astype(np.uint8).reshape(-1, 28, 28) for part in ("train", "t10k"))
    constants = np.tile(rng.integers(0, 256, (N_TEST, 1, 1), dtype=np.uint8), (1, 28, 28))
    noise = rng.integers(0, 256, (N_TEST, 28, 28), dtype=np.uint8)
    with np.load(data_folder() / "freyfaces" / "freyfaces.npz") as held:
        faces = held[held.files[0]].reshape(-1, 28, 20)
    cropped = slice(4, 24)
    shapes = (255 * silhouettes().reshape(-1, 28, 28)).astype(np.uint8)
    return {
        "grey CIFAR": (
            np.concatenate([test[:N_TEST], train]),
            {"digits": fresh[:N_TEST], "constants": constants, "noise": noise},
        ),
        "digits, 28 x 20": (
            np.concatenate([fresh[:N_TEST, :, cropped], written[:, :, cropped]]),
            {"Frey faces": rng.permutation(faces)[:N_TEST]},
        ),
        "digits": (
            np.concatenate([fresh[:N_TEST], written]),
            {"silhouettes": rng.permutation(shapes)[:N_TEST], "grey CIFAR": test[:N_TEST]},
        ),
    }


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    names = list(kinds(0))
    parser.add_argument("--kinds", choices=names, action="append", help="what is learned (default: all)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of each fit (default: {MINUTES:g})")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began, rows = time.monotonic(), []
    for name in asked.kinds or names:
        images, others = kinds(asked.seed)[name]
        home, train = images[:N_TEST], images[N_TEST:]
        epochs = epochs_in(asked.minutes, train, OPTIONS)
        detector = FlowOutlierDetector(
            support_fraction=1.0, max_epochs=epochs, patience=10**6, random_state=asked.seed, verbose=1, **OPTIONS
        ).fit(train)
        bits = detector.bits_per_dim(home, n_samples=1)
        typical = detector.score_samples(home, n_samples=1)
        for other, away in others.items():
            elsewhere = np.arange(len(home) + len(away)) >= len(home)
            away_bits, away_typical = (
                detector.bits_per_dim(away, n_samples=1),
                detector.score_samples(away, n_samples=1),
            )
            row = [
                name,
                other,
                round(float(bits.mean()), 3),
                round(float(away_bits.mean()), 3),
                round(float(roc_auc_score(elsewhere, np.concatenate([bits, away_bits]))), 4),
                round(float(roc_auc_score(elsewhere, -np.concatenate([typical, away_typical]))), 4),
                round(detector.seconds_),
            ]
            print(row, flush=True)
            rows.append(row)
    head = ["learned", "another kind", "bits/dim", "of the other", "AUROC, density", "AUROC, typicality", "seconds"]
    path, seconds = RESULTS / "image_outliers.json", time.monotonic() - began
    if path.exists():  # rows of kinds that were not learned now
        before = json.loads(path.read_text())
        rows = [row for row in before["rows"] if row[0] not in {row[0] for row in rows}] + rows
        seconds += before["seconds"]
    notes = ["Other work ran beside the fits on the two cores."]
    write_table("image_outliers", head, rows, round(seconds, 1), notes=notes)


if __name__ == "__main__":
    main()
