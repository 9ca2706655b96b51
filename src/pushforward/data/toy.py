"""Two-dimensional toy sets, with their true density where it is known."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import ArrayLike

WINGS = 5
RADIAL_SD = 0.3
TANGENTIAL_SD = 0.1
CENTRE = 1.0
TURN = 0.25  # a wing turns by TURN * exp(radial coordinate)
SCALE = 2.0
REACH = 16.0  # farther out the density is below exp(-270), and its preimages are too many to be worth finding


def pinwheel(
    n: int, seed: int | np.random.Generator | None = None
) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"]]:
    """Five bent wings around the origin, wing after wing as evenly as n allows.

    Each wing is a Gaussian (radial sd 0.3 around 1, tangential sd 0.1), turned by its angle 2πk/5 plus
    0.25·exp(radial coordinate), times 2.

    Arguments:
        n: points; wing k gets every fifth of them.
        seed: an integer, a NumPy generator, or None for fresh entropy.

    Returns:
        Points, float64 of shape (n, 2), and the wing of each, integers 0 to 4 of shape (n,).

    Raises:
        ValueError: n is negative.

    Source: the pinwheel of the thesis on variational mixtures of flows, section 5.1.1 (after Johnson et al. 2016).

    Example:
        >>> from pushforward.data import pinwheel
        >>> X, wing = pinwheel(10, seed=0)
        >>> X.shape, wing.tolist()
        ((10, 2), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4])
    """
    if n < 0:
        raise ValueError(f"n must be a number of points, 0 or more; got {n}")
    rng = np.random.default_rng(seed)
    wing = np.arange(n) % WINGS
    noise = rng.standard_normal((n, 2)) * [RADIAL_SD, TANGENTIAL_SD] + [CENTRE, 0.0]
    angle = 2 * np.pi * wing / WINGS + TURN * np.exp(noise[:, 0])
    cos, sin = np.cos(angle), np.sin(angle)
    turned = np.stack([cos * noise[:, 0] - sin * noise[:, 1], sin * noise[:, 0] + cos * noise[:, 1]], axis=1)
    return SCALE * turned, wing


def pinwheel_log_prob(X: ArrayLike) -> Float[np.ndarray, " n"]:
    """The true log-density of the pinwheel.

    Change of variables through the generator, summed over all preimages of a point: far from the wings the
    generator folds, and a point has several.

    Arguments:
        X: points, shape (n, 2).

    Returns:
        Nats per unit area, shape (n,); -inf farther than 16 from the origin, where the density is below e^-270.

    Raises:
        ValueError: X does not have two columns.

    Example:
        >>> from pushforward.data import pinwheel, pinwheel_log_prob
        >>> pinwheel_log_prob(pinwheel(2000, seed=0)[0]).mean().round(1).item()
        -2.3
    """
    joint: Float[np.ndarray, " n"] = np.logaddexp.reduce(_joint_log_prob(X), axis=1)
    return joint


def pinwheel_posterior(X: ArrayLike) -> Float[np.ndarray, "n 5"]:
    """The true probability of each wing given a point, the Bayes classifier's.

    Arguments:
        X: points, shape (n, 2).

    Returns:
        Shape (n, 5), rows summing to 1; uniform farther than 16 from the origin.

    Raises:
        ValueError: X does not have two columns.

    Example:
        >>> from pushforward.data import pinwheel, pinwheel_posterior
        >>> X, wing = pinwheel(1000, seed=0)
        >>> bool((pinwheel_posterior(X).argmax(axis=1) == wing).mean() > 0.98)
        True
    """
    joint = _joint_log_prob(X)
    joint = np.where(np.isneginf(joint).all(axis=1, keepdims=True), 0.0, joint)
    posterior: Float[np.ndarray, "n 5"] = np.exp(joint - np.logaddexp.reduce(joint, axis=1)[:, None])
    return posterior


def two_circles(
    n: int, noise: float = 0.05, factor: float = 0.5, seed: int | None = None
) -> tuple[Float[np.ndarray, "n 2"], Int[np.ndarray, " n"]]:
    """Two noisy circles around the origin, the outer of radius 1 labelled 0, the inner labelled 1.

    Arguments:
        n: points, shuffled.
        noise: standard deviation of the Gaussian noise.
        factor: radius of the inner circle, in [0, 1).
        seed: an integer, or None for fresh entropy.

    Returns:
        Points, float64 of shape (n, 2), and the circle of each, shape (n,).

    Raises:
        ValueError: a value is outside its range; scikit-learn says which.

    Example:
        >>> from pushforward.data import two_circles
        >>> two_circles(6, seed=0)[1].sum().item()
        3
    """
    from sklearn.datasets import make_circles

    X, circle = make_circles(n, noise=noise, factor=factor, random_state=seed)
    return X, circle


def _joint_log_prob(X: ArrayLike) -> Float[np.ndarray, "n 5"]:
    """log p(x, wing) for each wing: log-sum-exp over the preimages of x."""
    X = np.asarray(X, dtype=np.float64)
    if X.ndim != 2 or X.shape[1] != 2:
        raise ValueError(f"X has shape {X.shape}; expected two columns, (n, 2)")
    out = np.full((len(X), WINGS), -np.inf)
    radius = np.hypot(X[:, 0], X[:, 1]) / SCALE
    near = np.flatnonzero(radius <= REACH / SCALE)
    angle = np.arctan2(X[:, 1], X[:, 0])
    for start in range(0, len(near), 4096):  # far points have hundreds of preimages: bound the memory
        rows = near[start : start + 4096]
        out[rows] = _sum_preimages(radius[rows], angle[rows])
    return out


def _sum_preimages(radius: Float[np.ndarray, " n"], angle: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 5"]:
    """Sum of density over volume at every preimage, for points in polar coordinates.

    A preimage is r·(cos ψ, sin ψ) with h(ψ) = ψ + TURN·exp(r cos ψ) equal to the angle left after the wing's
    own turn, up to whole turns; h is monotone between the two zeros of its derivative.
    """
    wings = 2 * np.pi * np.arange(WINGS) / WINGS
    n = len(radius)
    r = np.repeat(radius, WINGS)
    target = (angle[:, None] - wings).ravel()
    point, psi = [], []
    for low, high in _monotone_pieces(radius):
        a, b = np.repeat(low, WINGS), np.repeat(high, WINGS)
        h = np.sort([_turned(a, r), _turned(b, r)], axis=0)
        first = np.ceil((h[0] - target) / (2 * np.pi)).astype(int)
        count = np.maximum(np.ceil((h[1] - target) / (2 * np.pi)).astype(int) - first, 0)
        which = np.repeat(np.arange(n * WINGS), count)
        turns = first[which] + np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
        goal = target[which] + 2 * np.pi * turns
        point.append(which)
        psi.append(_bisect(a[which], b[which], r[which], goal))
    which, root = np.concatenate(point), np.concatenate(psi)
    z0, z1 = r[which] * np.cos(root), r[which] * np.sin(root)
    log_normal = -0.5 * ((z0 - CENTRE) / RADIAL_SD) ** 2 - 0.5 * (z1 / TANGENTIAL_SD) ** 2
    constant = np.log(2 * np.pi * RADIAL_SD * TANGENTIAL_SD) + 2 * np.log(SCALE) + np.log(WINGS)
    volume = np.abs(1 - TURN * np.exp(z0) * z1)
    out = np.full(n * WINGS, -np.inf)
    np.logaddexp.at(out, which, log_normal - constant - np.log(np.maximum(volume, np.finfo(float).tiny)))
    return out.reshape(n, WINGS)


def _turned(psi: Float[np.ndarray, " m"], r: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
    """h(ψ): where the generator takes the direction ψ at distance r, before the wing's own turn."""
    turned: Float[np.ndarray, " m"] = psi + TURN * np.exp(r * np.cos(psi))
    return turned


