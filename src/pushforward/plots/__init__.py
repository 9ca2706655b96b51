"""Pictures of fitted models: clusters, samples, densities, training.

Every function returns a Matplotlib figure that belongs to no window; `figure.savefig("name.png")` writes it.
"""

from pushforward.plots.clusters import component_map, contingency, data_and_samples, posterior_gap, regions
from pushforward.plots.fits import density, training_curve
from pushforward.plots.marks import colours
from pushforward.plots.samples import image_rows, samples_by_component

__all__ = [
    "colours",
    "component_map",
    "contingency",
    "data_and_samples",
    "density",
    "image_rows",
    "posterior_gap",
    "regions",
    "samples_by_component",
    "training_curve",
]
