"""Checks for maps of one's own: the contract that every map of this package keeps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray
from numpy.typing import NDArray

from pushforward import trees
from pushforward.bijections import AbstractMap, as_map
from pushforward.checks import check_positive, check_whole

TOLERANCE = {"float32": 3e-3, "float64": 1e-8}  # of what is compared, relative to the largest number of a point
OF_IMAGE = 10  # tolerances for round trips of points all over the codomain
SPREAD = (0.1, 0.5, 1.5)  # scales of noise
NEAR = 1e-3  # of a single end
ALONG = (0.5, 1.0, 3.0, 10.0, 30.0)  # distances at which a line or half-line is looked at
LINE = tuple(sign * distance for sign in (-1, 1) for distance in (0.0, *ALONG))
SHARES = (0.01, 0.1, 0.5, 0.9, 0.99)  # of an interval
FAR = 100.0  # where values and gradients must still be finite
FEWEST = 16  # points: those of a line, and some mixed
ALONE = 2  # points that are run one by one, without jit and vmap


Interval: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]


class CheckError(AssertionError):
    """A map does not keep the contract; the message says which check failed, where and by how much."""


class Report(NamedTuple):
    """What `check_bijection` found: the largest error of each check, relative, and the tolerance it stayed below."""

    errors: dict[str, float]
    tolerance: float
    n_points: int


class Side(NamedTuple):
    """One direction of a map: from noise ("forward") or from data ("inverse")."""

    name: str
    run: Callable[[Any, Array, Array | None], tuple[Array, Array]]


FORWARD = Side("forward", lambda bijection, z, condition: bijection.forward_and_log_det(z, condition))
INVERSE = Side("inverse", lambda bijection, x, condition: bijection.inverse_and_log_det(x, condition))


def check_bijection(
    bijection: Any,
    *,
    key: PRNGKeyArray | None = None,
    condition: Any = None,
    domain: Sequence[Any] | None = None,
    codomain: Sequence[Any] | None = None,
    tolerance: float | None = None,
    n_points: int = 24,
    far: float = FAR,
) -> Report:
    """Check that a map keeps what every map promises.

    Shapes and dtypes are kept; both round trips come back; log-determinants are those of autodiff's Jacobian, and those
    of the two directions cancel; jit and vmap change nothing; forward and reverse mode give the same derivatives;
    values and gradients are finite far out; and the image is the whole codomain that the map declares, so that
    densities integrate to 1: a map such as tanh that says nothing, and so claims the whole line, fails.

    Arguments:
        bijection: a map whose densities are exact, or what `bijections.as_map` takes.
        key: of the points, and of a condition that is not given; a fixed one if None.
        condition: of the map, shape `cond_shape`; drawn if None.
        domain: ends (low, high) of the noise, numbers or of its shape; what the map says if None.
        codomain: ends of the data; what the map says (`AbstractMap.codomain`) if None.
        tolerance: of errors, relative to 1 plus the largest number of a point; 3e-3 in 32 bits and 1e-8 in 64 if None.
        n_points: that each check looks at.
        far: size of noise up to which values and gradients must be finite.

    Returns:
        The largest error of each check.

    Raises:
        CheckError: an `AssertionError`; a check failed.
        ValueError: an argument is out of its range, or the map's densities are estimates.

    Example:
        >>> from pushforward.bijections import Softplus
        >>> from pushforward.testing import check_bijection
        >>> sorted(check_bijection(Softplus((2,))).errors)[:2]
        ['forward derivatives in forward mode', 'forward log-determinant']
    """
    bijection = as_map(bijection)
    if bijection.inexactness:
        raise ValueError(f"check_bijection takes exact maps; the densities of this one are {bijection.exactness}")
    n_points = check_whole("n_points", n_points, FEWEST)
    far = check_positive("far", far)
    key = jax.random.key(0) if key is None else key
    draws = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    if condition is None and bijection.cond_shape is not None:
        condition = draws.normal(size=bijection.cond_shape)
    condition = None if condition is None else jnp.asarray(condition, float)
    x = jnp.zeros(bijection.shape)
    noise_shape = eqx.filter_eval_shape(INVERSE.run, bijection, x, condition)[0].shape
    if math.prod(noise_shape) != x.size:
        raise ValueError(f"a Jacobian of {math.prod(noise_shape)} by {x.size} numbers has no determinant to check")
    domain = _ends(bijection.domain if domain is None else domain, noise_shape)
    codomain = _ends(bijection.codomain if codomain is None else codomain, bijection.shape)
    tolerance = TOLERANCE[str(x.dtype)] if tolerance is None else check_positive("tolerance", tolerance)
    return _Check(bijection, condition, domain, codomain, tolerance).run(draws, n_points, far)


class _Check:
    """One run of the checks, and the errors it has found."""

    def __init__(
        self, bijection: AbstractMap, condition: Array | None, domain: Interval, codomain: Interval, tolerance: float
    ):
        self.bijection, self.condition = bijection, condition
        self.domain, self.codomain, self.tolerance = domain, codomain, tolerance
        self.errors: dict[str, float] = {}

    def run(self, draws: np.random.Generator, n_points: int, far: float) -> Report:
        noise = _noise(draws, self.domain, n_points)
        there = self._direction(FORWARD, noise)
        self._whole_codomain(_grid(draws, self.codomain, n_points))
        self._inside("forward", noise, there["image"], self.codomain, "codomain")
        back = self._direction(INVERSE, there["image"])
        self._close("round trip", noise, back["image"], noise)
        self._close("log-determinants of both directions", noise, back["log_det"], -there["log_det"])
        for side, points, result in ((FORWARD, noise, there), (INVERSE, there["image"], back)):
            self._derivatives(side, points)
            self._alone(side, points, result)
        self._finite(_far(draws, self.domain, n_points, far))
        self._outside(there["image"][0])
        return Report(self.errors, self.tolerance, n_points)

    def _direction(self, side: Side, points: Array) -> dict[str, Array]:
        """A direction on a batch; its shapes, dtypes and log-determinants are checked."""
        result = _batch(self.bijection, points, self.condition, side)
        shape = self.bijection.shape if side is FORWARD else self.domain[0].shape
        for name, expected in (("image", shape), ("log_det", ())):
            array = result[name]
            if array.shape[1:] != expected or array.dtype != points.dtype:
                raise CheckError(
                    f"{side.name}: {name} of a point of dtype {points.dtype} must have shape {expected} and that "
                    f"dtype; got shape {array.shape[1:]} and {array.dtype}"
                )
        self._close(f"{side.name} log-determinant", points, result["log_det"], result["autodiff"], "autodiff's")
        return result

    def _derivatives(self, side: Side, points: Array) -> None:
        """Forward and reverse mode of image and log-determinant."""
        jacobians = []
        for name, mode in (("forward", jax.jacfwd), ("reverse", jax.jacrev)):
            try:
                jacobians.append(_jacobian(self.bijection, points[:ALONE], self.condition, side, mode))
            except (TypeError, ValueError, NotImplementedError) as error:
                raise CheckError(f"{side.name}: no derivatives in {name} mode: {error}") from error
        self._close(f"{side.name} derivatives in forward mode", points, jacobians[0], jacobians[1], "reverse mode's")

    def _alone(self, side: Side, points: Array, batch: dict[str, Array]) -> None:
        """Single points, not compiled."""
        for point, image, log_det in zip(points[:ALONE], batch["image"], batch["log_det"], strict=False):
            alone = side.run(self.bijection, point, self.condition)
            self._close(f"{side.name} under jit and vmap", point[None], image[None], alone[0][None], "that without")
            self._close(f"{side.name} under jit and vmap", point[None], log_det[None], alone[1][None], "that without")

    def _finite(self, points: Array) -> None:
        """Values and gradients far out, and back from there."""
        for side in (FORWARD, INVERSE):
            result = _batch(self.bijection, points, self.condition, side)
            for name in ("image", "log_det", "gradients"):
                parts = [np.asarray(leaf).reshape(len(points), -1) for leaf in jax.tree.leaves(result[name])]
                bad = ~np.isfinite(np.concatenate(parts, axis=1)).all(axis=1)
                if bad.any():
                    at = int(bad.argmax())
                    raise CheckError(
                        f"{side.name}: {name.replace('_det', '-determinant')} far out is not finite at "
                        f"{_show(points[at])} "
                        f"(image {_show(result['image'][at])}, log-determinant {_show(result['log_det'][at])})"
                    )
            if side is FORWARD:
                self._inside(side.name, points, result["image"], self.codomain, "codomain")
            points = result["image"]

    def _whole_codomain(self, points: Array) -> None:
        """Points all over the codomain come from somewhere in the domain."""
        back = _batch(self.bijection, points, self.condition, INVERSE)
        again = _batch(self.bijection, back["image"], self.condition, FORWARD)["image"]
        hint = "; a density through this map would not integrate to 1. Declare its codomain, or map onto it"
        missed = ~np.isfinite(np.asarray(back["log_det"]))
        if missed.any():
            at = int(missed.argmax())
            raise CheckError(
                f"image: {_show(points[at])} lies in the codomain {self._declared()}, but not in the image: its "
                f"inverse is {_show(back['image'][at])}, of log-determinant {_show(back['log_det'][at])}{hint}"
            )
        self._inside("inverse", points, back["image"], self.domain, "domain")
        error, at = _error(again, points)
        self.errors["image"] = error
        if not error <= OF_IMAGE * self.tolerance:
            raise CheckError(
                f"image: {_show(points[at])} lies in the codomain {self._declared()}, but its inverse "
                f"{_show(back['image'][at])} is mapped to {_show(again[at])}, off by {error:.3g}{hint}"
            )

    def _outside(self, inner: Array) -> None:
        """Points outside of the codomain have no density, and no NaN."""
        for ends, sign in zip((end.reshape(-1) for end in self.codomain), (-1, 1), strict=True):
            if np.isfinite(ends).any():
                at = int(np.isfinite(ends).argmax())
                point = inner.reshape(-1).at[at].set(ends[at] + sign).reshape(inner.shape)
                z, log_det = INVERSE.run(self.bijection, point, self.condition)
                if not (bool(jnp.isfinite(z).all()) and float(log_det) == -math.inf):
                    raise CheckError(
                        f"outside: {_show(point)} lies outside of the codomain {self._declared()}; its inverse must be "
                        f"finite, of log-determinant -inf; got {_show(z)} and {_show(log_det)}"
                    )

    def _inside(self, name: str, points: Array, image: Array, ends: Interval, what: str) -> None:
        low, high = ends
        values = np.asarray(image, float)
        inside = ((values > low) & (values < high)).reshape(len(values), -1).all(axis=1)
        if not inside.all():
            at = int((~inside).argmax())
            raise CheckError(
                f"{name}: {_show(points[at])} is mapped to {_show(image[at])}, not inside the {what} "
                f"({_show(low)}, {_show(high)})"
            )

    def _declared(self) -> str:
        return f"({_show(self.codomain[0])}, {_show(self.codomain[1])})"

    def _close(self, name: str, points: Array, actual: Array, expected: Array, whose: str = "the expected") -> None:
        error, at = _error(actual, expected)
        self.errors[name] = max(error, self.errors.get(name, 0.0))
        if not error <= self.tolerance:
            raise CheckError(
                f"{name}: {_show(actual[at])} differs from {whose} {_show(expected[at])} by {error:.3g} (relative; the "
                f"tolerance is {self.tolerance:.3g}) at {_show(points[at])}"
            )


@eqx.filter_jit
def _batch(bijection: AbstractMap, points: Array, condition: Array | None, side: Side) -> dict[str, Any]:
    """Images, log-determinants, autodiff's log-determinants, and gradients of the sum of all, for each point."""
    trainable, rest = trees.partition(bijection)

    def one(point: Array) -> dict[str, Any]:
        def run(trainable: Any, point: Array) -> tuple[Array, Array]:
            return side.run(trees.combine(trainable, rest), point, condition)

        (image, log_det), pull = jax.vjp(run, trainable, point)
        rows = jax.vmap(lambda row: pull((row.reshape(image.shape), jnp.zeros_like(log_det)))[1].reshape(-1))(
            jnp.eye(image.size, dtype=image.dtype)
        )
        return {
            "image": image,
            "log_det": log_det,
            "autodiff": jnp.linalg.slogdet(rows)[1],
            "gradients": pull((jnp.ones_like(image), jnp.ones_like(log_det))),
        }

    return jax.vmap(one)(points)


