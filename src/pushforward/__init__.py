"""Normalizing flows and mixtures of flows: density, clusters and samples from a table of numbers.

Public names load when they are first used, so `import pushforward` itself costs next to nothing.
"""

from typing import TYPE_CHECKING

from pushforward import processes as processes  # it watches for forks from here on
from pushforward.lazy import loader

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
        report,
        serialization,
        service,
        testing,
        training,
        trees,
    )
    from pushforward.estimators import FlowDensity, FlowMixture, FlowOutlierDetector, SeriesDensity
    from pushforward.inference import FlowPosterior, PosteriorWarning, fit_posterior, fit_vae, vae
    from pushforward.report import Quality, quality
    from pushforward.serialization import ModelFileError, load, save

__version__ = "0.1.0"

__all__ = [
    "FlowDensity",
    "FlowMixture",
    "FlowOutlierDetector",
    "FlowPosterior",
    "ModelFileError",
    "PosteriorWarning",
    "Quality",
    "SeriesDensity",
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
    "quality",
    "report",
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
    "Quality": "report",
    "SeriesDensity": "estimators",
    "fit_posterior": "inference",
    "fit_vae": "inference",
    "load": "serialization",
    "quality": "report",
    "save": "serialization",
    "vae": "inference",
}


__getattr__ = loader(__name__, {name: name for name in __all__} | _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
