"""Gaussian mixtures whose covariances shrink as far as held-out rows ask for."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solve_triangular
from scipy.special import logsumexp

from pushforward.data.columns import FloatArray

SIZES = (1, 2, 3, 4, 5, 7, 10, 14, 20, 28, 40)
PRIORS = (1e-4, 1e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)  # rows for each column
USUAL = PRIORS.index(1.0)
MOST_ITERATIONS, TOLERANCE = 100, 1e-3  # of the mean log-density
MOST_LOOKED_AT = 10_000  # rows that sizes and priors are compared on, and components found in
LAST = 3  # iterations on more
FOLDS, FEW, MANY = 5, 500, 3_000  # of so few rows, each is held out once; of many, a fifth alone
MOST_SHELLS = 4  # components up to which shells are a start too
FEWEST = 5  # rows, below which nothing is compared
SURE = 2.0  # standard errors of a gain on held-out rows
LEAST_ERROR, MOST_GAINED = 1e-3, 10.0  # nats, of all rows and of one
LEAST = 1e-13  # variance, of columns that have one each, of any component
MOST_COMPONENTS = 128  # of an average
AT_ONCE = 512  # rows
STEPS, FAINT = 200, 0.2  # of the weights of an average, in which what weighs so much less than the most is left out
PATIENCE = 2  # sizes that may be worse, one after the other, before larger ones are not tried


class Gaussians(NamedTuple):
    """A mixture of K Gaussians, on the host.

    Arguments:
        weights: positive, summing to 1, shape (K,).
        means: shape (K, D).
        factors: Cholesky factors of the covariances, shape (K, D, D).
    """

    weights: FloatArray
    means: FloatArray
    factors: FloatArray

    def of_size(self, n: int) -> Gaussians:
        """The same density by n Gaussians, n ≥ K: the weightiest are shared out to copies."""
        copies = np.ones(len(self.weights), dtype=int)
        for _ in range(n - len(self.weights)):
            copies[np.argmax(self.weights / copies)] += 1
        weights, means, factors = (np.repeat(part, copies, axis=0) for part in self)
        return Gaussians(weights / np.repeat(copies, copies), means, factors)

    def moved(self, location: FloatArray, factor: FloatArray) -> Gaussians:
        """The same Gaussians of z where x = location + factor z, with a lower triangular factor, shape (D, D)."""
        means = solve_triangular(factor, (self.means - location).T, lower=True).T
        factors = np.stack([solve_triangular(factor, own, lower=True) for own in self.factors])
        return Gaussians(self.weights, means, factors)

    def under(self, location: FloatArray, factor: FloatArray) -> Gaussians:
        """The Gaussians of location + factor x, the inverse of `moved`."""
        return Gaussians(self.weights, location + self.means @ factor.T, factor @ self.factors)

    def joint(self, rows: FloatArray) -> FloatArray:
        """log π_k p(x | k) of rows (n, D), shape (n, K)."""
        (n, dim), k = rows.shape, len(self.weights)
        inverses = np.linalg.inv(self.factors)
        constants = np.log(self.weights) + np.log(np.diagonal(inverses, axis1=1, axis2=2)).sum(axis=1)
        joined, shifts = inverses.reshape(k * dim, dim).T, np.einsum("kij,kj->ki", inverses, self.means).reshape(-1)
        result = np.empty((n, k))
        for start in range(0, n, AT_ONCE):  # one product of matrices for all components
            white = (rows[start : start + AT_ONCE] @ joined - shifts).reshape(-1, k, dim)
            result[start : start + AT_ONCE] = np.einsum("nki,nki->nk", white, white)
        joint: FloatArray = constants - dim * math.log(2 * math.pi) / 2 - result / 2
        return joint

    def log_prob(self, rows: FloatArray) -> FloatArray:
        """Log-densities of rows (n, D), shape (n,)."""
        values: FloatArray = logsumexp(self.joint(rows), axis=1)
        return values


def shrunk_gaussians(
    rows: FloatArray, size: int, prior: float, weight: FloatArray | None = None, seed: int = 0
) -> Gaussians:
    """A mixture of Gaussians by EM, from the best of two starts, its covariances shrunk.

    The covariance of all rows is drawn, so many rows strong, towards its diagonal, and rows are whitened by it. There,
    as strongly, the covariance of a component is drawn towards the shape that all have in common, at its own scale, and
    this shape towards a ball. So scales of components may differ by any factor.

    Arguments:
        rows: shape (n, D).
        size: components; fewer where some lose all their rows.
        prior: rows for each column that the shapes are worth.
        weight: of every row, positive, shape (n,); None for equal ones.
        seed: of the start.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import shrunk_gaussians
        >>> shrunk_gaussians(np.random.default_rng(0).normal(size=(50, 2)), 1, 1.0).means.shape
        (1, 2)
    """
    weight = np.ones(len(rows)) if weight is None else weight / weight.max()
    weight = weight * (len(rows) / weight.sum())
    strength = prior * rows.shape[1]
    location, factor = _drawn(rows, weight, strength)
    if size == 1:
        return Gaussians(np.ones(1), location[None], factor[None])
    if len(rows) > MOST_LOOKED_AT:  # some say where components lie, and all how they look there
        some = np.random.default_rng(seed).permutation(len(rows))[:MOST_LOOKED_AT]
        start = shrunk_gaussians(rows[some], size, prior, weight[some], seed).moved(location, factor)
        white = solve_triangular(factor, (rows - location).T, lower=True).T
        joint = start.joint(white)
        parts = np.exp(joint - logsumexp(joint, axis=1, keepdims=True)) * weight[:, None]
        return _expected(white, parts, weight, strength, LAST)[0].under(location, factor)
    white = solve_triangular(factor, (rows - location).T, lower=True).T
    starts = [_by_means(white, size, weight, seed), *([_by_distance(white, size)] if size <= MOST_SHELLS else [])]
    fits = [_expected(white, np.eye(size)[part] * weight[:, None], weight, strength) for part in starts]
    return max(fits, key=lambda fit: fit[1])[0].under(location, factor)


class Average(NamedTuple):
    """Which mixtures of Gaussians are averaged, themselves a mixture of Gaussians.

    Arguments:
        shares: of the mixtures, positive, summing to 1.
        sizes: components of each.
        priors: of each, as of `shrunk_gaussians`.
    """

    shares: tuple[float, ...]
    sizes: tuple[int, ...]
    priors: tuple[float, ...]

    def fit(self, rows: FloatArray, weight: FloatArray | None = None, seed: int = 0) -> Gaussians:
        """These mixtures of rows; arguments as of `shrunk_gaussians`."""
        fits = [
            shrunk_gaussians(rows, size, prior, weight, seed)
            for size, prior in zip(self.sizes, self.priors, strict=True)
        ]
        return Gaussians(
            np.concatenate([share * fit.weights for share, fit in zip(self.shares, fits, strict=True)]),
            np.concatenate([fit.means for fit in fits]),
            np.concatenate([fit.factors for fit in fits]),
        )


def choose_gaussians(rows: FloatArray, weight: FloatArray | None = None, seed: int = 0) -> Average:
    """Sizes and shrinkages whose average held-out rows like best (stacking; Smyth & Wolpert 1999).

    Of an average, the single Gaussian that they like best has at least the share of a row, so that rows far outside
    are not beyond it; and it is alone where an average does not gain for sure, in which no row counts for more than a
    few nats.

    Arguments:
        rows: shape (n, D).
        weight: of every row, positive, shape (n,); None for equal ones.
        seed: of everything random.

    Returns:
        What to fit, to these rows or more of the kind.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import choose_gaussians
        >>> rows = np.random.default_rng(0).normal(size=(300, 2)) + 8 * (np.arange(300) % 2)[:, None]
        >>> choose_gaussians(rows).fit(rows).log_prob(rows).shape
        (300,)
    """
    if len(rows) < FEWEST:
        return Average((1.0,), (1,), (PRIORS[USUAL],))
    parts, held_out = _scorer(rows, np.ones(len(rows)) if weight is None else weight / weight.max(), seed)
    tried = {(1, prior): held_out(1, prior) for prior in PRIORS}
    single = max(tried, key=lambda pair: float(parts @ tried[pair]))

    def gain(size: int, prior: float) -> float:
        if (size, prior) not in tried:
            tried[size, prior] = held_out(size, prior)
        return float(parts @ np.clip(tried[size, prior] - tried[single], -MOST_GAINED, MOST_GAINED))

    if several := [size for size in SIZES if 1 < size <= len(rows) // 10]:
        size = _climb(several, 0, lambda size: gain(size, PRIORS[USUAL]), PATIENCE)
        prior = _climb(PRIORS, USUAL, lambda prior: gain(size, prior), 1)
        if prior != PRIORS[USUAL]:
            _climb(several, several.index(size), lambda size: gain(size, prior), 1)
    values, pairs = np.stack(list(tried.values()), axis=1), list(tried)
    shares = _stacked(values, parts)
    total = 0
    for k in np.argsort(-shares, kind="stable"):
        total += pairs[k][0]
        shares[k] = shares[k] if total <= MOST_COMPONENTS - 1 else 0
    shares[pairs.index(single)] = max(shares[pairs.index(single)], 1 / len(rows))
    shares /= shares.sum()
    gains = np.clip(logsumexp(values, axis=1, b=shares) - tried[single], -MOST_GAINED, MOST_GAINED)
    if standard_errors(gains, parts) < SURE:
        return Average((1.0,), (1,), (single[1],))
    kept = [(float(share), *pair) for share, pair in zip(shares, pairs, strict=True) if share > 0]
    return Average(*zip(*kept, strict=True))


def _stacked(values: FloatArray, parts: FloatArray) -> FloatArray:
    """The weights of models whose average is likeliest, from held-out log-densities (m, models), shape (models,)."""
    shares = np.full(values.shape[1], 1 / values.shape[1])
    for _ in range(STEPS):
        joint = values + np.log(np.maximum(shares, np.finfo(float).tiny))
        shares = parts @ np.exp(joint - logsumexp(joint, axis=1, keepdims=True))
    shares[shares < FAINT * shares.max()] = 0
    return np.asarray(shares / shares.sum())


def standard_errors(gains: FloatArray, weight: FloatArray | None = None) -> float:
    """How many standard errors the mean of gains is above zero; none of gains that are not finite.

    The error is at least a thousandth of a nat: what differs by less is alike, however sure it is.

    Arguments:
        gains: of log-densities of rows, in nats, shape (n,).
        weight: of every row, positive, shape (n,); None for equal ones.
    """
    share = np.full(len(gains), 1 / len(gains)) if weight is None else weight / weight.sum()
    mean = float(share @ gains)
    if not math.isfinite(mean):
        return 0.0
    return mean / math.sqrt(share**2 @ (gains - mean) ** 2 + LEAST_ERROR**2)


def _climb(values: Sequence[Any], start: int, score: Callable[[Any], float], patience: int) -> Any:
    """The value of the best score, by steps in both directions from a start until it has got worse so many times."""
    best, at = score(values[start]), start
    for step in (1, -1):
        i, worse = start + step, 0
        while 0 <= i < len(values) and worse < patience:
            found = score(values[i])
            best, at, worse = (found, i, 0) if found > best else (best, at, worse + 1)
            i += step
        if at != start:
            break
    return values[at]


def _scorer(rows: FloatArray, weight: FloatArray, seed: int) -> tuple[FloatArray, Callable[[int, float], FloatArray]]:
    """The shares of held-out rows, and their log-densities by size and prior."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(rows))[:MOST_LOOKED_AT]
    parts = np.array_split(order, FOLDS)
    tested = parts if len(order) <= FEW else parts[:2] if len(order) <= MANY else parts[:1]
    shares = np.concatenate([weight[part] for part in tested])

    def held_out(size: int, prior: float) -> FloatArray:
        found = []
        for part in tested:
            kept = np.setdiff1d(order, part)
            fit = shrunk_gaussians(rows[kept], size, prior, weight[kept], seed)
            found.append(fit.log_prob(rows[part]))
        return np.concatenate(found)

    return shares / shares.sum(), held_out


