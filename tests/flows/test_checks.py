"""Arguments that every recipe refuses alike."""

import inspect
from typing import Any

import jax
import pytest

from pushforward import flows

BAD: list[tuple[str, Any]] = [
    ("dim", 0),
    ("dim", -1),
    ("dim", 2.0),
    ("n_layers", 0),
    ("n_layers", 1.5),
    ("cond_dim", 0),
    ("cond_dim", -1),
    ("hidden_sizes", 8),
    ("hidden_sizes", (0,)),
]


@pytest.mark.parametrize("name", sorted(flows.RECIPES))
@pytest.mark.parametrize(("argument", "value"), BAD)
def test_bad_sizes_are_named(name: str, argument: str, value: Any) -> None:
    recipe = flows.recipe(name)
    if argument not in inspect.signature(recipe).parameters:
        with pytest.raises(TypeError, match=argument):
            recipe(jax.random.key(0), 2, **{argument: value})
        return
    options = {"dim": 2, argument: value}
    with pytest.raises(ValueError, match=f"{argument} must be .* of at least 1"):
        recipe(jax.random.key(0), **options)
