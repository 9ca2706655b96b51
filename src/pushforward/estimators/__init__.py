"""The scikit-learn face."""

from pushforward.estimators.density import FlowDensity
from pushforward.estimators.mixture import FlowMixture

__all__ = ["FlowDensity", "FlowMixture"]
