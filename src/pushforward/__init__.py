"""Normalizing flows and mixtures of flows: density, clusters and samples from a table of numbers.

Public names load when they are first used, so `import pushforward` itself costs next to nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pushforward import (
        bijections,
        clustering,
        data,
        distributions,
        flows,
        inference,
        networks,
        numpyro,
        objectives,
        plots,
        serialization,
        service,
        testing,
        training,
        trees,
    )
    from pushforward.estimators import FlowDensity, FlowMixture, FlowOutlierDetector
    from pushforward.inference import FlowPosterior, PosteriorWarning, fit_posterior, fit_vae, vae
    from pushforward.serialization import ModelFileError, load, save

__version__ = "0.1.0"

__all__ = [
    "FlowDensity",
    "FlowMixture",
    "FlowOutlierDetector",
    "FlowPosterior",
    "ModelFileError",
    "PosteriorWarning",
    "bijections",
    "clustering",
    "data",
    "distributions",
    "fit_posterior",
    "fit_vae",
    "flows",
    "inference",
    "load",
    "networks",
    "numpyro",
    "objectives",
    "plots",
    "save",
    "serialization",
    "service",
    "testing",
    "training",
    "trees",
    "vae",
]

_HOMES = {
    "FlowDensity": "estimators",
    "FlowMixture": "estimators",
    "FlowOutlierDetector": "estimators",
    "FlowPosterior": "inference",
    "ModelFileError": "serialization",
    "PosteriorWarning": "inference",
    "fit_posterior": "inference",
    "fit_vae": "inference",
    "load": "serialization",
    "save": "serialization",
    "vae": "inference",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name not in _HOMES:
        return import_module(f"{__name__}.{name}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
