"""A mixture of flows for a table: clusters, density, samples, with few labels or none."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Self

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array
from scipy.special import logsumexp, softmax
from sklearn.base import ClusterMixin, DensityMixin
from sklearn.utils.validation import check_is_fitted

from pushforward import trees
from pushforward.bijections import Chain
from pushforward.clustering import count_clusters
from pushforward.clustering.told import levels_told
from pushforward.data.columns import Bounds, FloatArray
from pushforward.distributions import MixtureOfFlows
from pushforward.distributions.mixture import divergence
from pushforward.estimators.any_kind import AnyKindEstimator
from pushforward.estimators.build import Flow, FlowSpec
from pushforward.estimators.copies import merge_copies
from pushforward.estimators.defaults import (
    FEWEST_REFINED,
    MOST_REFINED,
)
from pushforward.estimators.draws import (
    draw_components,
    draw_key,
    draw_of,
    mixed_within_reach,
    refine_posterior,
    within_reach,
)
from pushforward.estimators.mixed_mixture import features_of, fit_mixture, joint_and_posterior
from pushforward.estimators.mixture_fitting import count_components, looks_for_classes, train_mixture, with_classes
from pushforward.estimators.preparing import (
    Table,
    bind,
    draw_seed,
    learn_table,
    read_table,
    split_rows,
    standard_condition,
)
from pushforward.estimators.rejecting import Draws
from pushforward.estimators.scoring import (
    fitted_rows,
    for_each_draw,
    in_batches,
    in_precision,
    joint_and_logits_of,
    log_mean_of_cells,
)
from pushforward.estimators.state import unchanged_on_error
from pushforward.estimators.validation import (
    check_component,
    check_components,
    check_draws,
    check_known_condition,
    check_labels,
    check_n_components,
)
from pushforward.training import Checkpoint, Fit, named_phase, reporting
from pushforward.trees import Frozen


class Assignment(NamedTuple):
    """Rows assigned to components.

    Arguments:
        component: the one that the posterior network ranks first, shape (n,).
        probabilities: the posterior network's q(k|x), shape (n, K).
        log_density: in nats per unit volume of the data's units, shape (n,).
    """

    component: np.ndarray
    probabilities: np.ndarray
    log_density: np.ndarray


class FlowMixture(ClusterMixin, DensityMixin, AnyKindEstimator):
    """A variational mixture of normalizing flows: clusters, classifies with few labels, estimates density.

    Every component is a flow of its own; a network gives the posterior over components, trained together
    with them on the exact bound (Pires & Figueiredo 2020). `predict` and `predict_proba` are that network;
    `responsibilities` are the exact posterior.

    Parameters:
        n_components: K; or "auto", as many as there are clusters that overlap little (`count_clusters`), but latent
            classes where `init` looks for these.
        flow: the components' recipe: "auto" chooses by the number of columns; or "spline_coupling", "real_nvp", "maf",
            "iaf", "nice", "spline_autoregressive"; or a recipe of one's own or a built `Pushforward`, as for
            `FlowDensity`: of a built one, every component starts as a copy placed at its part of the rows.
        n_layers, hidden_sizes: of the recipe; None for a choice by the size of the table.
        shared_layers: how many of the layers lie in one stack under all components; "all" makes the components
            Gaussians under one flow (FlowGMM, Izmailov et al. 2020).
        posterior_hidden_sizes: hidden layers of the posterior network.
        image_shape: (height, width) or (height, width, channels) of rows that are images. The posterior network then
            reads them by convolutions, and pairs of neighbours are moved a little (turned, stretched, shifted).
        consistency: how much, in nats for each column, components of a row and of its nearest neighbours have to agree;
            None for 0.3, but 0.1 up to 8 columns. Neighbours are of the columns alone, whatever a condition is.
        balance: from 0 to 1, how much agreement prefers components of equal size; 0.5 guards against empty ones.
        temperature: what the posterior's logits are divided by at first; it decays exponentially to 1 over
            the first half of training.
        learn_weights: whether the components' weights train.
        refine_posterior: whether, at the end, the posterior network is fitted to the exact posterior on draws
            from the mixture; None for so up to 128 columns, unless max_epochs is given and below 5.
        init: "spectral" starts every component on its part of the rows by spectral clustering of nearest neighbours,
            "embedding" by k-means in an embedding learned from neighbours by contrast, "random" all of them in one
            place. "auto" starts on a Gaussian mixture's parts where BIC says that the rows are K Gaussians, else
            takes "spectral" up to 8 columns or where its parts are clearly apart, else "embedding". Labels spread.
            A table of at most 10 columns, some of which are skewed or have masses such as many zeros, is looked at for
            latent classes, within which columns are independent; where BIC says that there are K of these, "auto" takes
            them for labels.
        n_likely: components evaluated at each row in training, those that the posterior network ranks first; None
            for all, but for 8 of 32 components and more, and 1 beyond 128 columns. The bound is then one with the
            posterior kept to these.
        start_epochs: epochs of the start, in which each row trains its own part's component,
            or in which only the labelled rows train (init="random"); None for a choice by the table.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training; None for a choice by the
            size of the table. Without max_epochs it goes on, up to eight times as long, while the validation
            loss still falls markedly. `weight_decay` is an L2 penalty in the gradient, a Gaussian prior; None for
            one of variance 0.4 on every parameter, less for many columns and for few rows.
        training: further settings of `pushforward.training.Settings` by name, such as schedule, clip_norm,
            averaging or decay_form.
        validation_fraction: share of the unlabelled rows held out to stop early and keep the best weights.
        bounds: column (name or number) -> (low, high) that its values keep to, None for an open side;
            or one such pair for all columns.
        discrete: which columns hold whole numbers: "auto", "none" or a list of columns.
        columns: what columns are, by name, where looking would be wrong: "number", "real", "positive", "whole", "date",
            "boolean", "category", "ordered" or "left out". A table with any other column than of numbers, or with gaps,
            is modelled column by column where flow="auto", and so is one that `columns` is given for, as
            docs/tables.md tells; `columns_` then holds `data.Fields`.
        missing: what a gap is: "marginal", a value unknown, which is averaged over; "level", in categories, a level of
            its own; or "refuse".
        n_init: restarts trained side by side; the best bound on held-out rows wins.
        warm_start: whether `fit` goes on from the last fit's weights.
        random_state: seed of everything random.
        verbose: 1 shows what is going on: a bar on a terminal or in a notebook, lines elsewhere.

    Attributes:
        model_: the fitted `MixtureOfFlows`, in the data's units.
        n_components_: K.
        confusion_: with n_components="auto", what speaks for K: for 2, 3, … clusters, the share of the most confused
            pair that is taken for the other's; K is the largest number where it is below 0.025. Else None.
        weights_: π, shape (K,).
        classes_: the labels that components 0, 1, … stand for, if there were any; else None.
        labels_: the component of every row fitted on.
        columns_: what each column was taken to be.
        spec_: the recipe and the sizes that were chosen, shared layers among them.
        label_column_, label_names_: the column of labels of a table that was read from a file, and what they stand for;
            else None.
        container_: the kind of table fitted on, and how it calls columns and their types; None of an array.
        history_: training and validation loss of every epoch.
        n_iter_, best_epoch_, seconds_: epochs run, the epoch kept, wall time of all of the fit.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> rng = np.random.default_rng(0)
        >>> X = np.concatenate([rng.normal(-3, 1, (150, 2)), rng.normal(3, 1, (150, 2))])
        >>> mixture = pf.FlowMixture(2, max_epochs=10, random_state=0).fit(X)
        >>> mixture.predict_proba(X).shape
        (300, 2)
    """

    def __init__(
        self,
        n_components: int | str = 5,
        *,
        flow: Flow = "auto",
        n_layers: int | None = None,
        hidden_sizes: Sequence[int] | None = None,
        flow_options: Mapping[str, Any] | None = None,
        shared_layers: int | str = 0,
        posterior_hidden_sizes: Sequence[int] = (128, 128),
        temperature: float = 1.0,
        learn_weights: bool = True,
        refine_posterior: bool | None = None,
        init: str = "auto",
        consistency: float | None = None,
        balance: float = 0.5,
        image_shape: Sequence[int] | None = None,
        n_likely: int | None = None,
        start_epochs: int | None = None,
        max_epochs: int | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        training: Mapping[str, Any] | None = None,
        validation_fraction: float = 0.05,
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
        self.n_components = n_components
        self.flow = flow
        self.n_layers = n_layers
        self.hidden_sizes = hidden_sizes
        self.flow_options = flow_options
        self.shared_layers = shared_layers
        self.posterior_hidden_sizes = posterior_hidden_sizes
        self.temperature = temperature
        self.learn_weights = learn_weights
        self.refine_posterior = refine_posterior
        self.init = init
        self.consistency = consistency
        self.balance = balance
        self.image_shape = image_shape
        self.n_likely = n_likely
        self.start_epochs = start_epochs
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.training = training
        self.validation_fraction = validation_fraction
        self.patience = patience
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
            alone=False,
            few_rows=few_rows,
        )

    def fit(
        self,
        X: Any,
        y: Any = None,
        sample_weight: Any = None,
        condition: Any = None,
        checkpoint: Checkpoint | None = None,
    ) -> Self:
        """Fit the mixture to the rows of a table.

        Parameters:
            X: a table of n rows; NumPy, pandas, polars or Arrow.
            y: labels of some rows, shape (n,): whole numbers, -1 where unlabelled; None for none at all.
            sample_weight: non-negative, shape (n,).
            condition: numbers that densities and posterior are conditioned on, shape (n, C).
            checkpoint: where and how often to keep the state of training; see `pushforward.training.Checkpoint`.

        Returns:
            The fitted estimator.

        Raises:
            ValueError: cells that are not finite numbers, continuous columns that are constant or follow from others,
                values beyond bounds, fewer rows than components, labels out of range.
            TrainingError: training diverged.
            CheckpointError: resuming from a checkpoint that does not fit.
        """
        with unchanged_on_error(self), reporting(bool(self.verbose)):
            if self._takes(X):
                self._fit_mixed_mixture(X, y, sample_weight, condition, checkpoint)
                return self
            going_on = self.warm_start and self.__sklearn_is_fitted__()
            table = read_table(self, X, sample_weight, condition, going_on)
            asked = check_n_components(self.n_components)
            classes, label = check_labels(y, len(table.x), asked)
            table, _ = merge_copies(table._replace(label=label).weighing())
            before = self._flow.n_components if going_on else None
            check_components(asked or before or 1, len(table.x), before)
            learn_table(self, table, condition, going_on)
            if not going_on:
                told = levels_told(table.x) if looks_for_classes(self, table) else None
                self.n_components_, self.confusion_ = count_components(self, table, asked, classes, told)
                table = with_classes(self, table, told)
            self.classes_ = classes
            fit = train_mixture(self, table, self._recipe, self._flow if going_on else None, checkpoint)
            fit = self._refined(fit, len(table.x), standard_condition(table.condition, self.condition_columns_))
            self._keep(fit, fit.model)
            self.labels_ = self.predict(X, condition=condition)
        return self

    def _fit_mixed_mixture(
        self, X: Any, y: Any, sample_weight: Any, condition: Any, checkpoint: Checkpoint | None
    ) -> None:
        """Fit a mixture to a table with columns that are no numbers, or with gaps."""
        rows, weight, kept = self._learn_mixed(X, sample_weight, condition)
        asked, seed = check_n_components(self.n_components), draw_seed(self.random_state)
        self.classes_, label = check_labels(y, len(kept), asked)
        label = None if label is None else label[kept]
        check_components(asked or 1, len(rows.x), None)
        split = split_rows(np.zeros((len(rows.x), 1)), self.validation_fraction, seed)
        k, self.confusion_ = asked, None
        if k is None:
            k, self.confusion_ = count_clusters(features_of(self.columns_, rows.x), seed)
            k = k if self.classes_ is None else max(k, int(self.classes_.max()) + 1)
        self.n_components_ = k
        checkpoint = bind(checkpoint, self, Table(rows.x, label=label, weight=weight))
        fit, filler = fit_mixture(self, self.columns_, rows.x, weight, label, split, k, seed, checkpoint)
        self._keep_mixed(self._refined(fit, len(rows.x), None), filler)
        self.labels_ = self.predict(X)

    def _refined(self, fit: Fit[MixtureOfFlows], n_rows: int, given: np.ndarray | None) -> Fit[MixtureOfFlows]:
        """The fit with its posterior network refined, where it is to be."""
        refines = self._refines_by_itself() if self.refine_posterior is None else self.refine_posterior
        if not refines or fit.interrupted or self.n_components_ == 1:
            return fit
        with named_phase("refining"):
            model, interrupted = refine_posterior(
                fit.model, n_rows, given, draw_seed(self.random_state), self.max_epochs
            )
        return dataclasses.replace(fit, model=model, interrupted=interrupted)

    def _refines_by_itself(self) -> bool:
        """Whether the posterior network is refined where the user says nothing."""
        return len(self.columns_.names) <= MOST_REFINED and (
            self.max_epochs is None or self.max_epochs >= FEWEST_REFINED
        )

    @property
    def model_(self) -> MixtureOfFlows:
        """The fitted distribution, in the data's units (a condition in standard units)."""
        if self._is_mixed:
            mixture: MixtureOfFlows = self._flow
            return mixture
        units = self.columns_.units_map()
        model: MixtureOfFlows = eqx.tree_at(lambda m: m.shared, self._flow, Chain([self._flow.shared, units]))
        if model.view is not None:
            model = eqx.tree_at(lambda m: m.view, model, Frozen(Chain([model.view.value, units])))
        return model

    @property
    def weights_(self) -> np.ndarray:
        """π, shape (K,)."""
        check_is_fitted(self)
        return np.exp(np.asarray(self._flow.log_weights, dtype=np.float64))

    def describe(self) -> dict[str, Any]:
        """As of every estimator, with the number of each component, its share, and the label it stands for, if any."""
        labels, shares = self.label_names_ or (), enumerate(self.weights_.tolist())
        components = tuple((k, share, labels[k] if k < len(labels) else None) for k, share in shares)
        return super().describe() | {"kind": "mixture", "components": components}

    def _joint_and_posterior(
        self, X: Any, condition: Any, n_samples: int | None = None
    ) -> tuple[FloatArray, FloatArray]:
        """log p(x, k) and q(k|x), both (n, K), averaged over the fixed draws of whole-number columns."""
        if self._is_mixed:
            encoded = self._encoded(X)
            joint, q = joint_and_posterior(self.columns_, self._flow, self.filler_, encoded.x)
            return joint + encoded.log_extra.sum(axis=1)[:, None], q
        rows, columns = fitted_rows(self, X, condition), self.columns_
        joint, draws = log_mean_of_cells(partial(joint_and_logits_of, self._flow), columns, *rows, n_samples)
        return joint, np.mean([softmax(d[1], axis=1) for d in draws], axis=0)

    def _log_responsibilities(self, joint: FloatArray) -> FloatArray:
        """log p(k|x) of log p(x, k), shape (n, K)."""
        peak = joint.max(axis=1, keepdims=True)  # which single precision could not hold the differences from
        near = joint - np.where(np.isfinite(peak), peak, 0)
        (log_p,) = in_batches(partial(_log_responsibilities, self._flow), near)
        return log_p

    def assign(self, X: Any, condition: Any = None) -> Assignment:
        """The component of every row, how sure that is, and the row's log-density, in one pass.

        Parameters:
            X: shape (n, D).
            condition: shape (n, C), if the model was fitted with one.

        Returns:
            What `predict`, `predict_proba` and `score_samples` give, each of n rows.
        """
        joint, q = self._joint_and_posterior(X, condition)
        return Assignment(q.argmax(axis=1), in_precision(q, X), in_precision(logsumexp(joint, axis=1), X))

    def predict(self, X: Any, condition: Any = None) -> np.ndarray:
        """The component that the posterior network ranks first, shape (n,)."""
        component: np.ndarray = np.argmax(self.predict_proba(X, condition), axis=1)
        return component

    def predict_proba(self, X: Any, condition: Any = None) -> np.ndarray:
        """The posterior network's q(k|x), shape (n, K)."""
        if self._is_mixed:
            return in_precision(self._joint_and_posterior(X, condition)[1])
        draws = for_each_draw(partial(_logits, self._flow), self.columns_, *fitted_rows(self, X, condition))
        return in_precision(np.mean([softmax(draw[0], axis=1) for draw in draws], axis=0), X)

    def responsibilities(self, X: Any, condition: Any = None) -> np.ndarray:
        """The exact posterior p(k|x), shape (n, K); π where no component has any density."""
        joint, _ = self._joint_and_posterior(X, condition)
        return in_precision(np.exp(self._log_responsibilities(joint)), X)

    def score_samples(self, X: Any, condition: Any = None, n_samples: int | None = None) -> np.ndarray:
        """Log-density of every row, in nats per unit volume of the data's units, shape (n,).

        Of a table with whole-number columns it estimates the log-probability of the whole numbers (and the
        density of the others given them) from a few fixed draws within each unit step.
        """
        return in_precision(self._log_density(X, condition, n_samples), X)

    def _log_density(self, X: Any, condition: Any, n_samples: int | None) -> FloatArray:
        found: FloatArray = logsumexp(self._joint_and_posterior(X, condition, n_samples)[0], axis=1)
        return found

    def score(self, X: Any, y: Any = None, condition: Any = None) -> float:
        """The mean log-density of the rows; y is ignored."""
        return float(np.mean(self.score_samples(X, condition)))

    def elbo_samples(self, X: Any, condition: Any = None) -> np.ndarray:
        """The bound that is trained, Σ_k q(k|x) [log p(x, k) − log q(k|x)], of every row, shape (n,)."""
        joint, q = self._joint_and_posterior(X, condition)
        return in_precision(logsumexp(joint, axis=1) - self._gap(joint, q), X)

    def posterior_gap(self, X: Any, condition: Any = None) -> np.ndarray:
        """KL(q(k|x) ‖ p(k|x)) of every row in nats, shape (n,): how far the network is from the exact posterior."""
        return in_precision(self._gap(*self._joint_and_posterior(X, condition)), X)

    def _gap(self, joint: FloatArray, q: FloatArray) -> FloatArray:
        with np.errstate(divide="ignore"):
            (gap,) = in_batches(_divergence, np.log(q), self._log_responsibilities(joint))
        return gap

    def n_parameters(self) -> int:
        """Trainable numbers of the generative part: components, shared layers, weights, not the posterior network's."""
        check_is_fitted(self)
        return trees.n_parameters((self._flow.groups, self._flow.shared, self._flow.raw_weights)) - int(
            bool(self.learn_weights)
        )

    def bic(self, X: Any, condition: Any = None) -> float:
        """Bayesian information criterion −2 Σ log p(x) + p log n; the lower the better."""
        log_density = self.score_samples(X, condition)
        return float(-2 * log_density.sum() + self.n_parameters() * np.log(len(log_density)))

    def aic(self, X: Any, condition: Any = None) -> float:
        """Akaike information criterion −2 Σ log p(x) + 2p; the lower the better."""
        return float(-2 * self.score_samples(X, condition).sum() + 2 * self.n_parameters())

    def sample(
        self,
        n: int = 1,
        component: int | None = None,
        random_state: Any = None,
        condition: Any = None,
        given: Any = None,
        where: str | None = None,
        temperature: float = 1.0,
    ) -> tuple[Any, np.ndarray]:
        """New rows and the components they come from.

        Rows come in the kind of table that `fit` was given, names and types of columns and all; see `set_output`.

        Parameters:
            n: how many (for each row of `condition`, if there is one).
            component: draw from this one alone; from all by their weights if None.
            random_state: seed; the estimator's own if None.
            condition: shape (m, C), if the model was fitted with one.
            given: of a table of more than numbers, rows with gaps, or of some of the columns, to complete: n draws for
                each, one row's after the other, their components drawn from p(k|x).
            where: a rule that rows are to keep to, such as "age >= 18 AND premium > 0", an expression of SQL; others
                are drawn again.
            temperature: what the scale of all noise is multiplied by; below 1, samples are more usual, and vary less.

        Returns:
            Rows in the data's units, shape (n, D), and components, shape (n,); or arrays of shapes (n, m, D) and
            (n, m) with a condition.

        Raises:
            ValueError: the rule is no such expression, or fewer than one draw in some thousands keeps to it.
        """
        check_is_fitted(self)
        if temperature != 1:
            return self.cooled(temperature).sample(n, component, random_state, condition, given, where)
        n, component = check_draws(n), check_component(component, self._flow.n_components)
        if where is not None:
            drawn = self._drawn_where(n, where, random_state, component, condition=condition, given=given)
            return self._in_kind(drawn.rows), drawn.components
        if given is not None:
            if component is not None:
                raise ValueError("component= and given= do not go together; draw, and choose among the draws")
            rows = self._complete_rows(n, given, random_state, condition)
            repeated = None if condition is None else np.repeat(condition, n, axis=0)
            shares = self.responsibilities(rows, repeated).cumsum(axis=1)
            noise = np.random.default_rng(draw_seed(self.random_state if random_state is None else random_state))
            return rows, (shares < noise.uniform(size=(len(shares), 1))).sum(axis=1).clip(max=shares.shape[1] - 1)
        drawn = self._drawn(n, random_state, condition, component)
        return self._in_kind(drawn.rows), drawn.components

    def _drawn(self, n: int, random_state: Any, condition: Any = None, component: int | None = None) -> Draws:
        key_k, key_x = jax.random.split(draw_key(random_state, self.random_state))
        if self._is_mixed:
            chosen = draw_components(self._flow, key_k, n, component)
            drawn = mixed_within_reach(
                self.columns_, key_x, n, lambda key, some: draw_of(self._flow, key, chosen[some])
            )
            return Draws(self._decoded(drawn, random_state), chosen)
        given = standard_condition(check_known_condition(condition, self.condition_columns_), self.condition_columns_)
        shape = (n,) if given is None else (n, len(given))
        repeated = None if given is None else np.tile(given, (n, 1))
        chosen = draw_components(self._flow, key_k, math.prod(shape), component)
        rows = within_reach(self.columns_, key_x, lambda key: draw_of(self._flow, key, chosen, repeated))
        return Draws(rows.reshape(*shape, -1), chosen.reshape(shape))


@eqx.filter_jit
def _logits(mixture: MixtureOfFlows, s: Array, c: Array | None) -> Array:
    return mixture.logits(s, c)


@eqx.filter_jit
def _log_responsibilities(mixture: MixtureOfFlows, joint: Array, _: None) -> Array:
    return mixture.log_responsibilities(joint)


@eqx.filter_jit
def _divergence(logits: Array, log_p: Array) -> Array:
    return divergence(logits, log_p)
