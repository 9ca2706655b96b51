"""Supports: constrained values, volumes against autodiff, and what is refused."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from numpyro.distributions import constraints

from pushforward.bijections import Affine, Chain, Exp
from pushforward.inference import as_support
from pushforward.inference.target import as_target

KEPT: dict[Any, Callable[[Any], Any]] = {
    "real": np.isfinite,
    "positive": lambda v: v > 0,
    "interval(-1, 3)": lambda v: (v > -1) & (v < 3),
    "greater_than(2)": lambda v: v > 2,
    ("ordered", 4): lambda v: np.diff(v) > 0,
    ("simplex", 3): lambda v: np.isclose(v.sum(), 1, atol=1e-5) & (v > 0).all(),
    ("positive", (2, 2)): lambda v: v > 0,
}


@pytest.mark.parametrize("described", KEPT, ids=str)
def test_values_keep_to_their_constraint_and_come_back(described: Any) -> None:
    support = as_support({"value": described})
    u = jax.random.normal(jax.random.key(0), (support.size,))
    values, log_det = support.constrain(u)
    assert np.all(KEPT[described](np.asarray(values["value"])))
    assert support.unconstrain is not None
    np.testing.assert_allclose(support.unconstrain(values), u, atol=2e-4)

    def free(u: Any) -> Any:
        flat = ravel_pytree(support.constrain(u)[0])[0]
        return flat[: support.size]  # a simplex has one number more than it is free in

    expected = np.linalg.slogdet(np.asarray(jax.jacfwd(free)(u)))[1]
    assert log_det == pytest.approx(expected, abs=1e-4)


def test_parts_stand_side_by_side() -> None:
    support = as_support({"a": "positive", "b": ("real", (2, 3)), "c": (constraints.unit_interval, 2)})
    values, log_det = support.constrain(jnp.zeros(support.size))
    assert support.size == 9 and {k: v.shape for k, v in values.items()} == {"a": (), "b": (2, 3), "c": (2,)}
    assert log_det == pytest.approx(2 * np.log(0.25))


def test_a_bijection_and_a_function_are_supports() -> None:
    bijection = Chain([Affine(jnp.ones(2), jnp.full(2, 2.0)), Exp((2,))])
    there, log_det = as_support(bijection).constrain(jnp.zeros(2))
    np.testing.assert_allclose(there, np.e, rtol=1e-6)
    assert log_det == pytest.approx(2 * (np.log(2) + 1))
    assert as_support((3, lambda u: (u, 0.0))).unconstrain is None


def test_equal_descriptions_are_one_support() -> None:
    assert as_support({"a": ("simplex", 3)}) == as_support({"a": ("simplex", 3)})


@pytest.mark.parametrize(
    ("support", "message"),
    [
        (0, "at least one number"),
        (True, "cannot read the support True"),
        ("positive", "cannot read the support 'positive'"),
        ({}, "name at least one value"),
        ({"a": "positiv"}, "'a': unknown constraint 'positiv'; choose one of"),
        ({"a": "interval(0)"}, "'a': cannot read the numbers of 'interval\\(0\\)'"),
        ({"a": "simplex"}, "'a': values of shape \\(\\) cannot keep to 'simplex'"),
        ({"a": ("corr_cholesky", (2, 3))}, "'a': values of shape \\(2, 3\\)"),
        ({"a": ("simplex", 1)}, "has size 0; expected a vector of at least one number"),
        ({"a": "interval"}, "'a': cannot read the numbers of 'interval'"),
        ({"a": "interval(1, 0)"}, "'a': bounds must be finite, and the lower one below the upper one"),
        ({"a": "greater_than(inf)"}, "'a': bounds must be finite"),
        ({"a": ("real", 2, 3)}, "'a': expected a constraint or \\(constraint, shape\\)"),
        ({"a": ("real", 2.0)}, "'a': the shape must be a whole number or a tuple of them; got 2.0"),
        (Exp(()), "a support is a map of vectors without condition; this one has shape \\(\\)"),
    ],
    ids=str,
)
def test_an_impossible_support_is_named(support: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_support(support)


def test_a_function_that_forgets_its_log_determinant_is_named() -> None:
    with pytest.raises(ValueError, match="must give two things, the values and its log-determinant"):
        as_target(lambda x: -x.sum(), (2, jnp.exp))
