"""The families that a posterior is looked for in: Gaussians, flows, mixtures of flows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from pushforward import flows
from pushforward.bijections import (
    AbstractBijection,
    AbstractSequential,
    Affine,
    DeepSigmoid,
    InexactError,
    Invert,
    Planar,
    Sylvester,
    Triangular,
)
from pushforward.distributions import AbstractDistribution, MixtureOfFlows, Normal, Pushforward
from pushforward.inference.start import Gaussian

Recipe = Callable[[PRNGKeyArray, int], Pushforward]
GAUSSIANS = ("gaussian", "mean_field")
ITERATIVE = (Planar, Sylvester, DeepSigmoid)  # maps whose inverse finds a root
SMALL = 8  # up to this size an inverse that goes coordinate by coordinate is still quick


def family(flow: str | Recipe, key: PRNGKeyArray, starts: list[Gaussian], n_layers: int) -> AbstractDistribution:
    """What to train: it starts as the Gaussians, a mixture of them where there are several.

    Arguments:
        flow: a recipe's name, "gaussian", "mean_field", or a function of a key and a size.
        key: a JAX random key.
        starts: one for each component.
        n_layers: of a recipe given by name.
    """
    keys = jax.random.split(key, len(starts))
    parts = [_started(flow, key, start, n_layers) for key, start in zip(keys, starts, strict=True)]
    parts[0].require_weights(
        'choose a recipe with exact ones, such as lambda key, size: flows.residual(key, size, log_det="exact")'
    )
    if parts[0].inexactness and len(parts) > 1:
        raise InexactError(
            f"components of a posterior must have exact densities; those of {flow!r} are estimates "
            f"({parts[0].exactness}); leave n_components=1, whose index can separate modes by itself, or choose "
            "another flow"
        )
    return parts[0] if len(parts) == 1 else MixtureOfFlows(parts, log_weights=jnp.stack([s.elbo for s in starts]))


def check_flow(flow: str | Recipe) -> None:
    """Refuse the name of a flow that there is not.

    Raises:
        ValueError: the name is unknown.
    """
    if isinstance(flow, str) and flow not in ("auto", *GAUSSIANS):
        flows.recipe(flow)


def _started(flow: str | Recipe, key: PRNGKeyArray, start: Gaussian, n_layers: int) -> Pushforward:
    """A flow that begins as a Gaussian."""
    size = start.location.shape[-1]
    last: AbstractBijection = Triangular(start.factor, start.location)
    if flow in GAUSSIANS:
        if flow == "mean_field":
            # the best diagonal for a Gaussian has its precisions, not its variances
            precision = jnp.linalg.inv(start.factor @ start.factor.T)
            last = Affine(start.location, 1 / jnp.sqrt(jnp.diag(precision)))
        return Pushforward(Normal.standard((size,)), last)
    return draw(flow, key, size, n_layers).then(last)


@eqx.filter_jit
def draw(
    flow: str | Recipe, key: PRNGKeyArray, size: int, n_layers: int, max_log_scale: float | None = None
) -> Pushforward:
    """A flow of real vectors, its quick direction that of draws; in one program.

    Arguments:
        flow: a recipe's name, "auto" for RealNVP or, for a single number, a spline; or a function of a key and a size.
        key: a JAX random key.
        size: of the vector.
        n_layers: of a recipe given by name.
        max_log_scale: soft bound on |log scale| of all affine layers of a recipe together; that of the recipe if None.
    """
    if not isinstance(flow, str):
        # in the precision of the fit, whatever the function draws in
        cast = jnp.result_type(float)
        made: Any = flow(key, size)
        if not isinstance(made, Pushforward) or made.shape != (size,) or made.cond_shape is not None:
            raise ValueError(
                f"flow must be a recipe's name or a function (key, size) -> Pushforward of shape ({size},) without "
                f"condition; it gave {type(made).__name__}"
                + (f" of shape {made.shape}, condition {made.cond_shape}" if isinstance(made, Pushforward) else "")
            )
        drawn, rest = eqx.partition(made, eqx.is_inexact_array)
        result: Pushforward = eqx.combine(jax.tree.map(lambda leaf: leaf.astype(cast), drawn), rest)
        return result
    if flow == "auto":
        flow = "real_nvp" if size > 1 else "spline_coupling"
    recipe = flows.recipe(flow)
    takes, layers = flows.options_of(flow), n_layers if size > 1 else 1
    options: dict[str, Any] = {"fast": "sampling"} if "fast" in takes else {}
    if max_log_scale is not None and "max_log_scale" in takes:
        options["max_log_scale"] = max_log_scale / layers
    return recipe(key, size, n_layers=layers, hidden_sizes=(max(16, min(64, 4 * size)),), **options)


def inverse_is_quick(model: AbstractDistribution) -> bool:
    """Whether the way from draws to noise is closed-form or short, so that path gradients are worth their inverse."""
    if model.inexactness:
        return False  # it is another way than the draw came
    (size,) = model.shape
    nodes = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, (*ITERATIVE, Invert)))

    def slow(node: Any) -> bool:
        if not isinstance(node, Invert):
            return isinstance(node, ITERATIVE)
        inner = jax.tree.leaves(node.bijection, is_leaf=lambda n: isinstance(n, AbstractSequential))
        return size > SMALL and any(isinstance(n, AbstractSequential) for n in inner)

    return not any(slow(node) for node in nodes)
