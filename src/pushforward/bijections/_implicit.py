"""Functions with a derivative of their own, by the implicit function theorem, that keep it wherever they are used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jax.extend.core import ClosedJaxpr, Primitive, jaxpr_as_fun
from jax.interpreters import ad, batching, mlir


def implicit(function: Callable[..., Any], derivative: Callable[[Any, Any, Any], Any]) -> Callable[..., Any]:
    """`function`, whose code is never differentiated, with a derivative of any order, forward and reverse.

    It is one operation to JAX: reverse mode through a `lax.scan` looks for what stays the same from step to step, and
    on its way drops the rules of `jax.custom_jvp` (jax 0.10), so that second derivatives would go through the solver.

    Arguments:
        function: of pytrees, which closes over no array.
        derivative: (value, arguments, their tangents) -> the value's tangent, which is differentiated in turn for
            derivatives of higher order. A leaf's tangent is None where it does not move.
    """

    @eqx.filter_custom_jvp
    def plain(*arguments: Any) -> Any:
        return function(*arguments)

    @plain.def_jvp  # type: ignore[untyped-decorator]
    def rule(primals: Any, tangents: Any) -> Any:
        value = wrapped(*primals)
        return value, derivative(value, primals, tangents)

    def wrapped(*arguments: Any) -> Any:
        arrays, static = eqx.partition(arguments, eqx.is_array)
        leaves, structure = jax.tree.flatten(arrays)

        def flat(*leaves: Any) -> Any:
            return plain(*eqx.combine(jax.tree.unflatten(structure, leaves), static))

        traced, shape = jax.make_jaxpr(flat, return_shape=True)(*leaves)
        return jax.tree.unflatten(jax.tree.structure(shape), _call.bind(*leaves, traced=traced))

    return wrapped


def along(function: Callable[..., Any], arguments: Any, tangents: Any) -> Any:
    """The tangent of `function(*arguments)`, where leaves whose tangent is None stay."""
    moves = jax.tree.map(lambda tangent: tangent is not None, tangents, is_leaf=lambda tangent: tangent is None)
    moving, rest = eqx.partition(arguments, moves)
    return jax.jvp(lambda moving: function(*eqx.combine(moving, rest)), (moving,), (tangents,))[1]


_call: Any = Primitive("implicit")
_call.multiple_results = True


def _run(*leaves: Any, traced: ClosedJaxpr) -> Any:
    return jaxpr_as_fun(traced)(*leaves)


def _jvp(primals: Any, tangents: Any, *, traced: ClosedJaxpr) -> Any:
    moves = [not isinstance(tangent, ad.Zero) for tangent in tangents]

    def moved(*moving: Any) -> Any:
        rest = iter(moving)
        return _run(*(next(rest) if m else p for m, p in zip(moves, primals, strict=True)), traced=traced)

    at, towards = ([leaf for leaf, m in zip(leaves, moves, strict=True) if m] for leaves in (primals, tangents))
    return jax.jvp(moved, at, towards)


def _batched(leaves: Any, axes: Any, *, traced: ClosedJaxpr) -> Any:
    mapped = jax.make_jaxpr(jax.vmap(jaxpr_as_fun(traced), in_axes=tuple(axes)))(*leaves)
    result = _call.bind(*leaves, traced=mapped)
    return result, [0] * len(result)


_call.def_impl(_run)
_call.def_abstract_eval(lambda *_, traced: traced.out_avals)
ad.primitive_jvps[_call] = _jvp
batching.primitive_batchers[_call] = _batched
mlir.register_lowering(_call, mlir.lower_fun(_run, multiple_results=True))
