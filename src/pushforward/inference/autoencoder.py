"""Variational autoencoders with flow posteriors: build one, fit it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from sklearn.utils.validation import check_array

from pushforward import flows
from pushforward.bijections import AbstractMap, Amortized, Chain, Scale, Shift
from pushforward.checks import check_choice, check_key, check_positive, check_sizes, check_whole
from pushforward.distributions import (
    AbstractLikelihood,
    Autoencoder,
    BernoulliLikelihood,
    GaussianLikelihood,
    Normal,
    Pushforward,
)
from pushforward.networks import MLP, Trunk
from pushforward.objectives import NegativeELBO, ReconstructionError, Rows
from pushforward.training import Fit, Resident, Settings, train

# recipe and layers of each posterior
POSTERIORS: dict[str, tuple[Callable[..., Pushforward], int]] = {
    "planar": (flows.planar, 10),
    "radial": (flows.radial, 10),
    "sylvester_orthogonal": (flows.sylvester, 4),
    "sylvester_householder": (partial(flows.sylvester, form="householder"), 4),
    "sylvester_triangular": (partial(flows.sylvester, form="triangular"), 4),
    "iaf": (flows.iaf, 4),
    "householder": (flows.householder, 8),
    "cclin_iaf": (flows.convex_combination_iaf, 1),
}
WITHOUT_FLOW = ("none", "point")
LIKELIHOODS = ("bernoulli", "gaussian", "gaussian_per_column")
DEFAULTS = Settings(max_epochs=50, batch_size=100, learning_rate=1e-3, clip_norm=100.0)


def vae(
    key: PRNGKeyArray,
    dim: int,
    *,
    latent_dim: int = 40,
    posterior: str = "planar",
    n_layers: int | None = None,
    likelihood: str = "bernoulli",
    scale: float = 1.0,
    hidden_sizes: Sequence[int] = (300, 300),
    activation: str = "silu",
    flow_options: Mapping[str, Any] | None = None,
) -> Autoencoder:
    """A variational autoencoder whose posterior is a normalizing flow (Rezende & Mohamed 2015).

    The encoder's features are read by linear heads: the mean and scale of a diagonal Gaussian, and the parameters of
    the flow on top (planar, radial, Householder, Sylvester and convex combination linear flows), or its context (IAF).
    With the same key, models that differ in the posterior alone start from the same encoder, decoder and Gaussian.

    Arguments:
        key: a JAX random key.
        dim: D, columns of the data.
        latent_dim: d, size of the latent point.
        posterior: "none" (the diagonal Gaussian alone), "planar", "radial", "householder", "sylvester_orthogonal",
            "sylvester_householder", "sylvester_triangular", "iaf", "cclin_iaf"; or "point", a plain
            autoencoder.
        n_layers: of the flow; None for 10 planar or radial maps, 8 reflections, 4 Sylvester or autoregressive maps, or
            one convex combination.
        likelihood: "bernoulli" for values in [0, 1]; "gaussian" with one learned scale, or "gaussian_per_column".
        scale: standard deviation that Gaussian likelihoods start from; training moves it by little more than its
            learning rate a step, in the log, so it should be near that of the columns.
        hidden_sizes: layers of the encoder, the last of which are the features; the decoder's are the same, reversed.
        activation: name of the networks' activation.
        flow_options: more for the recipe in `pushforward.flows`, such as {"n_units": 16} of Sylvester flows, or
            {"gated": True} of IAF, the form of Kingma et al. 2016, which learns more slowly here at first.

    Returns:
        A model to train with `fit_vae`.

    Raises:
        ValueError: an unknown name, a size that is no whole number of at least 1, or a scale that is not positive.

    Example:
        >>> import jax
        >>> from pushforward import vae
        >>> model = vae(jax.random.key(0), 6, latent_dim=2, posterior="iaf", hidden_sizes=(8,))
        >>> model.decode(model.encode(jax.numpy.ones(6))).shape
        (6,)
    """
    dim, latent_dim = check_whole("dim", dim, 1), check_whole("latent_dim", latent_dim, 1)
    sizes = check_sizes("hidden_sizes", hidden_sizes)
    if not sizes:
        raise ValueError("hidden_sizes must name at least one layer, such as (300, 300)")
    check_choice("posterior", posterior, [*WITHOUT_FLOW, *POSTERIORS])
    if posterior in WITHOUT_FLOW and (n_layers is not None or flow_options):
        raise ValueError(f"the posterior {posterior!r} has no flow; leave out n_layers and flow_options")
    key_encoder, key_decoder, key_moments, key_flow = jax.random.split(check_key(key), 4)
    return Autoencoder(
        Trunk.init(key_encoder, dim, sizes, activation),
        _posterior(posterior, key_moments, key_flow, latent_dim, sizes[-1], n_layers, dict(flow_options or {})),
        MLP.init(key_decoder, latent_dim, dim, sizes[::-1], activation),
        _likelihood(likelihood, dim, scale),
        deterministic=posterior == "point",
    )


def _posterior(
    name: str,
    key_moments: PRNGKeyArray,
    key_flow: PRNGKeyArray,
    latent_dim: int,
    n_features: int,
    n_layers: int | None,
    options: dict[str, Any],
) -> Pushforward:
    """q(z | features), its heads linear."""
    base = Normal.standard((latent_dim,))
    key_scale, key_shift = jax.random.split(key_moments)
    scale = Amortized(Scale(jnp.ones(latent_dim)), MLP.init(key_scale, n_features, latent_dim, ()), (n_features,))
    # not near zero: where means hardly depend on x, the decoder has nothing to learn from for an epoch
    means = MLP.init(key_shift, n_features, latent_dim, (), output_scale=1.0)
    moments: list[AbstractMap] = [scale, Amortized(Shift(jnp.zeros(latent_dim)), means, (n_features,))]
    if name in WITHOUT_FLOW:
        return Pushforward(base, Chain(moments))
    recipe, layers = POSTERIORS[name]
    sizes = (n_features,) if name == "iaf" else ()  # an IAF's are those of its own masked networks
    given = {"n_layers": layers if n_layers is None else n_layers, "hidden_sizes": sizes, **options}
    flow = recipe(key_flow, latent_dim, cond_dim=n_features, **given)
    return Pushforward(base, Chain([*moments, flow.bijection]))


def _likelihood(name: str, dim: int, scale: float) -> AbstractLikelihood:
    check_choice("likelihood", name, LIKELIHOODS)
    if name == "bernoulli":
        return BernoulliLikelihood(dim)
    return GaussianLikelihood(jnp.full(() if name == "gaussian" else (dim,), scale), dim)


def fit_vae(
    model: Autoencoder,
    X: Any,
    *,
    key: PRNGKeyArray,
    validation: Any = None,
    settings: Settings = DEFAULTS,
    anneal_steps: float | None = None,
    n_samples: int = 1,
    show_progress: bool = False,
) -> Fit[Autoencoder]:
    """Train an autoencoder on the rows of a table by its evidence lower bound (a plain one by reconstruction).

    Grey values under a Bernoulli likelihood are drawn to 0 or 1 anew in every batch.

    Arguments:
        model: from `vae`, or any `Autoencoder`.
        X: shape (n, D).
        key: a JAX random key; everything random follows from it.
        validation: rows to choose the best weights by, shape (m, D); None to keep the last weights.
        settings: of the training engine.
        anneal_steps: steps over which log p(x, z) comes in (the paper takes 10,000); None for none.
        n_samples: draws of the posterior for each row of a step.
        show_progress: whether to show a bar on a terminal or in a notebook, and lines elsewhere.

    Returns:
        The engine's `Fit`; its `model` is the trained one, its losses are negative bounds in nats.

    Raises:
        ValueError: shape or values do not fit.
        TrainingError: training diverged.

    Example:
        >>> import jax, numpy as np
        >>> from pushforward import fit_vae, vae
        >>> from pushforward.training import Settings
        >>> X = np.random.default_rng(0).random((100, 6)) < 0.5
        >>> model = vae(jax.random.key(0), 6, latent_dim=2, posterior="planar", hidden_sizes=(8,))
        >>> fit = fit_vae(model, X, key=jax.random.key(1), settings=Settings(max_epochs=2))
        >>> len(fit.history)
        2
    """
    if not isinstance(model, Autoencoder):
        raise ValueError(f"model must be an Autoencoder, as pushforward.vae makes; got a {type(model).__name__}")
    check_whole("n_samples", n_samples, 1)
    if anneal_steps is not None:
        check_positive("anneal_steps", anneal_steps)
    feed = _feed("X", X, model)
    held_out = None if validation is None else _feed("validation", validation, model)
    steps: Array | None = None if anneal_steps is None else jnp.asarray(anneal_steps, jnp.result_type(float))
    loss = ReconstructionError() if model.deterministic else NegativeELBO(steps, n_samples)
    return train(model, loss, feed, key=key, settings=settings, validation=held_out, show_progress=show_progress)


def _feed(name: str, X: Any, model: Autoencoder) -> Resident:
    """Rows of numbers that the likelihood can take, for the engine."""
    rows: np.ndarray = check_array(X, input_name=name)
    if rows.shape[1:] != model.shape:
        raise ValueError(f"{name} has shape {rows.shape}; expected (n, {model.shape[0]}), a row for each point")
    model.likelihood.check(rows, False)
    return Resident.of(Rows(rows.astype(jnp.result_type(float), copy=False)))
