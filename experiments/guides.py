"""Guides for SVI with their defaults: `AutoFlow` beside NumPyro's own flows.

2,000 steps of Adam on one draw a step, 5 keys; the figure is the loss of 1,000 draws at the end (the negative evidence
bound, in nats), of the worst key and of the median. Models: a linear regression of 100 rows, eight schools centred and
not, a mixture of two normals on 50 points, and counts in eight groups.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from common import arguments, write_table
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoBNAFNormal, AutoIAFNormal

import pushforward as pf

STEPS, KEYS, RATES = 2000, 5, (5e-3, 1e-2)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.5 * RNG.normal(size=100) + 0.3
EFFECT, ERROR = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
POINTS = np.where(RNG.random(50) < 0.4, RNG.normal(-2, 0.7, 50), RNG.normal(2, 0.7, 50))
GROUP = np.repeat(np.arange(8), 10)
COUNTS = RNG.poisson(np.exp(1.0 + 0.5 * RNG.normal(size=8))[GROUP])


def regression() -> None:
    slope = numpyro.sample("slope", dist.Normal(0, 1).expand([3]).to_event(1))
    start, scale = numpyro.sample("start", dist.Normal(0, 1)), numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(X @ slope + start, scale), obs=Y)


def schools(centred: bool) -> Callable[[], None]:
    def model() -> None:
        mean, spread = numpyro.sample("mean", dist.Normal(0, 5)), numpyro.sample("spread", dist.HalfCauchy(5))
        with numpyro.plate("school", 8):
            if centred:
                effect = numpyro.sample("effect", dist.Normal(mean, spread))
            else:
                effect = mean + spread * numpyro.sample("raw", dist.Normal(0, 1))
            numpyro.sample("y", dist.Normal(effect, ERROR), obs=EFFECT)

    return model


def mixture() -> None:
    share, scale = numpyro.sample("share", dist.Dirichlet(jnp.ones(2))), numpyro.sample("scale", dist.LogNormal(0, 1))
    middle = numpyro.sample("middle", dist.Normal(0, 5).expand([2]).to_event(1))
    with numpyro.plate("point", len(POINTS)):
        parts = dist.MixtureSameFamily(dist.Categorical(share), dist.Normal(middle, scale))
        numpyro.sample("y", parts, obs=POINTS)


def counts() -> None:
    mean, spread = numpyro.sample("mean", dist.Normal(0, 2)), numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("group", 8):
        rate = numpyro.sample("rate", dist.Normal(mean, spread))
    numpyro.sample("y", dist.Poisson(jnp.exp(rate[GROUP])), obs=COUNTS)


MODELS = {
    "regression": regression,
    "schools, centred": schools(True),
    "schools": schools(False),
    "mixture": mixture,
    "counts": counts,
}
GUIDES = {"AutoFlow": pf.numpyro.AutoFlow, "AutoIAFNormal": AutoIAFNormal, "AutoBNAFNormal": AutoBNAFNormal}


def losses(model: Any, make: Any) -> tuple[np.ndarray, int]:
    """Losses at the end, shape (rates, keys), and how many steps were not finite; all runs side by side."""
    guide = make(model)

    states, check = [], Trace_ELBO(num_particles=1000)
    for rate in RATES:
        adam = optax.inject_hyperparams(optax.adam)(learning_rate=rate)  # the state holds the rate
        many = SVI(model, guide, numpyro.optim.optax_to_numpyro(adam), Trace_ELBO())
        states += [many.init(jax.random.key(key)) for key in range(KEYS)]

    @jax.jit
    @jax.vmap
    def run(state: Any) -> tuple[Any, Any]:
        state, course = jax.lax.scan(lambda state, _: many.update(state), state, None, length=STEPS)
        loss = check.loss(jax.random.key(99), many.get_params(state), model, guide)
        return loss, (~jnp.isfinite(course)).sum()

    loss, bad = run(jax.tree.map(lambda *leaves: jnp.stack(leaves), *states))
    return np.asarray(loss).reshape(len(RATES), KEYS), int(bad.sum())


def main() -> None:
    """Run it."""
    asked = arguments(__doc__ or "", list(MODELS), seeds=KEYS)
    found, began = [], time.monotonic()
    for name in asked.settings:
        for guide, make in GUIDES.items():
            loss, bad = losses(MODELS[name], make)
            for rate, of_rate in zip(RATES, loss, strict=True):
                found.append([name, guide, f"{rate:g}", float(np.median(of_rate)), float(of_rate.max()), bad])
                print("  ".join(f"{v:.2f}" if isinstance(v, float) else str(v) for v in found[-1]), flush=True)
    if asked.epochs is None:
        head = ["model", "guide", "rate of Adam", "median", "worst key", "steps not finite"]
        write_table("guides", head, found, time.monotonic() - began, seeds=KEYS)


if __name__ == "__main__":
    main()