def _drawn(rows: FloatArray, weight: FloatArray, strength: float) -> tuple[FloatArray, FloatArray]:
    """Location, and the Cholesky factor of the covariance with more of its diagonal: rows not seen spread further."""
    n = weight.sum()
    location = weight @ rows / n
    centred = rows - location
    covariance = (weight[:, None] * centred).T @ centred / n
    diagonal = np.diag(np.maximum(np.diagonal(covariance), LEAST))  # some rows of a table may be alike in a column
    return location, np.linalg.cholesky(covariance + (strength / n + LEAST) * diagonal)


def _by_means(rows: FloatArray, size: int, weight: FloatArray, seed: int) -> np.ndarray:
    """Parts by k-means."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than parts: some parts stay empty
        part: np.ndarray = KMeans(size, n_init=1, random_state=seed).fit(rows, sample_weight=weight).labels_
    return part


def _by_distance(rows: FloatArray, size: int) -> np.ndarray:
    """Shells around the middle, each of a third of the rows of the one within: of heavy tails a mixture of scales."""
    spread = np.quantile(np.abs(rows - np.median(rows, axis=0)), 0.5, axis=0)
    far = (((rows - np.median(rows, axis=0)) / np.where(spread > 0, spread, 1)) ** 2).sum(axis=1)
    shares = 0.25 ** np.arange(size, dtype=float)
    edges = np.quantile(far, np.cumsum(shares / shares.sum())[:-1])
    return np.asarray(np.searchsorted(edges, far))


def _expected(
    rows: FloatArray, parts: FloatArray, weight: FloatArray, strength: float, iterations: int = MOST_ITERATIONS
) -> tuple[Gaussians, float]:
    """EM from weighted parts, shape (n, K), and the mean log-density at its end."""
    last, share = -np.inf, weight / weight.sum()
    for _ in range(iterations):
        fit = _maximised(rows, parts, strength)
        joint = fit.joint(rows)
        most = joint.max(axis=1, keepdims=True)
        parts = np.exp(joint - most)
        total = parts.sum(axis=1, keepdims=True)
        value = float(share @ (most + np.log(total))[:, 0])
        if value - last < TOLERANCE:
            break
        last = value
        parts *= weight[:, None] / total
    return fit, value


def _maximised(rows: FloatArray, parts: FloatArray, strength: float) -> Gaussians:
    """The Gaussians of weighted parts, shape (n, K); a part of less than one row is left out."""
    counts = parts.sum(axis=0)
    parts, counts = parts[:, counts >= 1], counts[counts >= 1]
    n, dim = counts.sum(), rows.shape[1]
    means = parts.T @ rows / counts[:, None]
    scatters = np.empty((len(counts), dim, dim))
    for k, mean in enumerate(means):
        centred = rows - mean
        scatters[k] = (parts[:, k, None] * centred).T @ centred
    scales = np.trace(scatters, axis1=1, axis2=2) / (dim * counts) + LEAST
    common = np.exp(counts @ np.log(scales) / n)  # a component of few rows has the scale of the others
    scales = (counts * scales + (dim + 1) * common) / (counts + dim + 1) if len(counts) > 1 else scales
    shape = ((scatters / scales[:, None, None]).sum(axis=0) + strength * np.eye(dim)) / (n + strength)
    own = scatters + strength * scales[:, None, None] * shape
    covariances = own / (counts + strength)[:, None, None] + LEAST * np.eye(dim)
    return Gaussians(counts / n, means, np.linalg.cholesky(covariances))
