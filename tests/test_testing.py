"""The public check of maps finds what is wrong, and says what."""

from typing import Any

import jax
import jax.numpy as jnp
import pytest

from pushforward.bijections import (
    AbstractBijection,
    Bounded,
    Concatenate,
    Exp,
    Identity,
    Invert,
    Residual,
    Tanh,
    Vmap,
    from_functions,
)
from pushforward.networks import Lipschitz
from pushforward.testing import CheckError, check_bijection


class Wrong(Identity):
    """Says nothing of what it is."""

    def inverse_and_log_det(self, x: Any, condition: Any = None) -> Any:
        return x, jnp.zeros((), jnp.int32)


PARTS = Concatenate([Exp((2,)), Bounded(jnp.zeros(1), jnp.ones(1)), Identity((1,))])


@pytest.mark.parametrize(
    "bijection",
    [
        Tanh((2,)),
        Invert(Exp(())),
        Bounded(jnp.array([0.0, -jnp.inf]), jnp.array([1.0, 3.0])),
        pytest.param(Vmap(PARTS, 2, axis=1), marks=pytest.mark.long),
        Concatenate([Identity((1, 3)), Invert(Exp((1, 3)))], axis=0),
    ],
)
def test_maps_that_keep_the_contract_pass(bijection: AbstractBijection) -> None:
    report = check_bijection(bijection)
    assert max(report.errors.values()) < report.tolerance


@pytest.mark.parametrize(
    ("message", "bijection", "options"),
    [
        ("image: .* lies in the codomain .-inf, inf.", from_functions(jnp.tanh, jnp.arctanh, shape=()), {}),
        ("image: ", Tanh((2,)), {"codomain": (-2.0, 2.0)}),
        (
            "log-determinant: .* differs from autodiff's",
            from_functions(lambda z: 2 * z, None, lambda z: 0 * z, shape=()),
            {},
        ),
        ("by 0", from_functions(lambda z: 2 * z, lambda x: x / 3, shape=()), {}),
        ("far out is not finite", from_functions(jnp.exp, jnp.log, lambda z: z, shape=(), codomain=(0, jnp.inf)), {}),
        ("must have shape", Wrong(()), {}),
    ],
)
def test_what_is_wrong_is_said(message: str, bijection: AbstractBijection, options: Any) -> None:
    with pytest.raises(CheckError, match=message):
        check_bijection(bijection, **options)


def test_far_can_be_nearer() -> None:
    check_bijection(Exp(()), far=50.0, key=jax.random.key(1))


def test_estimates_are_refused() -> None:
    with pytest.raises(ValueError, match="unbiased"):
        check_bijection(Residual(Lipschitz.init(jax.random.key(0), 5, 5, (4,)), 5))
