"""Continuously-indexed flows over any recipe."""

from __future__ import annotations

import math
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
    Reshape,
    Scan,
)
from pushforward.bijections.indexed import INDEX_SCALE, index_step
from pushforward.checks import check_sizes, is_whole
from pushforward.distributions import Pushforward
from pushforward.networks import MLP, moments_network

IMAGE_AXES = 3  # of layers of images: height, width and channels
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
    index: str | None = None,
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
    each layer f has an index of its own, F(z; u) = f(exp(s(u)) ⊙ z + t(u)); of images, as is each layer's index, with
    convolutions. Each direction costs what the recipe's does, and two small networks, or one or three for each layer.

    Arguments:
        recipe: of the flow inside, such as `flows.maf`; for "flow" and "carried" one that takes a condition, for
            "carried" and "layer" one that is a stack of layers, which those that amortise their maps are not.
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: layers of the recipe.
        index: what an index picks, "flow", "carried" or "layer"; None for "layer" of images, and "flow" of others.
        index_dim: numbers of each index; None for half as many as the event has (at least one) with "flow", or else 2;
            of images with "layer" channels, None for 1.
        index_hidden_sizes: units, or channels, of the hidden layers of each network of an index; None for (32, 32), or
            (10, 10) where each layer of no images has its own.
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
    images = "image_shape" in options
    index = ("layer" if images else "flow") if index is None else index
    if index not in FORMS:
        raise ValueError(f"index must be one of {FORMS}, what an index picks; got {index!r}")
    if index_dim is None:
        index_dim = max(1, dim // 2) if index == "flow" else 1 if images and index == "layer" else 2
    if not is_whole(index_dim, 1):
        raise ValueError(f"index_dim must be a whole number of at least 1; got {index_dim!r}")
    index_dim = int(index_dim)
    usual = (10, 10) if index == "layer" and not images else (32, 32)
    sizes = check_sizes("index_hidden_sizes", usual if index_hidden_sizes is None else index_hidden_sizes)
    activation = options.get("activation", "silu")
    key_flow, key_index = jax.random.split(key)
    if index == "layer":
        flow = recipe(key_flow, dim, cond_dim=cond_dim, n_layers=n_layers, **options)
        return Pushforward(flow.base, _each_indexed(key_index, flow.bijection, index_dim, sizes, activation))
    flow = recipe(key_flow, dim, cond_dim=index_dim + int(cond_dim or 0), n_layers=n_layers, **options)
    if index == "flow":
        return Pushforward(flow.base, Indexed.init(key_index, flow.bijection, index_dim, sizes, activation))
    return Pushforward(flow.base, _carried(key_index, flow.bijection, index_dim, sizes, activation))


def _each_indexed(
    key: PRNGKeyArray, bijection: AbstractMap, index_dim: int, sizes: Sequence[int], activation: str
) -> AbstractMap:
    """Layers f(exp(s(u)) ⊙ z + t(u)), each with an index of its own; of images, with so many channels."""
    cond_dim = (bijection.cond_shape or (0,))[0]

    def scale_and_shift(key: PRNGKeyArray, shape: tuple[int, ...]) -> AbstractMap:
        dim, pixels = math.prod(shape), (shape[0], shape[1]) if len(shape) == IMAGE_AXES else None
        n_index = index_dim * math.prod(pixels or (1,))
        key_moments, key_networks = jax.random.split(key)
        affine = Affine(jnp.zeros(dim), jnp.ones(dim), max_log_scale=BOUND)
        moments = moments_network(key_moments, n_index, dim, sizes, activation, MOMENTS_SCALE, cond_dim, pixels)
        moved = Amortized(affine, moments, (n_index + cond_dim,))
        index = Indexed.init(key_networks, moved, n_index, sizes, activation, pixels)
        return index if pixels is None else Chain([Reshape(shape, (dim,)), index, Reshape((dim,), shape)])

    def joined(key: PRNGKeyArray, layer: AbstractMap) -> Chain:
        return Chain([scale_and_shift(key, layer.noise_shape), layer])

    return _layer_by_layer(key, bijection, joined)


def _carried(
    key: PRNGKeyArray, bijection: AbstractMap, index_dim: int, sizes: Sequence[int], activation: str
) -> Indexed:
    """Layers that one index goes along, moved by what the point says before it moves the point."""
    dim, cond_dim = bijection.shape[0], (bijection.cond_shape or (0,))[0] - index_dim
    key_steps, key_posterior = jax.random.split(key)

    def moved(part: AbstractMap) -> ConditionalCoupling:
        return ConditionalCoupling(part, index_dim, "last")

    def joined(key: PRNGKeyArray, layer: AbstractMap) -> Chain:
        return Chain([index_step(key, dim, index_dim, cond_dim, sizes, activation), moved(layer)])

    pairs = _layer_by_layer(key_steps, bijection, joined, moved)
    posterior = MLP.init(key_posterior, dim + cond_dim, 2 * index_dim, sizes, activation, INDEX_SCALE)
    return Indexed(posterior, pairs, index_dim)


def _layer_by_layer(
    key: PRNGKeyArray,
    bijection: AbstractMap,
    join: Callable[[PRNGKeyArray, AbstractMap], Chain],
    apart: Callable[[AbstractMap], AbstractMap] | None = None,
) -> AbstractMap:
    """The layers of a recipe, each joined with what comes before it.

    Arguments:
        key: a JAX random key.
        bijection: of the recipe, with one stack of layers, or several within each other's parts.
        join: a key and a layer, to the two.
        apart: what becomes of parts beside a stack; None where they stay, so that stacks may lie deeper in them.

    Raises:
        ValueError: the map has no stack of layers.
    """
    if isinstance(bijection, Invert) and isinstance(bijection.bijection, Scan):
        layers = jax.tree.map(lambda leaf: leaf[::-1] if eqx.is_array(leaf) else leaf, bijection.bijection.layers)
        keys = jax.random.split(key, len(bijection.bijection))
        return Scan(eqx.filter_vmap(lambda key, layer: join(key, Invert(layer)))(keys, layers))
    if isinstance(bijection, Chain) and apart is not None and any(isinstance(p, Scan) for p in bijection.bijections):
        parts = bijection.bijections
        return Chain([_layer_by_layer(key, p, join) if isinstance(p, Scan) else apart(p) for p in parts])
    stacks = _stacks_of(bijection)
    if not stacks or (apart is not None and not _is_scan(bijection)):
        raise ValueError(
            f"this recipe has no stack of layers to index (its map is of class {type(bijection).__name__}); "
            'take index="flow"'
        )
    made = []
    for i, stack in enumerate(stacks):
        keys = jax.random.split(key if i == 0 else jax.random.fold_in(key, i), len(stack))
        made.append(Scan(eqx.filter_vmap(join)(keys, stack.layers)))
    result: AbstractMap = eqx.tree_at(_stacks_of, bijection, made)
    return result


def _is_scan(node: Any) -> bool:
    return isinstance(node, Scan)


def _is_closed(node: Any) -> bool:
    """Whether layers inside are not for an index: a network gives their numbers, or they run the other way."""
    return isinstance(node, Scan | Amortized | Invert)


def _stacks_of(bijection: AbstractMap) -> list[Scan]:
    return [node for node in jax.tree.leaves(bijection, is_leaf=_is_closed) if isinstance(node, Scan)]