@eqx.filter_jit
def _jacobian(bijection: AbstractMap, points: Array, condition: Array | None, side: Side, mode: Any) -> Array:
    """Derivatives of image and log-determinant, flat, for each point."""

    def flat(point: Array) -> Array:
        image, log_det = side.run(bijection, point, condition)
        return jnp.append(image.reshape(-1), log_det)

    result: Array = jax.vmap(lambda point: mode(flat)(point).reshape(-1))(points)
    return result


def _ends(ends: Sequence[Any], shape: tuple[int, ...]) -> Interval:
    """Both ends in the shape of a point.

    Raises:
        ValueError: they are not two, do not fit, or are not in order.
    """
    low, high = (np.broadcast_to(np.asarray(end, float), shape) for end in ends)
    if not (low < high).all():
        raise ValueError(f"ends must be (low, high), low below high; got {tuple(ends)!r}")
    return low, high


def _noise(draws: np.random.Generator, domain: Interval, n: int) -> Array:
    """Points of the domain, of several scales."""
    scales = np.resize(SPREAD, n).reshape(n, *[1] * domain[0].ndim)
    return _into(domain, scales * draws.normal(size=(n, *domain[0].shape)), 6 * max(SPREAD))


def _far(draws: np.random.Generator, domain: Interval, n: int, far: float) -> Array:
    """Points far out in all directions, and the middle."""
    noise = draws.uniform(-far, far, (n, *domain[0].shape))
    noise[0], noise[1], noise[2] = far, -far, 0
    return _into(domain, noise, far)


