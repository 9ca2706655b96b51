"""Posteriors: of log-densities, fitted by flows and diagnosed; and of latent points, in autoencoders."""

from pushforward.inference.autoencoder import fit_vae, vae
from pushforward.inference.diagnosis import Diagnosis
from pushforward.inference.fit import fit_posterior
from pushforward.inference.posterior import FlowPosterior, PosteriorWarning
from pushforward.inference.summary import Summary
from pushforward.inference.support import Support, as_support

__all__ = [
    "Diagnosis",
    "FlowPosterior",
    "PosteriorWarning",
    "Summary",
    "Support",
    "as_support",
    "fit_posterior",
    "fit_vae",
    "vae",
]
