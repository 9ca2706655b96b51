"""Distributions: bases, a base pushed through a map, and mixtures of those; series with latent variables; images and
series, one value after the other."""

from pushforward.distributions.autoencoder import Autoencoder
from pushforward.distributions.autoregressive import Autoregressive, Completions
from pushforward.distributions.base import AbstractDistribution
from pushforward.distributions.cells import Cells
from pushforward.distributions.estimates import Estimate, WeightedEstimate
from pushforward.distributions.gaussian_mixture import GaussianMixture
from pushforward.distributions.likelihoods import AbstractLikelihood, BernoulliLikelihood, GaussianLikelihood
from pushforward.distributions.mixed import GapFiller, Layout, MixedRows, RowNetwork
from pushforward.distributions.mixture import MixtureOfFlows
from pushforward.distributions.pushforward import Pushforward
from pushforward.distributions.sequential import SequentialLatent
from pushforward.distributions.standard import Logistic, Normal, Uniform
from pushforward.distributions.students import Students
from pushforward.distributions.tempered import tempered
from pushforward.distributions.values import AbstractValue, Bernoulli, Categorical, DiscretisedLogistics, Real

__all__ = [
    "AbstractDistribution",
    "AbstractLikelihood",
    "AbstractValue",
    "Autoencoder",
    "Autoregressive",
    "Bernoulli",
    "BernoulliLikelihood",
    "Categorical",
    "Cells",
    "Completions",
    "DiscretisedLogistics",
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
    "Real",
    "RowNetwork",
    "SequentialLatent",
    "Students",
    "Uniform",
    "WeightedEstimate",
    "tempered",
]
