"""A map of plain JAX functions: what they leave out is found by automatic differentiation and by solving equations."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from pushforward.bijections._implicit import along, implicit
from pushforward.bijections._linalg import inverse_and_log_det
from pushforward.bijections._roots import increasing_root
from pushforward.bijections.base import AbstractBijection
from pushforward.checks import check_shape, limits

MOST_STEPS = 100  # of Newton's method
MOST_HALVINGS = 20  # of a step that does not come nearer
Function: TypeAlias = Callable[..., Array]
Ends: TypeAlias = tuple[float, float]
LINE: Ends = (-math.inf, math.inf)


class Functions(AbstractBijection):
    """A map of functions of one point, as `from_functions` makes it.

    Forward costs the function, and the log-determinant one pass for each coordinate where it is not given. Inverse, if
    it is not given, is solved for to the precision of the dtype: a single number, or each of `elementwise`, between
    ends that hold it; a vector by Newton's method from x itself, with the whole Jacobian. A point where that does
    not converge comes out as NaN. Derivatives of either are implicit, in both modes.
    """

    function: Function
    undo: Function | None
    log_slope: Function | None
    shape: tuple[int, ...] = eqx.field(static=True)
    cond_shape: tuple[int, ...] | None = eqx.field(static=True)
    shape_inside: tuple[int, ...] = eqx.field(static=True)
    ends: Ends = eqx.field(static=True)
    elementwise: bool = eqx.field(static=True)

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """The event shape of z."""
        return self.shape_inside

    @property
    def codomain(self) -> Ends:
        """The ends of each coordinate of x."""
        return self.ends

    def forward_and_log_det(self, z: Array, condition: Array | None = None) -> tuple[Array, Array]:
        return keep_inside(self._forward(z, condition), self.ends), self._log_det(z, condition)

    def inverse_and_log_det(self, x: Array, condition: Array | None = None) -> tuple[Array, Array]:
        middle = lax.stop_gradient(self._forward(jnp.zeros(self.shape_inside, x.dtype), condition))
        inside, x = move_inside(x, middle, self.ends)
        z = self._solve(x, condition) if self.undo is None else self._call(self.undo, x, condition)
        return jnp.where(inside, z, 0), jnp.where(inside, -self._log_det(z, condition), -jnp.inf)

    def _call(self, function: Function, point: Array, condition: Array | None) -> Array:
        return jnp.asarray(function(point) if self.cond_shape is None else function(point, condition), point.dtype)

    def _forward(self, z: Array, condition: Array | None) -> Array:
        return self._call(self.function, z, condition)

    def _log_det(self, z: Array, condition: Array | None) -> Array:
        if self.log_slope is not None:
            return self._call(self.log_slope, z, condition)
        if self.elementwise:
            slopes = jax.jvp(lambda z: self._forward(z, condition), (z,), (jnp.ones_like(z),))[1]
            return jnp.log(jnp.abs(slopes)).sum()
        return inverse_and_log_det(self._jacobian(z, condition))[1]

    def _jacobian(self, z: Array, condition: Array | None) -> Array:
        def flat(numbers: Array) -> Array:
            return self._forward(numbers.reshape(self.shape_inside), condition).reshape(-1)

        jacobian: Array = jax.jacfwd(flat)(z.reshape(-1))
        return jacobian

    def _solve(self, x: Array, condition: Array | None) -> Array:
        """The z with f(z) = x, NaN where none is found."""
        if not self.elementwise:
            return self._newton(x, condition)

        def rising(z: Array) -> Array:
            return sign * self._forward(z, condition)

        one = jnp.ones(self.shape_inside, x.dtype)
        ahead, behind = self._forward(one, condition), self._forward(-one, condition)
        sign = lax.stop_gradient(jnp.where(ahead < behind, -1, 1).astype(x.dtype))
        low, high = _bracket(lambda z: lax.stop_gradient(rising(z)), lax.stop_gradient(sign * x))
        return increasing_root(rising, sign * x, low, high)

    def _newton(self, x: Array, condition: Array | None) -> Array:
        def image(z: Array) -> Array:
            return self._forward(z.reshape(self.shape_inside), condition).reshape(-1)

        y, nothing = x.reshape(-1), jnp.zeros(x.size, x.dtype)
        near = lax.stop_gradient(y)
        gaps = [jnp.abs(lax.stop_gradient(image(guess) - y)).max() for guess in (near, nothing)]
        guess = jnp.where(jnp.isfinite(gaps[0]) & ~(gaps[0] > gaps[1]), near, nothing)
        z: Array = _root(eqx.filter_closure_convert(image, guess), y, guess)
        gap = jnp.abs(lax.stop_gradient(image(lax.stop_gradient(z)) - y))
        solved = (gap <= limits(x.dtype).eps ** 0.5 * (1 + jnp.abs(near))).all()
        return jnp.where(solved, z, jnp.nan).reshape(self.shape_inside)


def from_functions(
    forward: Any,
    inverse: Any = None,
    log_det: Any = None,
    *,
    shape: tuple[int, ...],
    noise_shape: tuple[int, ...] | None = None,
    cond_shape: tuple[int, ...] | None = None,
    codomain: Sequence[Any] = LINE,
    elementwise: bool = False,
) -> Functions:
    """A map of plain JAX functions of one point, x = forward(z), or forward(z, condition) where it takes one.

    What trains are the arrays of functions that are modules (`equinox.Module` with `__call__`); plain functions are
    fixed. A map of modules that are registered (`pushforward.serialization.register`) can be saved, one of plain
    functions or lambdas cannot.

    Arguments:
        forward: from z to x, invertible; by autodiff differentiable.
        inverse: from x to z; None to solve for it.
        log_det: from z to log|det dx/dz|, a scalar; None for autodiff's, of the whole Jacobian.
        shape: of x.
        noise_shape: of z, of as many numbers; None for that of x.
        cond_shape: of the condition; None if the functions take none.
        codomain: ends (low, high) of each coordinate of x, which is the whole interval between them; outside, the
            log-density is -inf. `testing.check_bijection` checks it.
        elementwise: whether each coordinate of x depends on the same one of z alone, and rises or falls with it: its
            log-determinant then costs one pass, and its inverse is solved for between ends.

    Returns:
        A map like any other.

    Raises:
        ValueError: a function is none, a shape does not fit what `forward` gives, or the ends are not in order.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.bijections import from_functions
        >>> cubic = from_functions(lambda z: z + z**3, shape=())
        >>> round(cubic.inverse(jnp.array(10.0)).item(), 4)
        2.0
    """
    for name, function in (("forward", forward), ("inverse", inverse), ("log_det", log_det)):
        if not (callable(function) or (function is None and name != "forward")):
            raise ValueError(f"{name} must be a function of one point; got {function!r}")
    shape = check_shape("shape", shape)
    inside = shape if noise_shape is None else check_shape("noise_shape", noise_shape)
    if cond_shape is not None:
        check_shape("cond_shape", cond_shape)
    if math.prod(inside) != math.prod(shape):
        raise ValueError(f"noise_shape {inside} must have as many numbers as shape {shape}")
    if elementwise and inside != shape:
        raise ValueError(f"an elementwise map keeps its shape; got noise_shape {inside} and shape {shape}")
    low, high = check_ends(codomain)
    given = () if cond_shape is None else (jnp.zeros(cond_shape),)
    for name, function, at, expected in (
        ("forward", forward, inside, shape),
        ("inverse", inverse, shape, inside),
        ("log_det", log_det, inside, ()),
    ):
        if function is not None:
            _check_shape(name, function, (jnp.zeros(at), *given), expected)
    single = math.prod(shape) == 1 and inside == shape
    return Functions(forward, inverse, log_det, shape, cond_shape, inside, (low, high), elementwise or single)


def _check_shape(name: str, function: Any, arguments: tuple[Array, ...], expected: tuple[int, ...]) -> None:
    shapes = " and ".join(str(a.shape) for a in arguments)
    try:
        result = eqx.filter_eval_shape(function, *arguments).shape
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} does not take arguments of shape {shapes}: {error}") from error
    if result != expected:
        raise ValueError(f"{name} gives shape {result} for arguments of shape {shapes}; expected {expected}")


def check_ends(codomain: Sequence[Any]) -> Ends:
    """The ends of an interval.

    Raises:
        ValueError: they are not two numbers, the first below the second.
    """
    low, high = (float(end) for end in codomain)
    if not low < high:
        raise ValueError(f"codomain must be (low, high), low below high; got {codomain!r}")
    return low, high


def keep_inside(x: Array, ends: Ends) -> Array:
    """x, moved by a rounding where it has come to lie on an end of the interval or beyond."""
    low, high = (jnp.asarray(end, x.dtype) for end in ends)
    tiny = limits(x.dtype).tiny  # numbers below it are flushed to zero on some devices
    above = jnp.maximum(jnp.nextafter(low, high), low + tiny)
    below = jnp.minimum(jnp.nextafter(high, low), high - tiny)
    x = x if math.isinf(ends[0]) else jnp.maximum(x, above)
    return x if math.isinf(ends[1]) else jnp.minimum(x, below)


def move_inside(x: Array, middle: Array, ends: Ends) -> tuple[Array, Array]:
    """Whether all coordinates of x lie within the interval, and x, or `middle` if they do not."""
    if ends == LINE:
        return jnp.ones((), bool), x
    inside = ((x > ends[0]) & (x < ends[1])).all()
    return inside, jnp.where(inside, x, middle)


def _bracket(function: Callable[[Array], Array], y: Array) -> tuple[Array, Array]:
    """Ends between which an increasing function passes y, the nearest of −1, −2, −4, … and of 1, 2, 4, …"""
    largest = limits(y.dtype).max / 4

    def unfinished(ends: tuple[Array, Array]) -> Array:
        low, high = ends
        going_on: Array = jnp.any(_short(function, y, low, high) & (jnp.maximum(-low, high) < largest))
        return going_on

    def body(ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        return (
            jnp.where((function(low) <= y) | (low < -largest), low, 2 * low),
            jnp.where((function(high) >= y) | (high > largest), high, 2 * high),
        )

    result: tuple[Array, Array] = lax.while_loop(unfinished, body, (-jnp.ones_like(y), jnp.ones_like(y)))
    return result


def _short(function: Callable[[Array], Array], y: Array, low: Array, high: Array) -> Array:
    return ~((function(low) <= y) & (function(high) >= y))


def _newton(residual: Callable[[Array], Array], guess: Array) -> Array:
    """Newton's method, whose steps are halved until they come nearer; the whole Jacobian at each."""

    def unfinished(state: tuple[Array, Array, Array]) -> Array:
        i, z, step = state
        moves = jnp.abs(step).max() > limits(z.dtype).eps * jnp.abs(z).max()
        going_on: Array = (i < MOST_STEPS) & moves
        return going_on

    def body(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        i, z, _ = state
        here = residual(z)
        # nearness is that of the point, not of its image, whose coordinates may be of any scale (Deuflhard 2011)
        back = inverse_and_log_det(jax.jacfwd(residual)(z))[0]
        full = -(back @ here)
        size = jnp.abs(full).max()

        def farther(trial: tuple[Array, Array]) -> Array:
            n, step = trial
            nearer = jnp.abs(back @ residual(z + step)).max() < size
            going_on: Array = (n < MOST_HALVINGS) & ~nearer
            return going_on

        n, step = lax.while_loop(farther, lambda trial: (trial[0] + 1, trial[1] / 2), (jnp.zeros((), int), full))
        step = jnp.where(n < MOST_HALVINGS, step, 0)  # as near as rounding lets it come
        return i + 1, z + step, step

    start = (jnp.zeros((), int), guess, jnp.full_like(guess, jnp.inf))
    root: Array = lax.while_loop(unfinished, body, start)[1]
    return root


def _solve(function: Callable[[Array], Array], y: Array, guess: Array) -> Array:
    return _newton(lambda z: function(z) - y, guess)


def _derivative(root: Array, arguments: Any, tangents: Any) -> Array:
    """The implicit derivative of f(z, θ) = y: J dz = dy − ∂f/∂θ dθ."""
    function, (function_dot, y_dot, _) = arguments[0], tangents
    moves = along(lambda function: function(root), (function,), (function_dot,))
    moved: Array = inverse_and_log_det(jax.jacfwd(function)(root))[0] @ (-moves if y_dot is None else y_dot - moves)
    return moved


_root = implicit(_solve, _derivative)
