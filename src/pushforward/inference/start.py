"""Where a posterior is: Gaussians found along the ways to its modes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, PRNGKeyArray

N_STARTS, N_STEPS, N_DRAWS = 8, 60, 100
WIDE = 2.0  # starts are uniform on (−WIDE, WIDE) in every coordinate, as in Stan
FAR = 8.0  # where separate modes are looked for, every other start lies within this
FARTHER = (FAR, FAR, 2 * FAR, 4 * FAR)  # as many more starts within each, where fewer modes were found than wanted
LEAST_CURVATURE = 1e-8  # against the largest
STRAIGHT = 1e-30  # no curvature at all
VALLEY = 3.0  # nats below both ends, somewhere on the straight line between them: two modes
LEAST_SHARE = 0.01  # of the mass of the largest mode


class Gaussian(NamedTuple):
    """A location and a lower triangular factor of the covariance, with the evidence bound they reach."""

    location: Float[Array, "*k d"]
    factor: Float[Array, "*k d d"]
    elbo: Float[Array, "*k"]


def gaussian_starts(
    log_density: Callable[[Array], Array], size: int, key: PRNGKeyArray, wanted: int = 1
) -> list[Gaussian]:
    """A Gaussian for each mode that was found, the one of the highest evidence lower bound first.

    Every point passed on the way to a mode gives a Gaussian, by the curvature there, and the bound chooses among them:
    where a density is high on a small set, as in a funnel's neck, the mode itself would be the wrong place (after
    Pathfinder, Zhang et al. 2022, with damped Newton steps and exact Hessians).

    Arguments:
        log_density: of a vector, up to a constant.
        size: of the vector.
        key: a JAX random key.
        wanted: modes; where fewer are found from the first starts, there are more starts, and farther ones.

    Returns:
        Gaussians whose means have a valley between each two of them, with at least a hundredth of the first one's mass
        by their bounds; none where the density was finite at none of the starts.
    """
    near = jnp.where(jnp.arange(N_STARTS) % 2 == 0, WIDE, FAR).at[0].set(0.0)
    found, apart = _ascents(log_density, size, key, near)
    result = _distinct(found, apart)
    if not 0 < len(result) < wanted:
        return result
    more = [
        _ascents(log_density, size, jax.random.fold_in(key, i), jnp.full(N_STARTS, width))[0]
        for i, width in enumerate(FARTHER)
    ]
    found = jax.tree.map(lambda *parts: jnp.concatenate(parts), found, *more)
    return _distinct(found, _apart(log_density, found.location))


def _distinct(found: Gaussian, apart: Bool[Array, "k k"]) -> list[Gaussian]:
    """Those of a mode of its own, the best first."""
    elbo, distinct = np.asarray(found.elbo), np.asarray(apart)
    chosen: list[int] = []
    for i in np.argsort(-elbo):
        # one that is +inf is kept, so that its draws can be shown
        if elbo[i] > -np.inf and elbo[i] >= elbo.max() + np.log(LEAST_SHARE) and distinct[i, chosen].all():
            chosen.append(int(i))
    return [Gaussian(found.location[i], found.factor[i], found.elbo[i]) for i in chosen]


@partial(jax.jit, static_argnames=("log_density", "size"))
def _ascents(
    log_density: Callable[[Array], Array], size: int, key: PRNGKeyArray, widths: Float[Array, " k"]
) -> tuple[Gaussian, Bool[Array, "k k"]]:
    """The best Gaussian of each ascent, and which of them have a valley between their means."""
    start_key, draw_key = jax.random.split(key)
    starts = widths[:, None] * jax.random.uniform(start_key, (len(widths), size), minval=-1.0, maxval=1.0)
    noise = jax.random.normal(draw_key, (N_DRAWS, size))
    paths, curvatures = jax.vmap(partial(_newton_path, log_density))(starts)

    def best(there: tuple[Array, Array]) -> Gaussian:
        candidates = jax.vmap(partial(_local, log_density, noise))(*there)
        i = jnp.argmax(candidates.elbo)
        return Gaussian(candidates.location[i], candidates.factor[i], candidates.elbo[i])

    result = lax.map(best, (paths, curvatures))
    return result, _apart(log_density, result.location)


@partial(jax.jit, static_argnames="log_density")
def _apart(log_density: Callable[[Array], Array], at: Float[Array, "k d"]) -> Bool[Array, "k k"]:
    """Whether the density falls far below both ends on the straight line between two points."""
    share = jnp.linspace(0.0, 1.0, 11)[:, None, None, None]
    line = (1 - share) * at[:, None] + share * at
    heights = jax.vmap(log_density)(line.reshape(-1, at.shape[1])).reshape(line.shape[:3])
    lowest = jnp.where(jnp.isnan(heights), -jnp.inf, heights).min(axis=0)
    return lowest < jnp.minimum(heights[0], heights[-1]) - VALLEY


def _newton_path(
    log_density: Callable[[Array], Array], start: Float[Array, " d"]
) -> tuple[Float[Array, "s d"], Float[Array, "s d d"]]:
    """Points of a saddle-free damped Newton ascent, and the negative Hessian at each."""

    def slope(x: Array) -> tuple[Array, tuple[Array, Array]]:
        value, gradient = jax.value_and_grad(log_density)(x)
        return gradient, (value, gradient)

    def step(state: tuple[Array, ...], _: None) -> tuple[tuple[Array, ...], tuple[Array, Array]]:
        x, value, gradient, curvature, damping = state
        values, vectors = _spectrum(curvature)
        # |λ| turns away from saddles; the damping shortens steps into directions of little curvature
        proposed = x + vectors @ ((vectors.T @ gradient) / (values + damping * values.max()))
        hessian, (value_there, gradient_there) = jax.jacfwd(slope, has_aux=True)(proposed)
        better = (value_there > value) & jnp.isfinite(gradient_there).all() & jnp.isfinite(hessian).all()
        damping = jnp.clip(jnp.where(better, damping / 10, damping * 4), 1e-12, 1e6)
        there = (proposed, value_there, gradient_there, -hessian)
        now = tuple(
            jnp.where(better, new, old) for new, old in zip(there, (x, value, gradient, curvature), strict=True)
        )
        return (*now, damping), (now[0], now[3])

    # the first step goes nowhere, and looks at the start
    nothing = jnp.asarray(-jnp.inf, start.dtype), jnp.zeros_like(start), jnp.eye(start.size, dtype=start.dtype)
    state: tuple[Array, ...] = (start, *nothing, jnp.asarray(1e-1, start.dtype))
    _, (path, curvature) = lax.scan(step, state, length=N_STEPS)
    return path, curvature


def _spectrum(curvature: Float[Array, "d d"]) -> tuple[Float[Array, " d"], Float[Array, "d d"]]:
    """Sizes of the curvatures, away from zero, and their directions."""
    # a coordinate that is straight here, as of a Laplace density, says nothing about its scale: 1
    curvature = curvature + jnp.diag(jnp.where(jnp.abs(jnp.diag(curvature)) < STRAIGHT, 1.0, 0.0))
    scale = 1 / jnp.sqrt(jnp.abs(jnp.diag(curvature)))  # of columns in unlike units
    values, vectors = jnp.linalg.eigh(scale[:, None] * curvature * scale)
    values = jnp.maximum(jnp.abs(values), LEAST_CURVATURE * jnp.abs(values).max())
    return values, scale[:, None] * vectors


def _local(
    log_density: Callable[[Array], Array],
    noise: Float[Array, "m d"],
    at: Float[Array, " d"],
    curvature: Float[Array, "d d"],
) -> Gaussian:
    """The Gaussian of a point's curvature, and its evidence bound."""
    values, vectors = _spectrum(curvature)
    factor = vectors / jnp.sqrt(values)  # vectors carry the units: covariance = factor factorᵀ
    triangular = jnp.linalg.qr(factor.T, mode="r").T
    triangular = triangular * jnp.sign(jnp.diag(triangular))
    log_q = -0.5 * (noise**2).sum(axis=1) - 0.5 * noise.shape[1] * jnp.log(2 * jnp.pi)
    log_q = log_q - jnp.log(jnp.abs(jnp.diag(triangular))).sum()
    elbo = jnp.mean(jax.vmap(log_density)(at + noise @ triangular.T) - log_q)
    return Gaussian(at, triangular, jnp.where(jnp.isnan(elbo), -jnp.inf, elbo))
