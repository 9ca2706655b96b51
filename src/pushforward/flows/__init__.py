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
from pushforward.flows.images import glow, real_nvp_image, residual_image
from pushforward.flows.indexed import continuously_indexed
from pushforward.flows.pixels import PIXEL_RECIPES, diagonal_bilstm, gated_pixel_cnn, pixel_cnn, row_lstm
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
IMAGE_RECIPES: dict[str, Callable[..., Pushforward]] = {
    "glow": glow,
    "real_nvp_image": real_nvp_image,
    "residual_image": residual_image,
}


INDEXED = "indexed_"  # before the name of a recipe: its continuously-indexed flow


def recipe(name: str) -> Callable[..., Pushforward]:
    """The recipe of that name; "indexed_" before it asks for its continuously-indexed flow.

    Raises:
        ValueError: no recipe has that name.
    """
    if name in PIXEL_RECIPES:
        return PIXEL_RECIPES[name]
    inside, known = name.removeprefix(INDEXED), RECIPES | IMAGE_RECIPES
    if inside not in known:
        raise ValueError(
            f'unknown flow {name!r}; choose one of {sorted(known)}, perhaps with "{INDEXED}" before it, or one of '
            f"{sorted(PIXEL_RECIPES)}"
        )
    return known[name] if inside == name else functools.partial(continuously_indexed, known[inside])


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
    "IMAGE_RECIPES",
    "PIXEL_RECIPES",
    "RECIPES",
    "bnaf",
    "continuous",
    "continuously_indexed",
    "convex_combination_iaf",
    "diagonal_bilstm",
    "gated_pixel_cnn",
    "glow",
    "householder",
    "iaf",
    "maf",
    "naf",
    "nice",
    "options_of",
    "pixel_cnn",
    "planar",
    "radial",
    "real_nvp",
    "real_nvp_image",
    "recipe",
    "residual",
    "residual_image",
    "row_lstm",
    "spline_autoregressive",
    "spline_coupling",
    "sylvester",
]
