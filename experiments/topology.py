"""Plane targets with holes and separate parts: flows of the literature, and continuously-indexed flows over each.

Every target's density is known, so what a flow lacks is a number: the entropy of the target minus the mean log-density
of 20,000 fresh points (their KL divergence, in nats). Every flow sees the same 20,000 points to train on and 2,000 to
choose the epoch by, five seeds side by side; a continuously-indexed flow has no more parameters than its base, and is
scored by importance weights of 100 draws, which are below the truth in the mean.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
