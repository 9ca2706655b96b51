"""Parts of rows of numbers and categories, by mixtures whose components hold both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from pushforward.clustering.neighbours import subsample
from pushforward.clustering.partition import partition_rows
from pushforward.data.columns import FloatArray

ROUNDS = 100  # of EM, at most
ENOUGH = 1e-4  # nats a row that a round has to gain
RIDGE = 1e-2  # variance, of columns that have one each, that is added
MOST_ROWS = 5_000  # that are looked at; the others follow
PSEUDO = 1.0  # rows, spread over the levels of a category in their shares, that each component is given
MOST_CLASSES, FEWEST_IN_CLASS = 12, 10  # classes that are counted; rows for each


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
    looked = np.sort(subsample(n, MOST_ROWS, np.random.default_rng(seed)))
    if len(looked) < n:
        part = latent_classes(numbers[looked], [code[looked] for code in codes], k, w[looked], seed)
        r = np.eye(k)[part]
        known, seen_codes = _moments(numbers[looked], [code[looked] for code in codes], w[looked], r)
        follow: np.ndarray = _joint(numbers, codes, known, seen_codes).argmax(axis=1)
        return follow
    both = np.concatenate([numbers, *codes], axis=1)
    if not both.shape[1]:  # there is nothing to tell rows apart by
        return np.arange(n) % k
    seen = [a for a in (numbers, np.concatenate([np.zeros((n, 0)), *codes], axis=1), both) if a.shape[1]]
    rng = np.random.default_rng(seed)
    starts = [partition_rows(a + 1e-3 * rng.normal(size=a.shape), k, None, seed) for a in seen]
    found = [_climb(numbers, codes, w, np.eye(k)[start]) for start in starts]
    likeliest: np.ndarray = max(found, key=lambda pair: pair[0])[1].argmax(axis=1)
    return likeliest


def class_partition(
    codes: Sequence[FloatArray], k: int, weight: FloatArray | None = None, seed: int = 0
) -> np.ndarray | None:
    """Rows of categories in k latent classes, where BIC likes these better than one more or one fewer; else None.

    Arguments are those of `latent_classes`.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering.latent import class_partition
        >>> side, rng = np.arange(300) % 2, np.random.default_rng(0)
        >>> codes = [np.eye(2)[np.where(rng.random(300) < 0.1, 1 - side, side)] for _ in range(4)]
        >>> class_partition(codes, 2) is None, class_partition(codes, 3) is None
        (False, True)
    """
    if k == 1 or len(codes[0]) < FEWEST_IN_CLASS * (k + 1):
        return None
    before, own, after = (_criterion(codes, size, weight, seed) for size in (k - 1, k, k + 1))
    none = np.zeros((len(codes[0]), 0))
    return latent_classes(none, codes, k, weight, seed) if own < min(before, after) else None


def count_classes(codes: Sequence[FloatArray], weight: FloatArray | None = None, seed: int = 0) -> int | None:
    """The number of latent classes that BIC likes better than one more; None where more than a dozen would be better.

    Arguments are those of `latent_classes`.
    """
    lowest = np.inf
    for k in range(1, min(MOST_CLASSES, len(codes[0]) // FEWEST_IN_CLASS) + 2):
        value = _criterion(codes, k, weight, seed)
        if value >= lowest:
            return k - 1
        lowest = value
    return None


def _criterion(codes: Sequence[FloatArray], k: int, weight: FloatArray | None, seed: int) -> float:
    """BIC of k latent classes of categories; of many rows, of those that are looked at."""
    n = len(codes[0])
    looked = np.sort(subsample(n, MOST_ROWS, np.random.default_rng(seed)))
    codes, w = [code[looked] for code in codes], np.ones(len(looked)) if weight is None else weight[looked]
    none = np.zeros((len(looked), 0))
    part = latent_classes(none, codes, k, w, seed)
    mean, _ = _climb(none, codes, w, np.eye(k)[part])
    free = k - 1 + k * sum(code.shape[1] - 1 for code in codes)
    return float(-2 * len(looked) * mean + free * np.log(len(looked)))


def _climb(numbers: FloatArray, codes: Sequence[FloatArray], w: FloatArray, r: FloatArray) -> tuple[float, FloatArray]:
    """The log-likelihood, a row, and the responsibilities that EM ends with."""
    best = -np.inf
    for _ in range(ROUNDS):
        joint = _joint(numbers, codes, *_moments(numbers, codes, w, r))
        total = logsumexp(joint, axis=1)
        r, now = np.exp(joint - total[:, None]), float((w * total).sum() / w.sum())
        if now < best + ENOUGH:
            break
        best = now
    return max(best, now), r


def _moments(
    numbers: FloatArray, codes: Sequence[FloatArray], w: FloatArray, r: FloatArray
) -> tuple[list[tuple[float, FloatArray, FloatArray]], list[FloatArray]]:
    """Of each component its share, mean and covariance factor; and of each category log-shares of levels, (K, L)."""
    mass = (w[:, None] * r).sum(axis=0) + 1e-9
    gaussians = []
    for j in range(r.shape[1]):
        weight = w * r[:, j] / mass[j]
        mean = weight @ numbers
        spread = ((numbers - mean).T * weight) @ (numbers - mean) + RIDGE * np.eye(numbers.shape[1])
        gaussians.append((float(mass[j] / mass.sum()), mean, np.linalg.cholesky(spread)))
    levels = []
    for code in codes:
        share = (w @ code + 0.5) / (w.sum() + 0.5 * code.shape[1])
        counts = (w[:, None] * r).T @ code + PSEUDO * share
        levels.append(np.log(counts / counts.sum(axis=1, keepdims=True)))
    return gaussians, levels


def _joint(
    numbers: FloatArray,
    codes: Sequence[FloatArray],
    gaussians: list[tuple[float, FloatArray, FloatArray]],
    levels: list[FloatArray],
) -> FloatArray:
    """log p(x, k) of every row but for a constant, shape (n, K)."""
    out = np.empty((len(numbers), len(gaussians)))
    for j, (share, mean, factor) in enumerate(gaussians):
        z = np.linalg.solve(factor, (numbers - mean).T)
        out[:, j] = np.log(share) - 0.5 * (z**2).sum(axis=0) - np.log(np.diag(factor)).sum()
    for code, logs in zip(codes, levels, strict=True):
        out += code @ logs.T
    return out
