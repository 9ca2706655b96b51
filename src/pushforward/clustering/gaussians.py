"""Parts of a table that are Gaussians, and the moments of any parts."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from pushforward.clustering.copies import distinct_rows
from pushforward.clustering.neighbours import subsample
from pushforward.clustering.spectral import FEWEST_ROWS
from pushforward.data.columns import FloatArray

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

MOST_FITTED, MOST_COLUMNS = 3_000, 10  # rows and columns that Gaussian mixtures are fitted to


def fitted_gaussians(rows: FloatArray, size: int, seed: int = 0, kind: str = "full") -> GaussianMixture:
    """A Gaussian mixture of that size; one that has not converged says nothing, as its BIC is the higher for it.

    Arguments:
        rows: shape (n, D).
        size: components.
        seed: of everything random.
        kind: "full" or "diag" covariances.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import fitted_gaussians
        >>> fitted_gaussians(np.random.default_rng(0).normal(size=(50, 2)), 1).means_.shape
        (1, 2)
    """
    from sklearn.mixture import GaussianMixture

    mixture = GaussianMixture(size, covariance_type=kind, reg_covar=1e-3, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return mixture.fit(rows)


def gaussian_partition(z: FloatArray, k: int, seed: int = 0) -> np.ndarray | None:
    """The parts of a Gaussian mixture, where it says by BIC that the rows are k Gaussians rather than more or fewer.

    It is right where clusters overlap or differ in size, which a cut through a graph of neighbours is not. Exact copies
    of a row count once.

    Arguments:
        z: rows in standard units, shape (n, D).
        k: parts.
        seed: of everything random.

    Returns:
        Parts, shape (n,), or None where other sizes are better, or rows too few to tell.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import gaussian_partition
        >>> z = np.random.default_rng(0).normal(size=(200, 2)) + 8 * (np.arange(200) % 2)[:, None]
        >>> part = gaussian_partition(z, 2)
        >>> sorted(np.bincount(part).tolist())
        [100, 100]
    """
    from sklearn.decomposition import PCA

    once = z[distinct_rows(z).first]
    looked = once[subsample(len(once), MOST_FITTED, np.random.default_rng(seed))]
    if k == 1 or len(looked) < max(FEWEST_ROWS, 20 * k):
        return None
    if z.shape[1] > MOST_COLUMNS:
        projection = PCA(MOST_COLUMNS, random_state=seed).fit(looked)
        looked, z = projection.transform(looked), projection.transform(z)
    sizes = sorted({k - 1, k, k + 1, k + 2, 2 * k})
    fits = [fitted_gaussians(looked, size, seed, kind) for size in sizes for kind in ("full", "diag")]
    best = min(fits, key=lambda mixture: mixture.bic(looked))
    part: np.ndarray | None = best.predict(z) if best.n_components == k else None
    return part


def moments(
    z: FloatArray, part: np.ndarray, k: int, *, dense: bool, weight: np.ndarray | None = None
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Location, scale factor and share of every part.

    Covariances shrink towards the diagonal of all rows: by a little always, and by as much more as the rows of a part
    are too few for its columns (Ledoit & Wolf 2004).

    Arguments:
        z: shape (n, D).
        part: of each row, -1 for none, shape (n,).
        k: parts.
        dense: whether factors are Cholesky factors rather than diagonals.
        weight: of every row, not negative, shape (n,); None for equal ones.

    Returns:
        Locations (K, D), factors (K, D, D) or (K, D), and shares (K,) that sum to 1.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import moments
        >>> z = np.random.default_rng(0).normal(size=(200, 2))
        >>> location, factor, share = moments(z, np.zeros(200, int), 1, dense=True)
        >>> location.shape, factor.shape, share.tolist()
        ((1, 2), (1, 2, 2), [1.0])
    """
    n, dim = z.shape
    weight = np.ones(n) if weight is None else weight.astype(np.float64)
    weight = weight * (n / weight.sum(dtype=np.float64))
    centre = weight @ z / n
    overall = weight @ (z - centre) ** 2 / n + 1e-6
    locations, factors, shares = [], [], []
    for component in range(k):
        mine, w = z[part == component], weight[part == component]
        count = w.sum()
        locations.append(w @ mine / count if count > 0 else centre)
        spread = np.sqrt(w)[:, None] * (mine - locations[-1])
        if dense:
            prior = dim * (dim + 1.0) / 30  # rows: a fifteenth of one for each number of a covariance
            covariance = (spread.T @ spread + prior * np.diag(overall)) / (count + prior)
            covariance += _shrinkage(mine / np.sqrt(overall)) * (np.diag(np.diagonal(covariance)) - covariance)
            factors.append(np.linalg.cholesky(covariance + 1e-4 * np.diag(overall)))
        else:
            # a column that hardly varies within a part must not throw its rare other values far out
            factors.append(np.sqrt(((spread**2).sum(axis=0) + 0.1 * overall) / (count + 0.1) + 0.1))
        shares.append((count + 1.0) / (n + k))
    return np.stack(locations), np.stack(factors), np.asarray(shares)


def _shrinkage(rows: FloatArray) -> float:
    """How much of a covariance to give up for its diagonal, by Ledoit and Wolf's rule."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    return float(ledoit_wolf_shrinkage(rows)) if len(rows) > 1 else 1.0
