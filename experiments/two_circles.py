"""The thesis's two circles, without labels and with 32.

Noise 0.05 and factor 0.5 (the thesis does not state them); evaluated on 2,000 fresh points. Published settings: 1024
points, Adam 1e-3, batch 128, 500 epochs, posterior MLP (16, 16), RealNVP of 10 blocks whose s and t have 8 hidden units
each (here one network with 16 gives both); with labels, 16 a class beside the 1024, 300 epochs on them alone first,
then epochs on labelled and unlabelled points by turns. Temperature (here 10, falling to 1 over the first half of what
follows the start) and the bound on s (here 3 on log-scales) are not stated either. As everywhere in this
package, a trainable linear map under each component places it where the data are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from common import arguments, clustering_accuracy, picture, summary, timed, write
from sklearn.metrics import adjusted_rand_score

from pushforward import FlowMixture, plots
from pushforward.data.toy import two_circles

PUBLISHED: dict[str, Any] = {
    "flow": "real_nvp",
    "n_layers": 10,
    "hidden_sizes": (16,),
    "posterior_hidden_sizes": (16, 16),
    "temperature": 10.0,
    "refine_posterior": False,
    "consistency": 0.0,
    "init": "random",
    "batch_size": 128,
    "learning_rate": 1e-3,
    "weight_decay": 0.0,
    "validation_fraction": 0.0,
    "training": {"schedule": "constant", "averaging": 0.0, "clip_norm": math.inf},
}
SETTINGS: dict[str, dict[str, Any]] = {
    "unsupervised-published": PUBLISHED | {"max_epochs": 500},
    "unsupervised-defaults": {},
    "labels-published": PUBLISHED | {"max_epochs": 800, "start_epochs": 300},
    "labels-defaults": {},
}


def labelled_rows(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Sixteen labelled points of each circle."""
    X, y = two_circles(400, seed=10_000 + seed)
    chosen = np.concatenate([np.flatnonzero(y == c)[:16] for c in (0, 1)])
    return X[chosen], y[chosen]


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(SETTINGS), seeds=10)
    fresh, circle = two_circles(2000, seed=1_000_003)
    for settings in asked.settings:
        print(settings)
        with_labels = settings.startswith("labels")
        rows, first = [], None
        for seed, row in timed(asked.seeds):
            X, _ = two_circles(1024, seed=seed)
            y = None
            if with_labels:
                known, label = labelled_rows(seed)
                X, y = np.concatenate([known, X]), np.concatenate([label, np.full(len(X), -1)])
            options = SETTINGS[settings] | ({} if asked.epochs is None else {"max_epochs": asked.epochs})
            mixture = FlowMixture(2, random_state=seed, **options).fit(X, y)
            for name, found in (
                ("predict", mixture.predict(fresh)),
                ("responsibilities", mixture.responsibilities(fresh).argmax(axis=1)),
            ):
                row[f"ari_{name}"] = adjusted_rand_score(circle, found)
                matched = clustering_accuracy(circle, found, 2)
                row[f"accuracy_{name}"] = float((found == circle).mean()) if with_labels else matched
            row["log_likelihood"] = mixture.score(fresh)
            row["posterior_gap"] = float(mixture.posterior_gap(fresh).mean())
            row["fit_seconds"] = round(mixture.seconds_, 2)
            rows.append(row)
            first = first or (mixture, X)
        if asked.epochs is None:
            report(settings, rows, first)


def report(settings: str, rows: list[dict[str, Any]], first: Any) -> None:
    """Write metrics and the picture of the first seed."""
    mixture, X = first
    samples, component = mixture.sample(1024, random_state=0)
    drawn = plots.data_and_samples(X, samples, component, posterior=mixture.predict_proba)
    posteriors = {"posterior network": mixture.predict_proba, "responsibilities": mixture.responsibilities}
    better = dict.fromkeys(
        ("accuracy_predict", "accuracy_responsibilities", "ari_predict", "ari_responsibilities", "log_likelihood"), True
    ) | {"posterior_gap": False, "fit_seconds": False}
    write(
        "two_circles",
        settings,
        mixture,
        rows,
        summary=summary(rows, better),
        pictures=[
            picture(drawn, f"two-circles-{settings}"),
            picture(plots.regions(X, posteriors), f"two-circles-{settings}-regions"),
        ],
    )


if __name__ == "__main__":
    main()
