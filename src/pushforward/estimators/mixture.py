"""A mixture of flows for a table: clusters, density, samples, with few labels or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Self

import jax
import numpy as np

from pushforward.checks import is_whole
from pushforward.data import content_hash
from pushforward.data.columns import Bounds, as_float
from pushforward.estimators.base import FloatArray, bind, check_components, check_weights
from pushforward.estimators.build import DENSE_UP_TO
from pushforward.estimators.count import count_clusters
from pushforward.estimators.defaults import default_settings, mixture_precision
from pushforward.estimators.density import unbounded
from pushforward.estimators.draws import refine_posterior
from pushforward.estimators.images import check_image, image_bounds
from pushforward.estimators.labels import check_labels
from pushforward.estimators.starting import StartedMixture
from pushforward.objectives import MixtureBound
from pushforward.training import Checkpoint, Rows, Settings, train

MANY, FEW = 32, 8  # from so many components on, so few are evaluated at each row


class FlowMixture(StartedMixture):
    """A variational mixture of normalizing flows: clusters, classifies with few labels, estimates density.

    Every component is a flow of its own; a network gives the posterior over components, trained together
    with them on the exact bound (Pires & Figueiredo 2020). `predict` and `predict_proba` are that network;
    `responsibilities` are the exact posterior.

    Parameters:
        n_components: K; or "auto", as many as there are clusters that overlap little (`count_clusters`).
        flow: the components' recipe: "auto" chooses by the number of columns; or "spline_coupling", "real_nvp", "maf",
            "iaf", "nice", "spline_autoregressive".
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
            from the mixture; None for so up to 128 columns.
        init: "spectral" starts every component on its part of the rows by spectral clustering of nearest neighbours,
            "embedding" by k-means in an embedding learned from neighbours by contrast, "random" all of them in one
            place. "auto" starts on a Gaussian mixture's parts where BIC says that the rows are K Gaussians, else
            takes "spectral" up to 8 columns or where its parts are clearly apart, else "embedding". Labels spread.
        n_likely: components evaluated at each row in training, those that the posterior network ranks first; None
            for all, but for 8 of 32 components and more, and 1 beyond 128 columns. The bound is then one with the
            posterior kept to these.
        start_epochs: epochs of the start, in which each row trains its own part's component,
            or in which only the labelled rows train (init="random"); None for a choice by the table.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training; None for a choice by the
            size of the table. `weight_decay` is an L2 penalty in the gradient, a Gaussian prior; None for one of
            variance 0.4 on every parameter, less for many columns and for few rows.
        training: further settings of `pushforward.training.Settings` by name, such as schedule, clip_norm,
            averaging or decay_form.
        validation_fraction: share of the unlabelled rows held out to stop early and keep the best weights.
        bounds: column (name or number) -> (low, high) that its values keep to, None for an open side;
            or one such pair for all columns.
        discrete: which columns hold whole numbers: "auto", "none" or a list of columns.
        n_init: restarts trained side by side; the best bound on held-out rows wins.
        warm_start: whether `fit` goes on from the last fit's weights.
        random_state: seed of everything random.
        verbose: 1 shows a progress bar on a terminal.

    Attributes:
        model_: the fitted `MixtureOfFlows`, in the data's units.
        n_components_: K.
        confusion_: with n_components="auto", what speaks for K: for 2, 3, … clusters, the share of the most confused
            pair that is taken for the other's; K is the largest number where it is below 0.025. Else None.
        weights_: π, shape (K,).
        classes_: the labels that components 0, 1, … stand for, if there were any; else None.
        labels_: the component of every row fitted on.
        columns_: what each column was taken to be.
        history_: training and validation loss of every epoch.
        n_iter_, best_epoch_, seconds_: epochs run, the epoch kept, wall time.

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
        flow: str = "auto",
        n_layers: int | None = None,
        hidden_sizes: Sequence[int] | None = None,
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
        n_init: int = 1,
        warm_start: bool = False,
        random_state: Any = None,
        verbose: int = 0,
    ):
        self.n_components = n_components
        self.flow = flow
        self.n_layers = n_layers
        self.hidden_sizes = hidden_sizes
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
        """Fit the mixture to the rows of a table.

        Parameters:
            X: numbers, shape (n, D); NumPy, pandas or polars.
            y: labels of some rows, shape (n,): whole numbers, -1 where unlabelled; None for none at all.
            sample_weight: non-negative, shape (n,).
            condition: numbers that densities and posterior are conditioned on, shape (n, C).
            checkpoint: where and how often to keep the state of training; see `pushforward.training.Checkpoint`.

        Returns:
            The fitted estimator.

        Raises:
            ValueError: cells that are not finite numbers, constant continuous columns, values beyond
                bounds, fewer rows than components, labels out of range.
            TrainingError: training diverged.
            CheckpointError: resuming from a checkpoint that does not fit.
        """
        with self._unchanged_on_error():
            return self._fit(X, y, sample_weight, condition, checkpoint)

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
        asked = None if self.n_components == "auto" else self._count("n_components")
        classes, label = check_labels(y, len(x), asked)
        if weight is not None:
            kept = weight > 0
            x, weight, label = x[kept], weight[kept], None if label is None else label[kept]
            table = None if table is None else table[kept]
        before = self._flow.n_components if going_on else None
        check_components(asked or before or 1, len(x), before)
        if going_on:
            self._check_like_before(x)
        else:
            self._learn(x, condition, table, bounds=self._image_bounds(x), alike=self.image_shape is not None)
            self.n_components_, self.confusion_ = self._n_components(x, asked, classes)
        self.classes_ = classes
        fit = self._train(x, table, label, weight, going_on, checkpoint)
        flow = fit.model
        refines = self.columns_.n <= DENSE_UP_TO if self.refine_posterior is None else self.refine_posterior
        if refines and not fit.interrupted and self.n_components_ > 1:
            refined = refine_posterior(flow, len(x), self._standard_condition(table), self._seed(), self.max_epochs)
            fit, flow = dataclasses.replace(fit, interrupted=refined.interrupted), refined.model
        self._keep(fit, flow)
        self.labels_ = self.predict(X, condition=condition)
        return self

    def _image_bounds(self, x: FloatArray) -> Bounds | None:
        if self.image_shape is not None:
            check_image(self.image_shape, x.shape[1])
        return image_bounds(x) if self.image_shape is not None and self.bounds is None else self.bounds

    def _n_components(
        self, x: FloatArray, asked: int | None, classes: np.ndarray | None
    ) -> tuple[int, np.ndarray | None]:
        """K, as asked for or counted, and the evidence of the count."""
        if asked is not None:
            return asked, None
        z = unbounded(self.columns_, self.columns_.standardize(x, training=True))
        found, confusion = count_clusters(z, self._seed())
        return (found if classes is None else max(found, int(classes.max()) + 1)), confusion

    def _train(
        self, x: FloatArray, table: Any, label: np.ndarray | None, weight: Any, going_on: bool, checkpoint: Any
    ) -> Any:
        """Split, start and train."""
        seed = self._seed()
        labelled = None if label is None or (label >= 0).mean() >= 0.5 else label >= 0
        train_index, validation_index = self._split(x, labelled, seed)
        n_leading = 0
        if labelled is not None:  # where labels are few their rows lead: batches of them, then of the others
            train_index = train_index[np.argsort(~labelled[train_index], kind="stable")]
            n_leading = int(labelled.sum())

        def rows(index: Any, n_leading: int = 0) -> Rows:
            return self._rows(
                x,
                table,
                index,
                label=None if label is None else label[index],
                weight=None if weight is None else weight[index],
                n_leading=n_leading,
            )

        settings, loss = self._plan(len(train_index), label, n_leading, going_on)
        n_init = 1 if going_on else self._count("n_init")
        training = rows(train_index, n_leading)
        seen = self._seen(training)
        training = self._paired(training, seen, seed)
        model, start = self._flow if going_on else None, None
        if model is None:
            labels = None if label is None else label[train_index]
            model, start = self._start(training, seen, labels, seed, n_init)
        return train(
            model,
            loss,
            training,
            key=jax.random.key(seed),
            settings=settings,
            validation=rows(validation_index) if len(validation_index) else None,
            start=start,
            n_restarts=n_init,
            checkpoint=bind(checkpoint, self, content_hash(x, label, weight, table)),
            show_progress=bool(self.verbose),
        )

    def _plan(self, n: int, label: Any, n_leading: int, going_on: bool) -> tuple[Settings, MixtureBound]:
        """How to train on n rows, and the loss; whatever the user asked for is checked before any work."""
        rate = 1e-3 if self.columns_.n > DENSE_UP_TO else 1e-2
        defaults = default_settings(n, learning_rate=rate, precision=mixture_precision(n, self.columns_.n))
        max_epochs = self._training_settings(n, defaults).max_epochs
        start = 0 if going_on else self._start_epochs(max_epochs, label)
        leading = start if self.init == "random" and n_leading else 0
        settings = self._training_settings(n, defaults, start_epochs=start, leading_epochs=leading)
        return settings, self._loss(max_epochs, start)

    def _start_epochs(self, max_epochs: int, label: np.ndarray | None) -> int:
        if self.start_epochs is not None:
            if not is_whole(self.start_epochs, 0):
                raise ValueError(f"start_epochs must be a whole number of at least 0; got {self.start_epochs!r}")
            return min(int(self.start_epochs), max_epochs - 1)
        return max_epochs // 10 if self.init != "random" or label is not None else 0

    def _n_likely(self) -> int | None:
        if self.n_likely is not None:
            return self._count("n_likely")
        if self.columns_.n > DENSE_UP_TO:
            return 1
        return None if self.n_components_ < MANY else FEW

    def _loss(self, max_epochs: int, start_epochs: int) -> MixtureBound:
        strength = self._consistency()
        return MixtureBound(
            temperature=as_float(self._within("temperature", 1.0, np.inf)),
            anneal_epochs=as_float((max_epochs - start_epochs) // 2),
            start_epochs=as_float(start_epochs),
            noise=self._noise(),
            n_likely=self._n_likely(),
            consistency=as_float(strength * self.columns_.n) if strength > 0 else None,
            views=self._views(),
            balance=as_float(self._within("balance", 0.0, 1.0)),
        )
