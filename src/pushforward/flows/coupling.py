"""Coupling flows: both directions cost one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from pushforward import trees
from pushforward.bijections import (
    AbstractMap,
    Affine,
    Chain,
    RationalQuadraticSpline,
    Scan,
    Shift,
    affine_transformer,
    coupling_masks,
    stacked_couplings,
)
from pushforward.bijections.affine import SCALE_BOUND
from pushforward.distributions import AbstractDistribution, Logistic, Normal, Pushforward
from pushforward.flows._recipe import checked
from pushforward.networks import MLP


def _coupling_stack(
    key: PRNGKeyArray,
    dim: int,
    transformer: AbstractMap,
    cond_dim: int | None,
    n_layers: int,
    hidden_sizes: Sequence[int],
    mask: str,
    activation: str,
) -> Scan:
    """A stack of coupling layers with alternating masks."""
    masks = coupling_masks(mask, (dim,), n_layers)
    n_kept = int(masks[0].sum())
    n_out = (dim - n_kept) * trees.n_parameters(transformer)

    def network(key: Array) -> MLP:
        return MLP.init(key, n_kept + (cond_dim or 0), n_out, hidden_sizes, activation)

    networks = eqx.filter_vmap(network)(jax.random.split(key, n_layers))
    return Scan(stacked_couplings(masks, networks, transformer, cond_dim))


@checked
def real_nvp(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 8,
    hidden_sizes: Sequence[int] = (64, 64),
    mask: str = "alternating",
    activation: str = "silu",
    max_log_scale: float = SCALE_BOUND,
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
        max_log_scale: soft bound on |log scale| of every layer.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.real_nvp(jax.random.key(0), 3).sample(jax.random.key(1), (10,)).shape
        (10, 3)
    """
    transformer = affine_transformer(max_log_scale)
    layers = _coupling_stack(key, dim, transformer, cond_dim, n_layers, hidden_sizes, mask, activation)
    return Pushforward(Normal.standard((dim,)), layers)


@checked
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


@checked
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
