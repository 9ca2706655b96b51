"""One flow for a table: density, samples, and the map to noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import equinox as eqx
import numpy as np
from jaxtyping import Array
from sklearn.base import ClassNamePrefixFeaturesOutMixin, DensityMixin, TransformerMixin
from sklearn.utils.validation import check_array, check_is_fitted

from pushforward.checks import check_whole
from pushforward.data.columns import Bounds, FloatArray, as_float
from pushforward.distributions import GaussianMixture, Pushforward
from pushforward.distributions.estimates import each_row
from pushforward.estimators.any_kind import AnyKindEstimator, numbers_alone
from pushforward.estimators.build import Flow, FlowSpec
from pushforward.estimators.containers import as_missing
from pushforward.estimators.copies import merge_copies
from pushforward.estimators.defaults import default_longest, default_settings, image_settings
from pushforward.estimators.draws import draw_key, mixed_within_reach, within_reach
from pushforward.estimators.flow_fitting import (
    cond_dim,
    fit_flow,
    fit_on_gaussians,
    holds_out,
    log_density,
    placed_in_cells,
    starts_from_gaussians,
)
from pushforward.estimators.images import great_circle
from pushforward.estimators.mixed import draw_rows
from pushforward.estimators.preparing import (
    draw_seed,
    learn_table,
    read_table,
    split_rows,
    standard_condition,
)
from pushforward.estimators.rejecting import Draws
from pushforward.estimators.scoring import (
    fitted_rows,
    in_batches,
    in_precision,
)
from pushforward.estimators.state import FlowEstimator, unchanged_on_error
from pushforward.estimators.validation import (
    check_draws,
    check_inside,
    check_known_condition,
    check_whole_columns,
    require_solved,
)
from pushforward.training import Checkpoint, reporting


class FlowDensity(DensityMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, AnyKindEstimator):
    """Density estimation of a table with one normalizing flow.

    Parameters:
        flow: "auto" chooses by the number of columns; or a recipe's name, such as "spline_coupling", "maf" or
            "residual" (all are in `flows.RECIPES`), with "indexed_" before it for its continuously-indexed flow; or a
            recipe of one's own, a callable `(key, dim, *, cond_dim=None, n_layers=..., hidden_sizes=...)` to a
            `Pushforward` that is given those of the options that it takes; or a built `Pushforward`, which training
            goes on from.
        n_layers, hidden_sizes: of the recipe; None for its own choice.
        flow_options: what else the recipe takes, by name, such as n_bins of a spline or index of an indexed flow.
        image_shape: (height, width) or (height, width, channels) of rows that are images, told to recipes of
            `flows.IMAGE_RECIPES` and `flows.PIXEL_RECIPES` and to "residual"; flow="auto" is then "glow", where both
            sides are even. None for a table, or for images in an array (n, height, width) or (n, height, width,
            channels), which say it themselves.
        dequantise: how values of images lie within their cells in training and scoring: "uniform", or "variational", by
            a flow that sees the image (Ho et al. 2019, "Flow++"), whose bound is tighter; of whole-number pixels.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training; None for a choice by the
            size of the table. Without max_epochs it goes on, up to eight times as long, while the validation
            loss still falls markedly. `weight_decay` is an L2 penalty in the gradient, a Gaussian prior; None for
            one of variance 0.4 on every parameter.
        training: further settings of `pushforward.training.Settings` by name, such as schedule, clip_norm,
            averaging or decay_form.
        validation_fraction: share of rows held out to stop early and keep the best weights.
        base: what the flow starts from: "normal", one Gaussian; or "auto", for flow="auto" of its own sizes, without
            `condition` and up to 128 columns, the average of Gaussian mixtures that held-out rows like best, where a
            prior that eases holds it. Where a flow does not gain on held-out rows for sure, or fewer than 30 are held
            out, the Gaussians alone are the model, and `transform` gives noise of that mixture.
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
        warm_start: whether `fit` goes on from the last fit's weights; Gaussians alone are fitted anew.
        random_state: seed of everything random.
        verbose: 1 shows what is going on: a bar on a terminal or in a notebook, lines elsewhere.

    Attributes:
        model_: the fitted distribution, in the data's units.
        columns_: what each column was taken to be.
        spec_: the recipe and the sizes that were chosen; of no layers where Gaussians alone are the model.
        label_column_, label_names_: None, as there are no labels.
        container_: the kind of table fitted on, and how it calls columns and their types; None of an array of rows.
        image_shape_: (height, width, channels) of rows that are images; else None.
        spread_: of variational dequantisation, the map from normal noise to places in cells, given an image; else None.
        history_: training and validation loss of every epoch; of two trainings, of the better one; empty where nothing
            had to train.
        n_iter_, best_epoch_, seconds_: its epochs, the one kept (0 where Gaussians alone are), wall time of all of the
            fit.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) * [1, 10]
        >>> density = pf.FlowDensity(max_epochs=5, random_state=0).fit(X)
        >>> density.score_samples(X).shape
        (300,)
    """

    spread_: Any = None  # as of models saved before there was any

    def __init__(
        self,
        flow: Flow = "auto",
        *,
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
        base: str = "auto",
        bounds: Bounds | None = None,
        discrete: str | Sequence[Any] = "auto",
        columns: Mapping[str, str] | None = None,
        missing: str = "marginal",
        n_init: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.flow = flow
        self.n_layers = n_layers
        self.hidden_sizes = hidden_sizes
        self.flow_options = flow_options
        self.image_shape = image_shape
        self.dequantise = dequantise
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.base = base
        self.bounds = bounds
        self.discrete = discrete
        self.columns = columns
        self.missing = missing
        self.n_init = n_init
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _recipe(self, dim: int, cond_dim: int | None, few_rows: bool = False) -> FlowSpec:
        return FlowSpec.choose(
            self.flow,
            dim,
            cond_dim,
            n_layers=self.n_layers,
            hidden_sizes=self.hidden_sizes,
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
        """Fit the density of the rows of a table.

        Parameters:
            X: a table of n rows; NumPy, pandas, polars or Arrow; or n images.
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
        with unchanged_on_error(self), reporting(bool(self.verbose)):
            if self._takes(X):
                return self._fit_mixed(X, sample_weight, condition, checkpoint)
            going_on = self.warm_start and self.__sklearn_is_fitted__()
            table, _ = merge_copies(read_table(self, X, sample_weight, condition, going_on).weighing())
            learn_table(self, table, condition, going_on)
            seed = draw_seed(self.random_state)
            split = split_rows(table.x, self.validation_fraction, seed)
            going_on = going_on and self.spec_.n_layers != 0  # Gaussians alone have no layers to go on with
            start = self._flow if going_on else None
            spec = self.spec_ if going_on else self._recipe(self.columns_.n, cond_dim(table))
            defaults = (
                default_settings(len(split[0]), longest=default_longest(self.columns_.n))
                if self.image_shape_ is None
                else image_settings(len(split[0]))
            )
            if start is None and starts_from_gaussians(self, table) and holds_out(split):
                fit, alone = fit_on_gaussians(self, spec, table, split, defaults, seed, checkpoint)
                spec = spec._replace(n_layers=0) if alone else spec
            else:
                fit = fit_flow(self, spec, table, split, start, defaults, seed, checkpoint)
            self.spec_ = spec
            self._keep(fit, fit.model)
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # noise is in JAX's dtype
        return tags

    def describe(self) -> dict[str, Any]:
        """As of every estimator; where Gaussians alone are the model, how many."""
        told = super().describe()
        if self.spec_.n_layers != 0:
            return told
        base = self._flow.base
        n = 1
        if isinstance(base, GaussianMixture):  # some are shared out to copies
            n = len(np.unique(np.concatenate([base.means, base.covariances.reshape(len(base.means), -1)], 1), axis=0))
        which = "one Gaussian" if n == 1 else f"a mixture of {n} Gaussians"
        judged = ", on which none gains for sure" if self.history_ else ""
        return told | {"flow": f"none: {which}{judged}", "flow_chosen": False}

    @property
    def model_(self) -> Any:
        """The fitted distribution, in the data's units (conditions in standard ones); encoded, of more than numbers."""
        mixed, flow = self._is_mixed, self._flow
        return flow if mixed else flow.then(self.columns_.units_map())

    def score_samples(self, X: Any, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """Log-density of every row, in nats per unit volume of the data's units.

        Of a table with whole-number columns it estimates the log-probability of the whole numbers (and the
        density of the others given them) from a few fixed draws within each unit step. Of a flow without an exact
        density (`exactness_` says so) it is an importance-weighted estimate of 64 draws, with a warning where it rests
        on hardly more than one of them, or a bound where log-determinants are estimates.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.
            n_samples: draws within the cells of whole numbers, whose mean it is; None for 8 or more.

        Returns:
            Shape (n,); -inf outside declared bounds.
        """
        mixed = self._is_mixed
        return in_precision(self._log_density(X, condition, n_samples), None if mixed else X)

    def _log_density(self, X: Any, condition: Any, n_samples: int | None) -> FloatArray:
        if self._is_mixed:
            return self._log_density_mixed(X)
        x, c = fitted_rows(self, X, condition)
        return log_density(self, self._flow, x, c, n_samples)

    def score(self, X: Any, y: Any = None, condition: Any = None) -> float:
        """The mean log-density of the rows; y is ignored."""
        return float(np.mean(self.score_samples(X, condition)))

    def sample(
        self,
        n: int = 1,
        condition: Any = None,
        random_state: Any = None,
        given: Any = None,
        where: str | None = None,
        temperature: float = 1.0,
    ) -> Any:
        """New rows, in the kind of table that `fit` was given, names and types of columns and all; see `set_output`.

        Parameters:
            n: how many (for each row of `condition`, if there is one).
            condition: shape (m, C), if the model was fitted with one.
            random_state: seed; the estimator's own if None.
            given: of a table of more than numbers, rows with gaps, or of some of the columns, to complete: n draws for
                each, one row's after the other; of images of levels, those with pixels that are NaN, as of `impute`.
            where: a rule that rows are to keep to, such as "age >= 18 AND premium > 0", an expression of SQL; others
                are drawn again.
            temperature: what the scale of all noise is multiplied by; below 1, samples are more usual, and vary less.

        Returns:
            Shape (n, D); or an array of shape (n, m, D) with a condition.

        Raises:
            ValueError: the rule is no such expression, or fewer than one draw in some thousands keeps to it.
        """
        check_is_fitted(self)
        if temperature != 1:
            return self.cooled(temperature).sample(n, condition, random_state, given, where)
        if where is not None:
            return self._in_kind(self._drawn_where(n, where, random_state, condition=condition, given=given).rows)
        if given is not None:
            return self._complete_rows(n, given, random_state, condition)
        return self._in_kind(self._drawn(check_draws(n), random_state, condition).rows)

    def _drawn(self, n: int, random_state: Any, condition: Any = None, component: int | None = None) -> Draws:
        key = draw_key(random_state, self.random_state)
        if self._is_mixed:
            rows = mixed_within_reach(self.columns_, key, n, lambda key, some: draw_rows(self._flow, len(some), key))
            return Draws(self._decoded(rows, random_state))
        given = standard_condition(check_known_condition(condition, self.condition_columns_), self.condition_columns_)
        on_device = None if given is None else as_float(given)
        return Draws(within_reach(self.columns_, key, lambda key: np.asarray(self._flow.sample(key, (n,), on_device))))

    def set_output(self, *, transform: str | None = None) -> Self:
        """Choose "pandas", "polars" or "default" for rows and noise; see `FlowEstimator.set_output`."""
        FlowEstimator.set_output(self, transform=transform)
        estimator: Self = super().set_output(transform=transform)  # scikit-learn's own, which noise follows
        return estimator

    @property
    def _n_features_out(self) -> int:
        """How many columns noise has, for scikit-learn to name."""
        return len(self.columns_.names)

    def transform(self, X: Any, condition: Any = None) -> np.ndarray:
        """Rows to noise; whole-number columns from the middle of their step. Flows of `flows.PIXEL_RECIPES` have none.

        Of a continuously-indexed flow it is one draw, with indices whose key follows from the row's numbers.

        Returns:
            Shape (n, D); standard normal (or the recipe's base) if the model fits.
        """
        x, c = fitted_rows(self, X, condition)
        check_inside(x, self.columns_)
        check_whole_columns(x, self.columns_)
        (z,) = in_batches(partial(_to_noise, self._flow), self.columns_.middles(x), c)
        return in_precision(z, X)

    def inverse_transform(self, Z: Any, condition: Any = None) -> Any:
        """Noise to rows, the inverse of `transform`; not so of a continuously-indexed flow, which draws indices anew.

        They come in the kind of table that `fit` was given; see `set_output`.

        Returns:
            Shape (n, D), in the data's units.
        """
        z = check_array(as_missing(Z), dtype=np.float64, input_name="Z")
        if z.shape[1] != self.columns_.n:
            raise ValueError(f"Z has {z.shape[1]} columns; the model has {self.columns_.n}")
        known = self.condition_columns_
        c = standard_condition(check_known_condition(condition, known, len(z)), known)
        (s,) = in_batches(partial(_from_noise, self._flow), z, c)
        require_solved(s)
        return self._in_container(self.columns_.restore(s), Z)

    def interpolate(self, a: Any, b: Any, n: int = 10, condition: Any = None, random_state: Any = None) -> Any:
        """Rows between two, along the arc of a great circle between their noises, whose lengths change evenly.

        Noise of many dimensions lies near a sphere, which straight lines leave for where samples are not. Values that
        fill cells, as those of pixels do, are put anywhere in them, as they are where noise is that of samples.

        Parameters:
            a, b: rows or images.
            n: how many, these two included.
            condition: shape (C,), if the model was fitted with one.
            random_state: seed of the places in cells; the estimator's own if None.

        Returns:
            Shape (n, D) or (n, height, width[, channels]), as `inverse_transform`.

        Raises:
            ValueError: fewer than two.
        """
        check_is_fitted(self)
        check_whole("n", n, 2)
        ends = np.stack([self._one_row("a", a), self._one_row("b", b)])
        given = None if condition is None else np.tile(np.asarray(condition).reshape(1, -1), (n, 1))
        rows = self._named(ends) if "feature_names_in_" in vars(self) else ends
        x, c = fitted_rows(self, rows, None if given is None else given[:2])
        check_inside(x, self.columns_)
        s = placed_in_cells(self, x, draw_key(random_state, self.random_state))
        (z,) = in_batches(partial(_to_noise, self._flow), s, c)
        return self.inverse_transform(great_circle(z[0], z[1], n), given)

    def _one_row(self, name: str, row: Any) -> FloatArray:
        """The numbers of one row or image, shape (D,)."""
        numbers, d = np.asarray(as_missing(row), dtype=np.float64), self.columns_.n
        if numbers.size != d:
            what = f"row of {d} columns" if self.image_shape_ is None else f"image of {self.image_shape_}"
            raise ValueError(f"{name} has shape {numbers.shape}; expected one {what}")
        return numbers.reshape(d)

    def _named(self, rows: FloatArray) -> Any:
        """Rows under the names that `fit` knew their columns by."""
        import pyarrow as pa

        return pa.table({name: rows[:, i] for i, name in enumerate(self.columns_.names)})


# here, as scikit-learn wraps what a class defines, and hides less
for _name in ("transform", "inverse_transform", "interpolate"):
    setattr(FlowDensity, _name, numbers_alone(getattr(FlowDensity, _name)))


@eqx.filter_jit
def _to_noise(flow: Pushforward, s: Array, c: Array | None) -> Array:
    if not flow.inexactness:
        return flow.bijection.inverse_batch(s, None, c)[0]
    noise: Array = each_row(lambda s, c, key: flow.bijection.inverse_and_log_weight(s, key, c)[0], s, c)
    return noise


@eqx.filter_jit
def _from_noise(flow: Pushforward, z: Array, c: Array | None) -> Array:
    if not flow.inexactness:
        return flow.bijection.forward_batch(z, None, c)[0]
    rows: Array = each_row(lambda z, c, key: flow.bijection.forward_and_log_weight(z, key, c)[0], z, c)
    return rows