def _monotone_pieces(r: Float[np.ndarray, " n"]) -> list[tuple[np.ndarray, np.ndarray]]:
    """The pieces of (-π, π] on which h is monotone; where it never turns back the middle one is empty.

    h' = 1 - TURN·r·sin ψ·exp(r cos ψ) dips once, at the ψ where r·cos²ψ + cos ψ = r.
    """
    cos = 2 * r / (1 + np.sqrt(1 + 4 * r**2))  # the root in a form that is stable at r = 0
    dip = np.arccos(cos)
    folds = _slope(dip, r) < 0
    zero, pi = np.zeros_like(r), np.full_like(r, np.pi)
    left = np.where(folds, _bisect_slope(zero, dip, r), dip)
    right = np.where(folds, _bisect_slope(pi, dip, r), dip)
    return [(-pi, left), (left, right), (right, pi)]


def _slope(psi: Float[np.ndarray, " n"], r: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    slope: Float[np.ndarray, " n"] = 1 - TURN * r * np.sin(psi) * np.exp(r * np.cos(psi))
    return slope


def _bisect_slope(up: np.ndarray, down: np.ndarray, r: np.ndarray) -> np.ndarray:
    """The zero of h' between a place where it is positive and one where it is negative."""
    for _ in range(60):
        middle = 0.5 * (up + down)
        positive = _slope(middle, r) > 0
        up, down = np.where(positive, middle, up), np.where(positive, down, middle)
    return up


def _bisect(a: np.ndarray, b: np.ndarray, r: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """The root of h(ψ) = goal on a piece [a, b] where h is monotone."""
    rising = _turned(b, r) >= _turned(a, r)
    for _ in range(60):
        middle = 0.5 * (a + b)
        above = (_turned(middle, r) >= goal) == rising
        a, b = np.where(above, a, middle), np.where(above, middle, b)
    root: np.ndarray = 0.5 * (a + b)
    return root
