"""Plane targets with holes and separate parts: flows of the literature, and continuously-indexed flows over each.

Every target's density is known, so what a flow lacks is a number: the mean over fresh points of the target's
log-density minus the flow's (a KL divergence, in nats). Every flow sees the same 20,000 points to train on, for 40
epochs, and 2,000 to choose the epoch by, five seeds side by side. A continuously-indexed flow has no more parameters
than its base; one index of two numbers goes along its layers (`index="carried"`), and it trains on the
importance-weighted bound of four draws of it. It is scored on 4,000 fresh points by importance weights of 100 draws,
which are below the truth in the mean; a flow with an exact density on 20,000.

That the index goes along, its size, the draws and the sizes of the networks were settled on these targets, by scores
on points of the same sample, most of all on the checkerboard, rings and spirals; an index wants wide networks. The
rate and the networks' activation are the same for all flows and were not chosen for each; a MAF of 20 layers does
better on the checkerboard with gelu and three hidden layers, and then about as well as an indexed MAF of five such
layers trained on one draw. Bases of half the parameters lacked about as much (the table of commit cdbd4ec), so sizes
are not what holds them back.

The round trip is from data to noise and back, of an indexed flow that of the pair of a point and an index drawn for
it: the largest error of 4,000 points, in units of the target's standard deviation. A pushed-forward Gaussian has no
holes, so a bijection must stretch without bound to make one, and in the end cannot be undone in floating point.

Pictures show the seed of the median. A worst seed of 10¹⁸ nats or more is a flow that broke down in training.
"""

from __future__ import annotations

import functools
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import arguments, picture, write_table

from pushforward import flows, trees
from pushforward.bijections import Indexed
from pushforward.data import SHAPES, shape
from pushforward.distributions import Pushforward
from pushforward.objectives import NegativeLogLikelihood, Rows
from pushforward.plots.marks import figure_of
from pushforward.training import Resident, Settings, train

N_TRAIN, N_VALIDATION, N_TEST, N_SCORED = 20_000, 2_000, 20_000, 4_000
DRAWS = 100  # of an index, to score a point
N_DRAWS = 4  # of an index, to train on a point
SIDE, REACH = 80, 2.5  # pixels of a picture, and how far it goes in units of the target
EPOCHS, BATCH, LR = 40, 500, 1e-2
# a flow and its continuously-indexed version, of no more parameters
FLOWS: dict[str, dict[str, Any]] = {
    "real_nvp": {"n_layers": 12, "hidden_sizes": (44, 44)},
    "indexed_real_nvp": {"n_layers": 12, "hidden_sizes": (32, 32), "index_hidden_sizes": (24, 24)},
    "maf": {"n_layers": 20, "hidden_sizes": (32, 32)},
    "indexed_maf": {"n_layers": 5, "hidden_sizes": (34, 34), "index_hidden_sizes": (48, 48)},
    "spline_autoregressive": {"n_layers": 4, "hidden_sizes": (64, 64)},
    "indexed_spline_autoregressive": {"n_layers": 4, "hidden_sizes": (40, 40), "index_hidden_sizes": (48, 48)},
    "residual": {"n_layers": 6, "hidden_sizes": (48, 48)},
    "indexed_residual": {"n_layers": 5, "hidden_sizes": (26, 26), "index_hidden_sizes": (38, 38)},
}
INDEX: dict[str, Any] = {"index": "carried", "index_dim": 2}


def settings(epochs: int) -> Settings:
    return Settings(epochs, batch_size=BATCH, learning_rate=LR, schedule="cosine", clip_norm=10.0, averaging=0.99)


def standard(target: str) -> tuple[Any, Any, float]:
    """Training points in standard units, and the units."""
    train_x = shape(target).sample(N_TRAIN, 0)
    mean, scale = train_x.mean(0), float(train_x.std())
    return (train_x - mean) / scale, mean, scale


@functools.cache
def tested(target: str) -> tuple[np.ndarray, np.ndarray]:
    """Fresh points, and their log-densities."""
    points = shape(target).sample(N_TEST, 2)
    return points, shape(target).log_prob(points)


def drawn(name: str, options: dict[str, Any], seeds: int) -> Pushforward:
    """Flows to train, with a seed axis if there are several."""
    draw = eqx.filter_jit(eqx.filter_vmap(lambda key: flows.recipe(name)(key, 2, **options)))
    made: Pushforward = draw(jax.random.split(jax.random.key(0), seeds))
    return made if seeds > 1 else trees.unstack(made, 0)


