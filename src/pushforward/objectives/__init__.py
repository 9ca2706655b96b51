"""Pure losses: (model, batch, key) -> scalar."""

from pushforward.objectives.batch import Batch, add_noise
from pushforward.objectives.likelihood import NegativeLogLikelihood, weighted_mean
from pushforward.objectives.mixture import MixtureBound, PosteriorFit

__all__ = ["Batch", "MixtureBound", "NegativeLogLikelihood", "PosteriorFit", "add_noise", "weighted_mean"]
