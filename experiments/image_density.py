"""Bits per dimension of flows of images, each trained for the same time on this machine's cores.

Dequantisation is uniform unless said; "variational" has a network draw where within its byte a pixel lies (Flow++).
MNIST: bytes, all 60,000 training images but those held out to choose the epoch; every figure is of the 10,000 test
images, which nothing was chosen by. CIFAR: the 15,000 colour images of a JPEG copy, which compares with no published
figure; and the same in grey. A bound of one draw of the noise within bytes, and one of eight, importance weighted, on
the first 1,000. Epochs are counted off from the pace of a short fit, so that recipes have about equal time; the seconds
that each took are told. Every fit keeps checkpoints in `experiments/checkpoints`, and goes on from there after an
interruption, with --resume. Round trips: the largest change of a grey level by `transform` and `inverse_transform`,
before rounding, and how many test images come back exactly.

Published, without a bound on time: RealNVP 1.06, Glow 1.05, residual flow 0.970, a small residual flow 1.074, its
continuously-indexed one 0.922; the thesis's mixture of MAFs stood at 1.70 after 48 minutes here.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import equinox as eqx
import numpy as np
from common import HERE, RESULTS, data_folder, digits, picture, write_table

from pushforward import FlowDensity, load, plots, trees
from pushforward.training import Checkpoint

CHECKPOINTS = HERE / "checkpoints"
MINUTES = 30.0
RECIPES: dict[str, dict[str, Any]] = {
    "glow": {"flow": "glow"},
    "glow, variational": {"flow": "glow", "dequantise": "variational"},
    "glow, additive": {"flow": "glow", "flow_options": {"coupling": "additive"}},
    "real_nvp_image": {"flow": "real_nvp_image", "hidden_sizes": (32,)},  # one block: full size is the dear part
    "residual_image": {"flow": "residual_image"},
    "indexed_residual_image": {"flow": "indexed_residual_image"},
}
HEAD = [
    "flow",
    "minutes asked",
    "seed",
    "numbers that train",
    "seconds of the fit",
    "epochs",
    "bits/dim, one draw",
    "± standard error",
    "bits/dim, 8 draws",
    "largest change of a grey level",
    "images that come back",
]


def pictures_of(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images, bytes."""
    if kind == "mnist":
        train, test = (digits(part, 10)[0].astype(np.uint8).reshape(-1, 28, 28) for part in ("train", "t10k"))
        return train, test
    with np.load(data_folder() / "cifar10" / "cifar10_jpeg_subset.npz") as held:
        train, test = held["train"], held["test"]
    if kind == "cifar":
        return train, test
    return grey(train), grey(test)


def grey(images: np.ndarray) -> np.ndarray:
    """Luma of colour images (ITU-R 601), cropped to 28 x 28 in the middle."""
    luma = np.round(images[:, 2:-2, 2:-2].astype(float) @ [0.299, 0.587, 0.114])
    found: np.ndarray = luma.astype(np.uint8)
    return found


def epochs_in(minutes: float, train: np.ndarray, options: dict[str, Any]) -> int:
    """Epochs that fit into so many minutes, by the pace of two short fits that share their compiled program."""
    few, seconds = train[:2112], {}
    for epochs in (1, 2, 6):  # the first compiles
        began = time.monotonic()
        FlowDensity(max_epochs=epochs, patience=10**6, validation_fraction=0.03, random_state=0, **options).fit(few)
        seconds[epochs] = time.monotonic() - began
    pace = (seconds[6] - seconds[2]) / 4 / len(few)
    return max(1, round(60 * minutes / (pace * len(train))))


