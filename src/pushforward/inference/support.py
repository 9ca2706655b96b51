"""Where a log-density lives: constrained values, and the unconstrained vector that a flow makes."""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from pushforward.bijections import AbstractMap, require_bijection
from pushforward.checks import is_whole

Constrain = Callable[[Array], tuple[Any, Array]]
CONSTRAINTS = {  # what may be written, and the name of NumPyro's constraint
    "real": "real",
    "positive": "positive",
    "unit_interval": "unit_interval",
    "ordered": "ordered_vector",
    "simplex": "simplex",
    "corr_cholesky": "corr_cholesky",
    "lower_cholesky": "lower_cholesky",
    "positive_definite": "positive_definite",
    "interval": "interval",
    "greater_than": "greater_than",
    "less_than": "less_than",
}
UNCONSTRAINED = "unconstrained"
WITH_NUMBERS = ("interval", "greater_than", "less_than")
HELP = (
    "a support is the size of a real vector, {name: constraint or (constraint, shape)}, a bijection of a vector, or "
    "(size, function from a real vector to values and log-determinant)"
)


@dataclasses.dataclass(frozen=True)
class Support:
    """A map from real vectors to the values that a log-density takes.

    Arguments:
        size: of the real vector.
        constrain: from a vector of that size to the values and the map's log|det|.
        unconstrain: the way back, from values to a vector; None where nobody gave it.
        names: of the numbers of the vector, for messages; u[0], u[1], … by default.
        described: what the user wrote, which `as_support` makes the same of again; None where that is not known.
    """

    size: int
    constrain: Constrain
    unconstrain: Callable[[Any], Array] | None
    names: tuple[str, ...] = dataclasses.field(default=(), compare=False)
    described: Any = dataclasses.field(default=None, compare=False)

    def __post_init__(self) -> None:
        if not self.names:
            object.__setattr__(self, "names", tuple(f"u[{i}]" for i in range(self.size)))

    def written(self) -> Any:
        """What `as_support` makes the same of again, without code: for files.

        Raises:
            TypeError: the support is a function.
        """
        described = self.described
        if isinstance(described, Mapping):
            return {name: _written(name, each) for name, each in described.items()}
        if is_whole(described, 0):
            return int(described)
        if isinstance(described, AbstractMap):
            return described
        raise TypeError(
            "cannot save a posterior whose support is a function, which no file holds; pickle it, if the function can "
            "be imported, or save its flow, and its draws (diagnosis.values) with numpy.savez"
        )

    def __reduce__(self) -> Any:
        if self.described is not None:
            return as_support, (self.described,)
        return Support, (self.size, self.constrain, self.unconstrain, self.names)


def as_support(support: Any) -> Support:
    """A support from what a user writes.

    Arguments:
        support: the size of a real vector; {name: constraint} or {name: (constraint, shape)} with NumPyro's constraints
            or their names ("real", "positive", "interval(0, 1)", "ordered", "simplex", …), and the log-density takes a
            dictionary of values; a bijection of a vector, from real vectors to values; or (size, function) with a
            function u -> (values, log-determinant), for sets whose bounds depend on each other.

    Raises:
        ValueError: it is none of these, or a constraint has no name or shape that fits.

    Example:
        >>> import jax.numpy as jnp
        >>> from pushforward.inference.support import as_support
        >>> support = as_support({"scale": "positive", "share": ("simplex", 3)})
        >>> values, log_det = support.constrain(jnp.zeros(support.size))
        >>> support.size, values["scale"].item(), values["share"].shape
        (3, 1.0, (3,))
    """
    result = _read(support)
    if result.size < 1:
        raise ValueError(f"the support {support!r} has size {result.size}; expected a vector of at least one number")
    return result


def _read(support: Any) -> Support:
    if isinstance(support, Support):
        return support
    if isinstance(support, Mapping):
        described = tuple(support.items())
        try:
            return _named_once(described)
        except TypeError:  # NumPyro's constraints have no hash
            return _named(described)
    if isinstance(support, AbstractMap):
        return _mapped(support)
    if is_whole(support, 0):
        return Support(int(support), _as_it_is, jnp.asarray, labels("x", (int(support),)), support)
    if isinstance(support, tuple) and len(support) == 2 and is_whole(support[0], 0) and callable(support[1]):
        return Support(int(support[0]), support[1], None, described=support)
    raise ValueError(f"cannot read the support {support!r}: {HELP}")


def _as_it_is(u: Array) -> tuple[Array, Array]:
    return u, jnp.zeros((), u.dtype)


def _mapped(bijection: AbstractMap) -> Support:
    require_bijection(bijection, "the support")
    if len(bijection.shape) != 1 or bijection.cond_shape is not None:
        raise ValueError(f"a support is a map of vectors without condition; this one has shape {bijection.shape}")

    # functions of their own: a method's hash is that of the map's arrays, which have none
    def constrain(u: Array) -> tuple[Array, Array]:
        return bijection.forward_and_log_det(u)

    def unconstrain(values: Array) -> Array:
        return bijection.inverse(values)

    return Support(bijection.shape[0], constrain, unconstrain, described=bijection)


