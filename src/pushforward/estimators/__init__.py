"""The scikit-learn face."""

from pushforward.estimators.density import FlowDensity
from pushforward.estimators.mixture import FlowMixture
from pushforward.estimators.outliers import FlowOutlierDetector

__all__ = ["FlowDensity", "FlowMixture", "FlowOutlierDetector"]
