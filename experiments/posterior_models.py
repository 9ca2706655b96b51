"""The eleven posteriors of `posteriordb` as NumPyro models, and their reference draws.

Each model is on the scale of its reference draws, which name what is compared; flat priors are where the documentation
of the data says so.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Array

FLAT = dist.constraints.real


class Case(NamedTuple):
    """A model with its data, and draws to compare with."""

    model: Callable[[], None]
    flatten: Callable[[dict[str, Array]], Array]
    names: list[str]
    reference: np.ndarray


def flat(name: str, shape: tuple[int, ...] = (), support: Any = FLAT) -> Array:
    """A parameter with a flat prior."""
    found: Array = numpyro.sample(name, dist.ImproperUniform(support, (), shape))
    return found


def regression(y: Array, X: Array, sigma_prior: Any = None, beta_prior: Any = None) -> Callable[[], None]:
    """y ~ normal(Xβ, σ)."""

    def model() -> None:
        k = X.shape[1]
        beta = flat("beta", (k,)) if beta_prior is None else numpyro.sample("beta", beta_prior.expand([k]).to_event(1))
        positive = dist.constraints.positive
        sigma = flat("sigma", (), positive) if sigma_prior is None else numpyro.sample("sigma", sigma_prior)
        numpyro.sample("y", dist.Normal(X @ beta, sigma), obs=y)

    return model


def eight_schools(data: dict[str, Any], centred: bool) -> Callable[[], None]:
    """Treatment effects of eight schools around a common mean."""
    y, sigma = jnp.asarray(data["y"], float), jnp.asarray(data["sigma"], float)

    def model() -> None:
        mu = numpyro.sample("mu", dist.Normal(0, 5))
        tau = numpyro.sample("tau", dist.HalfCauchy(5))
        if centred:
            theta = numpyro.sample("theta", dist.Normal(mu, tau).expand([8]).to_event(1))
        else:
            raw = numpyro.sample("raw", dist.Normal(0, 1).expand([8]).to_event(1))
            theta = numpyro.deterministic("theta", mu + tau * raw)
        numpyro.sample("y", dist.Normal(theta, sigma), obs=y)

    return model


def garch(data: dict[str, Any]) -> Callable[[], None]:
    """Volatility that follows its past and that of the series."""
    y = jnp.asarray(data["y"], float)

    def model() -> None:
        mu = flat("mu")
        alpha0 = flat("alpha0", (), dist.constraints.positive)
        alpha1 = numpyro.sample("alpha1", dist.Uniform(0, 1))
        # uniform on the triangle: the density of the pair is constant, so that of β₁ given α₁ is taken out again
        beta1 = numpyro.sample("beta1", dist.Uniform(0, 1 - alpha1))
        numpyro.factor("triangle", jnp.log1p(-alpha1))

        def step(variance: Array, before: Array) -> tuple[Array, Array]:
            now = alpha0 + alpha1 * (before - mu) ** 2 + beta1 * variance
            return now, now

        first = jnp.asarray(data["sigma1"], y.dtype) ** 2
        _, variances = lax.scan(step, first + 0 * mu, y[:-1])
        numpyro.sample("y", dist.Normal(mu, jnp.sqrt(jnp.append(first, variances))), obs=y)

    return model


def gaussian_mixture(data: dict[str, Any]) -> Callable[[], None]:
    """Two normal distributions on a line."""
    y = jnp.asarray(data["y"], float)

    def model() -> None:
        mu = flat("mu", (2,), dist.constraints.ordered_vector)
        numpyro.factor("mu_prior", dist.Normal(0, 2).log_prob(mu).sum())
        sigma = numpyro.sample("sigma", dist.HalfNormal(2).expand([2]).to_event(1))
        theta = numpyro.sample("theta", dist.Beta(5, 5))
        first = jnp.log(theta) + dist.Normal(mu[0], sigma[0]).log_prob(y)
        second = jnp.log1p(-theta) + dist.Normal(mu[1], sigma[1]).log_prob(y)
        numpyro.factor("y", jnp.logaddexp(first, second).sum())

    return model


def gaussian_process(data: dict[str, Any]) -> Callable[[], None]:
    """A Gaussian process with a squared exponential kernel."""
    x, y = jnp.asarray(data["x"], float), jnp.asarray(data["y"], float)

    def model() -> None:
        rho = numpyro.sample("rho", dist.Gamma(25, 4))
        alpha = numpyro.sample("alpha", dist.HalfNormal(2))
        sigma = numpyro.sample("sigma", dist.HalfNormal(1))
        kernel = alpha**2 * jnp.exp(-0.5 * ((x[:, None] - x) / rho) ** 2) + sigma * jnp.eye(len(x))
        numpyro.sample("y", dist.MultivariateNormal(jnp.zeros(len(x)), kernel), obs=y)

    return model


def arrays(data: dict[str, Any]) -> dict[str, Array]:
    """Columns as arrays."""
    return {name: jnp.asarray(value, float) for name, value in data.items() if isinstance(value, list)}


def columns(*parts: Any) -> Array:
    """Columns beside each other, the first one of ones."""
    return jnp.stack([jnp.ones_like(parts[0]), *parts], axis=1)


def models(folder: Path) -> dict[str, Callable[[], None]]:
    """Every model, by the name of its data (with "centred" for the other eight schools)."""

    def data(name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((folder / f"{name}.data.json").read_text())
        return found

    kid, ark, earn = arrays(data("kidiq-kidscore_interaction")), data("arK-arK"), arrays(data("earnings-earn_height"))
    tree, vote = arrays(data("mesquite-logmesquite_logvash")), arrays(data("nes2000-nes"))
    blr, schools = data("sblrc-blr"), data("eight_schools-eight_schools_noncentered")
    y, lags = jnp.asarray(ark["y"], float), ark["K"]
    past = jnp.stack([y[lags - k : len(y) - k] for k in range(1, lags + 1)], axis=1)
    d1, d2, height = tree["diam1"], tree["diam2"], tree["total_height"]
    shape = [jnp.log(d1 * d2 * tree["canopy_height"]), jnp.log(d1 * d2), jnp.log(d1 / d2), jnp.log(height)]
    age = [(vote["age_discrete"] == k).astype(float) for k in (2, 3, 4)]
    wide = dist.Normal(0, 10)
    return {
        "eight_schools-eight_schools_noncentered": eight_schools(schools, centred=False),
        "eight_schools-eight_schools_centred": eight_schools(schools, centred=True),
        "kidiq-kidscore_interaction": regression(
            kid["kid_score"],
            columns(kid["mom_hs"], kid["mom_iq"], kid["mom_hs"] * kid["mom_iq"]),
            dist.HalfCauchy(2.5),
        ),
        "arK-arK": autoregression(y[lags:], past, wide),
        "garch-garch11": garch(data("garch-garch11")),
        "earnings-earn_height": regression(earn["earn"], columns(earn["height"])),
        "mesquite-logmesquite_logvash": regression(jnp.log(tree["weight"]), columns(*shape, tree["group"])),
        "nes2000-nes": regression(
            vote["partyid7"],
            columns(vote["real_ideo"], vote["race_adj"], *age, vote["educ1"], vote["gender"], vote["income"]),
        ),
        "low_dim_gauss_mix-low_dim_gauss_mix": gaussian_mixture(data("low_dim_gauss_mix-low_dim_gauss_mix")),
        "sblrc-blr": regression(jnp.asarray(blr["y"]), jnp.asarray(blr["X"]), dist.HalfNormal(10), wide),
        "gp_pois_regr-gp_regr": gaussian_process(data("gp_pois_regr-gp_regr")),
    }


def autoregression(y: Array, past: Array, wide: Any) -> Callable[[], None]:
    """y from its last values."""

    def model() -> None:
        alpha = numpyro.sample("alpha", wide)
        beta = numpyro.sample("beta", wide.expand([past.shape[1]]).to_event(1))
        sigma = numpyro.sample("sigma", dist.HalfCauchy(2.5))
        numpyro.sample("y", dist.Normal(alpha + past @ beta, sigma), obs=y)

    return model


def cases(folder: Path) -> dict[str, Case]:
    """Every model with its reference draws, shape (10000, P)."""
    found = {}
    for name, model in models(folder).items():
        file = np.load(folder / f"{name.replace('_centred', '_noncentered')}.draws.npz")
        names = file["names"].tolist()
        sites = list(dict.fromkeys(label.split("[")[0] for label in names))

        def flatten(values: dict[str, Array], sites: list[str] = sites) -> Array:
            n = len(values[sites[0]])
            return jnp.concatenate([values[site].reshape(n, -1) for site in sites], axis=1)

        found[name] = Case(model, flatten, names, file["draws"].reshape(-1, len(names)))
    return found