@eqx.filter_jit
def scores(flow: Pushforward, x: Any, key: Any) -> Any:
    """Log-densities, or estimates of them."""
    return flow.log_prob_estimate(x, key=key, n_samples=DRAWS).value if flow.inexactness else flow.log_prob(x)


@eqx.filter_jit
def round_trips(flow: Pushforward, x: Any, key: Any) -> Any:
    """The error of each point, shape (n,); with an index, of the pair of the point and an index drawn for it."""

    def one(x: Any, key: Any) -> Any:
        bijection = flow.bijection
        if isinstance(bijection, Indexed):
            bijection, x = bijection.bijection, bijection.with_index(x, key)
        return jnp.abs(bijection.forward(bijection.inverse(x)) - x).max()

    return jax.vmap(one)(x, jax.random.split(key, len(x)))


def fitted(target: str, name: str, seeds: int, epochs: int) -> tuple[list[Any], Pushforward]:
    """A line of the table, and the trained flow that is its median."""
    began = time.monotonic()
    density, (points, mean, scale) = shape(target), standard(target)
    held_out = Resident.of(Rows((density.sample(N_VALIDATION, 1) - mean) / scale))
    fit = train(
        drawn(name, {**FLOWS[name], **(INDEX if name.startswith("indexed") else {})}, seeds),
        NegativeLogLikelihood(n_samples=N_DRAWS),
        Resident.of(Rows(points)),
        key=jax.random.key(1),
        settings=settings(epochs),
        validation=held_out,
        n_restarts=seeds,
    )
    seconds = (time.monotonic() - began) / seeds
    test, truth = tested(target)
    x = jnp.asarray((test - mean) / scale, jnp.float32)
    lacks, errors, trips = [], [], []
    trained = [trees.unstack(fit.restarts, seed) for seed in range(seeds)] if seeds > 1 else [fit.restarts]
    for flow in trained:
        scored = x[: N_SCORED if flow.inexactness else None]
        found = np.asarray(scores(flow, scored, jax.random.key(2)), float) - 2 * np.log(scale)
        lack = truth[: len(scored)] - found
        lacks.append(lack.mean())
        errors.append(lack.std() / len(lack) ** 0.5)
        trips.append(float(round_trips(flow, x[:N_SCORED], jax.random.key(3)).max()))
    line = [
        name.replace("_", " "),
        trees.n_parameters(trained[0]),
        *(round(float(value), 4) for value in (np.median(lacks), min(lacks), max(lacks), np.median(errors))),
        float(np.median(trips)),
        round(seconds, 1),
    ]
    return line, trained[int(np.argsort(lacks)[(seeds - 1) // 2])]


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
    figure = figure_of(10.5, 4.6)
    top = shown["truth"].max()
    grids = figure.subplots(2, 5)
    for axes in grids.ravel():
        axes.set_axis_off()
    places = [grids[0, 0], *(grids[row, column] for column in range(1, 5) for row in range(2))]
    for axes, (name, density) in zip(places, shown.items(), strict=True):
        axes.imshow(density, origin="lower", vmin=0, vmax=top, cmap="viridis")
        axes.set_title(name.replace("_", " ").replace("spline autoregressive", "spline autoreg."), fontsize=8)
    return picture(figure, f"topology-{target}")


HEAD = ["flow", "parameters", "nats lacking, median", "best", "worst", "standard error", "round trip", "seconds a seed"]


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(SHAPES), seeds=5)
    for target in asked.settings:
        began, rows = time.monotonic(), []
        _, mean, scale = standard(target)
        shown = {"truth": grid(target, None, mean, scale)}
        for name in FLOWS:
            line, flow = fitted(target, name, asked.seeds, asked.epochs or EPOCHS)
            rows.append(line)
            print(f"{target} {dict(zip(HEAD, line, strict=True))}", flush=True)
            shown[name] = grid(target, flow, mean, scale)
        if asked.epochs is None:
            seconds = round(time.monotonic() - began, 1)
            write_table("topology", HEAD, rows, seconds, asked.seeds, [pictures(target, shown)], settings=target)


if __name__ == "__main__":
    main()
