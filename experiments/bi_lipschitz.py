"""How far a MAF must stretch to leave holes, and how far its continuously-indexed version.

Both train on two circles, five seeds side by side, at a constant rate; after every ten epochs come what they lack of
the target's log-density (as in "Topology") and their bi-Lipschitz constant: the largest factor by which the map or its
inverse stretches around any of 4,000 points, half of them from the target and half even over a square around it. A
continuously-indexed flow is a bijection for every draw of its indices: its figure is the median over 40 draws from
q(u|x). A bijection that fits a target with a hole stretches without bound (Cornish et al. 2020, theorem 2.1).
"""

from __future__ import annotations

import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from common import arguments, picture, write_table
from topology import BATCH, LR, REACH, drawn, scores, standard

from pushforward import trees
from pushforward.bijections import AbstractMap, Chain, ConditionalCoupling, Indexed, Scan
from pushforward.data import shape
from pushforward.distributions import Pushforward
from pushforward.objectives import NegativeLogLikelihood, Rows
from pushforward.plots.marks import figure_of
from pushforward.training import Resident, Settings, train

TARGET, CHUNKS, EPOCHS, N_POINTS, N_DRAWS, N_SCORED = "circles", 8, 10, 4000, 40, 2000
OPTIONS: dict[str, dict[str, Any]] = {
    "maf": {"n_layers": 20, "hidden_sizes": (32, 32)},
    "indexed_maf": {
        "n_layers": 5,
        "hidden_sizes": (24, 24),
        "index": "layer",  # as published
        "index_dim": 1,
        "index_hidden_sizes": (34, 34),
    },
}


def pinned(part: AbstractMap, x: Any, key: Any) -> tuple[list[tuple[AbstractMap, Any]], Any]:
    """What a flow is for the indices drawn for x, as bijections and their conditions in forward order; the noise.

    An index that goes along layers is held where it passes each.
    """
    if isinstance(part, Indexed):
        drawing, inside = jax.random.split(key)
        found, pair = pinned(part.bijection, part.with_index(x, drawing), inside)
        return found, pair[: len(x)]
    if isinstance(part, ConditionalCoupling):  # of a point and an index: one of the two moves
        moves = part.kept == "last"
        return [(part.bijection, x[part.bijection.shape[0] :])] if moves else [], part.inverse(x)
    if not isinstance(part, Chain | Scan):
        return [(part, None)], part.inverse(x)
    layers = part.bijections if isinstance(part, Chain) else [trees.unstack(part.layers, i) for i in range(len(part))]
    found = []
    for layer, one in zip(layers[::-1], jax.random.split(key, len(layers)), strict=True):
        inner, x = pinned(layer, x, one)
        found = inner + found
    return found, x


@eqx.filter_jit
def constants(flow: Pushforward, drawn_for: Any, points: Any) -> Any:
    """The bi-Lipschitz constant for the indices drawn for each of some points, shape (n,)."""

    def one(x: Any, key: Any) -> Any:
        parts, _ = pinned(flow.bijection, x, key)

        def to_noise(x: Any) -> Any:
            for part, given in parts[::-1]:
                x = part.inverse(x, given)
            return x

        stretch = jnp.linalg.svd(jax.vmap(jax.jacfwd(to_noise))(points), compute_uv=False)
        return jnp.maximum(stretch[:, 0], 1 / stretch[:, -1]).max()

    keys = jax.random.split(jax.random.key(0), len(drawn_for))
    return jax.lax.map(lambda given: one(*given), (drawn_for, keys))


def measured(flow: Pushforward, test: Any, mean: Any, scale: float) -> tuple[float, float]:
    """What it lacks, and its constant."""
    x = jnp.asarray((test - mean) / scale, jnp.float32)
    found = np.asarray(scores(flow, x[:N_SCORED], jax.random.key(2)), float) - 2 * np.log(scale)
    lack = float((shape(TARGET).log_prob(test[:N_SCORED]) - found).mean())
    side = round((N_POINTS / 2) ** 0.5)
    along = jnp.linspace(-REACH, REACH, side)
    points = jnp.concatenate([x[: N_POINTS // 2], jnp.stack(jnp.meshgrid(along, along), -1).reshape(-1, 2)])
    draws = x[-(N_DRAWS if flow.inexactness else 1) :]
    return lack, float(jnp.median(constants(flow, draws, points)))


def followed(name: str, seeds: int, chunks: int) -> np.ndarray:
    """What each seed lacks and its constant after every chunk of epochs, shape (chunks, seeds, 2)."""
    points, mean, scale = standard(TARGET)
    rows, test = Resident.of(Rows(points)), shape(TARGET).sample(N_POINTS, 2)
    settings = Settings(EPOCHS, batch_size=BATCH, learning_rate=LR / 2, clip_norm=10.0)
    models, found = drawn(name, OPTIONS[name], seeds), []
    for chunk in range(chunks):
        key = jax.random.key(chunk)
        fit = train(models, NegativeLogLikelihood(), rows, key=key, settings=settings, n_restarts=seeds)
        models = fit.restarts
        flows = [trees.unstack(models, seed) if seeds > 1 else models for seed in range(seeds)]
        found.append([measured(flow, test, mean, scale) for flow in flows])
        lack, constant = np.median(found[-1], axis=0)
        print(f"{name} after {EPOCHS * (chunk + 1)} epochs lacks {lack:.3f} nats, stretches {constant:.1f}", flush=True)
    return np.array(found)


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", [TARGET], seeds=5)
    began = time.monotonic()
    found = {name: followed(name, asked.seeds, asked.epochs or CHUNKS) for name in OPTIONS}
    figure = figure_of(8.0, 3.2)
    left, right = figure.subplots(1, 2)
    rows: list[list[Any]] = []
    for name, values in found.items():
        epochs = EPOCHS * np.arange(1, len(values) + 1)
        label = name.replace("_", " ")
        for axes, place in ((left, 1), (right, 0)):
            median = np.median(values[..., place], axis=1)
            axes.plot(epochs, median, label=label)
            axes.fill_between(epochs, values[..., place].min(1), values[..., place].max(1), alpha=0.2)
        for epoch, value in zip(epochs, values, strict=True):
            lack, constant = value.T
            rows.append([label, int(epoch), round(float(np.median(lack)), 4), float(np.median(constant))])
            rows[-1] += [float(constant.min()), float(constant.max())]
    left.set_yscale("log")
    left.set_title("bi-Lipschitz constant", fontsize=9)
    right.set_title("nats lacking", fontsize=9)
    for axes in (left, right):
        axes.set_xlabel("epochs")
        axes.legend(frameon=False, fontsize=8)
    if asked.epochs is None:
        head = ["flow", "epochs", "nats lacking, median", "constant, median", "smallest", "largest"]
        seconds = round(time.monotonic() - began, 1)
        write_table("bi_lipschitz", head, rows, seconds, asked.seeds, [picture(figure, "bi-lipschitz")])


if __name__ == "__main__":
    main()
