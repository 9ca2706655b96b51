"""The guide under plain SVI, with its defaults, on models that people have."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import pytest
from numpyro.infer import SVI, Trace_ELBO

import pushforward as pf

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 3))
Y = X @ np.array([1.0, -2.0, 0.5]) + 0.5 * RNG.normal(size=100) + 0.3
EFFECT, ERROR = np.array([28.0, 8, -3, 7, -1, 1, 18, 12]), np.array([15.0, 10, 16, 11, 9, 11, 10, 18])
GROUP = np.repeat(np.arange(8), 10)
COUNTS = RNG.poisson(np.exp(1.0 + 0.5 * RNG.normal(size=8))[GROUP])
POINTS = np.where(RNG.random(50) < 0.4, RNG.normal(-2, 0.7, 50), RNG.normal(2, 0.7, 50))


def regression() -> None:
    slope = numpyro.sample("slope", dist.Normal(0, 1).expand([3]).to_event(1))
    start, scale = numpyro.sample("start", dist.Normal(0, 1)), numpyro.sample("scale", dist.HalfNormal(1.0))
    numpyro.sample("y", dist.Normal(X @ slope + start, scale), obs=Y)


def schools() -> None:
    mean, spread = numpyro.sample("mean", dist.Normal(0, 5)), numpyro.sample("spread", dist.HalfCauchy(5))
    with numpyro.plate("school", 8):
        effect = numpyro.sample("effect", dist.Normal(mean, spread))
        numpyro.sample("y", dist.Normal(effect, ERROR), obs=EFFECT)


def counts() -> None:
    mean, spread = numpyro.sample("mean", dist.Normal(0, 2)), numpyro.sample("spread", dist.HalfNormal(1.0))
    with numpyro.plate("group", 8):
        rate = numpyro.sample("rate", dist.Normal(mean, spread))
    numpyro.sample("y", dist.Poisson(jnp.exp(rate[GROUP])), obs=COUNTS)


def mixture() -> None:
    share, scale = numpyro.sample("share", dist.Dirichlet(jnp.ones(2))), numpyro.sample("scale", dist.LogNormal(0, 1))
    middle = numpyro.sample("middle", dist.Normal(0, 5).expand([2]).to_event(1))
    with numpyro.plate("point", len(POINTS)):
        parts = dist.MixtureSameFamily(dist.Categorical(share), dist.Normal(middle, scale))
        numpyro.sample("y", parts, obs=POINTS)


@pytest.mark.long
# bounds: half a nat above what `experiments/guides.py` tells of NumPyro's own flows
@pytest.mark.parametrize(
    ("model", "rate", "most"),
    [
        pytest.param(model, rate, most, id=model.__name__)
        for model, rate, most in [
            (regression, 1e-2, 81.0),
            (schools, 1e-2, 33.2),
            (counts, 1e-2, 162.8),
            (mixture, 5e-3, 84.3),
        ]
    ],
)
def test_plain_svi_gets_there_and_loses_no_step(model: Any, rate: float, most: float) -> None:
    guide = pf.numpyro.AutoFlow(model)
    svi = SVI(model, guide, numpyro.optim.Adam(rate), Trace_ELBO())
    result = svi.run(jax.random.key(0), 2000, progress_bar=False)
    assert np.isfinite(result.losses).all()
    loss = Trace_ELBO(num_particles=1000).loss(jax.random.key(1), result.params, model, guide)
    assert float(loss) < most
