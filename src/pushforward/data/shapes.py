"""Plane densities with holes and separate parts, known exactly: what a single bijection finds hard."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from pushforward.data.toy import pinwheel, pinwheel_log_prob

GRID = 4000  # points of a curve by which its density is summed: at most a third of the noise apart
ROWS = 100  # points beside each other
FAR = 1e100  # whose square is a number
SIDE = 2.0  # of a square of the checkerboard


Curve = Callable[[np.ndarray], np.ndarray]  # shares in [0, 1) to points, shape (n, 2)


class Shape(NamedTuple):
    """A density on the plane.

    Arguments:
        sample: from a number of points and a seed to points, shape (n, 2).
        log_prob: from points, shape (n, 2), to log-densities, shape (n,), in nats per unit area.
    """

    sample: Callable[[int, int], Float[np.ndarray, "n 2"]]
    log_prob: Callable[[ArrayLike], Float[np.ndarray, " n"]]


def shape(name: str) -> Shape:
    """A density of that name: circles, rings, moons, spirals, checkerboard or pinwheel.

    Arguments:
        name: one of `SHAPES`.

    Raises:
        ValueError: no shape has that name.

    Example:
        >>> from pushforward.data import shape
        >>> rings = shape("rings")
        >>> X = rings.sample(1000, 0)
        >>> X.shape, rings.log_prob(X).mean().round(1).item()
        ((1000, 2), -2.9)
    """
    if name not in SHAPES:
        raise ValueError(f"unknown shape {name!r}; choose one of {sorted(SHAPES)}")
    return SHAPES[name]


def _curves(pieces: list[Curve], noise: float) -> Shape:
    """Points of curves, each as often, moved by Gaussian noise; a curve takes shares in [0, 1) to points."""

    def sample(n: int, seed: int) -> Float[np.ndarray, "n 2"]:
        rng = np.random.default_rng(seed)
        piece, share = rng.integers(len(pieces), size=n), rng.random(n)
        points = np.empty((n, 2))
        for i, curve in enumerate(pieces):
            points[piece == i] = curve(share[piece == i])
        return points + noise * rng.standard_normal((n, 2))

    centres = np.concatenate([curve((np.arange(GRID) + 0.5) / GRID) for curve in pieces])
    scaled, lengths = centres / noise, 0.5 * (centres**2).sum(axis=1) / noise**2

    def log_prob(X: ArrayLike) -> Float[np.ndarray, " n"]:
        X = _points(X) / noise
        total: Float[np.ndarray, " n"] = np.empty(len(X))
        for start in range(0, len(X), ROWS):
            x = X[start : start + ROWS]
            exponent = x @ scaled.T - lengths  # of exp(−‖x − c‖²/2), but for ‖x‖²/2: no array of differences
            most = exponent.max(axis=1)
            total[start : start + ROWS] = most - 0.5 * (x**2).sum(axis=1)
            exponent -= most[:, None]
            total[start : start + ROWS] += np.log(np.exp(exponent, out=exponent).sum(axis=1))
        density: Float[np.ndarray, " n"] = total - np.log(len(centres) * 2 * np.pi * noise**2)
        return density

    return Shape(sample, log_prob)


def _points(X: ArrayLike) -> np.ndarray:
    """Points of the plane, infinite ones far away.

    Raises:
        ValueError: they are not of shape (n, 2).
    """
    points = np.asarray(X, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must have shape (n, 2); got {points.shape}")
    return np.clip(points, -FAR, FAR)


def _circle(radius: float, x: float = 0.0, y: float = 0.0, turn: float = 1.0, start: float = 0.0) -> Curve:
    """A circle, or the part of it that so many turns go through."""

    def curve(share: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi * (start + turn * share)
        return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], axis=1)

    return curve


def _spiral(start: float) -> Curve:
    """An arm of one and a half turns, less dense along its length towards the centre."""

    def curve(share: np.ndarray) -> np.ndarray:
        angle = 3 * np.pi * np.sqrt(share)
        radius = 0.3 * angle + 0.3
        return np.stack([radius * np.cos(angle + start), radius * np.sin(angle + start)], axis=1)

    return curve


def _sample_checkerboard(n: int, seed: int) -> Float[np.ndarray, "n 2"]:
    rng = np.random.default_rng(seed)
    column, half = rng.integers(4, size=n), rng.integers(2, size=n)
    corner = np.stack([column, 2 * half + column % 2], axis=1) - 2
    return SIDE * (corner + rng.random((n, 2)))


def _checkerboard_log_prob(X: ArrayLike) -> Float[np.ndarray, " n"]:
    cell = np.floor(_points(X) / SIDE)
    inside = ((cell >= -2) & (cell < 2)).all(axis=1) & (cell.sum(axis=1) % 2 == 0)
    return np.where(inside, -np.log(8 * SIDE**2), -np.inf)


SHAPES = {
    "circles": _curves([_circle(2.0), _circle(1.0)], 0.1),
    "rings": _curves([_circle(radius) for radius in (0.75, 1.5, 2.25, 3.0)], 0.1),
    "moons": _curves([_circle(1.5, -0.75, -0.4, 0.5), _circle(1.5, 0.75, 0.4, 0.5, 0.5)], 0.1),
    "spirals": _curves([_spiral(0.0), _spiral(np.pi)], 0.1),
    "checkerboard": Shape(_sample_checkerboard, _checkerboard_log_prob),
    "pinwheel": Shape(lambda n, seed: pinwheel(n, seed)[0], pinwheel_log_prob),
}
