"""Models that older commits saved load, and give what they gave; `saved/make.py` says how they were made."""

from functools import cache
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import pushforward as pf
from pushforward.distributions import MixtureOfFlows, SequentialLatent
from pushforward.distributions.base import log_mean_exp
from tests.sweeps import long_if, sweep

SAVED = Path(__file__).parent / "saved"
TOLERANCE = 1e-5  # programs are compiled anew
# all are loaded for any of them; these are compared with what they gave
QUICK = {
    "chain",
    "affine",
    "coupling",
    "autoregressive",
    "real_nvp",
    "spline_coupling",
    "vae_radial",
    "default",
    "auto",
}


@cache
def expected(kind: str) -> dict[str, dict[str, np.ndarray]]:
    """Points and outputs by the object's name."""
    found: dict[str, dict[str, np.ndarray]] = {}
    with np.load(SAVED / f"{kind}.npz") as arrays:
        for path, array in arrays.items():
            name, _, what = path.partition("/")
            found.setdefault(name, {})[what] = array
    return found


@cache
def loaded(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = pf.load(SAVED / kind)
    return found


def names(kind: str) -> list[str]:
    return sorted(expected(kind))


def cases(kind: str) -> list[Any]:
    return sweep(names(kind), QUICK.intersection(names(kind)))


def check(kind: str, name: str, outputs: dict[str, Any]) -> None:
    for what, output in outputs.items():
        np.testing.assert_allclose(
            np.asarray(output), expected(kind)[name][what], rtol=TOLERANCE, atol=TOLERANCE, err_msg=f"{name}: {what}"
        )


@pytest.mark.parametrize("name", cases("maps"))
def test_maps(name: str) -> None:
    model, given = loaded("maps")[name], expected("maps")[name]
    keys = jax.random.split(jax.random.key(2), len(given["z"]))
    forward, inverse = (
        jax.jit(jax.vmap(direction, in_axes=(0, 0, None)))
        for direction in (model.forward_and_log_weight, model.inverse_and_log_weight)
    )
    x, there = forward(given["z"], keys, given.get("condition"))
    back, log_weight = inverse(given["x"], keys, given.get("condition"))
    check("maps", name, {"x": x, "forward": there, "back": back, "inverse": log_weight})


@pytest.mark.parametrize("name", cases("distributions"))
def test_distributions(name: str) -> None:
    model, given = loaded("distributions")[name], expected("distributions")[name]
    x, condition, key = given["x"], given.get("condition"), jax.random.key(2)
    outputs = {"sample": model.sample(key, (len(x),) if condition is None else (), condition)}
    if model.inexactness:
        outputs["elbo"] = model.elbo(x, condition, key=key, n_samples=2)
        outputs["estimate"] = model.log_prob_estimate(x, condition, key=key, n_samples=3).value
    else:
        outputs["log_prob"] = model.log_prob(x, condition)
    if isinstance(model, MixtureOfFlows):
        outputs |= {"responsibilities": model.responsibilities(x, condition), "bound": model.elbo(x, condition)}
    check("distributions", name, outputs)


@pytest.mark.parametrize("name", cases("latent"))
def test_models_of_latent_variables(name: str) -> None:
    model, x, key = loaded("latent")[name], expected("latent")[name]["x"], jax.random.key(2)
    if isinstance(model, SequentialLatent):
        weights = jax.vmap(lambda key: model.log_weight(jnp.asarray(x), key))(jax.random.split(key, 3))
        outputs = {"bound": log_mean_exp(weights), "sample": model.sample(key)}
    else:
        outputs = {"features": jax.vmap(model.encoder)(x), "decoded": jax.vmap(model.decoder)(x[:, :2])}
        if not model.deterministic:
            outputs |= {"elbo": model.elbo(x, key=key, n_samples=2), "sample": model.sample(key, (3,))}
    check("latent", name, outputs)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=long_if(name not in QUICK))
        for kind in ("densities", "mixtures")
        for name in names(kind)
    ],
)
def test_estimators(kind: str, name: str) -> None:
    estimator, given = loaded(kind)[name], expected(kind)[name]
    x, condition = given["x"], given.get("condition")
    outputs = {"scores": estimator.score_samples(x, condition)}
    if isinstance(estimator, pf.FlowMixture):
        outputs["predict_proba"] = estimator.predict_proba(x, condition)
        outputs["responsibilities"] = estimator.responsibilities(x, condition)
        outputs["elbo_samples"] = estimator.elbo_samples(x, condition)
    if isinstance(estimator, pf.FlowOutlierDetector):
        outputs["predict"] = estimator.predict(x)
    if condition is None:
        drawn = estimator.sample(3, random_state=0)
        outputs["sample"] = drawn[0] if isinstance(drawn, tuple) else drawn
    check(kind, name, outputs)


def test_labels_keep_their_names() -> None:
    mixture = loaded("mixtures")["named_labels"]
    assert (mixture.label_column_, mixture.label_names_) == ("kind", ("left", "right"))
