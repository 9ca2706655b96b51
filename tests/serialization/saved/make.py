"""How the models of this folder were made: by commit 862607a, the last before field and class names changed.

In a checkout of that commit, `PYTHONPATH=src:. python make.py FOLDER [KIND ...]`. Each kind is a folder, and
beside it lies what that commit gave: `<kind>.npz`, points and outputs by the object's name.
"""

import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import pushforward as pf
from pushforward import bijections, distributions, flows, networks, trees
from pushforward.networks import MLP

N_POINTS = 4
SIZES: dict[str, Any] = {"n_layers": 2, "hidden_sizes": (4,)}
TINY: dict[str, Any] = {**SIZES, "max_epochs": 3, "random_state": 0}
MIXTURE: dict[str, Any] = {**TINY, "posterior_hidden_sizes": (4,)}


def shaken(model: Any, amount: float = 0.2) -> Any:
    """With raw leaves as training might leave them."""
    n = trees.n_parameters(model)
    return trees.offset(model, amount * jax.random.normal(jax.random.key(7), (n,))) if n else model


def every_map() -> dict[str, Any]:
    """Each map of the contract tests, and those that draw numbers of their own."""
    from tests.bijections.registry import ENTRIES

    key = jax.random.key(0)
    found = {e.name: shaken(e.make(key, min(e.dims[-1], 3)), 0.2 * bool(e.shake)) for e in ENTRIES}
    contraction = networks.Lipschitz.init(key, 5, 5, (4,), 0.9)
    inside = flows.maf(key, 2, cond_dim=1, n_layers=2, hidden_sizes=(4,)).bijection
    spread = bijections.Chain([shaken(flows.maf(key, 2, cond_dim=2, **SIZES).bijection), bijections.Sigmoid((2,))])
    found |= {
        "residual_unbiased": bijections.Residual(contraction, 5),
        "residual_truncated": bijections.Residual(contraction, 5, "truncated", n_terms=3),
        "continuous_estimated": bijections.Continuous(MLP.init(key, 6, 5, (4,), "tanh"), 5),
        "dequantise": bijections.Dequantise(jnp.array([1.0, 0.0, 0.25])),
        "dequantise_variational": bijections.Dequantise(jnp.ones(2), spread),
        "indexed": bijections.Indexed.init(key, inside, 1, (4,)),
    }
    return found


def map_outputs(model: Any) -> dict[str, Any]:
    keys = jax.random.split(jax.random.key(2), N_POINTS)
    z = 0.8 * jax.random.normal(jax.random.key(1), (N_POINTS, *model.shape))
    condition = None if model.cond_shape is None else jnp.linspace(-1, 1, int(np.prod(model.cond_shape)))
    condition = None if condition is None else condition.reshape(model.cond_shape)
    axes = (0, 0, None)
    x, there = jax.vmap(model.forward_and_log_weight, in_axes=axes)(z, keys, condition)
    back, log_weight = jax.vmap(model.inverse_and_log_weight, in_axes=axes)(x, keys, condition)
    out = {"z": z, "x": x, "forward": there, "back": back, "inverse": log_weight}
    return out if condition is None else {**out, "condition": condition}


