"""One flow for a table: density, samples, and the map to noise."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from scipy.special import logsumexp
from sklearn.base import DensityMixin, TransformerMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from pushforward.bijections.base import NOISY
from pushforward.data import content_hash
from pushforward.data.columns import Bounds, Columns, as_float
from pushforward.distributions import Pushforward
from pushforward.distributions.estimates import each_row
from pushforward.estimators.base import ESTIMATE_DRAWS, FloatArray, FlowEstimator, bind, check_weights
from pushforward.estimators.build import FlowSpec, build_flow
from pushforward.estimators.defaults import default_settings, starting_scale
from pushforward.estimators.partition import moments
from pushforward.objectives import NegativeLogLikelihood
from pushforward.training import Checkpoint, Rows, train

FEW_DRAWS = 2  # effective draws below which a score is one draw's


class FlowDensity(DensityMixin, TransformerMixin, FlowEstimator):
    """Density estimation of a table of numbers with one normalizing flow.

    Parameters:
        flow: "auto" chooses by the number of columns; or a recipe's name, such as "spline_coupling", "maf" or
            "residual" (all are in `flows.RECIPES`), with "indexed_" before it for its continuously-indexed flow.
        n_layers, hidden_sizes: of the recipe; None for its own choice.
        flow_options: what else the recipe takes, by name, such as n_bins of a spline or index of an indexed flow.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training; None for a choice by the
            size of the table. `weight_decay` is an L2 penalty in the gradient, a Gaussian prior; None for one of
            variance 0.4 on every parameter.
        training: further settings of `pushforward.training.Settings` by name, such as schedule, clip_norm,
            averaging or decay_form.
        validation_fraction: share of rows held out to stop early and keep the best weights.
        bounds: column (name or number) -> (low, high) that its values keep to, None for an open side;
            or one such pair for all columns.
        discrete: which columns hold whole numbers: "auto", "none" or a list of columns.
        n_init: restarts trained side by side; the best on held-out rows wins.
        warm_start: whether `fit` goes on from the last fit's weights.
        random_state: seed of everything random.
        verbose: 1 shows a progress bar on a terminal.

    Attributes:
        model_: the fitted distribution, in the data's units.
        columns_: what each column was taken to be.
        history_: training and validation loss of every epoch.
        n_iter_, best_epoch_, seconds_: epochs run, the epoch kept, wall time.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> X = np.random.default_rng(0).normal(size=(300, 2)) * [1, 10]
        >>> density = pf.FlowDensity(max_epochs=5, random_state=0).fit(X)
        >>> density.score_samples(X).shape
        (300,)
    """

    _alone = True

    def __init__(
        self,
        flow: str = "auto",
        *,
        n_layers: int | None = None,
        hidden_sizes: Sequence[int] | None = None,
        flow_options: Mapping[str, Any] | None = None,
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
        self.flow = flow
        self.n_layers = n_layers
        self.hidden_sizes = hidden_sizes
        self.flow_options = flow_options
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.bounds = bounds
        self.discrete = discrete
        self.n_init = n_init
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

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
            X: numbers, shape (n, D); NumPy, pandas or polars.
            y: ignored.
            sample_weight: non-negative, shape (n,).
            condition: numbers that the density is conditioned on, shape (n, C).
            checkpoint: where and how often to keep the state of training; see `pushforward.training.Checkpoint`.

        Returns:
            The fitted estimator.

        Raises:
            ValueError: cells that are not finite numbers, constant continuous columns, values beyond bounds.
            TrainingError: training diverged.
            CheckpointError: resuming from a checkpoint that does not fit.
        """
        with self._unchanged_on_error():
            return self._fit(X, y, sample_weight, condition, checkpoint)

    def _spec(self, dim: int, few_rows: bool = False) -> FlowSpec:
        return super()._spec(dim, few_rows).with_options(self.flow_options)

    def _fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        condition: Any = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        going_on = self.warm_start and hasattr(self, "_flow")
        x = self._check_rows(X, reset=not going_on)
        table = self._check_condition(condition, len(x), fitting=not going_on)
        weight = check_weights(sample_weight, x)
        if weight is not None:
            kept = weight > 0
            x, weight, table = x[kept], weight[kept], None if table is None else table[kept]
        if going_on:
            self._check_like_before(x)
        else:
            self._learn(x, condition, table, bounds=self.bounds)
        seed = self._seed()
        train_index, validation_index = self._split_rows(x, table, weight, seed)

        def table_of(index: Any) -> Rows:
            return self._rows(x, table, index, weight=None if weight is None else weight[index])

        rows = table_of(train_index)
        settings = self._training_settings(len(train_index), self._defaults(len(train_index)))
        n_init = 1 if going_on else self._count("n_init")
        model = self._flow if going_on else self._start(rows, seed, n_init)
        noise = self.columns_.noise
        fit = train(
            model,
            NegativeLogLikelihood(None if noise is None else as_float(noise)),
            rows,
            key=jax.random.key(seed),
            settings=settings,
            validation=table_of(validation_index) if len(validation_index) else None,
            n_restarts=n_init,
            checkpoint=bind(checkpoint, self, content_hash(x, None, weight, table)),
            show_progress=bool(self.verbose),
        )
        self._keep(fit, fit.model)
        return self

    def _split_rows(self, x: np.ndarray, table: np.ndarray | None, weight: np.ndarray | None, seed: int) -> Any:
        """Rows to train on and rows to validate on."""
        return self._split(x, None, seed)

    def _defaults(self, n: int) -> dict[str, Any]:
        """Training settings for n rows where the user says nothing."""
        return default_settings(n)

    def _start(self, rows: Rows, seed: int, n_init: int) -> Pushforward:
        """The untrained flow, or several with a restart axis, placed where the rows are."""
        n, dim = int(rows.n), rows.x.shape[1]
        z = unbounded(self.columns_, np.asarray(rows.x)[:n])
        location, factor, _ = moments(z, np.zeros(n, dtype=int), 1, starting_scale(dim), np.asarray(rows.weight)[:n])
        keys = jax.random.split(jax.random.key(seed), n_init)
        spec, at, by = self._spec(dim), as_float(location[0]), as_float(factor[0])
        flow: Pushforward
        if n_init == 1:
            flow = build_flow(keys[0], spec, at, by)
        else:
            flow = eqx.filter_vmap(lambda key: build_flow(key, spec, at, by))(keys)
        if not self.columns_.bounded:
            return flow
        bounds = self.columns_.bounds_map()
        if n_init == 1:
            return flow.then(bounds)
        bounded: Pushforward = eqx.filter_vmap(lambda flow: flow.then(bounds))(flow)
        return bounded

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = []  # noise is in JAX's dtype
        return tags

    @property
    def model_(self) -> Pushforward:
        """The fitted distribution, in the data's units (a condition in standard units)."""
        check_is_fitted(self)
        flow: Pushforward = self._flow
        return flow.then(self.columns_.units_map())

    def score_samples(self, X: Any, condition: Any = None) -> np.ndarray:
        """Log-density of every row, in nats per unit volume of the data's units.

        Of a table with whole-number columns it estimates the log-probability of the whole numbers (and the
        density of the others given them) from a few fixed draws within each unit step. Of a flow without an exact
        density (`exactness_` says so) it is an importance-weighted estimate of 64 draws, with a warning where it rests
        on hardly more than one of them, or a bound where log-determinants are estimates.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.

        Returns:
            Shape (n,); -inf outside declared bounds.
        """
        draws = self._score_in_batches(_log_prob, X, condition)
        stacked = np.stack([draw[0] for draw in draws])
        if len(draws[0]) > 1:
            _warn_of_few_draws(stacked.max(axis=0), np.max([draw[1] for draw in draws], axis=0))
        return self._result(logsumexp(stacked, axis=0) - np.log(len(stacked)) - self.columns_.log_scale, X)

    def score(self, X: Any, y: Any = None, condition: Any = None) -> float:
        """The mean log-density of the rows; y is ignored."""
        return float(np.mean(self.score_samples(X, condition)))

    def sample(self, n: int = 1, condition: Any = None, random_state: Any = None) -> np.ndarray:
        """New rows.

        Parameters:
            n: how many (for each row of `condition`, if there is one).
            condition: shape (m, C), if the model was fitted with one.
            random_state: seed; the estimator's own if None.

        Returns:
            Shape (n, D), or (n, m, D) with a condition.
        """
        check_is_fitted(self)
        key, given = sampling_inputs(self, n, condition, random_state)
        return self._restored(self._flow.sample(key, (n,), given))

    def transform(self, X: Any, condition: Any = None) -> np.ndarray:
        """Rows to noise; whole-number columns from the middle of their step.

        Of a continuously-indexed flow it is one draw, with indices whose key follows from the row's numbers.

        Returns:
            Shape (n, D); standard normal (or the recipe's base) if the model fits.
        """
        check_is_fitted(self)
        x = self._check_rows(X, reset=False)
        self._refuse_beyond(x)
        table = self._check_condition(condition, len(x), fitting=False)
        middle = np.where(self.columns_.whole, 0.5, 0) / self.columns_.scale
        c = self._standard_condition(table)
        parts = list(self._batches(_to_noise, self.columns_.standardize(x) + middle, c))
        return self._result(np.concatenate([part[0] for part in parts]), X)

    def inverse_transform(self, Z: Any, condition: Any = None) -> np.ndarray:
        """Noise to rows, the inverse of `transform`; not so of a continuously-indexed flow, which draws indices anew.

        Returns:
            Shape (n, D), in the data's units.
        """
        check_is_fitted(self)
        z = check_array(Z, dtype=np.float64, input_name="Z")
        if z.shape[1] != self.columns_.n:
            raise ValueError(f"Z has {z.shape[1]} columns; the model has {self.columns_.n}")
        table = self._check_condition(condition, len(z), fitting=False)
        c = self._standard_condition(table)
        parts = list(self._batches(_from_noise, z, c))
        return self._restored(np.concatenate([part[0] for part in parts]))


