"""Continuously-indexed flows over any recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from pushforward.bijections import AbstractMap, Affine, Amortized, Chain, Indexed, Invert, Stack
from pushforward.distributions import Pushforward
from pushforward.flows.checks import check_sizes, is_whole
from pushforward.networks import MLP

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
    density of few rows. With `index="layer"` it is as published: each layer f has an index of its own, F(z; u) =
    f(exp(s(u)) ⊙ z + t(u)). Each direction costs what the recipe's does, and two small networks, or three for each
    layer.

    Arguments:
        recipe: of the flow inside, such as `flows.maf`; one that takes a condition, or for "layer" one with a stack.
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: layers of the recipe.
        index: what an index picks, "flow" or "layer".
        index_dim: numbers of each index; None for half as many as the event has (at least one), or 2 where each layer
            has its own.
        index_hidden_sizes: units of the hidden layers of each network of an index; None for (32, 32), or (10, 10) where
            each layer has its own.
        options: what else the recipe takes, such as `hidden_sizes`.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size is not a whole number of at least 1, or the recipe cannot be indexed so.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.continuously_indexed(flows.maf, jax.random.key(0), 2, hidden_sizes=(8,))
        >>> flow.log_prob_estimate(flow.sample(jax.random.key(1), (3,)), jax.random.key(2)).value.shape
        (3,)
    """
    for name, value in (("dim", dim), ("n_layers", n_layers), ("cond_dim", 1 if cond_dim is None else cond_dim)):
        if not is_whole(value, 1):
            raise ValueError(f"{name} must be a whole number of at least 1; got {value!r}")
    if index not in ("flow", "layer"):
        raise ValueError(f"index must be 'flow' or 'layer', what an index picks; got {index!r}")
    if index_dim is None:
        index_dim = max(1, dim // 2) if index == "flow" else 2
    if not is_whole(index_dim, 1):
        raise ValueError(f"index_dim must be a whole number of at least 1; got {index_dim!r}")
    index_dim = int(index_dim)
    usual = (32, 32) if index == "flow" else (10, 10)
    sizes = check_sizes("index_hidden_sizes", usual if index_hidden_sizes is None else index_hidden_sizes)
    key_flow, key_index = jax.random.split(key)
    if index == "flow":
        flow = recipe(key_flow, dim, cond_dim=index_dim + int(cond_dim or 0), n_layers=n_layers, **options)
        return Pushforward(flow.base, Indexed.init(key_index, flow.bijection, index_dim, sizes))
    flow = recipe(key_flow, dim, cond_dim=cond_dim, n_layers=n_layers, **options)

    def scale_and_shift(key: PRNGKeyArray) -> Indexed:
        key_moments, key_networks = jax.random.split(key)
        n_given = index_dim + int(cond_dim or 0)
        affine = Affine(jnp.zeros(dim), jnp.ones(dim), bound=BOUND)
        moments = MLP.init(key_moments, n_given, 2 * dim, sizes, "silu", MOMENTS_SCALE)
        return Indexed.init(key_networks, Amortized(affine, moments, (n_given,)), index_dim, sizes)

    indices: Indexed = eqx.filter_vmap(scale_and_shift)(jax.random.split(key_index, n_layers))
    return Pushforward(flow.base, _interleaved(indices, flow.bijection))


def _interleaved(indices: Indexed, bijection: AbstractMap) -> AbstractMap:
    """The layers of a recipe, each with its index before it.

    Raises:
        ValueError: the map has no stack of as many layers.
    """

    def before(index: Indexed, layer: AbstractMap) -> Chain:
        return Chain([index, layer])

    def before_inverted(index: Indexed, layer: AbstractMap) -> Chain:
        return Chain([index, Invert(layer)])

    if isinstance(bijection, Stack):
        return Stack(eqx.filter_vmap(before)(indices, bijection.layers))
    if isinstance(bijection, Invert) and isinstance(bijection.bijection, Stack):
        layers = jax.tree.map(lambda leaf: leaf[::-1] if eqx.is_array(leaf) else leaf, bijection.bijection.layers)
        return Stack(eqx.filter_vmap(before_inverted)(indices, layers))
    if isinstance(bijection, Chain) and any(isinstance(p, Stack) for p in bijection.bijections):
        return Chain([_interleaved(indices, p) if isinstance(p, Stack) else p for p in bijection.bijections])
    raise ValueError(f"this recipe has no stack of layers to index; its map is a {type(bijection).__name__}")
