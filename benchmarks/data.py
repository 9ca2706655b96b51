"""The arrays that all sides see: NumPy only, the same seeds everywhere."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

SEED = 0


def normals(n: int, dim: int, seed: int = SEED) -> np.ndarray:
    """Correlated normals in float32, shape (n, dim), unit variance in every column."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, dim)) @ (np.eye(dim) + rng.normal(size=(dim, dim)) / dim**0.5)
    return np.asarray((mixed - mixed.mean(0)) / mixed.std(0), np.float32)


def pinwheel(n: int, seed: int = SEED, wings: int = 5) -> np.ndarray:
    """The thesis's pinwheel: Gaussians bent around the origin; float32, shape (n, 2)."""
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 2)) * [0.3, 0.1] + [1.0, 0.0]
    angle = 2 * np.pi * (np.arange(n) % wings) / wings + 0.25 * np.exp(points[:, 0])
    rotation = np.stack([np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)]).T.reshape(-1, 2, 2)
    return np.asarray(2 * np.einsum("nij,nj->ni", rotation, points), np.float32)


def folder() -> Path:
    """Where the real tables are: `PUSHFORWARD_DATA`, or shared/data beside the checkout."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    return Path(os.environ.get("PUSHFORWARD_DATA", default))
