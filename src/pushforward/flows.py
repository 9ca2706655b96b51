"""Recipes of the literature: each draws a flow to train and returns a `Pushforward`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections import (
    AbstractBijection,
    Affine,
    Chain,
    Invert,
    MaskedAutoregressive,
    RationalQuadraticSpline,
    Shift,
    Stack,
)
from pushforward.bijections.coupling import coupling_masks, stacked_couplings
from pushforward.distributions import AbstractDistribution, Logistic, Normal, Pushforward
from pushforward.networks import MADE, MLP

SCALE_BOUND = 3.0  # soft bound on the log-scales of affine transformers: e^±3 a layer


def _affine() -> Affine:
    return Affine(jnp.zeros(()), jnp.ones(()), bound=SCALE_BOUND)


def _coupling_stack(
    key: PRNGKeyArray,
    dim: int,
    transformer: AbstractBijection,
    cond_dim: int | None,
    n_layers: int,
    hidden_sizes: Sequence[int],
    mask: str,
    activation: str,
) -> Stack:
    """A stack of coupling layers with alternating masks."""
    masks = coupling_masks(mask, (dim,), n_layers)
    n_kept = int(masks[0].sum())
    n_out = (dim - n_kept) * trees.n_parameters(transformer)

    def network(key: Array) -> MLP:
        return MLP.init(key, n_kept + (cond_dim or 0), n_out, hidden_sizes, activation)

    networks = eqx.filter_vmap(network)(jax.random.split(key, n_layers))
    return Stack(stacked_couplings(masks, networks, transformer, cond_dim))


def real_nvp(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 8,
    hidden_sizes: Sequence[int] = (64, 64),
    mask: str = "alternating",
    activation: str = "silu",
) -> Pushforward:
    """RealNVP: affine coupling layers over a standard normal (Dinh, Sohl-Dickstein & Bengio 2017).

    Both directions cost one pass.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: coupling layers.
        hidden_sizes: units of each conditioner's hidden layers; one network gives scale and shift.
        mask: "alternating", "half" or "checkerboard".
        activation: name of the conditioners' activation.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.real_nvp(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    layers = _coupling_stack(key, dim, _affine(), cond_dim, n_layers, hidden_sizes, mask, activation)
    return Pushforward(Normal.standard((dim,)), layers)


def nice(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    mask: str = "alternating",
    activation: str = "silu",
    prior: str = "logistic",
) -> Pushforward:
    """NICE: additive coupling layers, then one diagonal scaling (Dinh, Krueger & Bengio 2015).

    Both directions cost one pass; each coupling preserves volume.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: coupling layers.
        hidden_sizes: units of each conditioner's hidden layers.
        mask: "alternating", "half" or "checkerboard".
        activation: name of the conditioners' activation.
        prior: "logistic" or "normal".

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: unknown prior.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.nice(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    bases: dict[str, Callable[[tuple[int, ...]], AbstractDistribution]] = {
        "logistic": Logistic.standard,
        "normal": Normal.standard,
    }
    if prior not in bases:
        raise ValueError(f"unknown prior {prior!r}; choose one of {sorted(bases)}")
    layers = _coupling_stack(key, dim, Shift(jnp.zeros(())), cond_dim, n_layers, hidden_sizes, mask, activation)
    scaling = Affine(jnp.zeros(dim), jnp.ones(dim))
    return Pushforward(bases[prior]((dim,)), Chain([scaling, layers]))


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
    layers = _autoregressive_stack(key, dim, _affine(), cond_dim, n_layers, hidden_sizes, activation)
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


def spline_coupling(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 4,
    hidden_sizes: Sequence[int] = (64, 64),
    mask: str = "alternating",
    activation: str = "silu",
    n_bins: int = 8,
    interval: float = 4.0,
) -> Pushforward:
    """Neural spline flow, coupling form: rational-quadratic couplings (Durkan et al. 2019).

    Both directions cost one pass. Its one-dimensional case is a spline of the condition alone.

    Arguments:
        key, dim, cond_dim, n_layers, hidden_sizes, mask, activation: as for `real_nvp`.
        n_bins: bins of each spline.
        interval: the splines act on [-interval, interval]; outside they are the identity.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.spline_coupling(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    transformer = RationalQuadraticSpline.init((), n_bins, interval)
    layers = _coupling_stack(key, dim, transformer, cond_dim, n_layers, hidden_sizes, mask, activation)
    return Pushforward(Normal.standard((dim,)), layers)


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


RECIPES: dict[str, Callable[..., Pushforward]] = {
    "real_nvp": real_nvp,
    "nice": nice,
    "maf": maf,
    "iaf": iaf,
    "spline_coupling": spline_coupling,
    "spline_autoregressive": spline_autoregressive,
}


def recipe(name: str) -> Callable[..., Pushforward]:
    """The recipe of that name.

    Raises:
        ValueError: no recipe has that name.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown flow {name!r}; choose one of {sorted(RECIPES)}")
    return RECIPES[name]
