"""NumPyro models as log-densities of real vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from pushforward.inference.support import Support


def of_model(model: Callable[..., Any], *args: Any, **kwargs: Any) -> tuple[Callable[[Any], Array], Support]:
    """The log-density of a NumPyro model's latent values given its data, and where they live.

    Arguments:
        model: a NumPyro model.
        args, kwargs: what it takes.

    Returns:
        A log-density whose values are dictionaries of sites, deterministic ones included, and its support: what
        `fit_posterior` takes.
    """
    from numpyro.infer.util import initialize_model

    found = initialize_model(jax.random.key(0), model, model_args=args, model_kwargs=kwargs)
    template, unravel = ravel_pytree(found.param_info.z)

    def log_density(values: dict[str, Any]) -> Array:
        return -found.potential_fn(values["unconstrained"])

    def constrain(u: Array) -> tuple[dict[str, Any], Array]:
        z = unravel(u)
        return found.postprocess_fn(z) | {"unconstrained": z}, u.sum() * 0

    return log_density, Support(len(template), constrain, None)
