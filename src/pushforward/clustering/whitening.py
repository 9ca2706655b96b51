"""Directions in which rows hardly vary: data like any other, once the rows are whitened."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from pushforward.data.columns import FloatArray

THIN = 7e-5  # variance, of columns that have one each, below which a direction is thin
FEWEST = 5  # rows for each column, below which a thin direction may be one by chance


class Whitening(NamedTuple):
    """The linear map x = location + factor z of whitened rows z.

    Arguments:
        location: shape (D,).
        factor: lower triangular, its diagonal positive, shape (D, D).
    """

    location: FloatArray
    factor: FloatArray

    def inverse(self, x: FloatArray) -> FloatArray:
        """Rows (n, D) whitened."""
        white: FloatArray = solve_triangular(self.factor, (x - self.location).T, lower=True).T
        return white


def whitening(z: FloatArray, weight: FloatArray | None = None, thin: float = THIN) -> Whitening | None:
    """The map that whitens rows some direction of which is so thin that priors and floors would take it for noise.

    Of columns that nearly agree, the differences are data. What keeps a model near a start of standard units (a prior
    on its parameters, covariances that shrink towards their diagonal, a floor under them) does no harm to directions
    of about the same width, and buries one that is a thousand times thinner; of whitened rows none is.

    Arguments:
        z: rows, shape (n, D).
        weight: positive, shape (n,); None for equal ones.
        thin: variance, of columns that have one each, below which a direction is thin.

    Returns:
        The map, or None where every direction is as wide as that, the rows are too few to tell, or some column follows
        from others exactly.

    Example:
        >>> import numpy as np
        >>> from pushforward.clustering import whitening
        >>> u = np.random.default_rng(0).normal(size=(200, 2))
        >>> whitening(u) is None
        True
        >>> z = np.stack([u[:, 0], u[:, 0] + 1e-4 * u[:, 1]], axis=1)  # two sensors that nearly agree
        >>> whitening(z).inverse(z).std(axis=0).round(6).tolist()
        [1.0, 1.0]
    """
    n, dim = z.shape
    if dim == 1 or n < FEWEST * dim:
        return None
    weight = np.ones(n) if weight is None else weight.astype(np.float64)
    share = weight / weight.sum()
    location = share @ z
    centred = z - location
    spread = np.sqrt(share @ centred**2)
    if not (spread > 0).all():
        return None
    scaled = centred / spread
    if np.linalg.eigvalsh((share[:, None] * scaled).T @ scaled)[0] > thin:
        return None
    # the factor of QR holds directions down to the precision of the rows, that of a covariance to its root alone
    upper = np.linalg.qr(np.sqrt(share)[:, None] * scaled, mode="r")
    lower = spread[:, None] * (upper * np.sign(np.diagonal(upper))[:, None]).T
    return Whitening(location, lower) if (np.diagonal(lower) > 0).all() else None
