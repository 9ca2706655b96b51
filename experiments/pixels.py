"""Images one pixel after the other: PixelCNN, gated PixelCNN, Row LSTM and Diagonal BiLSTM at equal wall time.

Binary: MNIST whose grey values are chances of ink, drawn anew for every training batch; figures are nats an image, of
one fixed draw (seed 0) of the 10,000 test images. Bytes: MNIST as it is. CIFAR: the 15,000 colour images of a JPEG
copy, which compares with no published figure. All log-probabilities are exact. 2,000 training images choose the epoch
(500 of CIFAR). Epochs are counted off from the pace of short fits, so that models have about equal time; the seconds
that each took are told. Every fit keeps checkpoints in `experiments/checkpoints`, and goes on from there after an
interruption, with --resume. Pictures: samples, and test images whose lower half is drawn given the upper one, exactly.

Published, far longer: binary PixelCNN 81.30, Diagonal BiLSTM of one layer 80.75 nats, Row LSTM of 12 layers 80.54.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import jax
import numpy as np
from common import HERE, RESULTS, digits, picture, write_table
from image_density import pictures_of
from jaxtyping import Array, PRNGKeyArray

from pushforward import FlowDensity, flows, load, plots, save, trees
from pushforward.distributions import BernoulliLikelihood, Pushforward
from pushforward.objectives import Batch, NegativeLogLikelihood, Rows
from pushforward.objectives.batch import AbstractLoss
from pushforward.training import Checkpoint, Resident, Settings, train

CHECKPOINTS = HERE / "checkpoints"
MINUTES = 100.0
SHOWN, COMPLETED = 40, 10  # samples, and test images that are completed, each so many times:
TIMES = 4
AT_ONCE = 100  # images that are scored at once
TRAINING = {"batch_size": 16, "learning_rate": 2e-3, "warmup_steps": 200, "averaging": 0.999, "clip_norm": 100.0}
MODELS: dict[str, dict[str, dict[str, Any]]] = {
    "binary": {
        "pixel_cnn": {"n_layers": 8, "hidden_sizes": (32,)},
        "gated_pixel_cnn": {"n_layers": 7, "hidden_sizes": (32,)},
        "row_lstm": {"n_layers": 3, "hidden_sizes": (32,)},
        "diagonal_bilstm": {"n_layers": 2, "hidden_sizes": (24,)},
    },
    "bytes": {"gated_pixel_cnn": {"n_layers": 7, "hidden_sizes": (32,)}},
    "cifar": {"gated_pixel_cnn": {"n_layers": 7, "hidden_sizes": (32,)}},
}
HELD_OUT = {"binary": 2000, "bytes": 2000, "cifar": 500}
UNITS = {"binary": "nats", "bytes": "bits/dim", "cifar": "bits/dim"}


class DrawnAnew(AbstractLoss):
    """The mean of −log P of zeros and ones that are drawn anew from grey values, their chances of a one."""

    def __call__(self, model: Pushforward, batch: Batch, key: PRNGKeyArray) -> Array:
        grey = batch.rows.x
        bits = BernoulliLikelihood(grey.shape[1]).observe(key, grey)
        return NegativeLogLikelihood()(model, batch._replace(data=Rows(bits)), key)


class Binary:
    """A model of binarised MNIST; drawn bits stay what they are when they are drawn anew."""

    shape = (28, 28, 1)

    def __init__(self, flow: Pushforward, history: list[Any] | None = None, seconds: float = 0.0):
        self.flow, self.history, self.seconds = flow, history, seconds

    @classmethod
    def fit(
        cls,
        name: str,
        options: dict[str, Any],
        grey: np.ndarray,
        epochs: int,
        seed: int,
        n_held: int,
        checkpoint: Checkpoint | None = None,
    ) -> Binary:
        """Train on all images but the last ones."""
        rng, began = np.random.default_rng(seed), time.monotonic()
        grey = grey[rng.permutation(len(grey))]
        flow = flows.recipe(name)(jax.random.key(seed), 784, image_shape=cls.shape, levels=2, **options)
        fit = train(
            flow,
            DrawnAnew(),
            Resident.of(Rows(grey[:-n_held])),
            key=jax.random.key(seed + 1),
            settings=Settings(max_epochs=epochs, schedule="cosine", **TRAINING),
            validation=Resident.of(Rows(drawn(grey[-n_held:], 1))),
            checkpoint=checkpoint,
            show_progress=checkpoint is not None,
        )
        return cls(fit.model, fit.history, time.monotonic() - began)

    def score(self, bits: np.ndarray) -> np.ndarray:
        """Nats of each image."""
        parts = [bits[start : start + AT_ONCE] for start in range(0, len(bits), AT_ONCE)]
        return -np.concatenate([np.asarray(self.flow.log_prob(part), dtype=float) for part in parts])

    def sample(self, n: int) -> np.ndarray:
        """Images, flat."""
        return np.round(np.asarray(self.flow.sample(jax.random.key(2), (n,))))

    def complete(self, rows: np.ndarray, times: int) -> list[np.ndarray]:
        """Images with NaN for what is missing, several times."""
        x, known = rows.reshape(-1, *self.shape), ~np.isnan(rows.reshape(-1, *self.shape))
        model: Any = self.flow.base
        found = model.model.complete(x, known, jax.random.key(3), sample_shape=(times,))
        return list(np.asarray(found.x).reshape(times, *rows.shape))


class Levels:
    """A `FlowDensity` of whole-number images."""

    def __init__(self, model: FlowDensity):
        self.model, self.flow, self.history, self.seconds = model, model.model_, model.history_, model.seconds_

    @classmethod
    def fit(
        cls,
        name: str,
        options: dict[str, Any],
        images: np.ndarray,
        epochs: int,
        seed: int,
        n_held: int,
        checkpoint: Checkpoint | None = None,
    ) -> Levels:
        """Train on all images but some."""
        model = FlowDensity(
            name,
            max_epochs=epochs,
            patience=10**6,
            validation_fraction=n_held / len(images),
            weight_decay=0.0,
            training=TRAINING,
            random_state=seed,
            verbose=checkpoint is not None,
            **options,
        )
        return cls(model.fit(images, checkpoint=checkpoint))

    def score(self, images: np.ndarray) -> np.ndarray:
        """Bits for each pixel and channel."""
        return np.asarray(self.model.bits_per_dim(images), dtype=float)

    def sample(self, n: int) -> np.ndarray:
        """Images, flat."""
        return np.asarray(self.model.sample(n, random_state=2)).reshape(n, -1)

    def complete(self, rows: np.ndarray, times: int) -> list[np.ndarray]:
        """Images with NaN for what is missing, several times."""
        shape = self.model.image_shape_
        made = self.model.impute(rows.reshape(-1, *shape), n_samples=times, random_state=3)
        return [np.asarray(images).reshape(len(rows), -1) for images in made]


def drawn(grey: np.ndarray, seed: int) -> np.ndarray:
    """Zeros and ones of grey values, one draw."""
    return (np.random.default_rng(seed).uniform(size=grey.shape) < grey).astype(float)


def data_of(kind: str) -> tuple[np.ndarray, np.ndarray]:
    """Training and test images; of binary ones grey values to draw from, and a draw."""
    if kind == "binary":
        grey, test = (digits(part, 10)[0] / 255 for part in ("train", "t10k"))
        return grey, drawn(test, 0)
    return pictures_of({"bytes": "mnist"}.get(kind, kind))


def epochs_in(minutes: float, kind: Any, name: str, options: dict[str, Any], train: np.ndarray) -> int:
    """Epochs that fit into so many minutes, by the pace of two short fits that share their compiled program."""
    few, seconds = train[:576], {}
    for epochs in (1, 2, 5):  # the first compiles
        began = time.monotonic()
        kind.fit(name, options, few, epochs, 0, 64)
        seconds[epochs] = time.monotonic() - began
    pace = (seconds[5] - seconds[2]) / 3 / 512
    print(f"{name}: {1 / pace:.0f} images a second", flush=True)
    return max(1, round(60 * minutes / (pace * len(train))))


def fitted(
    data: str, name: str, train: np.ndarray, minutes: float, epochs: int | None, seed: int, resume: bool
) -> tuple[Any, Any, Any, float]:
    """A fit with checkpoints, which is saved at its end: the model, its epochs, its history and the seconds it took."""
    kind: Any = Binary if data == "binary" else Levels
    options = MODELS[data][name]
    folder = CHECKPOINTS / f"pixels-{data}-{name}-{minutes:g}-{seed}"
    notes, saved = folder.with_suffix(".json"), folder.with_suffix(".model")
    if resume and notes.exists():
        told = json.loads(notes.read_text())
        return kind(load(saved)), told["epochs"], told["history"], told["seconds"]
    plan = Path(f"{folder}.plan")
    if resume and plan.exists():
        epochs = int(plan.read_text())
    epochs = epochs or epochs_in(minutes, kind, name, options, train)
    folder.mkdir(parents=True, exist_ok=True)
    plan.write_text(str(epochs))
    print(f"{name}: {epochs} epochs", flush=True)
    checkpoint = Checkpoint(folder, minutes=5, resume=resume)
    model = kind.fit(name, options, train, epochs, seed, min(HELD_OUT[data], len(train) // 10), checkpoint)
    save(model.flow if data == "binary" else model.model, saved, overwrite=True)
    told = {"epochs": len(model.history), "history": model.history, "seconds": model.seconds}
    notes.write_text(json.dumps(told))
    checkpoint.discard()
    return model, told["epochs"], told["history"], told["seconds"]


def drawings(data: str, name: str, model: Any, test: np.ndarray, history: list[Any]) -> list[str]:
    """Samples, completions and the course of training."""
    shape, rows = test.shape[1:] if test.ndim > 2 else Binary.shape, test[:COMPLETED].reshape(COMPLETED, -1)
    lower = rows.astype(float)
    lower[:, lower.shape[1] // 2 :] = np.nan
    grey = np.where(np.isnan(lower), rows.max() / 2, lower)
    groups = {"test images": rows, "upper half": grey}
    groups |= {f"draw {i}": drawn for i, drawn in enumerate(model.complete(lower, TIMES), 1)}
    title, caption = (
        f"Lower halves drawn given upper ones: {name}",
        "Good: each draw is an image of its own, and whole.",
    )
    label = f"pixels-{data}-{name}"
    return [
        picture(plots.images(model.sample(SHOWN), shape, 10, f"Samples: {name}"), f"{label}-samples"),
        picture(plots.image_rows(groups, shape, COMPLETED, title, caption), f"{label}-completions"),
        picture(plots.training_curve(history), f"{label}-training"),
    ]


def report(data: str, row: list[Any], pictures: list[str]) -> None:
    """Put a row among the others of its data."""
    unit = UNITS[data]
    head = ["model", "minutes asked", "seed", "numbers that train", "seconds of the fit", "epochs"]
    head += [f"{unit}, held out", f"{unit}, test", "± standard error"]
    path = RESULTS / f"pixels-{data}.json"
    before = json.loads(path.read_text()) if path.exists() else {"rows": [], "pictures": []}
    rows = [other for other in before["rows"] if other[:3] != row[:3]] + [row]
    notes = ["Other work ran beside it on the two cores, which takes from what a fit gets done in its time."]
    seconds = round(sum(float(one[4]) for one in rows), 1)
    shown = list(dict.fromkeys([*before["pictures"], *pictures]))
    write_table("pixels", head, sorted(rows, key=str), seconds, 1, shown, data, notes)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", choices=list(MODELS), action="append", help="which (default: all)")
    parser.add_argument("--models", choices=list(MODELS["binary"]), action="append", help="which (default: all)")
    parser.add_argument("--minutes", type=float, default=MINUTES, help=f"of each fit (default: {MINUTES:g})")
    parser.add_argument("--epochs", type=int, help="so many, whatever time they take; not written to results")
    parser.add_argument("--rows", type=int, help="of so many training images; not written to results")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from checkpoints")
    asked = parser.parse_args()
    for data in asked.data or MODELS:
        images, test = data_of(data)
        images = images[: asked.rows]
        for name in [name for name in MODELS[data] if name in (asked.models or MODELS[data])]:
            looks = asked.epochs is not None or asked.rows is not None
            model, epochs, history, seconds = fitted(
                data, name, images, asked.minutes, asked.epochs, asked.seed, asked.resume
            )
            scores = model.score(test[:500] if looks else test)
            kept = min(entry["validation_loss"] for entry in history)
            kept = kept if data == "binary" else None
            row = [name, asked.minutes, asked.seed, trees.n_parameters(model.flow), round(seconds), epochs]
            row += [kept, round(float(scores.mean()), 4), round(float(scores.std() / len(scores) ** 0.5), 4)]
            print(row, flush=True)
            if not looks:
                report(data, row, drawings(data, name, model, test, history))


if __name__ == "__main__":
    main()
