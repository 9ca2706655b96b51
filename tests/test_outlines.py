"""Maps and distributions print in a few lines, whatever they are made of."""

import equinox as eqx
import jax.numpy as jnp
import pytest

from pushforward import flows
from pushforward.bijections import Affine, Chain, Exp, Invert, Scan, Untrained
from pushforward.distributions import MixtureOfFlows, Normal, Pushforward
from pushforward.networks import MLP
from tests.keys import cheap_key

AFFINE = Affine(jnp.zeros(2), jnp.ones(2))
CHAIN = Chain([AFFINE, Untrained(AFFINE), Exp((2,)), Exp((2,)), Invert(Exp((2,)))])
FLOW = flows.maf(cheap_key(0), 2, n_layers=3, hidden_sizes=(4,), cond_dim=1)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (Exp(()), "Exp(shape (), 0 parameters)"),
        (CHAIN, "Chain(Affine, Untrained(Affine), Exp × 2, Invert(Exp), shape (2,), 4 parameters)"),
        (
            Pushforward(Normal.standard((2,)), Chain([CHAIN, Chain(CHAIN.bijections[:3])])),
            "Pushforward(Normal, Chain(Affine, Untrained(Affine), Exp × 2, Invert(Exp), Affine,\n"
            "  Untrained(Affine), Exp),\n"
            "  shape (2,), 8 parameters)",
        ),
        (
            MixtureOfFlows([FLOW, FLOW], MLP.init(cheap_key(1), 3, 2, (4,)), shared=AFFINE),
            "MixtureOfFlows(Pushforward(Normal, Scan(MaskedAutoregressive(Affine) × 3)) × 2, Affine,\n"
            "  shape (2,), condition (1,), 248 parameters)",
        ),
    ],
    ids=["leaf", "chain", "flow", "mixture"],
)
def test_a_model_prints_its_parts_sizes_and_parameters(model: eqx.Module, text: str) -> None:
    assert repr(model) == text
    assert len(eqx.tree_pformat(model)) >= len(text) // 2 and "shape=" in eqx.tree_pformat(model)


def test_of_many_unlike_parts_the_first_and_the_last_are_told() -> None:
    long = Chain([Exp((2,)), Invert(Exp((2,)))] * 20)
    assert repr(long).replace("\n ", "") == (
        "Chain(Exp, Invert(Exp), Exp, Invert(Exp), Exp, Invert(Exp), … 33 more, Invert(Exp), shape (2,), 0 parameters)"
    )


def test_half_a_model_prints_all_that_is_left_of_it() -> None:
    half = eqx.filter(Scan(FLOW.bijection.layers), lambda _: False)
    assert repr(half) == eqx.tree_pformat(half) and repr(half).startswith("Scan(\n")
