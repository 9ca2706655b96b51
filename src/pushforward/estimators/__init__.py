"""The scikit-learn face."""

from pushforward.estimators.build import FlowSpec
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.mixture import Assignment, FlowMixture
from pushforward.estimators.outliers import FlowOutlierDetector
from pushforward.estimators.series import SeriesDensity

__all__ = ["Assignment", "FlowDensity", "FlowMixture", "FlowOutlierDetector", "FlowSpec", "SeriesDensity"]