def fitted(name: str, options: dict[str, Any], train: np.ndarray, epochs: int, seed: int, resume: bool) -> FlowDensity:
    """A fit with checkpoints, which is saved at its end."""
    folder = CHECKPOINTS / f"{name}-{seed}".replace(", ", "-")
    if resume and (saved := folder.with_suffix(".model")).exists():
        model: FlowDensity = load(saved)
        return model
    checkpoint = Checkpoint(folder, minutes=5, resume=resume and folder.exists())
    model = FlowDensity(
        max_epochs=epochs, patience=10**6, validation_fraction=1 / 30, random_state=seed, verbose=1, **options
    ).fit(train, checkpoint=checkpoint)
    model.save(folder.with_suffix(".model"), overwrite=True)
    checkpoint.discard()
    return model


def measured(model: FlowDensity, test: np.ndarray) -> list[Any]:
    """The figures of a row from the number of its parameters on."""
    one = np.asarray(model.bits_per_dim(test, n_samples=1), dtype=float)
    eight = np.asarray(model.bits_per_dim(test[:1000], n_samples=8), dtype=float)
    change, same = (None, None) if model.model_.inexactness else round_trip(model, test[:1000])
    return [
        round(model.seconds_),
        model.n_iter_,
        round(float(one.mean()), 4),
        round(float(one.std() / np.sqrt(len(one))), 4),
        round(float(eight.mean()), 4),
        change,
        same,
    ]


def round_trip(model: FlowDensity, images: np.ndarray) -> tuple[float, float]:
    """The largest change of a grey level before rounding, and the share of images that come back exactly."""
    noise, change = model.transform(images), 0.0
    back = eqx.filter_jit(lambda flow, z: flow.bijection.forward_batch(z)[0])
    for part in np.split(np.arange(len(images)), range(250, len(images), 250)):
        middle = images[part].reshape(len(part), -1) + 0.5
        change = max(change, float(np.abs(np.asarray(back(model.model_, noise[part])) - middle).max()))
    same = (model.inverse_transform(noise) == images).reshape(len(images), -1).all(axis=1)
    return change, float(same.mean())


def report(data: str, row: list[Any], model: FlowDensity, test: np.ndarray) -> None:
    """Put a row among the others of its data, and draw the pictures of its model."""
    path = RESULTS / f"image_density-{data}.json"
    before = json.loads(path.read_text()) if path.exists() else {"rows": [], "pictures": [], "seconds": 0.0}
    rows = [other for other in before["rows"] if other[:3] != row[:3]] + [row]
    name = f"images-{data}-{str(row[0]).replace(', ', '-')}"
    drawn = [
        picture(plots.temperatures(model), f"{name}-samples"),
        picture(plots.training_curve(model.history_), f"{name}-training"),
    ]
    if not model.model_.inexactness:
        pairs = [(test[2 * i], test[2 * i + 1]) for i in range(4)]
        drawn.insert(1, picture(plots.interpolation(model, pairs), f"{name}-between"))
    pictures = list(dict.fromkeys([*before["pictures"], *drawn]))
    seconds = round(before["seconds"] + float(row[4]), 1)
    notes = ["Other work ran beside it on the two cores, which takes from what a fit gets done in its time."]
    write_table("image_density", HEAD, sorted(rows, key=str), seconds, 1, pictures, data, notes)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=["mnist", "cifar", "cifar-grey"], default="mnist")
    parser.add_argument("--recipes", choices=list(RECIPES), action="append", help="which (default: all)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of each fit (default: {MINUTES:g})")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from checkpoints")
    asked = parser.parse_args()
    train, test = pictures_of(asked.data)
    for name in asked.recipes or RECIPES:
        options = RECIPES[name]
        epochs = epochs_in(asked.minutes, train, options)
        print(f"{name}: {epochs} epochs", flush=True)
        label = f"{asked.data}-{name}-{asked.minutes:g}"
        model = fitted(label, options, train, epochs, asked.seed, asked.resume)
        row = [name, asked.minutes, asked.seed, trees.n_parameters(model.model_), *measured(model, test)]
        print(row, flush=True)
        report(asked.data, row, model, test)


if __name__ == "__main__":
    main()
