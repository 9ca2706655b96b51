"""A mixture of flows for a table: clusters, density, samples, with few labels or none."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from pushforward import trees
from pushforward.bijections import AbstractBijection, Chain
from pushforward.data import content_hash
from pushforward.data.columns import Bounds, as_float
from pushforward.estimators.base import (
    FloatArray,
    bind,
    check_components,
    check_weights,
    default_epochs,
    default_settings,
    starting_scale,
)
from pushforward.estimators.build import DENSE_UP_TO, FlowSpec, build_mixtures, build_stacks, noise_side
from pushforward.estimators.count import count_clusters
from pushforward.estimators.density import unbounded
from pushforward.estimators.draws import refine_posterior
from pushforward.estimators.embedding import embed, nearest_rows
from pushforward.estimators.fitted_mixture import FittedMixture
from pushforward.estimators.graph import FEWEST_ROWS
from pushforward.estimators.images import check_image, image_bounds, pixels
from pushforward.estimators.labels import check_labels
from pushforward.estimators.partition import moments, partition_rows
from pushforward.flows.checks import check_sizes
from pushforward.objectives import ImageViews, MixtureBound, PosteriorStart
from pushforward.training import Checkpoint, Rows, Settings, train, with_neighbours
from pushforward.trees import Frozen

MANY, FEW = 32, 8  # from so many components on, so few are evaluated at each row
MOST_SPECTRAL = 8  # columns up to which parts are found by spectral clustering; embedding first beyond
INITS = ("auto", "spectral", "embedding", "random")
STARTING = Settings(batch_size=512, learning_rate=1e-3, schedule="cosine")  # of the posterior network


class FlowMixture(FittedMixture):
    """A variational mixture of normalizing flows: clusters, classifies with few labels, estimates density.

    Every component is a flow of its own; a network gives the posterior over components, trained together
    with them on the exact bound (Pires & Figueiredo 2020). `predict` and `predict_proba` are that network;
    `responsibilities` are the exact posterior.

    Parameters:
        n_components: K; or "auto", as many as there are clusters that overlap little (`count_clusters`).
        flow: the components' recipe: "auto" chooses by the number of columns; or "spline_coupling", "real_nvp", "maf",
            "iaf", "nice", "spline_autoregressive".
        n_layers, hidden_sizes: of the recipe; None for its own choice.
        shared_layers: how many of the layers lie in one stack under all components; with all of them the components
            are Gaussians under one flow.
        posterior_hidden_sizes: hidden layers of the posterior network.
        temperature: what the posterior's logits are divided by at first; it decays exponentially to 1 over
            the first half of training.
        learn_weights: whether the components' weights train.
        refine_posterior: whether, at the end, the posterior network is fitted to the exact posterior on draws
            from the mixture.
        init: "partition" starts every component on its part of the rows (by spectral clustering of nearest
            neighbours, or by the labels spread over them); "random" starts all of them in one place.
        n_likely: components evaluated at each row in training, those that the posterior network ranks first; None
            for all, or for 8 of 32 components and more. The bound is then one with the posterior kept to these.
        start_epochs: epochs of the start, in which each row trains its own part's component ("partition"),
            or in which only the labelled rows train ("random"); None for a choice by the table.
        max_epochs, batch_size, learning_rate, weight_decay, patience: of training; None for a choice by the
            size of the table. `weight_decay` is an L2 penalty in the gradient, a Gaussian prior; None for one of
            variance 0.4 on every parameter.
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
        shared_layers: int = 0,
        posterior_hidden_sizes: Sequence[int] = (128, 128),
        temperature: float = 1.0,
        learn_weights: bool = True,
        refine_posterior: bool | None = None,
        init: str = "auto",
        consistency: float = 0.0,
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

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, condition: Any = None) -> Self:
        """Fit the mixture to the rows of a table.

        Parameters:
            X: numbers, shape (n, D); NumPy, pandas or polars.
            y: labels of some rows, shape (n,): whole numbers, -1 where unlabelled; None for none at all.
            sample_weight: non-negative, shape (n,).
            condition: numbers that densities and posterior are conditioned on, shape (n, C).

        Returns:
            The fitted estimator.

        Raises:
            ValueError: cells that are not finite numbers, constant continuous columns, values beyond
                bounds, fewer rows than components, labels out of range.
            TrainingError: training diverged.
        """
        with self._unchanged_on_error():
            return self._fit(X, y, sample_weight, condition)

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
            self._learn(x, condition, table)
            self.n_components_, self.confusion_ = self._n_components(x, asked, classes)
        self.classes_ = classes
        fit = self._train(x, table, label, weight, going_on, checkpoint)
        flow = fit.model
        refines = self.columns_.n <= DENSE_UP_TO if self.refine_posterior is None else self.refine_posterior
        if refines and not fit.interrupted:
            flow = refine_posterior(flow, len(x), self._standard_condition(table), self._seed(), self.max_epochs)
        self._keep(fit, flow)
        self.labels_ = self.predict(X, condition=condition)
        return self

    def _bounds(self, x: FloatArray) -> Bounds | None:
        if self.image_shape is None or self.bounds is not None:
            return self.bounds
        check_image(self.image_shape, x.shape[1])
        return image_bounds(x)

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

        training = rows(train_index, n_leading)
        rate = 1e-3 if self.columns_.n > DENSE_UP_TO else 1e-2
        defaults = default_settings(len(train_index), learning_rate=rate)
        settings = self._training_settings(len(train_index), defaults)
        n_init = 1 if going_on else self._count("n_init")
        start_epochs, model, start = 0, self._flow if going_on else None, None
        if model is None:
            labels = None if label is None else label[train_index]
            model, start, training = self._start(training, labels, seed, n_init)
            start_epochs = self._start_epochs(settings.max_epochs, label)
        leading = start_epochs if self.init == "random" and n_leading else 0
        settings = self._training_settings(
            len(train_index), defaults, start_epochs=start_epochs, leading_epochs=leading
        )
        return train(
            model,
            self._loss(settings.max_epochs, start_epochs),
            training,
            key=jax.random.key(seed),
            settings=settings,
            validation=rows(validation_index) if len(validation_index) else None,
            start=start,
            n_restarts=n_init,
            checkpoint=bind(checkpoint, self, content_hash(x, label, weight, table)),
            show_progress=bool(self.verbose),
        )

    def _start_epochs(self, max_epochs: int, label: np.ndarray | None) -> int:
        if self.start_epochs is not None:
            return min(int(self.start_epochs), max_epochs - 1)
        return max_epochs // 10 if self.init != "random" or label is not None else 0

    def _loss(self, max_epochs: int, start_epochs: int) -> MixtureBound:
        if not self.temperature >= 1:
            raise ValueError(f"temperature must be at least 1; got {self.temperature!r}")
        strength = self._consistency()
        return MixtureBound(
            temperature=as_float(self.temperature),
            anneal_epochs=as_float((max_epochs - start_epochs) // 2),
            start_epochs=as_float(start_epochs),
            noise=self._noise(),
            n_likely=self._n_likely(),
            consistency=as_float(strength * self.columns_.n) if strength > 0 else None,
            views=self._views(),
        )

    def _consistency(self) -> float:
        if not (isinstance(self.consistency, int | float) and 0 <= self.consistency < np.inf):
            raise ValueError(f"consistency must be a number of at least 0; got {self.consistency!r}")
        return float(self.consistency)

    def _noise(self) -> Array | None:
        noise = self.columns_.noise
        return None if noise is None else as_float(noise)

    def _views(self) -> ImageViews | None:
        return None if self.image_shape is None else ImageViews(check_image(self.image_shape, self.columns_.n))

    def _n_likely(self) -> int | None:
        if self.n_likely is not None:
            return self._count("n_likely")
        if self.columns_.n > DENSE_UP_TO:
            return 1
        return None if self.n_components_ < MANY else FEW

    def _embeds(self) -> bool:
        """Whether the rows are embedded before they are parted."""
        if self.init not in INITS:
            raise ValueError(f"init must be one of {INITS}; got {self.init!r}")
        wide = self.image_shape is not None or self.columns_.n > MOST_SPECTRAL
        return self.n_components_ > 1 and (self.init == "embedding" or (self.init == "auto" and wide))

    def _start(self, rows: Rows, label: np.ndarray | None, seed: int, n_init: int) -> tuple[Any, Array | None, Rows]:
        """The untrained mixture (with a restart axis if there are several), the part each row starts, and the rows."""
        n, dim, k = int(rows.n), rows.x.shape[1], self.n_components_
        x, view = np.asarray(rows.x)[:n], None
        z = seen = unbounded(self.columns_, x)
        if self.image_shape is not None:
            view = pixels(self.columns_, x)
            seen = np.asarray(jax.vmap(view.inverse)(rows.x[:n]), dtype=np.float64)
        embeds = self._embeds() and n >= FEWEST_ROWS
        if k > 1 and n >= FEWEST_ROWS and (embeds or self._consistency() > 0):
            rows = with_neighbours(rows, nearest_rows(seen, seed))
        seeds = np.random.default_rng(seed).integers(np.iinfo(np.int32).max, size=n_init)
        parts = [self._part(int(s), z, seen, rows, label, embeds) for s in seeds]
        key = jax.random.key(seed)
        shared_spec, spec = self._spec(dim).split(self.shared_layers)
        shared, inner = self._shared(shared_spec, jax.random.fold_in(key, 1), rows, z, n_init)
        parted = np.full_like(parts, -1) if self.init == "random" else np.stack(parts)
        dense, weight = starting_scale(dim), np.asarray(rows.weight)[:n]
        where = [moments(z, part, k, dense, weight) for z, part in zip(inner, parted, strict=True)]
        locations, factors, shares = (np.stack(a) for a in zip(*where, strict=True))
        model = build_mixtures(
            jax.random.split(key, n_init),
            spec,
            as_float(locations),
            as_float(factors),
            as_float(np.log(shares)),
            check_sizes("posterior_hidden_sizes", self.posterior_hidden_sizes),
            bool(self.learn_weights),
            None if self.image_shape is None else tuple(self.image_shape),
        )
        if shared is not None:
            model = eqx.tree_at(lambda m: m.shared, model, shared)
        if view is not None:
            view = trees.repeat(view, n_init) if n_init > 1 else view
            model = eqx.tree_at(lambda m: m.view, model, Frozen(view), is_leaf=lambda leaf: leaf is None)
        if self.init == "random" and label is None:
            return model, None, rows
        padded = np.pad(np.stack(parts), ((0, 0), (0, len(rows.x) - n)), constant_values=-1).astype(np.int32)
        start = jax.device_put(padded[0] if n_init == 1 else padded)
        if embeds and n_init == 1:
            model = self._start_posterior(model, rows, start, seed)
        elif embeds:
            each = [self._start_posterior(trees.unstack(model, i), rows, start[i], seed + i) for i in range(n_init)]
            model = trees.stack(each)
        return model, start, rows

    def _part(
        self, seed: int, z: FloatArray, seen: FloatArray, rows: Rows, label: np.ndarray | None, embeds: bool
    ) -> np.ndarray:
        """The component that each row starts, -1 for none."""
        if self.init == "random":
            return np.full(len(z), -1) if label is None else label
        if embeds:
            sizes = check_sizes("posterior_hidden_sizes", self.posterior_hidden_sizes)
            image = None if self.image_shape is None else tuple(self.image_shape)
            z = embed(seen, np.asarray(rows.neighbours)[: len(z)], sizes, image, seed)
        return partition_rows(z, self.n_components_, label, seed, embeds)

    def _start_posterior(self, model: Any, rows: Rows, start: Array, seed: int) -> Any:
        """The mixture with its posterior network fitted to the parts."""
        epochs = default_epochs(int(rows.n), STARTING.batch_size, steps=300, least=3)
        return train(
            model,
            PosteriorStart(self._noise(), self._views()),
            rows,
            key=jax.random.key(seed),
            settings=replace(STARTING, max_epochs=epochs),
            start=start,
            where=operator.attrgetter("posterior"),
        ).model

    def _shared(
        self, spec: FlowSpec | None, key: Array, rows: Any, z: FloatArray, n_init: int
    ) -> tuple[AbstractBijection | None, Any]:
        """The map under all components (with a restart axis if there are several), and the rows on its noise side."""
        bounds = self.columns_.bounds_map() if self.columns_.bounded else None
        if bounds is not None and n_init > 1:
            bounds = trees.repeat(bounds, n_init)
        if spec is None:
            return bounds, [z] * n_init
        stacks = build_stacks(jax.random.split(key, n_init), spec)
        condition = None if rows.condition is None else rows.condition[: len(z)]
        inner = np.asarray(noise_side(stacks, as_float(z), condition), dtype=np.float64)
        stack = trees.unstack(stacks, 0) if n_init == 1 else stacks
        return (stack if bounds is None else Chain([stack, bounds])), inner
