"""Autoregressive flows: one direction costs one pass, the other an incremental sweep."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections import (
    AbstractMap,
    BlockAutoregressive,
    Chain,
    DeepSigmoid,
    Gated,
    Invert,
    MaskedAutoregressive,
    Permute,
    RationalQuadraticSpline,
    Scan,
    affine_transformer,
)
from pushforward.bijections.affine import SCALE_BOUND
from pushforward.distributions import Normal, Pushforward
from pushforward.flows._recipe import checked, quick
from pushforward.networks import MADE, BlockTriangular

OPEN_GATE = 2.0  # logit of a gate that lets most of the point pass, where training starts


def _autoregressive_stack(
    key: PRNGKeyArray,
    dim: int,
    transformer: AbstractMap,
    cond_dim: int | None,
    n_layers: int,
    hidden_sizes: Sequence[int],
    activation: str,
) -> Scan:
    """A stack of autoregressive layers, every second one in reversed order."""
    n_params = trees.n_parameters(transformer)

    def network(key: Array) -> MADE:
        return MADE.init(key, dim, n_params, hidden_sizes, cond_dim, activation)

    networks = eqx.filter_vmap(network)(jax.random.split(key, n_layers))
    one = MaskedAutoregressive(trees.unstack(networks, 0), transformer)
    natural = np.arange(dim, dtype=np.int32)
    # a reversal is its own inverse
    orders = jnp.asarray(np.stack([natural if i % 2 == 0 else natural[::-1] for i in range(n_layers)]))
    where: Any = lambda layer: (layer.network, layer.order.content, layer.inverse_order.content)  # noqa: E731
    return Scan(eqx.tree_at(where, trees.repeat(one, n_layers), (networks, orders, orders)))


@checked
def maf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 5,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "silu",
    max_log_scale: float = SCALE_BOUND,
) -> Pushforward:
    """Masked autoregressive flow: quick densities (Papamakarios, Pavlakou & Murray 2017).

    A density costs one pass; a sample one incremental sweep, sequential in D. `iaf` is it turned round.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: autoregressive layers, orders reversed from one to the next.
        hidden_sizes: units of each masked network's hidden layers.
        activation: name of the networks' activation.
        max_log_scale: soft bound on |log scale| of every layer.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.maf(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    transformer = affine_transformer(max_log_scale)
    layers = _autoregressive_stack(key, dim, transformer, cond_dim, n_layers, hidden_sizes, activation)
    return Pushforward(Normal.standard((dim,)), layers)


@checked
def iaf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 5,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "silu",
    max_log_scale: float = SCALE_BOUND,
    gated: bool = False,
) -> Pushforward:
    """Inverse autoregressive flow: quick samples (Kingma et al. 2016).

    With the same key it is, unless gated, the inverse map of `maf`: a sample costs one pass, the density of a point
    one sweep.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes, activation, max_log_scale: as for `maf`.
        gated: whether each layer is the paper's gate σ z + (1 − σ) m, which shrinks what passes; the condition is
            then its context h.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.iaf(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    # the pass runs the transformer's inverse
    gate = Gated(jnp.zeros(()), jax.nn.sigmoid(OPEN_GATE * jnp.ones(())))
    transformer = Invert(gate) if gated else affine_transformer(max_log_scale)
    layers = _autoregressive_stack(key, dim, transformer, cond_dim, n_layers, hidden_sizes, activation)
    return Pushforward(Normal.standard((dim,)), quick(layers, "density", "sampling"))


@checked
def spline_autoregressive(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 3,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "silu",
    n_bins: int = 8,
    interval: float = 4.0,
    fast: str = "density",
) -> Pushforward:
    """Neural spline flow, autoregressive form (Durkan et al. 2019).

    A density costs one pass; a sample one incremental sweep, sequential in D. Turned round, the reverse.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes, activation: as for `maf`.
        n_bins, interval: as for `spline_coupling`.
        fast: "density" or "sampling", the direction of one pass.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.spline_autoregressive(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    transformer = RationalQuadraticSpline.init((), n_bins, interval)
    layers = _autoregressive_stack(key, dim, transformer, cond_dim, n_layers, hidden_sizes, activation)
    return Pushforward(Normal.standard((dim,)), quick(layers, "density", fast))


@checked
def naf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 3,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "silu",
    n_units: int = 8,
    fast: str = "density",
) -> Pushforward:
    """Neural autoregressive flow with deep sigmoidal transformers (Huang et al. 2018).

    A density costs one pass; a sample one incremental sweep that solves one scalar equation for each coordinate.
    Turned round, the reverse.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes, activation: as for `maf`.
        n_units: sigmoids in each transformer.
        fast: "density" or "sampling", the direction of one pass.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.naf(jax.random.key(0), 3, n_layers=2).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    transformer = Invert(DeepSigmoid.init((), n_units))
    layers = _autoregressive_stack(key, dim, transformer, cond_dim, n_layers, hidden_sizes, activation)
    return Pushforward(Normal.standard((dim,)), quick(layers, "density", fast))


@checked
def bnaf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 1,
    hidden_sizes: Sequence[int] = (64, 64),
    fast: str = "density",
) -> Pushforward:
    """Block neural autoregressive flow (De Cao, Aziz & Titov 2019).

    A density costs one pass; a sample one scalar equation for each coordinate in turn. Turned round, the reverse.

    Arguments:
        key, dim, cond_dim: as for `maf`.
        n_layers: block triangular networks, the order of the coordinates reversed from one to the next.
        hidden_sizes: units of each network's hidden layers; each is rounded up to as many for every coordinate.
        fast: "density" or "sampling", the direction of one pass.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.bnaf(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    blocks = [-(-size // dim) for size in hidden_sizes]

    def one(key: Array) -> Chain:
        return Chain([BlockAutoregressive(BlockTriangular.init(key, dim, blocks, cond_dim)), reversal])

    reversal = Permute(np.arange(dim)[::-1])
    layers = Scan(eqx.filter_vmap(one)(jax.random.split(key, n_layers)))
    return Pushforward(Normal.standard((dim,)), quick(layers, "density", fast))
