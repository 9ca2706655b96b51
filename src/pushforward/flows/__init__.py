"""Recipes of the literature: each draws a flow to train and returns a `Pushforward`."""

from __future__ import annotations

from collections.abc import Callable

from pushforward.distributions import Pushforward
from pushforward.flows.autoregressive import bnaf, iaf, maf, naf, spline_autoregressive
from pushforward.flows.coupling import nice, real_nvp, spline_coupling
from pushforward.flows.elementary import convex_combination_iaf, householder, planar, radial, sylvester

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
}


def recipe(name: str) -> Callable[..., Pushforward]:
    """The recipe of that name.

    Raises:
        ValueError: no recipe has that name.
    """
    if name not in RECIPES:
        raise ValueError(f"unknown flow {name!r}; choose one of {sorted(RECIPES)}")
    return RECIPES[name]


__all__ = [
    "RECIPES",
    "bnaf",
    "convex_combination_iaf",
    "householder",
    "iaf",
    "maf",
    "naf",
    "nice",
    "planar",
    "radial",
    "real_nvp",
    "recipe",
    "spline_autoregressive",
    "spline_coupling",
    "sylvester",
]
