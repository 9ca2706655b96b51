"""MNIST as a user would cluster it: digits 0 to 4 and all ten, without labels and with ten labels a class.

The rows are said to be images; beyond that only the number of epochs is chosen, for time, and with so few a shorter
average. "ten-glow": every component is a Glow of additive couplings, which rows that a component has never seen cannot
make explode. All training images are fitted; every figure is of test images (bits and the gap of the first 1,000).
Beside it k-means and Gaussian mixtures with full covariances, both on 40 principal components of the same images.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from common import arguments, clustering_accuracy, digits, picture, summary, timed, write
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.mixture import GaussianMixture

from pushforward import FlowMixture, plots

CHOSEN: dict[str, Any] = {"image_shape": (28, 28), "max_epochs": 4, "training": {"averaging": 0.9}}
CONVOLUTIONAL: dict[str, Any] = {
    "image_shape": (28, 28),
    "flow": "glow",
    "flow_options": {"coupling": "additive"},
    "batch_size": 128,
    "max_epochs": 5,
    "training": {"averaging": 0.9},
}
SETTINGS = {  # classes, labels of each, and what is chosen
    "five": (5, 0, CHOSEN),
    "ten": (10, 0, CHOSEN),
    "five-labels": (5, 10, CHOSEN),
    "ten-labels": (10, 10, CHOSEN),
    "ten-glow": (10, 0, CONVOLUTIONAL),
}
BETTER = {
    "accuracy_predict": True,
    "accuracy_responsibilities": True,
    "ari_predict": True,
    "k_means_accuracy": True,
    "gaussian_mixture_accuracy": True,
    "bits_per_dimension": False,
    "posterior_gap": False,
    "fit_seconds": False,
}


def some_labels(y: np.ndarray, each: int, seed: int) -> np.ndarray | None:
    """The labels of so many rows of each class, -1 elsewhere; None for none."""
    if each == 0:
        return None
    rng = np.random.default_rng(seed)
    kept = np.concatenate([rng.choice(np.flatnonzero(y == k), each, replace=False) for k in np.unique(y)])
    label = np.full(len(y), -1)
    label[kept] = y[kept]
    return label


def baselines(train: np.ndarray, test: np.ndarray, label: np.ndarray, k: int, seed: int) -> dict[str, float]:
    """Accuracies of the usual choices."""
    projection = PCA(40, random_state=seed).fit(train)
    rows, fresh = projection.transform(train), projection.transform(test)
    means = KMeans(k, n_init=3, random_state=seed).fit(rows).predict(fresh)
    gaussians = GaussianMixture(k, random_state=seed).fit(rows).predict(fresh)
    return {
        "k_means_accuracy": clustering_accuracy(label, means, k),
        "gaussian_mixture_accuracy": clustering_accuracy(label, gaussians, k),
    }


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(SETTINGS), seeds=3)
    for settings in asked.settings:
        print(settings)
        k, each, chosen = SETTINGS[settings]
        (train, y), (test, label) = digits("train", k), digits("t10k", k)
        rows, first = [], None
        for seed, row in timed(asked.seeds):
            options = chosen | ({} if asked.epochs is None else {"max_epochs": asked.epochs})
            began = time.monotonic()
            mixture = FlowMixture(k, random_state=seed, verbose=1, **options).fit(train, some_labels(y, each, seed))
            row["fit_seconds"] = round(time.monotonic() - began, 1)
            predicted = mixture.predict(test)
            exact = mixture.responsibilities(test).argmax(axis=1)
            accuracy = clustering_accuracy if each == 0 else lambda a, b, k: float((a == b).mean())
            row["accuracy_predict"] = accuracy(label, predicted, k)
            row["accuracy_responsibilities"] = accuracy(label, exact, k)
            row["ari_predict"] = adjusted_rand_score(label, predicted)
            row["bits_per_dimension"] = -mixture.score(test[:1000]) / (784 * np.log(2))
            row["posterior_gap"] = float(mixture.posterior_gap(test[:1000]).mean())
            row |= baselines(train, test, label, k, seed)
            rows.append(row)
            first = first or (mixture, predicted)
        if asked.epochs is None:
            report(settings, rows, first, label, k)


def report(settings: str, rows: list[dict[str, Any]], first: Any, label: np.ndarray, k: int) -> None:
    """Write metrics and pictures of the first seed."""
    mixture, predicted = first
    samples = [mixture.sample(10, component=j, random_state=j)[0] for j in range(k)]
    pictures = [
        picture(plots.contingency(label, predicted, k), f"mnist-{settings}-contingency"),
        picture(plots.samples_by_component(samples, (28, 28), weights=mixture.weights_), f"mnist-{settings}-samples"),
    ]
    write("mnist", settings, mixture, rows, summary=summary(rows, BETTER), pictures=pictures)


if __name__ == "__main__":
    main()
