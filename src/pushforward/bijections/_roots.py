"""Roots of increasing functions, bracketed and to the precision of their dtype, with implicit gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from pushforward.bijections._implicit import along, implicit
from pushforward.checks import limits

State: TypeAlias = tuple[Array, Array, Array, Array, Array]  # steps, root, bracket, last step


def increasing_root(function: Callable[[Array], Array], y: Array, low: Array, high: Array) -> Array:
    """The a with function(a) = y, entry by entry, by Newton steps that a shrinking bracket keeps safe.

    Derivatives, forward and reverse and of any order, follow from the implicit function theorem, at the cost of one
    division.

    Arguments:
        function: increasing in each entry, which depends on the same entry alone.
        y: floating, any shape.
        low, high: ends between which the root lies, of the same shape.

    Returns:
        The roots; NaN where the function neither comes close to y nor passes it within a few units in the last place,
        so that nothing goes on from a wrong point.
    """
    root: Array = _root(eqx.filter_closure_convert(function, y), y, low, high)
    eps, here, y = limits(y.dtype).eps, lax.stop_gradient(root), lax.stop_gradient(y)
    width = 16 * eps * jnp.abs(here)
    below, at, above = jax.vmap(lambda a: lax.stop_gradient(function(a)))(jnp.stack([here - width, here, here + width]))
    close = jnp.abs(at - y) <= eps**0.5 * (1 + jnp.abs(y))
    passed = (below <= y) & (above >= y)
    checked: Array = jnp.where(close | passed, root, jnp.nan)
    return checked


def _newton(residual: Callable[[Array], Array], guess: Array, low: Array, high: Array) -> Array:
    """Newton's method that halves the bracket wherever a step would leave it or shrinks too slowly."""
    precision = limits(guess.dtype)
    most = 2 * precision.nmant + 20  # twice what halving alone needs from a bracket as wide as the root is large

    def unfinished(state: State) -> Array:
        i, a, _, _, step = state
        moves = jnp.abs(step) > precision.eps * jnp.abs(a) + precision.tiny
        going_on: Array = (i < most) & jnp.any(moves)
        return going_on

    def body(state: State) -> State:
        i, a, low, high, step = state
        value, slope = jax.jvp(residual, (a,), (jnp.ones_like(a),))
        low, high = jnp.where(value <= 0, a, low), jnp.where(value >= 0, a, high)
        newton, middle = a - value / slope, (low + high) / 2
        good = (newton >= low) & (newton <= high) & (jnp.abs(newton - a) <= jnp.abs(step) / 2)
        new = jnp.where(good, newton, middle)
        return i + 1, new, low, high, new - a

    start = (jnp.zeros((), jnp.int32), guess, low, high, 2 * (high - low))
    root: Array = lax.while_loop(unfinished, body, start)[1]
    return root


def _solve(function: Callable[[Array], Array], y: Array, low: Array, high: Array) -> Array:
    return _newton(lambda a: function(a) - y, (low + high) / 2, low, high)


def _derivative(root: Array, arguments: Any, tangents: Any) -> Array:
    """The implicit derivative of f(a, θ) = y: ∂f/∂a da = dy − ∂f/∂θ dθ."""
    function, (function_dot, y_dot, *_) = arguments[0], tangents
    slope = jax.jvp(function, (root,), (jnp.ones_like(root),))[1]
    moves = along(lambda function: function(root), (function,), (function_dot,))
    moved: Array = (-moves if y_dot is None else y_dot - moves) / slope
    return moved


_root = implicit(_solve, _derivative)
