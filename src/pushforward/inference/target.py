"""What a posterior is fitted to: a log-density of real vectors, checked before anything runs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from types import FunctionType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from pushforward.inference.precision import double_precision
from pushforward.inference.support import Support, as_support


@dataclasses.dataclass(frozen=True)
class Target:
    """A log-density of real vectors; like ones are equal, so that a fit that is repeated compiles nothing.

    Arguments:
        log_density: of the values of the support, in nats, up to a constant.
        support: where the values live.
        double: whether it is evaluated in double precision.
    """

    log_density: Callable[[Any], Array]
    support: Support
    double: bool

    @property
    def size(self) -> int:
        """Of the real vector."""
        return self.support.size

    def precision(self) -> contextlib.AbstractContextManager[Any]:
        """The context to evaluate it in."""
        return double_precision(self.double)

    def __call__(self, u: Array) -> Array:
        values, log_det = self.support.constrain(u)
        return self.log_density(values) + log_det


def as_target(log_density: Callable[[Any], Array], support: Any) -> Target:
    """A log-density as a `Target`, traced once to check it.

    Everything is done in double precision: posteriors are small, and badly scaled ones need it. A function whose own
    arrays are of single precision in a place that must not change it (the state of a `lax.scan`) is left as it is.

    Arguments:
        log_density: a JAX function from values to a scalar, in nats.
        support: what `as_support` takes.

    Raises:
        ValueError: the support is impossible, the function cannot be traced by JAX, or gives no real scalar.
    """
    if not callable(log_density):
        raise ValueError(f"log_density must be a function of the values of the support; got {log_density!r}")
    where, log_density = as_support(support), _hashable(log_density)
    try:
        target = Target(log_density, where, True)
        result = _traced(target)
    except TypeError as error:
        if jnp.result_type(float) == jnp.float64:
            raise
        target = Target(log_density, where, False)
        try:
            result = _traced(target)
        except TypeError:
            raise error from None  # it is not about precision
    if not _is_array(result) or result.shape != () or not jnp.issubdtype(result.dtype, jnp.floating):
        got = f"shape {result.shape} of {result.dtype}" if _is_array(result) else repr(result)
        raise ValueError(f"{_name(log_density)} must give a real scalar; got {got}; sum over observations")
    return target


def _is_array(traced: Any) -> bool:
    """Whether something that was traced is an array."""
    return isinstance(traced, jax.ShapeDtypeStruct)


def _name(log_density: Callable[[Any], Array]) -> str:
    return log_density.__name__ if isinstance(log_density, FunctionType) else repr(log_density)


def _hashable(log_density: Callable[[Any], Array]) -> Callable[[Any], Array]:
    """The log-density as something that compiled programs can be kept by: itself, or a function that calls it."""
    try:
        hash(log_density)
    except TypeError:  # a module that holds arrays, say

        def wrapped(values: Any) -> Array:
            return log_density(values)

        wrapped.__name__ = type(log_density).__name__
        return wrapped
    return log_density


def _traced(target: Target) -> Any:
    """Shape and type of what the log-density gives."""
    with target.precision():
        try:
            made = eqx.filter_eval_shape(target.support.constrain, jnp.zeros(target.size))
            if not isinstance(made, tuple) or len(made) != 2 or not _is_array(made[1]) or made[1].shape != ():
                raise ValueError(
                    "the function of the support must give two things, the values and its log-determinant, a scalar; "
                    f"got {made}"
                )
            return eqx.filter_eval_shape(target.log_density, made[0])
        except jax.errors.JAXTypeError as error:
            raise ValueError(
                f"{_name(target.log_density)} is no JAX function: it turned its argument into NumPy or plain Python; "
                "use jax.numpy, and jax.lax.cond or jnp.where in place of if"
            ) from error
