"""Series, one step after the other: density, surprise of each step, samples and forecasts."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils.validation import check_is_fitted

from pushforward.checks import check_choice, check_number, check_whole
from pushforward.data import content_hash
from pushforward.data.clocks import SeriesColumns
from pushforward.data.columns import FloatArray, as_float
from pushforward.distributions import AbstractValue, Autoregressive
from pushforward.estimators.defaults import default_epochs
from pushforward.estimators.draws import draw_key
from pushforward.estimators.preparing import draw_seed, parameters, training_settings
from pushforward.estimators.scoring import in_batches
from pushforward.estimators.series_inputs import Units, as_conditions, as_series, learn_units, moved, of_levels, trimmed
from pushforward.estimators.state import as_precise, unchanged_on_error
from pushforward.estimators.windows import Part, SeriesLikelihood, Windows, least_squares, tiles
from pushforward.networks import Lagged, WaveNet
from pushforward.processes import before_computing
from pushforward.training import Checkpoint, reporting, train

CHANNELS = 32
LAYERS, MOST_LAYERS = 8, 10  # 2^8 steps are seen, and of longer seasons up to 2^10
LAGS = 24  # steps back that a linear forecast sees at least,
MOST_SEASONS = 8  # and so many short seasons
FEWEST_STEPS = 20  # for each of its lags
STEPS, BATCH, RATE = 1500, 8, 2e-3  # of training: steps of so many windows
PRECISION = 10.0  # of a Gaussian prior on the parameters
MOST_COUNTED = 1024  # steps of a window that count
FEW_SERIES = 20  # below which the ends of all are held out, and not some of them
WINDOWS_AT_ONCE, DRAWS_AT_ONCE = 64, 2048
PLACES = ("network", "least squares")
UNITS = ("units_", "condition_units_")


class SeriesDensity(DensityMixin, BaseEstimator):
    """Density of series, each step given those before it: surprise of steps, new series, forecasts.

    A WaveNet (van den Oord et al. 2016) sees the steps before each; beside it a linear forecast of each channel from
    its own past, which starts from least squares, leaves to it what else there is to say. Log-densities are exact;
    draws keep what was computed of past steps. NaN is a gap: it is told to the network, and its own term is left out.

    Parameters:
        value: what values are: "real", a mixture of Student's t distributions, whose tails are heavy; "levels", whole
            numbers of which each is as likely as the model says; "auto", levels where all are whole and at most 256
            different ones lie between; or a `distributions.AbstractValue`, such as `Categorical(256)`.
        channels: width of the network's layers; None for 32.
        n_layers: of the network, whose steps see twice as far back with each; None for 8 (256 steps), more where
            a season is longer, fewer where series are shorter.
        dilations: of each layer, instead of 1, 2, 4, ….
        seasons: lengths of cycles in steps, such as (24, 168) of hours: the linear forecast sees what lies one of them
            back, and some more of the shortest.
        lags: steps back that the linear forecast sees, instead of the last 24 and around seasons.
        places: where values are likely: "network", the linear forecast and what the network adds; or "least squares",
            that forecast alone, and the network says how far they spread around it: less is learned of the next step,
            and less of it by heart, which forecasts of many steps are better for.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training; an epoch visits each step once, in
            windows whose beginnings are drawn anew, `batch_size` of them a step. None for a choice by the length.
        training: further settings of `pushforward.training.Settings` by name.
        validation_fraction: share held out to stop early and keep the best weights: of fewer than 20 series the end of
            each, else some of them.
        random_state: seed of everything random.
        verbose: 1 shows what is going on.

    Attributes:
        model_: the fitted `distributions.Autoregressive`, in `units_`, of windows.
        value_: what values were taken to be.
        units_: shift and scale of each channel.
        context_: steps back that are seen of any step.
        n_channels_: C.
        table_: the columns of the table that `service.fit_series` fitted it to, and their grid of time; else None.
        history_: training and validation loss of every epoch, in nats a step.
        n_iter_, best_epoch_, seconds_: its epochs, the one kept, wall time of the fit.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> X = np.sin(np.arange(200) / 3)[None] + np.random.default_rng(0).normal(scale=0.1, size=(4, 200))
        >>> series = pf.SeriesDensity(channels=4, n_layers=2, max_epochs=2, random_state=0).fit(X)
        >>> series.score_steps(X).shape, series.forecast(X, 5, n_samples=10).shape
        ((4, 200), (10, 4, 5, 1))
    """

    table_: SeriesColumns | None

    def __init__(
        self,
        *,
        value: str | AbstractValue = "auto",
        channels: int | None = None,
        n_layers: int | None = None,
        dilations: Sequence[int] | None = None,
        seasons: Sequence[int] = (),
        lags: Sequence[int] | None = None,
        places: str = "network",
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        training: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.1,
        patience: int | None = None,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.value = value
        self.channels = channels
        self.n_layers = n_layers
        self.dilations = dilations
        self.seasons = seasons
        self.lags = lags
        self.places = places
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.validation_fraction = validation_fraction
        self.patience = patience
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
        """Fit the density of series.

        Parameters:
            X: shape (n_series, n_steps), (n_series, n_steps, n_channels), or a list of arrays of shape (n_steps,) or
                (n_steps, n_channels); a single series is a list of one. NaN is a gap, or fills up at an end.
            y: ignored.
            sample_weight: of series, non-negative, shape (n_series,).
            condition: numbers that the density is conditioned on, of each series, shape (n_series, K), or of each step,
                known ahead, shape (n_series, n_steps, K) or a list.
            checkpoint: where and how often to keep the state of training; see `pushforward.training.Checkpoint`.

        Returns:
            The fitted estimator.

        Raises:
            ValueError: infinite cells, a channel that does not vary, series of a single step, conditions that do not
                fit.
            TrainingError: training diverged.
            CheckpointError: resuming from a checkpoint that does not fit.
        """
        with unchanged_on_error(self), reporting(bool(self.verbose)):
            before_computing()
            given = as_series(X)
            conditions = as_conditions(condition, [len(one) for one in given], fitted=False)
            series = trimmed(given)
            if max(map(len, series)) < 2:
                raise ValueError(
                    "all series of X have a single step, so that no step has one before it; use FlowDensity"
                )
            self._learn(series, conditions)
            seed = draw_seed(self.random_state)
            parts = self._parts(series, conditions, _weights(sample_weight, len(series)))
            training, held_out = split_parts(parts, self.validation_fraction, self.context_, seed)
            counted = min(max(len(part.x) for part in training), max(self.context_, 64), MOST_COUNTED)
            feed = Windows.over(training, self.context_, counted)
            fit = train(
                self._start(parts, training, counted, seed),
                SeriesLikelihood(self.context_),
                feed,
                key=jax.random.key(seed),
                settings=training_settings(self, self._defaults(int(feed.n_rows), training)),
                validation=Windows.over(held_out, self.context_, counted) if held_out else None,
                checkpoint=_bind(checkpoint, self, parts),
                show_progress=bool(self.verbose),
            )
            self.model_ = fit.model
            self.table_ = None
            self.history_ = fit.history
            self.n_iter_ = len(fit.history)
            self.best_epoch_ = fit.best_epoch
            self.interrupted_ = fit.interrupted
        return self

    def _learn(self, series: list[FloatArray], conditions: list[FloatArray] | None) -> None:
        """Set what is read off the series, before training."""
        check_choice("places", self.places, PLACES)
        self.value_, self.units_ = learn_units(self.value, series)
        if self.places == "least squares" and moved(self.value_) is None:
            raise ValueError(
                f"places='least squares' needs values with places, and a {type(self.value_).__name__} has none"
            )
        self.n_channels_ = series[0].shape[1]
        self.condition_units_, self.condition_kind_ = None, None
        if conditions is not None:
            flat = np.concatenate([np.atleast_2d(one) for one in conditions])
            spread = flat.std(axis=0)
            self.condition_units_ = Units(flat.mean(axis=0), np.where(spread > 0, spread, 1.0))
            self.condition_kind_ = (flat.shape[1], conditions[0].ndim == 2)
        longest = max(map(len, series))
        seasons = [check_whole("each of seasons", season, 2) for season in self.seasons]
        self.lags_ = tuple(self.lags) if self.lags is not None else _lags(seasons, longest)
        self.dilations_ = self._dilations(max([0, *seasons]), longest)
        self.context_ = max(sum(self.dilations_) + 1, *(self.lags_ if moved(self.value_) else (1,)))

    def _dilations(self, season: int, longest: int) -> tuple[int, ...]:
        if self.dilations is not None:
            return tuple(check_whole("each of dilations", d, 1) for d in self.dilations)
        if self.n_layers is not None:
            return tuple(2**i for i in range(check_whole("n_layers", self.n_layers, 1, 20)))
        wanted = min(MOST_LAYERS, max(LAYERS, math.ceil(math.log2(season + 1))))
        return tuple(2**i for i in range(min(wanted, max(1, math.ceil(math.log2(longest))))))

    def _start(self, parts: list[Part], training: list[Part], counted: int, seed: int) -> Autoregressive:
        """The model to train, of windows; weights that do not train are read off all parts."""
        n, by_step = self.condition_kind_ or (None, False)
        network = WaveNet.init(
            jax.random.key(seed),
            (self.context_ + counted, self.n_channels_),
            self.value_.n_features,
            self.value_.n_params,
            channels=CHANNELS if self.channels is None else check_whole("channels", self.channels, 1),
            dilations=self.dilations_,
            cond_dim=n,
            local=by_step,
        )
        places = moved(self.value_)
        if places is None:
            return Autoregressive(network, self.value_)
        alone = self.places == "least squares"
        weights = least_squares(parts if alone else training, self.lags_, self.value_)  # the latest steps tell most
        return Autoregressive(Lagged.beside(network, self.lags_, places, weights, alone), self.value_)

    def _defaults(self, n_windows: int, training: list[Part]) -> dict[str, Any]:
        batch = BATCH if self.batch_size is None else check_whole("batch_size", self.batch_size, 1)
        values = sum(int(np.isfinite(part.x).sum()) for part in training)
        return {
            "batch_size": batch,
            "max_epochs": default_epochs(n_windows, batch, STEPS, least=5),
            "most_epochs": None,
            "learning_rate": RATE,
            "schedule": "cosine",
            "warmup_steps": 50,
            "clip_norm": 10.0,
            "averaging": 0.99,
            "weight_decay": PRECISION * self.n_channels_ / values,
        }

    def _parts(self, series: list[FloatArray], conditions: list[FloatArray] | None, weight: FloatArray) -> list[Part]:
        """Whole series and their conditions, in standard units."""
        given: list[Any] = [None] * len(series) if conditions is None else conditions
        nothing = np.empty((0, self.n_channels_))
        parts = []
        for x, c, w in zip(series, given, weight, strict=True):
            if c is not None and self.condition_units_ is not None:
                c = self.condition_units_.standardise(c)
                c = c[: len(x)] if c.ndim == 2 else c
            parts.append(Part(nothing, self.units_.standardise(x), c, float(w)))
        return [part for part in parts if part.weight > 0]

    def _checked(self, X: Any, condition: Any, ahead: int = 0, name: str = "X") -> list[Part]:
        """Series to apply the fitted model to, in standard units; conditions reach so many steps ahead of them."""
        check_is_fitted(self)
        before_computing()
        series = as_series(X, self.n_channels_, name)
        conditions = as_conditions(condition, [len(one) + ahead for one in series], self.condition_kind_)
        parts = []
        for i, x in enumerate(series):
            c = None if conditions is None or self.condition_units_ is None else conditions[i]
            c = c if c is None or self.condition_units_ is None else self.condition_units_.standardise(c)
            parts.append(Part(np.empty((0, self.n_channels_)), self.units_.standardise(x), c))
        return parts

    def _terms(self, X: Any, condition: Any) -> list[FloatArray]:
        """Log-density of every value in the data's units, NaN where nothing was observed, shape (T, C) each."""
        parts = self._checked(X, condition)
        if of_levels(self.value_):
            _refuse_fractions(parts)
        counted = self.model_.shape[0] - self.context_
        cut = [tiles(part, self.context_, counted) for part in parts]
        windows = np.concatenate([x for x, _ in cut])
        conditions = None if cut[0][1] is None else np.concatenate([c for _, c in cut if c is not None])
        (terms,) = in_batches(partial(_window_terms, self.model_), windows, conditions, WINDOWS_AT_ONCE)
        terms, result, at = terms[:, self.context_ :] - np.log(self.units_.scale), [], 0
        for part, (x, _) in zip(parts, cut, strict=True):
            flat = terms[at : at + len(x)].reshape(-1, self.n_channels_)[: len(part.x)]
            result.append(np.where(np.isnan(part.x), np.nan, flat))
            at += len(x)
        return result

    def score_samples(self, X: Any, condition: Any = None) -> np.ndarray:
        """Log-density of each series, in the data's units: of levels, log-probability.

        Returns:
            Shape (n_series,), in nats; gaps are left out, so 0 of a series of gaps alone, and -inf of values beyond the
            levels.
        """
        return np.array([float(np.nansum(terms)) for terms in self._terms(X, condition)])

    def score(self, X: Any, y: Any = None, condition: Any = None) -> float:
        """The mean log-density of a step, over all at which something was observed, of all series; y is ignored."""
        terms = np.concatenate(self._terms(X, condition))
        observed = ~np.isnan(terms).all(1)
        if not observed.any():
            raise ValueError("X holds no value at all, NaN alone; there is nothing to score")
        return float(np.nansum(terms) / observed.sum())

    def score_steps(self, X: Any, condition: Any = None) -> Any:
        """Surprise of each step, −log p of all its channels given the steps before it: high where something is odd.

        Parameters:
            X: as of `fit`.
            condition: as of `fit`.

        Returns:
            Nats, in the data's units, NaN where nothing was observed: shape (n_series, n_steps), of a list of series a
            list of arrays (n_steps,).
        """
        steps = [
            np.where(np.isnan(terms).all(1), np.nan, -np.nansum(terms, axis=1)) for terms in self._terms(X, condition)
        ]
        return steps if isinstance(X, list | tuple) else np.stack(steps)

    def sample(self, n: int = 1, n_steps: int = 100, condition: Any = None, random_state: Any = None) -> np.ndarray:
        """New series.

        Parameters:
            n: how many; of each condition, where there are conditions.
            n_steps: of each.
            condition: shape (m, K), or (m, n_steps, K), if the model was fitted with such.
            random_state: seed; the estimator's own if None.

        Returns:
            Shape (n, n_steps, C); with conditions (n, m, n_steps, C).
        """
        check_is_fitted(self)
        n, n_steps = check_whole("n", n, 1), check_whole("n_steps", n_steps, 1)
        rows = 1 if condition is None else len(condition)
        nothing = np.full((rows, 1, self.n_channels_), np.nan)
        if condition is not None and self.condition_kind_ is not None and self.condition_kind_[1]:
            given = np.asarray(condition, dtype=np.float64)
            condition = np.concatenate(
                [given[:, :1], given], axis=1
            )  # of the step before all, of which nothing is known
        drawn = self.forecast(nothing, n_steps, n, condition=condition, random_state=random_state)
        return drawn if condition is not None else drawn[:, 0]

    def forecast(
        self,
        past: Any,
        horizon: int,
        n_samples: int = 100,
        *,
        quantiles: Sequence[float] | None = None,
        condition: Any = None,
        random_state: Any = None,
    ) -> np.ndarray:
        """Draws of the steps that follow series, exact ones.

        Parameters:
            past: series that are known so far, as X of `fit`; NaN at their ends are steps of which nothing is known.
            horizon: H, steps to draw.
            n_samples: S, draws of each.
            quantiles: levels between 0 and 1 of quantiles to give instead of draws.
            condition: as of `fit`; of steps, those of the past and then those of the horizon.
            random_state: seed; the estimator's own if None.

        Returns:
            Draws, shape (S, n_series, H, C), or quantiles, shape (Q, n_series, H, C), in the data's units.

        Raises:
            ValueError: what is given does not fit the model, or a quantile is not between 0 and 1.
        """
        horizon, n_samples = check_whole("horizon", horizon, 1), check_whole("n_samples", n_samples, 1)
        levels = None if quantiles is None else [_level(q) for q in quantiles]
        parts = self._checked(past, condition, horizon, "past")
        x, c = zip(*(self._last(part, horizon) for part in parts), strict=True)
        model = self.model_.resized(self.context_ + horizon)
        known = (np.arange(self.context_ + horizon) < self.context_)[:, None]
        key, at_once, drawn = draw_key(random_state, self.random_state), max(1, DRAWS_AT_ONCE // n_samples), []
        for start in range(0, len(x), at_once):
            rows = np.stack(x[start : start + at_once])
            given = None if c[0] is None else as_float(np.stack(c[start : start + at_once]))
            one = model.complete(
                as_float(rows), known, jax.random.fold_in(key, start), given, sample_shape=(n_samples,)
            )
            drawn.append(np.asarray(one.x[:, :, self.context_ :], dtype=np.float64))
        draws = self.units_.restore(np.concatenate(drawn, axis=1))
        return draws if levels is None else np.quantile(draws, levels, axis=0)

    def _last(self, part: Part, horizon: int) -> tuple[FloatArray, FloatArray | None]:
        """The last steps of a past, as many as are seen, and a horizon of which nothing is known; their conditions."""
        room = np.full((self.context_, self.n_channels_), np.nan)
        past = np.concatenate([room, part.x])[-self.context_ :]
        c = part.condition
        if c is not None and c.ndim == 2:
            c = np.concatenate([np.zeros((self.context_, c.shape[1])), c])[-self.context_ - horizon :]
        return np.concatenate([past, np.full((horizon, self.n_channels_), np.nan)]), c

    def describe(self) -> dict[str, Any]:
        """What the fitted model is, as words, numbers and tuples of them: the fields of `service.Description`."""
        check_is_fitted(self)
        names = [f"x{i}" for i in range(self.n_channels_)] if self.table_ is None else self.table_.names
        clock = None if self.table_ is None else self.table_.clock
        levels = of_levels(self.value_)
        given = () if self.condition_kind_ is None else tuple(f"c{i}" for i in range(self.condition_kind_[0]))
        return {
            "kind": "series",
            "columns": tuple(
                (name, "whole number", low, None, None, 1.0) if levels else (name, "real", None, None, low, unit)
                for name, low, unit in zip(names, *(map(float, a) for a in self.units_), strict=True)
            ),
            "image_shape": None,
            "time": None if clock is None else f"{clock.column}, in steps of {clock.step_text}",
            "given": given if clock is None else clock.features,
            "components": (),
            "label_column": None,
            "label_names": (),
            "flow": f"WaveNet of {len(self.dilations_)} layers, which sees {self.context_} steps back",
            "flow_chosen": False,
            "exactness": "exact",
            "threshold": None,
            "centre": None,
            "epochs": int(self.n_iter_),
            "best_epoch": int(self.best_epoch_),
            "seconds": float(self.seconds_),
            "interrupted": bool(self.interrupted_),
        }

    def __sklearn_is_fitted__(self) -> bool:
        return "model_" in vars(self)

    def to_state(self) -> dict[str, Any]:
        """Parameters and fitted attributes, for a model file."""
        check_is_fitted(self)
        fitted = {k: v for k, v in vars(self).items() if k.endswith("_") and not k.startswith("_")}
        for name in UNITS:
            fitted[name] = None if fitted[name] is None else tuple(fitted[name])
        fitted["table_"] = None if self.table_ is None else self.table_.state()
        params = self.get_params(deep=False)
        seed = params["random_state"]
        params["random_state"] = int(seed) if isinstance(seed, int | np.integer) else None
        return {"description": self.describe(), "params": params, "fitted": fitted}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """The inverse of `to_state`."""
        estimator = cls(**state["params"])
        for name, value in state["fitted"].items():
            if name in UNITS and value is not None:
                value = Units(*value)
            elif name == "table_" and value is not None:
                value = SeriesColumns.of_state(value)
            elif name == "model_":
                value = as_precise(value)
            setattr(estimator, name, value)
        return estimator

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the fitted model to a folder; see `pushforward.save`."""
        from pushforward.serialization import save

        save(self, path, overwrite=overwrite)


def split_parts(parts: list[Part], fraction: Any, context: int, seed: int) -> tuple[list[Part], list[Part]]:
    """Parts to train on and parts to validate on: of few series their ends, of many some of them.

    Raises:
        ValueError: the fraction is not in [0, 1).
    """
    share = check_number("validation_fraction", fraction, "in [0, 1)", lambda v: 0 <= v < 1)
    if len(parts) >= FEW_SERIES:
        order, n = np.random.default_rng(seed).permutation(len(parts)), round(share * len(parts))
        return [parts[i] for i in order[n:]], [parts[i] for i in order[:n]]
    training, held_out = [], []
    for part in parts:
        n = len(part.x) - round(share * len(part.x))
        c = part.condition
        by_step = c is not None and c.ndim == 2
        training.append(part._replace(x=part.x[:n], condition=c[:n] if by_step and c is not None else c))
        before = part.x[max(0, n - context) : n]
        ahead = c[n - len(before) :] if by_step and c is not None else c
        if n < len(part.x) and np.isfinite(part.x[n:]).any():
            held_out.append(Part(before, part.x[n:], ahead, part.weight))
    return training, held_out


def _lags(seasons: Sequence[int], longest: int) -> tuple[int, ...]:
    """The last steps, and those around seasons back, as far as series are long enough to tell their weights."""
    ends, last = sorted({*seasons}), LAGS
    if ends:
        last = max(last, min(ends[0] + 2, 2 * LAGS))
        ends += [k * ends[0] for k in range(2, MOST_SEASONS) if k * ends[0] <= max(ends[-1], 3 * ends[0])]
    wanted = [*range(1, last + 1), *(end + i for end in sorted({*ends}) for i in (-1, 0, 1) if end + i > last)]
    return tuple(lag for lag in wanted[: max(1, longest // FEWEST_STEPS)] if lag == 1 or lag < longest)


def _weights(sample_weight: Any, n: int) -> FloatArray:
    weight = np.ones(n) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n,) or not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ValueError(
            f"sample_weight must be {n} numbers, one for each series, none negative and not all 0; got shape "
            f"{weight.shape}"
        )
    return weight


def _refuse_fractions(parts: list[Part]) -> None:
    for i, part in enumerate(parts):
        fractions = np.isfinite(part.x) & (part.x != np.round(part.x))
        if fractions.any():
            step, channel = np.argwhere(fractions)[0]
            raise ValueError(
                f"the model was fitted to whole numbers, and series {i} of X has a fraction at step {step}, channel "
                f"{channel}"
            )


def _level(quantile: Any) -> float:
    return check_number("each of quantiles", quantile, "between 0 and 1", lambda q: 0 <= q <= 1)


def _bind(checkpoint: Checkpoint | None, estimator: SeriesDensity, parts: list[Part]) -> Checkpoint | None:
    """Tie a checkpoint to settings and data, so that resuming on others is refused."""
    if checkpoint is not None:
        params = {name: text for name, text in parameters(estimator).items() if name != "verbose"}
        data = content_hash(*(part.x for part in parts), *(part.condition for part in parts))
        checkpoint.fingerprint = {**checkpoint.fingerprint, "the data": data, **params}
    return checkpoint


@eqx.filter_jit
def _window_terms(model: Autoregressive, x: Array, condition: Array | None) -> Array:
    return jnp.asarray(model.log_prob_terms(x, condition))
