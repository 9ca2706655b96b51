"""Continuously-indexed flows over any recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from pushforward.bijections import AbstractMap, Chain, Indexed, Invert, Stack
from pushforward.distributions import Pushforward
from pushforward.flows.checks import check_sizes, is_whole


def continuously_indexed(
    recipe: Callable[..., Pushforward],
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 5,
    index_dim: int = 2,
    index_hidden_sizes: Sequence[int] = (10, 10),
    **options: Any,
) -> Pushforward:
    """A flow whose every layer is picked by a continuous index, so that its support may have any topology.

    Each layer F(z; u) = f(exp(s(u)) ⊙ z + t(u)) has an index u ~ p(u|z) of its own; a network q(u|x) finds it again, so
    log-densities are lower bounds (`Pushforward.elbo`) or importance-weighted estimates (`log_prob_estimate`).
    (Cornish et al. 2020, "Relaxing bijectivity constraints with continuously indexed normalising flows".) Each
    direction costs what the recipe's does, and three small networks a layer.

    Arguments:
        recipe: of the flow inside, such as `flows.maf`.
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: layers of the recipe, each with an index.
        index_dim: numbers of each index.
        index_hidden_sizes: units of the hidden layers of the three networks of each index.
        options: what else the recipe takes, such as `hidden_sizes`.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size is not a whole number of at least 1.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.continuously_indexed(flows.maf, jax.random.key(0), 2, hidden_sizes=(8,))
        >>> flow.log_prob_estimate(flow.sample(jax.random.key(1), (3,)), jax.random.key(2)).value.shape
        (3,)
    """
    sizes = check_sizes("index_hidden_sizes", index_hidden_sizes)
    if not is_whole(index_dim, 1):
        raise ValueError(f"index_dim must be a whole number of at least 1; got {index_dim!r}")
    key_flow, key_index = jax.random.split(key)
    flow = recipe(key_flow, dim, cond_dim=cond_dim, n_layers=n_layers, **options)

    def index(key: PRNGKeyArray) -> Indexed:
        return Indexed.init(key, dim, index_dim, sizes, cond_dim)

    indices: Indexed = eqx.filter_vmap(index)(jax.random.split(key_index, n_layers))
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