def _into(domain: Interval, noise: NDArray[Any], far: float) -> Array:
    """Points of the line, of sizes up to `far`, moved into the domain."""
    low, high = domain
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    start, end = np.where(has_low, low, 0), np.where(has_high, high, 1)
    between = (start + end) / 2 + (end - start) / 2 * np.clip(noise / far, -0.99, 0.99)
    step = np.abs(noise) + NEAR
    half = np.where(has_low, start + step, end - step)
    return jnp.asarray(np.where(has_low & has_high, between, np.where(has_low | has_high, half, noise)), float)


def _grid(draws: np.random.Generator, codomain: Interval, n: int) -> Array:
    """Points all over the codomain: all coordinates alike, then mixed."""
    low, high = codomain
    has_low, has_high = np.isfinite(low), np.isfinite(high)
    start, end = np.where(has_low, low, 0), np.where(has_high, high, 1)
    n_values = len(LINE)
    values = draws.integers(0, n_values, (n, *low.shape))
    values[:n_values] = np.arange(n_values).reshape(-1, *[1] * low.ndim)
    between = start + (end - start) * np.resize(SHARES, n_values)[values]
    step = np.resize((NEAR, *ALONG), n_values)[values]
    half = np.where(has_low, start + step, end - step)
    line = np.asarray(LINE)[values]
    return jnp.asarray(np.where(has_low & has_high, between, np.where(has_low | has_high, half, line)), float)


def _error(actual: Array, expected: Array) -> tuple[float, int]:
    """The largest difference, relative to 1 plus the largest number of a point, and of which point it is."""
    a, b = (np.asarray(array, float).reshape(len(array), -1) for array in (actual, expected))
    errors: NDArray[np.float64] = np.abs(a - b).max(axis=1) / (1 + np.abs(b).max(axis=1))
    errors = np.where(np.isnan(errors), np.inf, errors)
    return float(errors.max()), int(errors.argmax())


def _show(values: Any) -> str:
    flat = np.asarray(values).reshape(-1)
    if np.ndim(values) and flat.size and (flat == flat[0]).all() and not np.isfinite(flat[0]):
        return f"{flat[0]:g}"  # all ends alike
    if not np.ndim(values):
        return f"{flat[0]:.6g}"
    more = ", …" if flat.size > 4 else ""
    return "[" + ", ".join(f"{v:.6g}" for v in flat[:4]) + more + "]"