def every_distribution() -> dict[str, Any]:
    """Bases, and what is made of a base and maps."""
    key = jax.random.key(0)
    keys = jax.random.split(key, 3)
    small = [flows.real_nvp(k, 2, **SIZES) for k in keys]
    unlike = [shaken(flows.maf(keys[0], 2, **SIZES)), shaken(flows.planar(keys[1], 2, n_layers=2))]
    posterior = MLP.init(key, 2, 3, (4,))
    given = [shaken(flows.maf(k, 2, cond_dim=1, **SIZES)) for k in keys[:2]]
    bases = {
        "normal": distributions.Normal(jnp.array([0.5, -1.0]), jnp.array([1.0, 2.0])),
        "standard": distributions.Normal.standard((2,)),
        "logistic": distributions.Logistic.standard((2,)),
        "uniform": distributions.Uniform(jnp.zeros(2), jnp.ones(2)),
        "gaussians": distributions.GaussianMixture(
            jnp.array([0.25, 0.75]), jnp.array([[-1.0, 0.0], [1.0, 0.5]]), jnp.stack([jnp.eye(2), 0.5 * jnp.eye(2)])
        ),
        "on_gaussians": distributions.Pushforward(
            distributions.GaussianMixture(jnp.ones(1), jnp.zeros((1, 2)), jnp.eye(2)[None]), small[0].bijection
        ),
        "mixture": distributions.MixtureOfFlows([shaken(flow) for flow in small], posterior),
        "mixture_of_unlike": distributions.MixtureOfFlows(unlike, None, jnp.array([0.5, -0.5]), learn_weights=False),
        "mixture_shared": distributions.MixtureOfFlows(
            small, posterior, shared=shaken(small[0].bijection), view=bijections.Affine(jnp.ones(2), jnp.full(2, 3.0))
        ),
        "mixture_conditional": distributions.MixtureOfFlows(given, MLP.init(key, 3, 2, (4,))),
    }
    recipes = {name: shaken(make(key, 2, **SIZES)) for name, make in flows.RECIPES.items()}
    recipes |= {
        f"{name}_conditional": shaken(flows.RECIPES[name](key, 2, cond_dim=1, **SIZES))
        for name in ("real_nvp", "maf", "iaf", "naf", "residual", "continuous", "planar")
    }
    indexed: Any = {"index_hidden_sizes": (4,), **SIZES}
    recipes |= {
        f"indexed_{index}": shaken(flows.continuously_indexed(flows.maf, key, 2, index=index, **indexed))
        for index in ("flow", "carried", "layer")
    }
    return {**bases, **recipes}


def density_outputs(model: Any) -> dict[str, Any]:
    x = jax.random.uniform(jax.random.key(1), (N_POINTS, *model.shape), minval=0.05, maxval=0.95)
    condition = None if model.cond_shape is None else jnp.linspace(-1, 1, N_POINTS)[:, None]
    key = jax.random.key(2)
    drawn = model.sample(key, (N_POINTS,) if condition is None else (), condition)
    out = {"x": x, "sample": drawn}
    if model.inexactness:
        out["elbo"] = model.elbo(x, key, 2, condition)
        out["estimate"] = model.log_prob_estimate(x, key, 3, condition).value
    else:
        out["log_prob"] = model.log_prob(x, condition)
    if isinstance(model, distributions.MixtureOfFlows):
        out |= {"responsibilities": model.responsibilities(x, condition), "bound": model.elbo(x, condition)}
    return out if condition is None else {**out, "condition": condition}


def every_latent() -> dict[str, Any]:
    """Models of latent variables."""
    key = jax.random.key(0)
    sizes: Any = {"latent_dim": 2, "hidden_sizes": (4,)}
    kinds = ("planar", "radial", "householder", "iaf", "cclin_iaf", "sylvester_householder")
    found = {f"vae_{kind}": pf.vae(key, 5, posterior=kind, n_layers=2, **sizes) for kind in kinds}
    found |= {f"vae_{kind}": pf.vae(key, 5, posterior=kind, **sizes) for kind in ("none", "point")}
    found |= {
        f"vae_{name}": pf.vae(key, 5, likelihood=name, n_layers=2, **sizes)
        for name in ("gaussian", "gaussian_per_column")
    }
    return {**found, "sequential": distributions.SequentialLatent.init(key, (3, 2), 2, 1, (4,))}


def latent_outputs(model: Any) -> dict[str, Any]:
    key = jax.random.key(2)
    if isinstance(model, distributions.SequentialLatent):
        x = jax.random.normal(key, model.shape)
        return {"x": x, "bound": model.bound(x, key, 3), "sample": model.sample(key)}
    x = jnp.round(jax.random.uniform(key, (N_POINTS, 5)))
    out = {"x": x, "features": jax.vmap(model.encoder)(x), "decoded": jax.vmap(model.decoder)(x[:, :2])}
    return out if model.deterministic else {**out, "elbo": model.elbo(x, key, 2), "sample": model.sample(key, (3,))}


def table(n_columns: int = 2) -> np.ndarray:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, n_columns)) * [1, 10, 1, 1][:n_columns]
    x[::2, 0] += 4
    return x


