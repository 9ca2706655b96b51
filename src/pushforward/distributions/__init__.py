"""Distributions: bases, a base pushed through a map, and mixtures of those; series with latent variables."""

from pushforward.distributions.autoencoder import Autoencoder
from pushforward.distributions.base import AbstractDistribution
from pushforward.distributions.estimates import Estimate, WeightedEstimate
from pushforward.distributions.gaussian_mixture import GaussianMixture
from pushforward.distributions.likelihoods import AbstractLikelihood, BernoulliLikelihood, GaussianLikelihood
from pushforward.distributions.mixed import GapFiller, Layout, MixedRows, RowNetwork
from pushforward.distributions.mixture import MixtureOfFlows
from pushforward.distributions.pushforward import Pushforward
from pushforward.distributions.sequential import SequentialLatent
from pushforward.distributions.standard import Logistic, Normal, Uniform
from pushforward.distributions.tempered import tempered

__all__ = [
    "AbstractDistribution",
    "AbstractLikelihood",
    "Autoencoder",
    "BernoulliLikelihood",
    "Estimate",
    "GapFiller",
    "GaussianLikelihood",
    "GaussianMixture",
    "Layout",
    "Logistic",
    "MixedRows",
    "MixtureOfFlows",
    "Normal",
    "Pushforward",
    "RowNetwork",
    "SequentialLatent",
    "Uniform",
    "WeightedEstimate",
    "tempered",
]
