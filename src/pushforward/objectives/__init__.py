"""Pure losses: (model, batch, key) -> scalar."""

from pushforward.objectives.agreement import Contrast, Embedding, agreement
from pushforward.objectives.batch import AbstractLoss, Batch, Rows, add_noise
from pushforward.objectives.gaps import HiddenCells
from pushforward.objectives.likelihood import NegativeLogLikelihood, OrderAgnosticLikelihood, weighted_mean
from pushforward.objectives.mixture import MixtureBound, PosteriorFit, Posteriors, PosteriorStart
from pushforward.objectives.reverse_kl import ReverseKL
from pushforward.objectives.sequence import SequenceBound, sequence_bounds
from pushforward.objectives.variational import NegativeELBO, ReconstructionError
from pushforward.objectives.views import ImageViews

__all__ = [
    "AbstractLoss",
    "Batch",
    "Contrast",
    "Embedding",
    "HiddenCells",
    "ImageViews",
    "MixtureBound",
    "NegativeELBO",
    "NegativeLogLikelihood",
    "OrderAgnosticLikelihood",
    "PosteriorFit",
    "PosteriorStart",
    "Posteriors",
    "ReconstructionError",
    "ReverseKL",
    "Rows",
    "SequenceBound",
    "add_noise",
    "agreement",
    "sequence_bounds",
    "weighted_mean",
]
