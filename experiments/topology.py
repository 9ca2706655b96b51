"""Plane targets with holes and separate parts: flows of the literature, and continuously-indexed flows over each.

Every target's density is known, so what a flow lacks is a number: the entropy of the target minus the mean log-density
of 20,000 fresh points (their KL divergence, in nats). Every flow sees the same 20,000 points to train on and 2,000 to
choose the epoch by, five seeds side by side; a continuously-indexed flow has no more parameters than its base, and is
scored by importance weights of 100 draws, which are below the truth in the mean.
"""

from __future__ import annotations

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import arguments, picture, write

from pushforward import flows, trees
from pushforward.data import SHAPES, shape
from pushforward.distributions import Pushforward
from pushforward.objectives import NegativeLogLikelihood
from pushforward.plots.marks import figure_of
from pushforward.training import Settings, make_rows, train

N_TRAIN, N_VALIDATION, N_TEST, N_SCORED = 20_000, 2_000, 20_000, 4_000
DRAWS = 100
SIDE, REACH = 100, 2.5  # pixels of a picture, and how far it goes in units of the target
EPOCHS, BATCH, LR = 60, 500, 2e-3
INDEX: dict[str, Any] = {"index_dim": 2, "index_hidden_sizes": (16, 16)}
# a flow and its continuously-indexed version, of no more parameters
FLOWS: dict[str, dict[str, Any]] = {
    "real_nvp": {"n_layers": 10, "hidden_sizes": (64, 64)},
    "indexed_real_nvp": {"n_layers": 8, "hidden_sizes": (64, 64), **INDEX},
    "maf": {"n_layers": 20, "hidden_sizes": (64, 64)},
    "indexed_maf": {"n_layers": 5, "hidden_sizes": (64, 64), **INDEX},
    "spline_autoregressive": {"n_layers": 5, "hidden_sizes": (64, 64)},
    "indexed_spline_autoregressive": {"n_layers": 4, "hidden_sizes": (64, 64), **INDEX},
    "residual": {"n_layers": 16, "hidden_sizes": (64, 64)},
    "indexed_residual": {"n_layers": 12, "hidden_sizes": (64, 64), **INDEX},
}


def drawn(name: str, key: Any, seeds: int) -> Pushforward:
    """Flows to train, with a seed axis."""
    made: Pushforward = eqx.filter_vmap(lambda key: flows.recipe(name)(key, 2, **FLOWS[name]))(
        jax.random.split(key, seeds)
    )
    return made


@eqx.filter_jit
def scores(flow: Pushforward, x: Any, key: Any) -> Any:
    """Log-densities, or estimates of them."""
    return flow.log_prob_estimate(x, key, DRAWS).value if flow.inexactness else flow.log_prob(x)


def fitted(target: str, name: str, seeds: int, epochs: int) -> tuple[list[dict[str, Any]], Pushforward]:
    """What each seed lacks, and the trained flows."""
    began = time.monotonic()
    density = shape(target)
    train_x, validation_x, test_x = (density.sample(n, i) for i, n in enumerate((N_TRAIN, N_VALIDATION, N_TEST)))
    mean, scale = train_x.mean(0), train_x.std()
    rows, held_out = (make_rows((x - mean) / scale) for x in (train_x, validation_x))
    fit = train(
        drawn(name, jax.random.key(0), seeds),
        NegativeLogLikelihood(),
        rows,
        key=jax.random.key(1),
        settings=Settings(epochs, batch_size=BATCH, learning_rate=LR, schedule="cosine", clip_norm=10.0),
        validation=held_out,
        n_restarts=seeds,
    )
    test = jnp.asarray((test_x - mean) / scale, jnp.float32)
    entropy = -density.log_prob(test_x).mean()
    found = []
    for seed in range(seeds):
        flow = trees.unstack(fit.restarts, seed) if seeds > 1 else fit.restarts
        log_density = np.asarray(scores(flow, test[: N_SCORED if flow.inexactness else None], jax.random.key(2)), float)
        true = density.log_prob(test_x[: len(log_density)])
        lack = true - (log_density - 2 * np.log(scale))
        found.append(
            {
                "target": target,
                "flow": name,
                "seed": seed,
                "parameters": trees.n_parameters(flow),
                "lack": float(lack.mean()),
                "standard_error": float(lack.std() / len(lack) ** 0.5),
                "entropy": float(entropy),
                "seconds": round((time.monotonic() - began) / seeds, 2),
            }
        )
    return found, fit.restarts


def grid(target: str, flow: Pushforward | None, mean: Any, scale: float) -> np.ndarray:
    """Densities on a square around the target: the flow's, or the truth."""
    along = np.linspace(-1, 1, SIDE) * REACH
    points = np.stack(np.meshgrid(along, along), -1).reshape(-1, 2) * scale + mean
    if flow is None:
        return np.exp(shape(target).log_prob(points)).reshape(SIDE, SIDE)
    found = scores(flow, jnp.asarray((points - mean) / scale, jnp.float32), jax.random.key(0))
    return np.exp(np.asarray(found, float) - 2 * np.log(scale)).reshape(SIDE, SIDE)


def pictures(target: str, shown: dict[str, np.ndarray]) -> str:
    """The truth and every flow's density."""
    figure = figure_of(2.0 * (len(shown) + 1) / 2, 4.4)
    top = shown["truth"].max()
    for axes, (name, density) in zip(figure.subplots(2, (len(shown) + 1) // 2).ravel(), shown.items(), strict=False):
        axes.imshow(density, origin="lower", vmin=0, vmax=top, cmap="viridis")
        axes.set_title(name.replace("_", " "), fontsize=8)
        axes.set_axis_off()
    return picture(figure, f"topology-{target}")


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(SHAPES), seeds=5)
    for target in asked.settings:
        began, rows = time.monotonic(), []
        train_x = shape(target).sample(N_TRAIN, 0)
        mean, scale = train_x.mean(0), float(train_x.std())
        shown = {"truth": grid(target, None, mean, scale)}
        for name in FLOWS:
            found, restarts = fitted(target, name, asked.seeds, asked.epochs or EPOCHS)
            rows += found
            lacks = [row["lack"] for row in found]
            print(
                f"{target} {name}: lacks {np.median(lacks):.4f} nats ({min(lacks):.4f} to {max(lacks):.4f}), ", end=""
            )
            print(f"{found[0]['parameters']} parameters, {found[0]['seconds']} s a seed", flush=True)
            flow = trees.unstack(restarts, 0) if asked.seeds > 1 else restarts
            shown[name] = grid(target, flow, mean, scale)
        if asked.epochs is None:
            parameters = {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": LR, "flows": FLOWS}
            seconds = time.monotonic() - began
            write("topology", target, parameters, rows, pictures=[pictures(target, shown)], wall_seconds=seconds)


if __name__ == "__main__":
    main()
