"""Continuous flows."""

from __future__ import annotations

from collections.abc import Sequence

import equinox as eqx
import jax
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections import Continuous, Scan
from pushforward.distributions import Normal, Pushforward
from pushforward.flows._recipe import checked
from pushforward.networks import MLP


@checked
def continuous(
    key: PRNGKeyArray,
    dim: int,
    *,
    cond_dim: int | None = None,
    n_layers: int = 1,
    hidden_sizes: Sequence[int] = (64, 64),
    activation: str = "tanh",
    log_det: str | None = None,
    tolerance: float = 1e-5,
    adjoint: str = "checkpointed",
) -> Pushforward:
    """Continuous flow: points move with a velocity that a network gives (FFJORD; Grathwohl et al. 2019).

    Both directions cost a solve of an ordinary differential equation. Needs the extra `continuous`.

    Arguments:
        key: a JAX random key.
        dim: D, size of the event.
        cond_dim: size of the condition, or None.
        n_layers: solves of a unit of time, one after the other, each with a velocity of its own.
        hidden_sizes: units of each velocity's hidden layers.
        activation: its name, a smooth one.
        log_det: "exact" or "unbiased"; None for exact up to 4 coordinates and unbiased beyond.
        tolerance: of each step of the solver.
        adjoint: "checkpointed", "backsolve" or "direct", as for `bijections.Continuous`.

    Returns:
        A flow of event shape (dim,).

    Example:
        >>> import jax
        >>> from pushforward import flows
        >>> flows.continuous(jax.random.key(0), 2, hidden_sizes=(8,)).sample(jax.random.key(1), (3,)).shape
        (3, 2)
    """

    def one(key: Array) -> Continuous:
        velocity = MLP.init(key, dim + 1 + (cond_dim or 0), dim, hidden_sizes, activation, 0.1)
        return Continuous(velocity, dim, log_det, tolerance, adjoint, cond_dim)

    return Pushforward(Normal.standard((dim,)), Scan(eqx.filter_vmap(one)(jax.random.split(key, n_layers))))
