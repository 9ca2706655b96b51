"""Flows of maps that have a few numbers each: quick to sample, amortised where there is a condition."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections import (
    AbstractMap,
    Affine,
    Amortized,
    Chain,
    ConvexCombination,
    Householder,
    OrthonormalColumns,
    Permute,
    Planar,
    Radial,
    Scan,
    Sylvester,
)
from pushforward.distributions import Normal, Pushforward
from pushforward.flows._recipe import checked, quick
from pushforward.networks import MLP, LinearChain


def _stacked(key: PRNGKeyArray, init: Callable[[PRNGKeyArray], AbstractMap], n_layers: int) -> Scan:
    return Scan(eqx.filter_vmap(init)(jax.random.split(key, n_layers)))


def _repeated(
    key: PRNGKeyArray,
    init: Callable[[PRNGKeyArray], AbstractMap],
    dim: int,
    cond_dim: int | None,
    n_layers: int,
    hidden_sizes: Sequence[int],
    fast: str = "sampling",
) -> Pushforward:
    """Like maps one after the other on a standard normal."""
    key_maps, key_network = jax.random.split(key)
    layers = _amortized(key_network, _stacked(key_maps, init, n_layers), cond_dim, hidden_sizes)
    return Pushforward(Normal.standard((dim,)), quick(layers, "sampling", fast))


def _amortized(
    key: PRNGKeyArray, bijection: AbstractMap, cond_dim: int | None, hidden_sizes: Sequence[int]
) -> AbstractMap:
    """The map itself, or with its numbers given by a network of the condition."""
    if cond_dim is None:
        return bijection
    network = MLP.init(key, cond_dim, trees.n_parameters(bijection), hidden_sizes, "silu")
    return Amortized(bijection, network, (cond_dim,))


@checked
def planar(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 16,
    hidden_sizes: Sequence[int] = (64, 64),
    fast: str = "sampling",
) -> Pushforward:
    """Planar flow (Rezende & Mohamed 2015).

    A sample costs O(D) a layer in closed form; a density one scalar equation a layer. Turned round, the reverse.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: planar maps.
        hidden_sizes: hidden layers of the network that gives every map's numbers for a condition.
        fast: "sampling" or "density", the direction in closed form.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.planar(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    return _repeated(key, lambda k: Planar.init(k, dim), dim, cond_dim, n_layers, hidden_sizes, fast)


@checked
def radial(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 16,
    hidden_sizes: Sequence[int] = (64, 64),
) -> Pushforward:
    """Radial flow (Rezende & Mohamed 2015).

    Both directions cost O(D) a layer, in closed form.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes: as for `planar`.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.radial(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    return _repeated(key, lambda k: Radial.init(k, dim), dim, cond_dim, n_layers, hidden_sizes)


@checked
def sylvester(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 8,
    hidden_sizes: Sequence[int] = (64, 64),
    form: str = "orthogonal",
    n_units: int | None = None,
    fast: str = "sampling",
) -> Pushforward:
    """Sylvester flow (van den Berg et al. 2018).

    A sample costs one pass; a density back-substitution through one scalar equation for each unit.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes: as for `planar`.
        form: "orthogonal" (orthonormal columns), "householder" (a product of reflections) or "triangular"
            (orders reversed from one layer to the next).
        n_units: M of the orthogonal form, or how many reflections of the Householder form; min(D, 8) if None.
        fast: as for `planar`.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: unknown form.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.sylvester(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    key_maps, key_network = jax.random.split(key)
    n = min(dim, 8) if n_units is None else n_units
    orders = np.stack([np.arange(dim)[:: 1 if i % 2 == 0 else -1] for i in range(n_layers)])
    bases: dict[str, Callable[[Array, Array], OrthonormalColumns | Householder | Permute]] = {
        "orthogonal": lambda key, order: OrthonormalColumns.init(key, dim, n),
        "householder": lambda key, order: Householder.init(key, dim, n),
        "triangular": lambda key, order: Permute(order),
    }
    if form not in bases:
        raise ValueError(f"unknown form {form!r}; choose one of {sorted(bases)}")

    def one(key: Array, order: Array) -> Sylvester:
        key_basis, key_map = jax.random.split(key)
        return Sylvester.init(key_map, bases[form](key_basis, order))

    layers = Scan(eqx.filter_vmap(one)(jax.random.split(key_maps, n_layers), jnp.asarray(orders, jnp.int32)))
    flow = _amortized(key_network, layers, cond_dim, hidden_sizes)
    return Pushforward(Normal.standard((dim,)), quick(flow, "sampling", fast))


@checked
def householder(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 8,
    hidden_sizes: Sequence[int] = (64, 64),
) -> Pushforward:
    """Householder flow: a diagonal Gaussian turned by a product of reflections (Tomczak & Welling 2016).

    Both directions cost O(D) a reflection. Given a condition, a network gives the Gaussian and the first vector, and
    each next vector is linear in the one before it.

    Arguments:
        key, dim, cond_dim, hidden_sizes: as for `planar`.
        n_layers: reflections.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.householder(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    key_maps, key_scale, key_chain = jax.random.split(key, 3)
    scale: AbstractMap = Affine(jnp.zeros(dim), jnp.ones(dim))
    turn: AbstractMap = Householder.init(key_maps, dim, n_layers)
    if cond_dim is not None:
        scale = _amortized(key_scale, scale, cond_dim, hidden_sizes)
        turn = Amortized(turn, LinearChain.init(key_chain, cond_dim, dim, n_layers, hidden_sizes), (cond_dim,))
    return Pushforward(Normal.standard((dim,)), Chain([scale, turn]))


@checked
def convex_combination_iaf(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 1,
    hidden_sizes: Sequence[int] = (64, 64),
    n_matrices: int = 5,
) -> Pushforward:
    """Convex combination linear IAF: a diagonal Gaussian under a mixed unit triangular map (Tomczak & Welling 2017).

    Both directions cost O(D²).

    Arguments:
        key, dim, cond_dim, hidden_sizes: as for `planar`.
        n_layers: convex combinations one after the other.
        n_matrices: K, triangular matrices in each.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.convex_combination_iaf(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    key_maps, key_network = jax.random.split(key)
    layers = _stacked(key_maps, lambda k: ConvexCombination.init(k, dim, n_matrices), n_layers)
    flow = Chain([Affine(jnp.zeros(dim), jnp.ones(dim)), layers])
    return Pushforward(Normal.standard((dim,)), _amortized(key_network, flow, cond_dim, hidden_sizes))
