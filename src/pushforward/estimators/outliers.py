"""Rows that do not belong: a flow of the rows most alike, and how unlikely it finds each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from scipy.linalg import solve_triangular
from sklearn.base import OutlierMixin
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from pushforward.data.columns import Bounds
from pushforward.estimators.base import FloatArray, require_solved
from pushforward.estimators.build import FlowSpec
from pushforward.estimators.defaults import default_settings, starting_scale
from pushforward.estimators.density import FlowDensity, unbounded
from pushforward.estimators.partition import moments
from pushforward.training import Checkpoint

CONCENTRATIONS = 30  # most tables stop moving in ten
# A flow that is to tell what is unlike the rest must not learn what few rows do: it is small, and held near the
# Gaussian it starts from. Chosen on the ten tables of `experiments/outliers.py`, where ten times less
# or more is as good.
RECIPE, N_LAYERS, HIDDEN_SIZES = "real_nvp", 2, (32,)
PRECISION, STEPS = 250.0, 1000  # of the Gaussian prior on every parameter; of training
FENCE = 3.0  # interquartile ranges below the lower quartile: Tukey's "far out"


class FlowOutlierDetector(OutlierMixin, FlowDensity):
    """Outlier detection with one normalizing flow, trained on the rows most alike.

    A flow that is shown everything learns the outliers too. So the tightest `support_fraction` of the rows is found
    first, as the minimum covariance determinant does (Rousseeuw & Van Driessen 1999), and the flow, which starts from
    their Gaussian, trains on these alone. A row's score is its log-density.

    Parameters:
        contamination: share of outliers in the table given to `fit`, above 0 and at most 0.5, which places the
            threshold; "auto" places it three interquartile ranges below the lower quartile of the scores.
        support_fraction: share of the rows that the flow trains on, above 0 and at most 1.
        flow: "auto" is a small RealNVP (a spline, of one column); or a recipe's name, as for `FlowDensity`.
        n_layers, hidden_sizes: of the recipe; None for its own choice.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training, as for `FlowDensity`; by default
            fewer steps, and a hundred times the weight decay.
        training: further settings of `pushforward.training.Settings` by name.
        validation_fraction: share of the support held out to stop early and keep the best weights.
        bounds: column (name or number) -> (low, high) that its values keep to, None for an open side;
            or one such pair for all columns.
        discrete: which columns hold whole numbers: "auto", "none" or a list of columns.
        n_init: restarts trained side by side; the best on held-out rows wins.
        warm_start: whether `fit` goes on from the last fit's weights.
        random_state: seed of everything random.
        verbose: 1 shows a progress bar on a terminal.

    Attributes:
        offset_: the threshold: rows of lower log-density are outliers.
        support_: which rows given to `fit` the flow was trained on, booleans of shape (n,).
        model_: the fitted distribution, in the data's units.
        columns_, history_, n_iter_, best_epoch_, seconds_: as of `FlowDensity`.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> X = np.random.default_rng(0).normal(size=(300, 2))
        >>> X[:3] += 8
        >>> detector = pf.FlowOutlierDetector(contamination=0.01, max_epochs=5, random_state=0)
        >>> np.flatnonzero(detector.fit_predict(X) == -1).tolist()
        [0, 1, 2]
    """

    support_: np.ndarray

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        support_fraction: float = 0.7,
        flow: str = "auto",
        n_layers: int | None = None,
        hidden_sizes: Sequence[int] | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        training: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        bounds: Bounds | None = None,
        discrete: str | Sequence[Any] = "auto",
        n_init: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.contamination = contamination
        self.support_fraction = support_fraction
        super().__init__(
            flow,
            n_layers=n_layers,
            hidden_sizes=hidden_sizes,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            training=training,
            validation_fraction=validation_fraction,
            patience=patience,
            bounds=bounds,
            discrete=discrete,
            n_init=n_init,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )

    def _fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        condition: Any = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        share = _share("contamination", self.contamination, 0.5) if self.contamination != "auto" else None
        _share("support_fraction", self.support_fraction, 1.0)
        super()._fit(X, y, sample_weight, condition, checkpoint)
        # one weight for all says nothing, and what rows of no weight are like is no matter
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        weight = weight if weight is not None and weight.ndim > 0 else None
        if weight is not None:
            used, whole = np.flatnonzero(weight > 0), np.zeros(len(weight), dtype=bool)
            X, weight = _rows(X, used), weight[used]
            condition = None if condition is None else _rows(condition, used)
            whole[used] = self.support_
            self.support_ = whole
        scores = self.score_samples(X, condition)
        if share is None:
            low, high = (_quantile(scores, at, weight) for at in (0.25, 0.75))
            self.offset_ = low - FENCE * (high - low)
        else:
            self.offset_ = _quantile(scores, share, weight)
        return self

    def _defaults(self, n: int) -> dict[str, Any]:
        return default_settings(n, precision=PRECISION, steps=STEPS)

    def _spec(self, dim: int, few_rows: bool = False) -> FlowSpec:
        chosen = super()._spec(dim, few_rows)
        if self.flow != "auto" or dim == 1:
            return chosen
        n_layers = N_LAYERS if self.n_layers is None else chosen.n_layers
        hidden_sizes = HIDDEN_SIZES if self.hidden_sizes is None else chosen.hidden_sizes
        return chosen._replace(flow=RECIPE, n_layers=n_layers, hidden_sizes=hidden_sizes)

    def _split_rows(self, x: np.ndarray, table: np.ndarray | None, weight: np.ndarray | None, seed: int) -> Any:
        """Rows of the support to train on and to validate on."""
        z = unbounded(self.columns_, self.columns_.standardize(x, training=True))
        given = self._standard_condition(table)
        self.support_ = concentrated(z, float(self.support_fraction), given, weight)
        support = np.flatnonzero(self.support_)
        train, validation = self._split(x[support], None, seed)
        return support[train], support[validation]

    def fit_predict(self, X: Any, y: Any = None, **given: Any) -> np.ndarray:
        """Fit, and say which rows belong.

        Parameters:
            X: shape (n, D).
            y: ignored.
            given: `sample_weight` and `condition`, as `fit` takes them.

        Returns:
            1 for rows that belong and -1 for outliers, shape (n,).
        """
        return self.fit(X, y, **given).predict(X, given.get("condition"))

    def _result(self, values: FloatArray, X: Any = None) -> np.ndarray:
        require_solved(values)
        return values  # scikit-learn wants scores of outlier detectors in double precision

    def decision_function(self, X: Any, condition: Any = None) -> np.ndarray:
        """How far the log-density of each row is above the threshold.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.

        Returns:
            Shape (n,), nats; negative for outliers.
        """
        check_is_fitted(self)
        return self.score_samples(X, condition) - self.offset_

    def predict(self, X: Any, condition: Any = None) -> np.ndarray:
        """Which rows belong.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.

        Returns:
            1 for rows that belong and -1 for outliers, shape (n,).
        """
        return np.where(self.decision_function(X, condition) < 0, -1, 1)


def concentrated(
    z: FloatArray, fraction: float, given: FloatArray | None = None, weight: FloatArray | None = None
) -> np.ndarray:
    """The share of rows with a tight Gaussian around them, by steps that each make it tighter.

    Arguments:
        z: shape (n, D).
        fraction: share of the weight to keep, above 0 and at most 1; 2 (D + 1) rows are kept in any case.
        given: conditions that the Gaussian's location depends on linearly, shape (n, C), or None.
        weight: positive, shape (n,); None for equal ones.

    Returns:
        Which rows are kept, booleans of shape (n,).
    """
    n, dim = z.shape
    weight = np.ones(n) if weight is None else weight
    fewest, most = min(n, 2 * (dim + 1)), fraction * weight.sum() * (1 - 1e-9)
    design = np.ones((n, 1)) if given is None else np.column_stack([np.ones(n), given])
    kept = np.ones(n, dtype=bool)
    for _ in range(CONCENTRATIONS if fraction < 1 else 0):
        root = np.sqrt(weight[kept])[:, None]
        residual = z - design @ np.linalg.lstsq(root * design[kept], root * z[kept], rcond=None)[0]
        (location,), (factor,), _ = moments(
            residual[kept], np.zeros(kept.sum(), dtype=int), 1, starting_scale(dim), weight[kept]
        )
        centred = (residual - location).T
        white = solve_triangular(factor, centred, lower=True) if factor.ndim == 2 else centred / factor[:, None]
        order = np.argsort((white**2).sum(axis=0), kind="stable")
        before = np.cumsum(weight[order]) - weight[order]  # of the rows nearer than each
        nearest = np.zeros(n, dtype=bool)
        nearest[order[(before < most) | (np.arange(n) < fewest)]] = True
        if (nearest == kept).all():
            break
        kept = nearest
    return kept


def _rows(table: Any, which: np.ndarray) -> Any:
    """Some rows of a table, as the kind of table that it is."""
    return _safe_indexing(table if hasattr(table, "columns") else np.asarray(table), which)


def _quantile(values: np.ndarray, share: float, weight: np.ndarray | None) -> float:
    if weight is None:
        return float(np.quantile(values, share))
    return float(np.quantile(values, share, weights=weight, method="inverted_cdf"))


def _share(name: str, value: Any, most: float) -> float:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    if not number or not 0 < value <= most:
        auto = ' or "auto"' if name == "contamination" else ""
        raise ValueError(f"{name} must be a number in (0, {most:g}]{auto}; got {value!r}")
    return float(value)
