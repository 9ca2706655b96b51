"""Recipes of the literature: each draws a flow to train and returns a `Pushforward`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable

from pushforward.distributions import Pushforward
from pushforward.flows.autoregressive import bnaf, iaf, maf, naf, spline_autoregressive
from pushforward.flows.continuous import continuous
from pushforward.flows.coupling import nice, real_nvp, spline_coupling
from pushforward.flows.elementary import convex_combination_iaf, householder, planar, radial, sylvester
from pushforward.flows.indexed import continuously_indexed
from pushforward.flows.residual import residual

RECIPES: dict[str, Callable[..., Pushforward]] = {
    "real_nvp": real_nvp,
    "nice": nice,
    "maf": maf,
    "iaf": iaf,
    "spline_coupling": spline_coupling,
    "spline_autoregressive": spline_autoregressive,
    "naf": naf,
    "bnaf": bnaf,
    "planar": planar,
    "radial": radial,
    "sylvester": sylvester,
    "householder": householder,
    "convex_combination_iaf": convex_combination_iaf,
    "residual": residual,
    "continuous": continuous,
}


INDEXED = "indexed_"  # before the name of a recipe: its continuously-indexed flow


def recipe(name: str) -> Callable[..., Pushforward]:
    """The recipe of that name; "indexed_" before it asks for its continuously-indexed flow.

    Raises:
        ValueError: no recipe has that name.
    """
    inside = name.removeprefix(INDEXED)
    if inside not in RECIPES:
        raise ValueError(f'unknown flow {name!r}; choose one of {sorted(RECIPES)}, perhaps with "{INDEXED}" before it')
    return RECIPES[name] if inside == name else functools.partial(continuously_indexed, RECIPES[inside])


def options_of(name: str) -> set[str]:
    """What a recipe takes beside the sizes that all recipes share.

    Arguments:
        name: the recipe's, as `recipe` takes it.

    Raises:
        ValueError: no recipe has that name.
    """
    result = recipe(name)
    parts = (result.func, *result.args) if isinstance(result, functools.partial) else (result,)
    names = {option for part in parts for option in inspect.signature(part).parameters}
    return names - {"recipe", "options", "key", "dim", "cond_dim", "n_layers", "hidden_sizes"}


__all__ = [
    "RECIPES",
    "bnaf",
    "continuous",
    "continuously_indexed",
    "convex_combination_iaf",
    "householder",
    "iaf",
    "maf",
    "naf",
    "nice",
    "options_of",
    "planar",
    "radial",
    "real_nvp",
    "recipe",
    "residual",
    "spline_autoregressive",
    "spline_coupling",
    "sylvester",
]
