"""Pure losses: (model, batch, key) -> scalar."""

from pushforward.objectives.batch import Batch, add_noise
from pushforward.objectives.likelihood import NegativeLogLikelihood, OrderAgnosticLikelihood, weighted_mean
from pushforward.objectives.mixture import MixtureBound, PosteriorFit

__all__ = [
    "Batch",
    "MixtureBound",
    "NegativeLogLikelihood",
    "OrderAgnosticLikelihood",
    "PosteriorFit",
    "add_noise",
    "weighted_mean",
]