def _named(constraints: tuple[tuple[str, Any], ...]) -> Support:
    """Named values, each from its stretch of the vector by NumPyro's transformation."""
    if not constraints:
        raise ValueError("the support is an empty dictionary; name at least one value")
    parts, at = {}, 0
    for name, described in constraints:
        transform, shape = _transform(name, described)
        parts[name] = (transform, slice(at, at + int(np.prod(shape))), shape)
        at += int(np.prod(shape))

    def constrain(u: Array) -> tuple[dict[str, Array], Array]:
        values, log_det = {}, jnp.zeros((), u.dtype)
        for name, (transform, where, shape) in parts.items():
            inner = u[where].reshape(shape)
            values[name] = transform(inner)
            log_det += transform.log_abs_det_jacobian(inner, values[name]).sum()
        return values, log_det

    def unconstrain(values: Mapping[str, Array]) -> Array:
        return jnp.concatenate([transform.inv(values[name]).reshape(-1) for name, (transform, _, _) in parts.items()])

    names = [label for name, (transform, _, shape) in parts.items() for label in labels(name, shape, transform)]
    return Support(at, constrain, unconstrain, tuple(names), dict(constraints))


_named_once = functools.cache(_named)  # equal supports are one, so that a fit that is repeated compiles nothing


def labels(name: str, shape: tuple[int, ...], transform: Any = None) -> tuple[str, ...]:
    """The names of the numbers of an array, which are called unconstrained where a transformation moves them."""
    name = f"{UNCONSTRAINED} {name}" if transform is not None and _moves(transform) else name
    return tuple(name + (f"[{','.join(map(str, at))}]" if at else "") for at in np.ndindex(shape))


def _moves(transform: Any) -> bool:
    """Whether a transformation of NumPyro's is another than the identity."""
    from numpyro.distributions.transforms import IdentityTransform, IndependentTransform

    while isinstance(transform, IndependentTransform):
        transform = transform.base_transform
    return not isinstance(transform, IdentityTransform)


def _written(name: str, described: Any) -> Any:
    """A constraint with its shape as `as_support` reads them, in words."""
    from numpyro.distributions import constraints

    constraint, shape = _described(name, described)
    if constraint is constraints.nonnegative:  # has the same transformation
        return "positive", shape
    for text, known in CONSTRAINTS.items():
        kind = getattr(constraints, known)
        if text not in WITH_NUMBERS and constraint is kind:
            return text, shape
        if text in WITH_NUMBERS and type(constraint) is kind:
            bounds = [vars(constraint)[end] for end in ("lower_bound", "upper_bound") if end in vars(constraint)]
            if all(np.ndim(bound) == 0 for bound in bounds):
                return f"{text}({', '.join(repr(float(bound)) for bound in bounds)})", shape
    raise TypeError(
        f"cannot save a posterior whose support keeps {name!r} to {constraint!r}; write it with a name and numbers, as "
        "in 'interval(0, 1)'"
    )


def _transform(name: str, described: Any) -> tuple[Any, tuple[int, ...]]:
    """NumPyro's transformation onto a constraint, and the shape of what it takes."""
    from numpyro.distributions import biject_to

    constraint, shape = _described(name, described)
    try:
        transform = biject_to(constraint)
        inner = tuple(transform.inverse_shape(shape))
        jax.eval_shape(lambda: transform(jnp.zeros(inner)))
    except (NotImplementedError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"{name!r}: values of shape {shape} cannot keep to {described!r}: {error}") from error
    return transform, inner


def _described(name: str, described: Any) -> tuple[Any, tuple[int, ...]]:
    """A constraint of NumPyro's, and the shape of the values."""
    if isinstance(described, tuple) and len(described) != 2:
        raise ValueError(f"{name!r}: expected a constraint or (constraint, shape); got {described!r}")
    constraint, shape = described if isinstance(described, tuple) else (described, ())
    shape = (shape,) if is_whole(shape, 0) else shape
    if not isinstance(shape, tuple) or not all(is_whole(n, 0) for n in shape):
        raise ValueError(f"{name!r}: the shape must be a whole number or a tuple of them; got {shape!r}")
    if isinstance(constraint, str):
        constraint = _constraint(name, constraint)
    bounds = [vars(constraint)[end] for end in ("lower_bound", "upper_bound") if end in vars(constraint)]
    known = [np.asarray(bound) for bound in bounds if bound is not None]
    if not all(np.isfinite(bound).all() for bound in known) or (len(known) == 2 and not (known[0] < known[1]).all()):
        raise ValueError(f"{name!r}: bounds must be finite, and the lower one below the upper one; got {bounds}")
    return constraint, shape


def _constraint(name: str, text: str) -> Any:
    """NumPyro's constraint of that name, with its numbers in brackets."""
    from numpyro.distributions import constraints

    result = re.fullmatch(r"\s*(\w+)\s*(?:\(([^()]*)\))?\s*", text)
    if result is None or result[1] not in CONSTRAINTS:
        raise ValueError(f"{name!r}: unknown constraint {text!r}; choose one of {sorted(CONSTRAINTS)}")
    constraint = getattr(constraints, CONSTRAINTS[result[1]])
    if result[2] is None and result[1] not in WITH_NUMBERS:
        return constraint
    try:
        return constraint(*(float(number) for number in (result[2] or "").split(",")))
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name!r}: cannot read the numbers of {text!r}; write interval(0, 1), say") from error
