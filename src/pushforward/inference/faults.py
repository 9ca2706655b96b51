"""What is wrong with a log-density that no flow fits: edges, and directions along which it is flat."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from pushforward.inference.diagnosis import Diagnosis
from pushforward.inference.support import UNCONSTRAINED
from pushforward.inference.target import Target

REACH = 30.0  # standard deviations within which edges are looked for
STEPS, HALVINGS = 40, 50
CLIFF = 50.0  # nats; a density that has fallen further has no edge that matters
FAR = 10.0  # standard deviations over which a proper density falls by more than a nat
SMALL = 0.02  # of the largest coefficient: left out of a direction's name


def faults(target: Target, diagnosis: Diagnosis) -> list[str]:
    """Sentences on what is wrong, with what to do; none where nothing was found.

    Arguments:
        target: the log-density of a real vector.
        diagnosis: of a fit, whose draws say where to look.
    """
    u = diagnosis.u[np.isfinite(diagnosis.log_ratios)]
    if len(u) <= u.shape[1]:
        return []
    with target.precision():
        heights = _heights(target, u)
        centre, spread = u[heights.argmax()], u.std(axis=0)
        flat = _flat(target, centre, heights.max(), u, spread)
        return [flat] if flat else _edges(target, centre, heights.max(), spread)


def _heights(target: Target, u: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    values = np.asarray(_log_densities(target, u))
    return np.where(np.isnan(values), -np.inf, values)


@partial(jax.jit, static_argnames="target")
def _log_densities(target: Target, u: Float[Array, "n d"]) -> Float[Array, " n"]:
    return jax.vmap(target)(u)


def _flat(
    target: Target,
    centre: Float[np.ndarray, " d"],
    highest: float,
    u: Float[np.ndarray, "n d"],
    spread: Float[np.ndarray, " d"],
) -> str | None:
    """The direction along which the density falls least, if that is less than a nat far out on a side.

    Candidates are the coordinates, the principal axes of the draws, and those of the curvature, which are precise
    where draws lie a million times as far apart along one direction as along another.
    """
    curvature = np.nan_to_num(np.asarray(jax.jit(jax.hessian(target))(jnp.asarray(centre))), posinf=0.0, neginf=0.0)
    matrices = [np.atleast_2d(np.cov((u / spread).T)), spread[:, None] * curvature * spread]
    axes = [np.linalg.eigh(matrix)[1].T * spread for matrix in matrices]
    ways = np.concatenate([np.eye(len(centre)), *axes, np.linalg.eigh(curvature)[1].T])
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    far = FAR * ((u - u.mean(axis=0)) @ ways.T).std(axis=0)[:, None] * ways
    # all the way out: a second mode may lie at any one distance
    sides = [[_heights(target, centre + side * far / n) for n in (4, 2, 1)] for side in (-1, 1)]
    there = np.min(sides, axis=1).max(axis=0)
    best = int(there.argmax())
    if there[best] < highest - 1:
        return None
    return (
        f"the log-density is flat along {_direction(target, ways[best])}: it changes by less than a nat over "
        f"{np.linalg.norm(far[best]):.3g}. No data or prior say what that is, so there may be no posterior; give it a "
        "prior, or leave one of the values out"
    )


def _direction(target: Target, way: Float[np.ndarray, " d"]) -> str:
    """A direction as a sum of names."""
    way = way / way[np.abs(way).argmax()]
    terms = [
        ("−" if share < 0 else "+", "" if abs(share) > 0.98 else f"{abs(share):.2g} ", name)
        for share, name in zip(way, target.support.names, strict=True)
        if abs(share) > SMALL
    ]
    if terms[0][0] == "−":
        terms = [("+" if sign == "−" else "−", share, name) for sign, share, name in terms]
    words = " ".join(f"{sign} {share}{name}" for sign, share, name in terms)
    return words.removeprefix("+ ")


def _edges(
    target: Target, centre: Float[np.ndarray, " d"], highest: float, spread: Float[np.ndarray, " d"]
) -> list[str]:
    """Where the density ends beyond a draw, coordinate by coordinate."""
    d = len(centre)
    steps = spread[:, None] * np.geomspace(REACH / 1e4, REACH, STEPS)
    signs = np.repeat([-1.0, 1.0], d)
    every = np.tile(steps, (2, 1)) * signs[:, None]  # (2d, STEPS)
    which = np.tile(np.arange(d), 2)

    def at(offsets: Float[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
        points = np.tile(centre, (2 * d, 1))
        points[np.arange(2 * d), which] += offsets
        return _heights(target, points)

    over = np.stack([at(column) for column in every.T], axis=1) == -np.inf
    first = over.argmax(axis=1)
    inside = np.where(first > 0, every[np.arange(2 * d), first - 1], 0.0)
    outside = every[np.arange(2 * d), first]
    for _ in range(HALVINGS):
        middle = (inside + outside) / 2
        ended = at(middle) == -np.inf
        inside, outside = np.where(ended, inside, middle), np.where(ended, middle, outside)
    steep = over.any(axis=1) & (at(inside) > highest - CLIFF)
    ends = [[centre[j] + inside[k] if steep[k] else None for k in (j, d + j)] for j in range(d)]
    return [_end(target.support.names[j], *ends[j]) for j in range(d) if ends[j] != [None, None]]


def _end(name: str, low: float | None, high: float | None) -> str:
    """A sentence on where one number ends, and the constraint that says so."""
    below, above = (None if end is None else float(f"{end:.4g}") + 0.0 for end in (low, high))
    if low is not None and abs(low) < 1e-6:
        below = 0.0
    if above is None:
        where, constraint = f"below {below:g}", "positive" if below == 0 else f"greater_than({below:g})"
    elif below is None:
        where, constraint = f"above {above:g}", f"less_than({above:g})"
    else:
        where = f"below {below:g} and above {above:g}"
        constraint = "unit_interval" if (below, above) == (0, 1) else f"interval({below:g}, {above:g})"
    says = "" if name.startswith(UNCONSTRAINED) else f', "{constraint}"'
    return f"the log-density is -inf where {name} is {where}; say where it lives by a constraint{says}"