def every_density() -> dict[str, Any]:
    import pandas as pd

    x, condition = table(), table(1)
    mixed = np.column_stack([table(), np.round(3 * table(1)), np.abs(table(1))])
    named = pd.DataFrame({"a": x[:, 0], "b": x[:, 1]})
    flows_of: Any = {name: {"flow": name} for name in ("maf", "indexed_maf", "residual", "continuous")}
    return {
        "default": pf.FlowDensity(**TINY).fit(x),
        "named": pf.FlowDensity(**TINY).fit(named),
        **{name: pf.FlowDensity(**option, **TINY).fit(x) for name, option in flows_of.items()},
        "mixed": pf.FlowDensity(bounds={3: (0, None)}, **TINY).fit(mixed),
        "bounded": pf.FlowDensity(flow="maf", bounds=(-100, 100), **TINY).fit(x),
        "conditional": pf.FlowDensity(flow="maf", **TINY).fit(x, condition=condition),
        "column": pf.FlowDensity(**TINY).fit(x[:, :1]),
        "outliers": pf.FlowOutlierDetector(**TINY).fit(x),
        "outliers_share": pf.FlowOutlierDetector(contamination=0.1, **TINY).fit(x),
    }


def every_mixture() -> dict[str, Any]:
    x, labels = table(), np.where(np.arange(120) % 3 == 0, -1, np.arange(120) % 2)
    images = np.random.default_rng(1).uniform(size=(100, 16))
    plain = pf.FlowMixture(2, **MIXTURE).fit(x)
    plain.label_column_, plain.label_names_ = "kind", ("left", "right")  # as the command line names them
    quick: Any = {**MIXTURE, "init": "random", "consistency": 0.0, "refine_posterior": False}
    return {
        "named_labels": plain,
        "labels": pf.FlowMixture(2, **MIXTURE).fit(x, labels),
        "shared": pf.FlowMixture(2, shared_layers=1, flow="real_nvp", **quick).fit(x),
        "auto": pf.FlowMixture("auto", **MIXTURE).fit(x),
        "images": pf.FlowMixture(2, image_shape=(4, 4), **quick).fit(images),
        "whole": pf.FlowMixture(2, **quick).fit(np.round(x)),
        "indexed": pf.FlowMixture(2, flow="indexed_maf", **quick).fit(x),
        "conditional": pf.FlowMixture(2, flow="maf", **quick).fit(x, condition=table(1)),
    }


def estimator_outputs(estimator: Any) -> dict[str, Any]:
    n = estimator.columns_.n
    x = np.random.default_rng(1).uniform(size=(N_POINTS, 16)) if n == 16 else np.abs(table(2)[:N_POINTS, :n])
    if n == 4:
        x = np.column_stack([x, [0, 1, 2, -1], [0.5, 0.1, 1.0, 2.0]])
    if "whole number" in estimator.columns_.kinds and n == 2:
        x = np.round(x)
    given: Any = {} if estimator.condition_columns_ is None else {"condition": np.linspace(-1, 1, N_POINTS)[:, None]}
    out = {"x": x, **given, "scores": estimator.score_samples(x, **given)}
    if isinstance(estimator, pf.FlowMixture):
        out |= {name: getattr(estimator, name)(x, **given) for name in ("predict_proba", "responsibilities")}
        out |= {"elbo_samples": estimator.elbo_samples(x, **given)}
    if isinstance(estimator, pf.FlowOutlierDetector):
        out["predict"] = estimator.predict(x)
    if not given:
        drawn = estimator.sample(3, random_state=0)
        out["sample"] = drawn[0] if isinstance(drawn, tuple) else drawn
    return out


KINDS = {
    "maps": (every_map, map_outputs),
    "distributions": (every_distribution, density_outputs),
    "latent": (every_latent, latent_outputs),
    "densities": (every_density, estimator_outputs),
    "mixtures": (every_mixture, estimator_outputs),
}


def main(folder: Path, kinds: list[str]) -> None:
    for kind in kinds or KINDS:
        make, outputs = KINDS[kind]
        objects = make()
        pf.save(objects, folder / kind)
        arrays = {f"{name}/{k}": v for name, model in objects.items() for k, v in outputs(model).items()}
        np.savez_compressed(folder / f"{kind}.npz", **{k: np.asarray(v) for k, v in arrays.items()})


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    main(Path(sys.argv[1]), sys.argv[2:])
