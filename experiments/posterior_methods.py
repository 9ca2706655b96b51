"""One way of finding a posterior, on one model, in a process of its own: `posteriors.py` starts it and reads its lines.

Imports are done before any clock starts; building the log-density or the sampler and all compilation are counted.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import arviz
import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from common import data_folder
from numpyro import handlers
from numpyro.infer import MCMC, NUTS, SVI, Trace_ELBO, autoguide
from numpyro.infer.util import log_density
from posterior_models import Case, cases

import pushforward as pf
from pushforward.inference.importance import smooth

GUIDE_STEPS, GUIDE_PARTICLES, GUIDE_RATE = 5000, 4, 5e-3
DRAWS = 10_000


def flow(case: Case, effort: int) -> Callable[[int], dict[str, Any]]:
    """`fit_posterior` with its defaults."""
    pair = pf.numpyro.as_log_density(case.model)

    def run(seed: int) -> dict[str, Any]:
        posterior = pf.fit_posterior(*pair, key=jax.random.key(seed), effort=effort)
        draws = posterior.sample(jax.random.key(1000 + seed), (DRAWS,))
        return {"draws": draws, "k_hat": posterior.k_hat, "elbo": posterior.elbo.value}

    return run


def guide(case: Case, kind: Callable[..., Any]) -> Callable[[int], dict[str, Any]]:
    """A guide of NumPyro, or `AutoFlow`, by stochastic variational inference."""
    found = kind(case.model)
    svi = SVI(case.model, found, numpyro.optim.Adam(GUIDE_RATE), Trace_ELBO(num_particles=GUIDE_PARTICLES))

    def run(seed: int) -> dict[str, Any]:
        params = svi.run(jax.random.key(seed), GUIDE_STEPS, progress_bar=False).params

        def one(key: jax.Array) -> tuple[dict[str, jax.Array], jax.Array]:
            seeded = handlers.seed(found, key)
            log_q, trace = log_density(seeded, (), {}, params)
            log_p, told = log_density(handlers.replay(handlers.seed(case.model, key), trace), (), {}, params)
            wanted = {name: site["value"] for name, site in told.items() if site["type"] in ("sample", "deterministic")}
            return wanted, log_p - log_q

        draws, ratio = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1000 + seed), DRAWS))
        ratio = np.asarray(ratio, np.float64)
        return {"draws": draws, "k_hat": smooth(ratio)[1], "elbo": float(ratio.mean())}

    return run


def nuts(case: Case, draws: int) -> Callable[[int], dict[str, Any]]:
    """The No-U-Turn sampler: one chain, as many warm-up steps as draws."""
    sampler = MCMC(NUTS(case.model), num_warmup=draws, num_samples=draws, progress_bar=False)

    def run(seed: int) -> dict[str, Any]:
        sampler.run(jax.random.key(seed))
        return {"draws": jax.block_until_ready(sampler.get_samples()), "k_hat": None, "elbo": None}

    return run


GUIDES: dict[str, Callable[..., Any]] = {
    "AutoNormal": autoguide.AutoNormal,
    "AutoMultivariateNormal": autoguide.AutoMultivariateNormal,
    "AutoIAFNormal": autoguide.AutoIAFNormal,
    "AutoBNAFNormal": autoguide.AutoBNAFNormal,
    "AutoFlow": pf.numpyro.AutoFlow,
}


def started(method: str, level: int, case: Case) -> Callable[[int], dict[str, Any]]:
    """The method at a level of its ladder; guides have none."""
    if method == "fit_posterior":
        return flow(case, level)
    return nuts(case, level) if method == "NUTS" else guide(case, GUIDES[method])


def judged(case: Case, found: dict[str, Any]) -> dict[str, Any]:
    """How far means and standard deviations are from those of the reference draws."""
    draws, truth = np.asarray(case.flatten(found["draws"]), np.float64), case.reference
    error = float(np.nan_to_num(np.abs(draws.mean(0) - truth.mean(0)) / truth.std(0), nan=np.inf).max())
    ratio = np.nan_to_num(draws.std(0) / truth.std(0), nan=np.inf)
    passed = error <= 0.1 and ratio.min() >= 0.9 and ratio.max() <= 1.1
    if found["k_hat"] is not None:
        passed = passed and found["k_hat"] < 0.7
    return {
        "error": error,
        "least_ratio": float(ratio.min()),
        "largest_ratio": float(ratio.max()),
        "k_hat": found["k_hat"],
        "elbo": found["elbo"],
        "passed": bool(passed),
    }


def main() -> None:
    """Run the seeds asked for, the first one cold; a line of JSON each."""
    asked = json.loads(sys.argv[1])
    case = cases(data_folder() / "posteriordb")[asked["name"]]
    jax.block_until_ready(jnp.zeros(()))  # JAX itself starts before any clock, as imports do
    arviz.rcParams  # noqa: B018 - imported
    run = None
    for seed in asked["seeds"]:
        began = time.monotonic()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run = run or started(asked["method"], asked["level"], case)
            found = run(seed)
        seconds = time.monotonic() - began
        row = {"seed": seed, "seconds": seconds, **judged(case, found)}
        print(json.dumps(row), flush=True)
        if asked["until_failure"] and not row["passed"]:
            break


if __name__ == "__main__":
    main()
