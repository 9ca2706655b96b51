"""Posteriors of log-densities: fitted by flows, diagnosed, compared."""

from pushforward.inference.fit import fit_posterior
from pushforward.inference.posterior import Diagnosis, Estimate, FlowPosterior, PosteriorWarning
from pushforward.inference.support import Support, as_support

__all__ = ["Diagnosis", "Estimate", "FlowPosterior", "PosteriorWarning", "Support", "as_support", "fit_posterior"]
