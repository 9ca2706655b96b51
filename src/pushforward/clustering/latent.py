"""Parts of rows of numbers and categories, by mixtures whose components hold both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from pushforward.clustering.partition import partition_rows
from pushforward.data.columns import FloatArray

ROUNDS = 100  # of EM, at most
ENOUGH = 1e-4  # nats a row that a round has to gain
RIDGE = 1e-2  # variance, of columns that have one each, that is added
PSEUDO = 1.0  # rows, spread over the levels of a category in their shares, that each component is given


def latent_classes(
    numbers: FloatArray, codes: Sequence[FloatArray], k: int, weight: FloatArray | None = None, seed: int = 0
) -> np.ndarray:
    """Divide rows of numbers and categories into k parts, by likelihood.

    Each part is a Gaussian of the numbers and, within it independent, shares of the levels of each category: a latent
    class model with numbers (EM; Lawrence & Krzanowski 1996). Of several starts, parts of the numbers alone, of
    categories alone and of both, the likeliest end counts.

    Arguments:
        numbers: in standard units, shape (n, N).
        codes: of each category zeros and ones, one for each level, shape (n, L).
        k: parts.
        weight: of rows, shape (n,), or None.
        seed: of everything random.

    Returns:
        Parts, shape (n,).

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering.latent import latent_classes
        >>> side = np.arange(60) % 2
        >>> z = np.random.default_rng(0).normal(size=(60, 1)) + 9 * side[:, None]
        >>> len({*zip(latent_classes(z, [np.eye(2)[side]], 2).tolist(), side.tolist())})
        2
    """
    n = len(numbers)
    w = np.ones(n) if weight is None else weight
    if k == 1:
        return np.zeros(n, dtype=int)
    both = np.concatenate([numbers, *codes], axis=1)
    seen = [a for a in (numbers, np.concatenate([np.zeros((n, 0)), *codes], axis=1), both) if a.shape[1]]
    rng = np.random.default_rng(seed)
    starts = [partition_rows(a + 1e-3 * rng.normal(size=a.shape), k, None, seed) for a in seen]
    found = [_climb(numbers, codes, w, np.eye(k)[start]) for start in starts]
    part: np.ndarray = max(found, key=lambda pair: pair[0])[1].argmax(axis=1)
    return part


def _climb(numbers: FloatArray, codes: Sequence[FloatArray], w: FloatArray, r: FloatArray) -> tuple[float, FloatArray]:
    """The log-likelihood, a row, and the responsibilities that EM ends with."""
    best = -np.inf
    for _ in range(ROUNDS):
        joint = _joint(numbers, codes, w, r)
        total = logsumexp(joint, axis=1)
        r, now = np.exp(joint - total[:, None]), float((w * total).sum() / w.sum())
        if now < best + ENOUGH:
            break
        best = now
    return max(best, now), r


def _joint(numbers: FloatArray, codes: Sequence[FloatArray], w: FloatArray, r: FloatArray) -> FloatArray:
    """log p(x, k) of every row, by the components that rows are given to, shape (n, K)."""
    mass = (w[:, None] * r).sum(axis=0) + 1e-9
    out = np.tile(np.log(mass / mass.sum()), (len(r), 1))
    for code in codes:
        share = (w @ code + 0.5) / (w.sum() + 0.5 * code.shape[1])
        counts = (w[:, None] * r).T @ code + PSEUDO * share
        out += code @ np.log(counts / counts.sum(axis=1, keepdims=True)).T
    for j in range(r.shape[1] if numbers.shape[1] else 0):
        weight = w * r[:, j] / mass[j]
        centred = numbers - weight @ numbers
        spread = (centred.T * weight) @ centred + RIDGE * np.eye(numbers.shape[1])
        factor = np.linalg.cholesky(spread)
        z = np.linalg.solve(factor, centred.T)
        out[:, j] -= 0.5 * (z**2).sum(axis=0) + np.log(np.diag(factor)).sum()
    return out