def unbounded(columns: Columns, s: np.ndarray) -> np.ndarray:
    """Training rows in standard units, noise added and bounds mapped away, for looking at where they are."""
    s = np.asarray(s, dtype=np.float64)
    if columns.noise is not None:
        s = s + columns.noise * np.random.default_rng(0).uniform(size=s.shape)
    if not columns.bounded:
        return s
    return np.asarray(jax.vmap(columns.bounds_map().inverse)(as_float(s)), dtype=np.float64)


def sampling_inputs(estimator: Any, n: int, condition: Any, random_state: Any) -> tuple[Array, Array | None]:
    """A key, and the condition in standard units on the device."""
    if not isinstance(n, int | np.integer) or n < 1:
        raise ValueError(f"n must be a whole number of at least 1; got {n!r}")
    seed = estimator.random_state if random_state is None else random_state
    key = jax.random.key(int(check_random_state(seed).randint(np.iinfo(np.int32).max)))
    table = estimator._check_condition(condition, 0 if condition is None else len(condition), fitting=False)
    return key, None if table is None else as_float(estimator.condition_columns_.standardize(table))


@eqx.filter_jit
def _log_prob(flow: Pushforward, s: Array, c: Array | None) -> Any:
    """Log-densities; of an importance-weighted estimate, the effective draws too."""
    if not flow.inexactness:
        return flow.log_prob(s, c)

    def estimate(s: Array, c: Array | None, key: Array) -> Any:
        if flow.inexactness & NOISY:
            return flow.elbo(s, c, key=key, n_samples=ESTIMATE_DRAWS)
        weighted = flow.log_prob_estimate(s, c, key=key, n_samples=ESTIMATE_DRAWS)
        return weighted.value, weighted.effective_draws

    return each_row(estimate, s, c)


def _warn_of_few_draws(values: FloatArray, effective_draws: FloatArray) -> None:
    few = int((np.isfinite(values) & (effective_draws < FEW_DRAWS)).sum())
    if few:
        warnings.warn(
            f"log-densities of {few} of {len(values)} rows rest on less than {FEW_DRAWS} effective draws of "
            f"{ESTIMATE_DRAWS}, so they may be far too low; rows far from all that the model has seen are such",
            stacklevel=3,
        )


@eqx.filter_jit
def _to_noise(flow: Pushforward, s: Array, c: Array | None) -> Array:
    if not flow.inexactness:
        return flow.bijection.inverse_batch(s, None, c)[0]
    found: Array = each_row(lambda s, c, key: flow.bijection.inverse_and_log_weight(s, key, c)[0], s, c)
    return found


@eqx.filter_jit
def _from_noise(flow: Pushforward, z: Array, c: Array | None) -> Array:
    if not flow.inexactness:
        return flow.bijection.forward_batch(z, None, c)[0]
    found: Array = each_row(lambda z, c, key: flow.bijection.forward_and_log_weight(z, key, c)[0], z, c)
    return found
