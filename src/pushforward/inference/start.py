"""Where a posterior is: a Gaussian found along the way to a mode."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

N_STARTS, N_STEPS, N_DRAWS = 8, 60, 100
WIDE = 2.0  # starts are uniform on (−WIDE, WIDE) in every coordinate, as in Stan
LEAST_CURVATURE = 1e-8  # against the largest


class Gaussian(NamedTuple):
    """A location and a lower triangular factor of the covariance, with the evidence bound they reach."""

    location: Float[Array, " d"]
    factor: Float[Array, "d d"]
    elbo: Float[Array, ""]


@partial(jax.jit, static_argnames=("log_density", "size"))
def gaussian_start(log_density: Callable[[Array], Array], size: int, key: PRNGKeyArray) -> Gaussian:
    """The Gaussian of the highest evidence lower bound on damped Newton paths from several starts.

    Every point passed on the way to a mode gives a Gaussian, by the curvature there. The bound chooses among them: where
    a density is high on a small set, as in a funnel's neck, the mode itself would be the wrong place (after Pathfinder,
    Zhang et al. 2022, with exact Hessians).

    Arguments:
        log_density: of a vector, up to a constant.
        size: of the vector.
        key: a JAX random key.

    Returns:
        The Gaussian; its `elbo` is -inf where the density was finite at none of the starts.
    """
    start_key, draw_key = jax.random.split(key)
    starts = WIDE * jax.random.uniform(start_key, (N_STARTS, size), minval=-1.0, maxval=1.0)
    starts = starts.at[0].set(0.0)
    noise = jax.random.normal(draw_key, (N_DRAWS, size))
    paths, curvatures = jax.vmap(partial(_newton_path, log_density))(starts)
    at, curvature = paths.reshape(-1, size), curvatures.reshape(-1, size, size)
    candidates = lax.map(partial(_local, log_density, noise), (at, curvature), batch_size=32)
    best = jnp.argmax(jnp.where(jnp.isfinite(candidates.elbo), candidates.elbo, -jnp.inf))
    return jax.tree.map(lambda leaf: leaf[best], candidates)


def _newton_path(
    log_density: Callable[[Array], Array], start: Float[Array, " d"]
) -> tuple[Float[Array, "s d"], Float[Array, "s d d"]]:
    """Points of a saddle-free damped Newton ascent, and the negative Hessian at each."""

    def step(state: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
        x, damping = state
        value, gradient = jax.value_and_grad(log_density)(x)
        curvature = -jax.hessian(log_density)(x)
        values, vectors = _spectrum(curvature)
        # |λ| turns away from saddles; the damping shortens steps into directions of little curvature
        move = vectors @ ((vectors.T @ gradient) / (values + damping * values.max()))
        proposed = x + move
        better = log_density(proposed) > value
        x_next = jnp.where(better & jnp.isfinite(proposed).all(), proposed, x)
        damping = jnp.clip(jnp.where(better, damping / 10, damping * 4), 1e-12, 1e6)
        return (x_next, damping), (x, curvature)

    _, (path, curvature) = lax.scan(step, (start, jnp.asarray(1e-2, start.dtype)), length=N_STEPS)
    return path, curvature


def _spectrum(curvature: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Sizes of the curvatures, away from zero, and their directions."""
    finite: Bool[Array, ""] = jnp.isfinite(curvature).all()
    safe = jnp.where(finite, curvature, jnp.eye(len(curvature), dtype=curvature.dtype))
    scale = 1 / jnp.sqrt(jnp.maximum(jnp.abs(jnp.diag(safe)), 1e-30))  # of columns in unlike units
    values, vectors = jnp.linalg.eigh(scale[:, None] * safe * scale)
    values = jnp.maximum(jnp.abs(values), LEAST_CURVATURE * jnp.abs(values).max())
    return values, scale[:, None] * vectors


def _local(
    log_density: Callable[[Array], Array], noise: Float[Array, "m d"], there: tuple[Array, Array]
) -> Gaussian:
    """The Gaussian of a point's curvature, and its evidence bound."""
    at, curvature = there
    values, vectors = _spectrum(curvature)
    factor = vectors / jnp.sqrt(values)  # vectors carry the units: covariance = factor factorᵀ
    triangular = jnp.linalg.qr(factor.T, mode="r").T
    triangular = triangular * jnp.sign(jnp.diag(triangular))
    log_q = -0.5 * (noise**2).sum(axis=1) - 0.5 * noise.shape[1] * jnp.log(2 * jnp.pi)
    log_q = log_q - jnp.log(jnp.abs(jnp.diag(triangular))).sum()
    elbo = jnp.mean(jax.vmap(log_density)(at + noise @ triangular.T) - log_q)
    return Gaussian(at, triangular, jnp.where(jnp.isnan(elbo), -jnp.inf, elbo))
