"""Pictures of fitted models: clusters, samples, densities, training.

Every function returns a Matplotlib figure that belongs to no window: a notebook shows it, and
`figure.savefig("name.png")` writes it. Each says above what it shows, and below how to read it and what is good.
"""

from pushforward.plots.clusters import component_map, contingency, data_and_samples, posterior_gap, regions
from pushforward.plots.fits import densities, density, density_curve, training_curve
from pushforward.plots.marks import colours
from pushforward.plots.pictures import images, interpolation, temperatures
from pushforward.plots.portrait import portrait
from pushforward.plots.samples import image_rows, rows_by_group, samples_by_component
from pushforward.plots.synthetic import quality

__all__ = [
    "colours",
    "component_map",
    "contingency",
    "data_and_samples",
    "densities",
    "density",
    "density_curve",
    "image_rows",
    "images",
    "interpolation",
    "portrait",
    "posterior_gap",
    "quality",
    "regions",
    "rows_by_group",
    "samples_by_component",
    "temperatures",
    "training_curve",
]
