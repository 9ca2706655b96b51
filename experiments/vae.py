"""Autoencoders whose posterior is a flow: MNIST, Frey faces, Caltech silhouettes.

Every model of a seed has the same encoder, decoder and Gaussian to start from, and sees the same batches with the same
noise; the models differ in the flow between the Gaussian and the latent point. MNIST is binarised anew in every batch,
and once for all for the test. All are trained by Adam with a cosine schedule on the evidence lower bound, and the
epoch that is best on held-out training rows is kept. The bound is taken with 10 draws for each test row, the
importance-weighted log-likelihood with 500 draws for each of the first test rows.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np
from common import ONE_THREAD, arguments, data_folder, digits, picture, silhouettes, write

import pushforward as pf
from pushforward import plots, trees
from pushforward.plots.marks import colour_key, colours, figure_of, scatter, tidy
from pushforward.training import Settings

MODELS: dict[str, dict[str, Any]] = {
    "no flow": {"posterior": "none"},
    "planar 10": {"posterior": "planar", "n_layers": 10},
    "planar 40": {"posterior": "planar", "n_layers": 40},
    "IAF": {"posterior": "iaf"},
    "Sylvester": {"posterior": "sylvester_orthogonal"},
    "radial": {"posterior": "radial"},
    "Householder": {"posterior": "householder"},
    "Sylvester, Householder": {"posterior": "sylvester_householder"},
    "Sylvester, triangular": {"posterior": "sylvester_triangular"},
    "ccLinIAF": {"posterior": "cclin_iaf"},
    "plain autoencoder": {"posterior": "point"},
}
MAIN = ("no flow", "planar 10", "planar 40", "IAF", "Sylvester")
SMALL = ("no flow", "planar 10", "IAF", "Sylvester")
LR, BATCH, DRAWS, WEIGHTED_DRAWS = 1e-3, 100, 10, 500


class Data(NamedTuple):
    """Rows to train on, to choose the epoch by, and to test on, with the shape of their pictures."""

    train: np.ndarray
    held_out: np.ndarray
    test: np.ndarray
    image_shape: tuple[int, int]


class Case(NamedTuple):
    """One table of the report: data, models, and how long they train."""

    load: Callable[[], Data]
    models: tuple[str, ...]
    epochs: int
    seeds: int
    n_weighted: int  # test rows of the importance-weighted estimate
    options: Mapping[str, Any] = MappingProxyType({})
    anneal_steps: float | None = None


def binary(grey: np.ndarray) -> np.ndarray:
    """Zeros and ones, drawn once."""
    return (np.random.default_rng(0).random(grey.shape) < grey).astype(np.float32)


def mnist() -> Data:
    train, test = (digits(part, 10)[0].astype(np.float32) / 255 for part in ("train", "t10k"))
    return Data(train[2000:], binary(train[:2000]), binary(test), (28, 28))


def shuffled(rows: np.ndarray, held_out: int, image_shape: tuple[int, int]) -> Data:
    rows = rows[np.random.default_rng(0).permutation(len(rows))].astype(np.float32)
    return Data(rows[2 * held_out :], rows[:held_out], rows[held_out : 2 * held_out], image_shape)


def frey() -> Data:
    images = np.load(data_folder() / "freyfaces" / "freyfaces.npz")["images"]
    return shuffled(images.reshape(len(images), -1) / 255, 200, images.shape[1:])


def caltech() -> Data:
    return shuffled(silhouettes(), 1000, (28, 28))


FACES = {"likelihood": "gaussian_per_column", "scale": 0.2, "latent_dim": 20, "hidden_sizes": (200, 200)}
CASES = {
    "mnist": Case(mnist, MAIN, 4, 5, 500),
    "mnist-longer": Case(mnist, ("no flow", "planar 10", "planar 40"), 40, 3, 1000),
    "mnist-others": Case(mnist, tuple(name for name in MODELS if name not in MAIN), 5, 1, 200),
    "frey": Case(frey, SMALL, 200, 3, 200, FACES),
    "silhouettes": Case(caltech, SMALL, 40, 3, 500),
}


def fitted(case: Case, data: Data, name: str, seed: int, epochs: int) -> tuple[Any, dict[str, Any]]:
    """A trained model, and what is known of it."""
    key_model, key_fit, key_test = jax.random.split(jax.random.key(seed), 3)
    model = pf.vae(key_model, data.train.shape[1], **case.options, **MODELS[name])
    settings = Settings(epochs, batch_size=BATCH, learning_rate=LR, schedule="cosine", clip_norm=1000.0)
    fit = pf.fit_vae(
        model, data.train, key=key_fit, validation=data.held_out, settings=settings, anneal_steps=case.anneal_steps
    )
    updates = epochs * -(-len(data.train) // BATCH)
    row = {"model": name, "seed": seed, "updates": updates, "parameters": trees.n_parameters(model)}
    row |= {"seconds": round(fit.seconds, 1), "best_epoch": fit.best_epoch}
    row["curve"] = [round(entry["validation_loss"], 3) for entry in fit.history]
    if not fit.model.deterministic:
        row["elbo"] = float(fit.model.elbo(data.test, key=key_test, n_samples=DRAWS).mean())
        estimate = fit.model.log_prob_estimate(data.test[: case.n_weighted], key=key_test, n_samples=WEIGHTED_DRAWS)
        row["log_likelihood"] = float(estimate.value.mean())
        row["monte_carlo_error"] = float(np.linalg.norm(estimate.standard_error) / case.n_weighted)
    return fit.model, row


def job(settings: str, name: str, seed: int, epochs: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """One fit in a process of its own; of the first seed also pictures."""
    case = CASES[settings]
    data = case.load()
    model, row = fitted(case, data, name, seed, epochs)
    if seed:
        return row, {}
    key, shown = jax.random.key(0), data.test[:10]
    pictures = {"test rows": shown, f"{name} ": np.asarray(model.reconstruct(shown))}
    if not model.deterministic:
        pictures[name] = np.asarray(model.sample(key, (20,), means=True))
    return row, pictures


def run(
    settings: str, case: Case, epochs: int, seeds: int
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray], float]:
    """All fits, as many side by side as there are cores, each on one thread."""
    os.environ.update(ONE_THREAD)
    began = time.monotonic()
    rows, pictures = [], {}
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), get_context("spawn")) as pool:
        waiting = [pool.submit(job, settings, name, seed, epochs) for seed in range(seeds) for name in case.models]
        for future in waiting:
            row, shown = future.result()
            rows.append(row)
            pictures |= shown
            print("  " + "  ".join(f"{k} {v}" for k, v in row.items() if k != "curve"), flush=True)
    return rows, pictures, time.monotonic() - began


def curves(rows: list[dict[str, Any]]) -> Any:
    """Negative bound of held-out rows after each epoch, mean over seeds."""
    figure = figure_of(5.2, 3.6)
    axes = figure.subplots()
    names = list(dict.fromkeys(row["model"] for row in rows))
    lowest = min(min(row["curve"]) for row in rows)
    for name, colour in zip(names, colours(len(names)), strict=True):
        mine = [row for row in rows if row["model"] == name]
        mean = np.mean([row["curve"] for row in mine], axis=0)
        updates = np.arange(1, len(mean) + 1) * mine[0]["updates"] / len(mean)
        axes.plot(updates, mean, color=colour, label=name)
    axes.set(xlabel="updates", ylabel="negative ELBO of held-out rows (nats)", ylim=(lowest - 1, lowest + 15))
    axes.legend(frameon=False)
    tidy(axes)
    return figure


def latent_map(epochs: int) -> Any:
    """Two latent numbers of test digits, for the Gaussian posterior and with a planar flow."""
    data, label = mnist(), digits("t10k", 10)[1]
    figure = figure_of(9.0, 4.2)
    palette = colours(10)
    for axes, name in zip(figure.subplots(1, 2), ("no flow", "planar 10"), strict=True):
        case = Case(mnist, (), 0, 1, 200, {"latent_dim": 2})
        model, row = fitted(case, data, name, 0, epochs)
        print(f"  two latent numbers, {name}: ELBO {row['elbo']:.2f}", flush=True)
        points = np.asarray(model.encode(data.test, key=jax.random.key(0)))
        scatter(axes, points, [palette[k] for k in label], size=3.0)
        axes.set(title=f"{name}: ELBO {row['elbo']:.1f}", xlabel="z₁", ylabel="z₂")
        tidy(axes)
    colour_key(figure, palette, "digit")
    return figure


def report(settings: str, case: Case, rows: list[dict[str, Any]], shown: dict[str, np.ndarray], seconds: float) -> None:
    """Write numbers and pictures."""
    shape = case.load().image_shape
    faces = settings == "frey"
    clipped = {k: np.clip(1 - v if faces else v, 0, 1) for k, v in shown.items()}  # pictures show 1 as black
    rebuilt = {k.strip(): v for k, v in clipped.items() if k == "test rows" or k.endswith(" ")}
    drawn = {k: v for k, v in clipped.items() if k != "test rows" and not k.endswith(" ")}
    pictures = [
        picture(curves(rows), f"vae-{settings}-curves"),
        picture(plots.image_rows(rebuilt, shape), f"vae-{settings}-reconstructions"),
        picture(plots.image_rows(drawn, shape), f"vae-{settings}-samples"),
    ]
    if settings == "mnist":
        pictures.append(picture(latent_map(case.epochs), "vae-mnist-latent"))
    parameters = {"batch_size": BATCH, "learning_rate": LR, "anneal_steps": case.anneal_steps, **case.options}
    write("vae", settings, parameters, rows, pictures=pictures, wall_seconds=seconds, n_weighted=case.n_weighted)


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(CASES), seeds=5)
    for settings in asked.settings:
        case = CASES[settings]
        print(settings)
        rows, shown, seconds = run(settings, case, asked.epochs or case.epochs, min(asked.seeds, case.seeds))
        if asked.epochs is None:
            report(settings, case, rows, shown, seconds)


if __name__ == "__main__":
    main()
