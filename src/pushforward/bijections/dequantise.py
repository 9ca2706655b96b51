"""From whole numbers to a continuum and back: dequantisation as a layer."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from pushforward.bijections.base import AbstractMap, require_bijection
from pushforward.checks import floating, limits, require
from pushforward.trees import Frozen

BESIDE = 16  # roundings from the grid at which a value still counts as on it, such as 0.1 + 0.2 of step 0.1


class Dequantise(AbstractMap):
    """Values on a grid, such as whole numbers: x = step · ⌊z / step⌋, and z = x + step · u with u drawn in (0, 1).

    With u uniform (Uria et al. 2013), or drawn by a flow that is given x (variational; Ho et al. 2019, "Flow++"), the
    log-weight Σ log step − log q(u|x) makes a density of z a lower bound on the probability of x, and an
    importance-weighted estimate of it; of x beside the grid that is 0. Each direction costs one pass of that flow.

    Arguments:
        step: distance of neighbouring values, positive; 0 for a coordinate that is continuous and left as it is;
            shape (D,).
        spread: a map from standard normal noise to (0, 1), given x as its condition, both of shape (D,); None for
            uniform u.

    Raises:
        ValueError: a step is negative or not finite, or the shapes of `spread` do not fit.
        InexactError: the log-determinant of `spread` is not exact.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from pushforward.bijections import Dequantise
        >>> layer = Dequantise(jnp.ones(2))
        >>> z, log_weight = layer.inverse_and_log_weight(jnp.array([3.0, -1.0]), jax.random.key(0))
        >>> layer.forward_and_log_weight(z, jax.random.key(0))[0].tolist()
        [3.0, -1.0]
    """

    step: Frozen[Array]
    spread: AbstractMap | None
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: None = eqx.field(static=True, default=None)

    def __init__(self, step: Any, spread: AbstractMap | None = None):
        step = floating("step", step)
        require("step", step, lambda s: np.isfinite(s) & (s >= 0), "finite and not negative")
        if spread is not None:
            require_bijection(spread, "spread")
            if not spread.noise_shape == spread.shape == spread.cond_shape == step.shape:
                raise ValueError(
                    f"spread must map shape {step.shape} given a condition of that shape; it maps {spread.noise_shape} "
                    f"to {spread.shape} given {spread.cond_shape}"
                )
        self.step, self.spread, self.shape = Frozen(step), spread, step.shape
        self.cond_shape = None

    @property
    def inexactness(self) -> frozenset[str]:
        return frozenset({"lower bound"})

    def forward_and_log_weight(
        self, z: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        integer, step = self._integer()
        share = z / step
        x = jnp.where(integer, step * jnp.floor(share), z)
        log_step = jnp.where(integer, jnp.log(step), 0).sum()
        if self.spread is None:
            return x, -log_step
        # of a continuous coordinate u says nothing: it is uniform, whatever the spread makes of it on the way back
        u = jnp.where(integer, share - jnp.floor(share), jax.random.uniform(_needed(key), z.shape, z.dtype))
        u = jnp.clip(u, limits(z.dtype).tiny, 1 - limits(z.dtype).epsneg)
        noise, log_det = self.spread.inverse_and_log_det(u, x)
        return x, _normal_log_prob(noise) + log_det - log_step

    def inverse_and_log_weight(
        self, x: Array, key: PRNGKeyArray | None, condition: Array | None = None
    ) -> tuple[Array, Array]:
        integer, step = self._integer()
        if self.spread is None:
            u, log_q = jax.random.uniform(_needed(key), x.shape, x.dtype), jnp.zeros((), x.dtype)
        else:
            noise = jax.random.normal(_needed(key), x.shape, x.dtype)
            u, log_det = self.spread.forward_and_log_det(noise, x)
            log_q = _normal_log_prob(noise) - log_det
        nth = jnp.round(x / step)
        rounding = 2 * limits(x.dtype).eps * (1 + jnp.abs(nth))  # of z in steps, at most
        room = jnp.minimum(rounding, 0.5)  # kept free beside a value, so that z does not round to the next one
        z = jnp.where(integer, step * (nth + jnp.clip(u, room, 1 - room)), x)
        on_grid = (jnp.abs(x / step - nth) <= BESIDE * rounding) | ~integer
        log_weight = jnp.where(integer, jnp.log(step), 0).sum() - log_q
        return z, jnp.where(on_grid.all(), log_weight, -jnp.inf)

    def _integer(self) -> tuple[Array, Array]:
        """Which coordinates have a step, and the steps, 1 where there is none."""
        integer = self.step.value > 0
        return integer, jnp.where(integer, self.step.value, 1)


def _needed(key: PRNGKeyArray | None) -> PRNGKeyArray:
    if key is None:
        raise ValueError("a Dequantise layer draws where in its step a value lies; give it a key")
    return key


def _normal_log_prob(noise: Array) -> Array:
    return (-0.5 * noise**2 - 0.5 * jnp.log(2 * jnp.pi)).sum()
