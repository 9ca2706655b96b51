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
from pushforward.bijections import AbstractBijection, Invert, MaskedAutoregressive, RationalQuadraticSpline, Stack
from pushforward.distributions import Normal, Pushforward
from pushforward.flows._transformers import affine
from pushforward.networks import MADE


def _autoregressive_stack(
    key: PRNGKeyArray,
    dim: int,
    transformer: AbstractBijection,
    cond_dim: int | None,
    n_layers: int,
    hidden_sizes: Sequence[int],
    activation: str,
) -> Stack:
    """A stack of autoregressive layers, every second one in reversed order."""
    n_params = trees.n_parameters(transformer)

    def network(key: Array) -> MADE:
        return MADE.init(key, dim, n_params, hidden_sizes, cond_dim, activation)

    networks = eqx.filter_vmap(network)(jax.random.split(key, n_layers))
    one = MaskedAutoregressive(trees.unstack(networks, 0), transformer)
    natural = np.arange(dim, dtype=np.int32)
    # a reversal is its own inverse
    orders = jnp.asarray(np.stack([natural if i % 2 == 0 else natural[::-1] for i in range(n_layers)]))
    where: Any = lambda layer: (layer.network, layer.order.value, layer.inverse_order.value)  # noqa: E731
    return Stack(eqx.tree_at(where, trees.repeat(one, n_layers), (networks, orders, orders)))


def maf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 5,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "silu",
) -> Pushforward:
    """Masked autoregressive flow: quick densities (Papamakarios, Pavlakou & Murray 2017).

    A density costs one pass; a sample one incremental sweep, sequential in D.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: autoregressive layers, orders reversed from one to the next.
        hidden_sizes: units of each masked network's hidden layers.
        activation: name of the networks' activation.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.maf(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    layers = _autoregressive_stack(key, dim, affine(), cond_dim, n_layers, hidden_sizes, activation)
    return Pushforward(Normal.standard((dim,)), layers)


def iaf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 5,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "silu",
) -> Pushforward:
    """Inverse autoregressive flow: quick samples (Kingma et al. 2016).

    With the same key it is the inverse map of `maf`: a sample costs one pass, the density of a point one sweep.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes, activation: as for `maf`.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.iaf(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    flow = maf(key, dim, cond_dim=cond_dim, n_layers=n_layers, hidden_sizes=hidden_sizes, activation=activation)
    return Pushforward(flow.base, Invert(flow.bijection))


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
) -> Pushforward:
    """Neural spline flow, autoregressive form: quick densities (Durkan et al. 2019).

    A density costs one pass; a sample one incremental sweep, sequential in D.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes, activation: as for `maf`.
        n_bins, interval: as for `spline_coupling`.

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
    return Pushforward(Normal.standard((dim,)), layers)
