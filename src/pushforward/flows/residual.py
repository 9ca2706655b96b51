"""Residual flows."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections import ActNorm, Chain, Residual, Scan
from pushforward.distributions import Normal, Pushforward
from pushforward.flows._recipe import checked, quick, sides_of
from pushforward.networks import Lipschitz


@checked
def residual(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 8,
    hidden_sizes: Sequence[int] = (64, 64),
    log_det: str | None = None,
    lipschitz: float = 0.97,
    fast: str = "density",
    image_shape: Sequence[int] | None = None,
) -> Pushforward:
    """Residual flow: layers x + g(x) with g a contraction (Behrmann et al. 2019; Chen et al. 2019).

    The quick direction costs one pass and a log-determinant, exact up to 4 coordinates and an unbiased estimate of 4
    passes on average beyond; the other one a fixed-point iteration.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: residual layers, with a trained scale and shift (ActNorm) between them.
        hidden_sizes: units of each network's hidden layers; with `image_shape`, their channels.
        log_det: "exact", "unbiased" or "truncated"; None for exact up to 4 coordinates and unbiased beyond.
        lipschitz: Lipschitz constant of every g, below 1.
        fast: "density" or "sampling": the quick direction.
        image_shape: (height, width) or (height, width, channels) of events that are flat images, in C order, whose
            networks then are convolutions of 3 x 3; None for perceptrons.

    Returns:
        A flow of event shape (dim,).

    Raises:
        ValueError: a size, the bound, `log_det` or `fast` is not as said, or `image_shape` has not `dim` pixels.

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flow = flows.residual(jax.random.key(0), 2, n_layers=2, hidden_sizes=(8,))
        >>> flow.sample(jax.random.key(1), (10,)).shape, flow.exactness
        ((10, 2), 'exact')
    """
    sides = None if image_shape is None else sides_of(dim, image_shape)

    def one(key: Array) -> Chain:
        if sides is None:
            network = Lipschitz.init(key, dim, dim, hidden_sizes, lipschitz, cond_dim)
        else:
            network = Lipschitz.init_convolutional(key, sides, hidden_sizes, lipschitz, cond_dim)
        layer = quick(Residual(network, dim, log_det, cond_dim=cond_dim), "sampling", fast)
        return Chain([layer, ActNorm.init((dim,))])

    layers = Scan(eqx.filter_vmap(one)(jax.random.split(key, n_layers)))
    return Pushforward(Normal.standard((dim,)), layers)
