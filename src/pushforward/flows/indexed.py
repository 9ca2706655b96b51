"""Continuously-indexed flows over any recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from pushforward.bijections import (
    AbstractMap,
    Affine,
    Amortized,
    Chain,
    ConditionalCoupling,
    Indexed,
    Invert,
    Scan,
)
from pushforward.bijections.indexed import INDEX_SCALE, index_step
from pushforward.checks import check_sizes, is_whole
from pushforward.distributions import Pushforward
from pushforward.networks import MLP

FORMS = ("flow", "carried", "layer")
BOUND = 1.0  # soft bound on the log-scales of s(u), without which a deep stack overflows early in training
MOMENTS_SCALE = 0.3  # of the last layer's weights of s and t: an index that does not matter at first is never used


def continuously_indexed(
    recipe: Callable[..., Pushforward],
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 5,
    index: str = "flow",
    index_dim: int | None = None,
    index_hidden_sizes: Sequence[int] | None = None,
    **options: Any,
) -> Pushforward:
    """A flow picked by a continuous index, so that its support may have any topology.

    Noise z draws an index u ~ p(u|z), and a bijection x = F(z; u) depends on it; a network q(u|x) finds the index
    again, so log-densities are lower bounds (`Pushforward.elbo`) or importance-weighted estimates
    (`log_prob_estimate`). (Cornish et al. 2020, "Relaxing bijectivity constraints with continuously indexed normalising
    flows".) With `index="flow"` one index is a condition that all networks of the recipe see: quicker, and the better
    density of few rows. With `index="carried"` one index goes along all layers: each first moves the index by what the
    point says, then the point by its own map, which sees the index (after Huang et al. 2020, "Augmented normalizing
    flows"): the better density of many rows with holes and separate parts. With `index="layer"` it is as published:
    each layer f has an index of its own, F(z; u) = f(exp(s(u)) ⊙ z + t(u)). Each direction costs what the recipe's
    does, and two small networks, or one or three for each layer.

    Arguments:
        recipe: of the flow inside, such as `flows.maf`; for "flow" and "carried" one that takes a condition, for
            "carried" and "layer" one that is a stack of layers, which those that amortise their maps are not.
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: layers of the recipe.
        index: what an index picks, "flow", "carried" or "layer".
        index_dim: numbers of each index; None for half as many as the event has (at least one) with "flow", or else 2.
        index_hidden_sizes: units of the hidden layers of each network of an index; None for (32, 32), or (10, 10) where
            each layer has its own.
        options: what else the recipe takes, such as `hidden_sizes`; an `activation` is that of an index's networks too.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size is not a whole number of at least 1, or the recipe cannot be indexed so.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.continuously_indexed(flows.maf, jax.random.key(0), 2, hidden_sizes=(8,))
        >>> flow.log_prob_estimate(flow.sample(jax.random.key(1), (3,)), key=jax.random.key(2)).value.shape
        (3,)
    """
    for name, value in (("dim", dim), ("n_layers", n_layers), ("cond_dim", 1 if cond_dim is None else cond_dim)):
        if not is_whole(value, 1):
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")
    if index not in FORMS:
        raise ValueError(f"index must be one of {FORMS}, what an index picks; got {index!r}")
    if index_dim is None:
        index_dim = max(1, dim // 2) if index == "flow" else 2
    if not is_whole(index_dim, 1):
        raise ValueError(f"index_dim must be a whole number of at least 1; got {index_dim!r}")
    index_dim = int(index_dim)
    usual = (10, 10) if index == "layer" else (32, 32)
    sizes = check_sizes("index_hidden_sizes", usual if index_hidden_sizes is None else index_hidden_sizes)
    activation = options.get("activation", "silu")
    key_flow, key_index = jax.random.split(key)
    if index == "layer":
        flow = recipe(key_flow, dim, cond_dim=cond_dim, n_layers=n_layers, **options)
        return Pushforward(flow.base, _each_indexed(key_index, flow.bijection, n_layers, index_dim, sizes, activation))
    flow = recipe(key_flow, dim, cond_dim=index_dim + int(cond_dim or 0), n_layers=n_layers, **options)
    if index == "flow":
        return Pushforward(flow.base, Indexed.init(key_index, flow.bijection, index_dim, sizes, activation))
    return Pushforward(flow.base, _carried(key_index, flow.bijection, n_layers, index_dim, sizes, activation))


def _each_indexed(
    key: PRNGKeyArray, bijection: AbstractMap, n_layers: int, index_dim: int, sizes: Sequence[int], activation: str
) -> AbstractMap:
    """Layers f(exp(s(u)) ⊙ z + t(u)), each with an index of its own."""
    dim, n_given = bijection.shape[0], index_dim + (bijection.cond_shape or (0,))[0]

    def scale_and_shift(key: PRNGKeyArray) -> Indexed:
        key_moments, key_networks = jax.random.split(key)
        affine = Affine(jnp.zeros(dim), jnp.ones(dim), max_log_scale=BOUND)
        moments = MLP.init(key_moments, n_given, 2 * dim, sizes, activation, MOMENTS_SCALE)
        return Indexed.init(key_networks, Amortized(affine, moments, (n_given,)), index_dim, sizes, activation)

    indices: Indexed = eqx.filter_vmap(scale_and_shift)(jax.random.split(key, n_layers))
    return _layer_by_layer(bijection, indices, lambda index, layer: Chain([index, layer]), lambda part: part)


def _carried(
    key: PRNGKeyArray, bijection: AbstractMap, n_layers: int, index_dim: int, sizes: Sequence[int], activation: str
) -> Indexed:
    """Layers that one index goes along, moved by what the point says before it moves the point."""
    dim, cond_dim = bijection.shape[0], (bijection.cond_shape or (0,))[0] - index_dim
    key_steps, key_posterior = jax.random.split(key)

    def step(key: PRNGKeyArray) -> ConditionalCoupling:
        return index_step(key, dim, index_dim, cond_dim, sizes, activation)

    def moved(part: AbstractMap) -> ConditionalCoupling:
        return ConditionalCoupling(part, index_dim, "last")

    steps: ConditionalCoupling = eqx.filter_vmap(step)(jax.random.split(key_steps, n_layers))
    pairs = _layer_by_layer(bijection, steps, lambda step, layer: Chain([step, moved(layer)]), moved)
    posterior = MLP.init(key_posterior, dim + cond_dim, 2 * index_dim, sizes, activation, INDEX_SCALE)
    return Indexed(posterior, pairs, index_dim)


def _layer_by_layer(
    bijection: AbstractMap,
    befores: Any,
    join: Callable[[Any, AbstractMap], Chain],
    apart: Callable[[AbstractMap], AbstractMap],
) -> AbstractMap:
    """The layers of a recipe, each joined with what comes before it, and what the recipe has beside them.

    Raises:
        ValueError: the map has no stack of as many layers.
    """
    if isinstance(bijection, Scan):
        return Scan(eqx.filter_vmap(join)(befores, bijection.layers))
    if isinstance(bijection, Invert) and isinstance(bijection.bijection, Scan):
        layers = jax.tree.map(lambda leaf: leaf[::-1] if eqx.is_array(leaf) else leaf, bijection.bijection.layers)
        return Scan(eqx.filter_vmap(lambda before, layer: join(before, Invert(layer)))(befores, layers))
    if isinstance(bijection, Chain) and any(isinstance(p, Scan) for p in bijection.bijections):
        parts = bijection.bijections
        return Chain([_layer_by_layer(p, befores, join, apart) if isinstance(p, Scan) else apart(p) for p in parts])
    raise ValueError(
        f"this recipe has no stack of layers to index (its map is of class {type(bijection).__name__}); "
        'take index="flow"'
    )
