"""Rows that do not belong: a flow of the rows most alike, and how unlikely it finds each row."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from sklearn.base import OutlierMixin
from sklearn.utils.validation import check_is_fitted

from pushforward.checks import check_choice, check_number
from pushforward.clustering import moments, subsample
from pushforward.data.columns import Bounds, FloatArray
from pushforward.estimators import mixed
from pushforward.estimators.build import Flow, FlowSpec
from pushforward.estimators.copies import merge_copies
from pushforward.estimators.defaults import default_settings, image_settings, starts_dense
from pushforward.estimators.density import FlowDensity
from pushforward.estimators.flow_fitting import cond_dim, fit_flow, log_density
from pushforward.estimators.preparing import (
    Table,
    bind,
    draw_seed,
    learn_table,
    read_table,
    split_rows,
    standard_condition,
    unbounded,
)
from pushforward.estimators.scoring import fitted_rows
from pushforward.estimators.starting import table_whitening
from pushforward.estimators.state import unchanged_on_error
from pushforward.estimators.validation import require_solved
from pushforward.training import Checkpoint, reporting

CONCENTRATIONS = 30  # most tables stop moving in ten
# A flow that is to tell what is unlike the rest must not learn what few rows do: it is small, and held near the
# Gaussian it starts from. Chosen on the ten tables of `experiments/outliers.py`, where ten times less
# or more is as good.
RECIPE, N_LAYERS, HIDDEN_SIZES = "real_nvp", 2, (32,)
MIXED_PRECISION = 40.0  # of tables of more than numbers
PRECISION, STEPS = 250.0, 1000  # of the Gaussian prior on every parameter; of training
THIN = 1e-3  # variance of a direction, of columns that have one each, that so strong a prior would bury
SCORINGS = ("auto", "density", "typicality")
MOST_SCORED = 4096  # images that place the threshold; each costs as many passes as it has draws within its bytes
FENCE = 3.0  # interquartile ranges below the lower quartile: Tukey's "far out"


class FlowOutlierDetector(OutlierMixin, FlowDensity):
    """Outlier detection with one normalizing flow, trained on the rows most alike.

    A flow that is shown everything learns the outliers too. So the tightest `support_fraction` of the rows is found
    first, as the minimum covariance determinant does (Rousseeuw & Van Driessen 1999), and the flow, which starts from
    their Gaussian, trains on these alone. A row's score is its log-density; an image's, how near its log-density is to
    the usual one, as images without content, or of another kind, can be likelier than any of the data.

    Parameters:
        contamination: share of outliers in the table given to `fit`, above 0 and at most 0.5, which places the
            threshold; "auto" places it three interquartile ranges below the lower quartile of the scores.
        support_fraction: share of the rows that the flow trains on, above 0 and at most 1.
        scoring: "density", the log-density; "typicality", minus its distance from the median of the support's
            (Nalisnick et al. 2019, "Detecting out-of-distribution inputs to deep generative models using typicality");
            or "auto", typicality of images and density of all else.
        flow: "auto" is a small RealNVP (a spline, of one column; Glow, of images); or a recipe or a built flow, as for
            `FlowDensity`.
        n_layers, hidden_sizes: of the recipe; None for its own choice.
        flow_options, image_shape, dequantise: as of `FlowDensity`.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training, as for `FlowDensity`; by default
            fewer steps, and a hundred times the weight decay.
        training: further settings of `pushforward.training.Settings` by name.
        validation_fraction: share of the support held out to stop early and keep the best weights.
        bounds: column (name or number) -> (low, high) that its values keep to, None for an open side;
            or one such pair for all columns.
        discrete: which columns hold whole numbers: "auto", "none" or a list of columns.
        columns: what columns are, by name, where looking would be wrong: "number", "real", "positive", "whole", "date",
            "boolean", "category", "ordered" or "left out". A table with any other column than of numbers, or with gaps,
            is modelled column by column where flow="auto", and so is one that `columns` is given for, as
            docs/tables.md tells; `columns_` then holds `data.Fields`.
        missing: what a gap is: "marginal", a value unknown, which is averaged over; "level", in categories, a level of
            its own; or "refuse".
        n_init: restarts trained side by side; the best on held-out rows wins.
        warm_start: whether `fit` goes on from the last fit's weights.
        random_state: seed of everything random.
        verbose: 1 shows what is going on: a bar on a terminal or in a notebook, lines elsewhere.

    Attributes:
        offset_: the threshold: rows of a lower score are outliers; None of a cooled detector, until it is set.
        centre_: the log-density that typicality is measured from; None where the score is the log-density.
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
    offset_: float | None
    centre_: float | None = None  # as of models saved before there was any

    def __init__(
        self,
        contamination: float | str = "auto",
        *,
        support_fraction: float = 0.7,
        scoring: str = "auto",
        flow: Flow = "auto",
        n_layers: int | None = None,
        hidden_sizes: Sequence[int] | None = None,
        flow_options: Mapping[str, Any] | None = None,
        image_shape: Sequence[int] | None = None,
        dequantise: str = "uniform",
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        training: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        bounds: Bounds | None = None,
        discrete: str | Sequence[Any] = "auto",
        columns: Mapping[str, str] | None = None,
        missing: str = "marginal",
        n_init: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.contamination = contamination
        self.support_fraction = support_fraction
        self.scoring = scoring
        super().__init__(
            flow,
            n_layers=n_layers,
            hidden_sizes=hidden_sizes,
            flow_options=flow_options,
            image_shape=image_shape,
            dequantise=dequantise,
            max_epochs=max_epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            training=training,
            validation_fraction=validation_fraction,
            patience=patience,
            bounds=bounds,
            discrete=discrete,
            columns=columns,
            missing=missing,
            n_init=n_init,
            warm_start=warm_start,
            random_state=random_state,
            verbose=verbose,
        )

    def _recipe(self, dim: int, cond_dim: int | None, few_rows: bool = False) -> FlowSpec:
        small = isinstance(self.flow, str) and self.flow == "auto" and dim > 1 and self.image_shape_ is None
        return FlowSpec.choose(
            RECIPE if small else self.flow,
            dim,
            cond_dim,
            n_layers=N_LAYERS if small and self.n_layers is None else self.n_layers,
            hidden_sizes=HIDDEN_SIZES if small and self.hidden_sizes is None else self.hidden_sizes,
            options=self.flow_options,
            image_shape=self.image_shape_,
            levels=self.columns_.n_levels,
            alone=True,
        )

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        condition: Any = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Find the rows most alike, and fit the density of these.

        Parameters:
            X: a table of n rows; NumPy, pandas, polars or Arrow.
            y: ignored.
            sample_weight: non-negative, shape (n,).
            condition: numbers that the density is conditioned on, shape (n, C).
            checkpoint: where and how often to keep the state of training; see `pushforward.training.Checkpoint`.

        Returns:
            The fitted estimator.

        Raises:
            ValueError: cells that are not finite numbers, continuous columns that are constant or follow from others,
                values beyond bounds.
            TrainingError: training diverged.
            CheckpointError: resuming from a checkpoint that does not fit.
        """
        fraction = check_number("support_fraction", self.support_fraction, "in (0, 1]", lambda v: 0 < v <= 1)
        check_choice("scoring", self.scoring, SCORINGS)
        share = None
        if not (isinstance(self.contamination, str) and self.contamination == "auto"):
            share = check_number("contamination", self.contamination, 'in (0, 0.5] or "auto"', lambda v: 0 < v <= 0.5)
        with unchanged_on_error(self), reporting(bool(self.verbose)):
            if self._takes(X):
                self._fit_mixed_outliers(X, sample_weight, condition, checkpoint, fraction, share)
                return self
            going_on = self.warm_start and self.__sklearn_is_fitted__()
            given = read_table(self, X, sample_weight, condition, going_on)
            table, merged = merge_copies(given.weighing())
            learn_table(self, table, condition, going_on)
            seed = draw_seed(self.random_state)
            s = table._replace(x=self.columns_.standardize(table.x, training=True))
            white, z = table_whitening(self.columns_, s, THIN), unbounded(self.columns_, s.x)
            z = z if white is None else white.inverse(z)
            known = self.condition_columns_
            c = None if table.condition is None or known is None else known.standardize(table.condition)
            kept = concentrated(z, fraction, c, table.weight)
            support = np.flatnonzero(kept)
            train, held_out = split_rows(table.x[support], self.validation_fraction, seed)
            split = support[train], support[held_out]
            start = self._flow if going_on else None
            spec = self.spec_ if going_on else self._recipe(self.columns_.n, cond_dim(table))
            image = self.image_shape_ is not None
            defaults = (
                image_settings(len(train)) if image else default_settings(len(train), precision=PRECISION, steps=STEPS)
            )
            fit = fit_flow(self, spec, table, split, start, defaults, seed, checkpoint, THIN)
            self.spec_ = spec
            # it ends early on purpose, and learns no more for being told that it could
            self._keep(dataclasses.replace(fit, unfinished=False), fit.model)
            kept = kept if merged is None else kept[merged.place]
            self.support_ = np.zeros(len(given.x), dtype=bool)
            self.support_[kept if given.weight is None else np.flatnonzero(given.weight > 0)[kept]] = True
            # one weight for all says nothing, and what rows of no weight are like is no matter
            weight = table.weight if merged is not None or np.asarray(sample_weight).ndim > 0 else None
            shown, kept_shown = self._shown(table._replace(weight=weight), support, seed)
            found = log_density(self, self._flow, shown.x, standard_condition(shown.condition, known))
            require_solved(found)
            self._set_threshold(found, kept_shown, share, shown.weight)
        return self

    def _shown(self, table: Table, support: NDArray[np.intp], seed: int) -> tuple[Table, NDArray[np.intp]]:
        """The rows that place the threshold, all of them or a sample of images, and which of them are the support."""
        most = len(table.x) if self.image_shape_ is None else MOST_SCORED
        some = subsample(len(table.x), most, np.random.default_rng(seed))
        return table.take(some), np.flatnonzero(np.isin(some, support))

    def _fit_mixed_outliers(
        self,
        X: Any,
        sample_weight: Any,
        condition: Any,
        checkpoint: Checkpoint | None,
        fraction: float,
        share: float | None,
    ) -> None:
        """The same for a table with columns that are no numbers, or with gaps."""
        rows, weight, which = self._learn_mixed(X, sample_weight, condition)
        seed, fields = draw_seed(self.random_state), self.columns_
        kept = mixed.concentrated_rows(mixed.layout_of(fields), rows.x, fraction, weight)
        support = np.flatnonzero(kept)
        train, held_out = split_rows(np.zeros((len(support), 1)), self.validation_fraction, seed)
        split = support[train], support[held_out]
        checkpoint = bind(checkpoint, self, Table(rows.x, weight=weight))
        fit, filler = mixed.fit_rows(self, fields, rows.x, weight, split, seed, checkpoint, MIXED_PRECISION)
        self._keep_mixed(dataclasses.replace(fit, unfinished=False), filler)
        self.support_ = np.zeros(len(which), dtype=bool)
        self.support_[np.flatnonzero(which)[kept]] = True
        found = mixed.log_density(fields, self._flow, filler, rows)
        self._set_threshold(found, support, share, weight)

    def _set_threshold(
        self, found: FloatArray, support: NDArray[np.intp], share: float | None, weight: FloatArray | None
    ) -> None:
        """Where typicality is measured from, if it is the score, and which scores are outliers', by log-densities."""
        typical = self.scoring == "typicality" or (self.scoring == "auto" and self.image_shape_ is not None)
        centre = _quantile(found[support], 0.5, None if weight is None else weight[support]) if typical else None
        self.centre_ = centre
        self.offset_ = _threshold(self._scored(found), share, weight)

    def describe(self) -> dict[str, Any]:
        """As of every estimator, with the threshold."""
        told = {"kind": "outliers", "threshold": self.offset_, "centre": self.centre_}
        return super().describe() | told

    def _log_density(self, X: Any, condition: Any, n_samples: int | None) -> FloatArray:
        """Log-densities in double precision, as scikit-learn wants scores of outlier detectors."""
        if self._is_mixed:
            return self._log_density_mixed(X)
        values = log_density(self, self._flow, *fitted_rows(self, X, condition), n_samples)
        require_solved(values)
        return values

    def _scored(self, log_density: FloatArray) -> FloatArray:
        return log_density if self.centre_ is None else -np.abs(log_density - self.centre_)

    def cooled(self, temperature: float) -> Self:
        """As of `FlowDensity`, with log-densities for scores and without a threshold.

        Threshold and centre were placed by the scores of training rows, which a detector does not keep, and which
        change with the temperature: `predict` is refused until `offset_` is set.

        Parameters:
            temperature: what the scale of the noise is multiplied by; at 1 all stays.

        Raises:
            ValueError: the table was more than numbers, or the flow's noise has no scale.
        """
        cooled = super().cooled(temperature)
        if temperature != 1:
            cooled.offset_ = cooled.centre_ = None
        return cooled

    def score_samples(self, X: Any, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """The score of every row, the lower the stranger: its log-density as of `FlowDensity`, or its typicality.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.
            n_samples: draws within the cells of whole numbers, whose mean it is; None for 8 or more.

        Returns:
            Shape (n,), float64, nats per unit volume of the data's units; -inf outside declared bounds.
        """
        return self._scored(self._log_density(X, condition, n_samples))

    def score(self, X: Any, y: Any = None, condition: Any = None) -> float:
        """The mean log-density of the rows, however they are scored; y is ignored."""
        return float(np.mean(self._log_density(X, condition, None)))

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

    def decision_function(self, X: Any, condition: Any = None) -> np.ndarray:
        """How far the score of each row is above the threshold.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.

        Returns:
            Shape (n,), nats; negative for outliers.

        Raises:
            ValueError: the detector is a cooled one, whose threshold was not set.
        """
        check_is_fitted(self)
        if self.offset_ is None:
            raise ValueError(
                "a cooled detector has no threshold, as that of training rows holds at temperature 1; ask the detector "
                "that it was cooled from, or set offset_, to a quantile of score_samples of rows that belong, say"
            )
        return self.score_samples(X, condition) - self.offset_

    def predict(self, X: Any, condition: Any = None) -> np.ndarray:
        """Which rows belong.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.

        Returns:
            1 for rows that belong and -1 for outliers, shape (n,).

        Raises:
            ValueError: as `decision_function`.
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
            residual[kept], np.zeros(kept.sum(), dtype=int), 1, dense=starts_dense(dim), weight=weight[kept]
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


def _threshold(scores: FloatArray, share: float | None, weight: FloatArray | None) -> float:
    """The score below which rows are outliers: that of a share of them, or far below most if there is none."""
    if share is not None:
        return _quantile(scores, share, weight)
    low, high = (_quantile(scores, at, weight) for at in (0.25, 0.75))
    return low - FENCE * (high - low)


def _quantile(values: np.ndarray, share: float, weight: np.ndarray | None) -> float:
    if weight is None:
        return float(np.quantile(values, share))
    return float(np.quantile(values, share, weights=weight, method="inverted_cdf"))
