"""Which pictures tell what a fitted model is, by its kind and its number of columns."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from pushforward.estimators import FlowMixture, FlowOutlierDetector
from pushforward.plots.clusters import component_map, data_and_samples, regions
from pushforward.plots.fits import densities, density, density_curve, training_curve
from pushforward.plots.pictures import interpolation, temperatures
from pushforward.plots.samples import CHANNELS, rows_by_group, samples_by_component
from pushforward.service import Model, as_frame

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DRAWS = 2000  # samples in a picture without data; else as many as there are rows
IMAGES = 10  # of a component
PAIRS = 5  # of images, with what lies between
ENDS = 4  # images of least density, and of greatest


def portrait(
    model: Model,
    X: NDArray[np.float64] | None = None,
    condition: NDArray[np.float64] | None = None,
    seed: int = 0,
) -> Mapping[str, Callable[[], Figure]]:
    """The pictures of a fitted model: names to functions that draw them.

    "samples": new rows, beside the data where there is some. "density": its curve (one column), contours (two), or how
    usual each row is, by component. "clusters": the data in the regions of a mixture's components, or on a map of them.
    "training": its course, if anything trained. What a model of its kind has no picture of is absent, as is what needs
    data where there is none. Of a flow of images, "samples" are at three temperatures, "interpolation" goes from some
    images of the data to others, where the flow has a map, and "density" has the least and the most usual ones.

    Arguments:
        model: a fitted estimator.
        X: data in the order of its columns, shape (n, D).
        condition: what the rows are conditioned on, shape (n, C), if the model is.
        seed: of the samples.

    Example:
        >>> import numpy as np, pushforward as pf
        >>> rows = np.random.default_rng(0).normal(size=(99, 1))
        >>> model = pf.FlowDensity("real_nvp", n_layers=1, max_epochs=1).fit(rows)
        >>> list(pf.plots.portrait(model))
        ['samples', 'density', 'training']
    """
    shown = _Shown(model, X, condition, seed)
    conditioned, mixture = model.condition_columns_ is not None, isinstance(model, FlowMixture)
    known = X is not None or not conditioned
    pictures: dict[str, Callable[[], Figure]] = {"samples": shown.samples} if known else {}
    if shown.alone and X is not None:
        between = len(X) > 1 and not conditioned and not model.columns_.flat
        pictures |= {"interpolation": shown.interpolation} if between else {}
        pictures["density"] = shown.usual
    elif not conditioned and (model.columns_.n <= 2 or (mixture and X is not None)):
        pictures["density"] = shown.density
    if mixture and X is not None and model.columns_.n >= 2 and len(np.unique(shown.components)) > 1:
        pictures["clusters"] = shown.clusters
    if model.history_:
        pictures["training"] = shown.training
    return pictures


@dataclass(frozen=True)
class _Shown:
    """A model and the rows that its pictures show."""

    model: Model
    data: NDArray[np.float64] | None
    condition: NDArray[np.float64] | None
    seed: int

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.model.columns_.names)

    @property
    def images(self) -> Sequence[int] | None:
        """The shape of each row, where rows are images that can be shown."""
        shape = self.model.image_shape_
        return shape if shape is not None and shape[-1] in CHANNELS else None

    @property
    def alone(self) -> bool:
        """Whether rows are images, and the model is one flow."""
        return self.images is not None and not isinstance(self.model, FlowMixture)

    def some(self, n: int) -> NDArray[np.intp]:
        """The numbers of some rows of the data, at random."""
        rows = 0 if self.data is None else len(self.data)
        return np.sort(np.random.default_rng(self.seed).choice(rows, min(n, rows), replace=False))

    @cached_property
    def drawn(self) -> tuple[NDArray[np.float64], NDArray[np.integer]]:
        """New rows, as many and under the same conditions as the data, and their components."""
        n = 1 if self.condition is not None else DRAWS if self.data is None else len(self.data)
        if isinstance(self.model, FlowMixture):
            rows, components = self.model.sample(n, condition=self.condition, random_state=self.seed)
            return self._flat(rows), components.reshape(-1)
        alone = self._flat(self.model.sample(n, condition=self.condition, random_state=self.seed))
        return alone, np.zeros(len(alone), dtype=int)

    def _flat(self, rows: Any) -> NDArray[np.float64]:
        """Rows of any container, and of several conditions, as one table of numbers."""
        return np.asarray(rows, dtype=np.float64).reshape(-1, len(self.names))

    @property
    def rows(self) -> NDArray[np.float64]:
        """The data, or else new rows."""
        return self.drawn[0] if self.data is None else self.data

    @property
    def kind(self) -> str:
        """What `rows` are, for captions."""
        return "rows drawn from the model" if self.data is None else "the data"

    @cached_property
    def components(self) -> NDArray[np.integer]:
        """Of `rows`."""
        if self.data is None or not isinstance(self.model, FlowMixture):
            return self.drawn[1]
        return self.model.predict(as_frame(self.data, self._known), condition=self.condition)

    @property
    def _known(self) -> tuple[str, ...] | None:
        """The names that the model itself knows its columns by."""
        return self.names if "feature_names_in_" in vars(self.model) else None

    @cached_property
    def dense(self) -> Model:
        """The model, whose scores are log-densities."""
        if not isinstance(self.model, FlowOutlierDetector):
            return self.model
        dense = copy.copy(self.model)
        dense.centre_ = None
        return dense

    @property
    def typical(self) -> bool:
        """Whether scores of the model are typicalities."""
        return isinstance(self.model, FlowOutlierDetector) and self.model.centre_ is not None

    def log_density(self, rows: Float[np.ndarray, "m d"]) -> Float[np.ndarray, " m"]:
        return np.asarray(self.dense.score_samples(as_frame(rows, self._known)))

    def posterior(self, rows: Float[np.ndarray, "m d"]) -> Any:
        return self.mixture.predict_proba(as_frame(rows, self._known))

    @property
    def mixture(self) -> FlowMixture:
        assert isinstance(self.model, FlowMixture)
        return self.model

    def samples(self) -> Figure:
        """New rows, beside the data where there is some."""
        d, mixture = len(self.names), isinstance(self.model, FlowMixture)
        if self.alone:
            few = self.some(IMAGES)
            data = None if self.data is None else self.data[few]
            condition = None if self.condition is None else self.condition[few]
            return temperatures(self.model, data=data, condition=condition, random_state=self.seed)
        if self.images is not None and self.condition is None:
            k, draw = self.mixture.n_components_, self.mixture.sample
            draws = [self._flat(draw(IMAGES, component=j, random_state=self.seed)[0]) for j in range(k)]
            return samples_by_component(draws, self.images, weights=self.mixture.weights_)
        rows, components = self.drawn
        if self.data is None and mixture:
            parts = [rows[components == j] for j in range(self.mixture.n_components_)]
            return samples_by_component(parts, names=self.names)
        if self.data is None:
            return rows_by_group({"samples": rows}, self.names, "Good: values range as in the data.")
        if d == 2 and mixture:
            ask = None if self.condition is not None else self.posterior
            return data_and_samples(self.data, rows, components, ask, self.names, data_components=self.components)
        return rows_by_group({"data": self.data, "samples": rows}, self.names)

    def interpolation(self) -> Figure:
        """From some images of the data to others."""
        assert self.data is not None
        few = np.random.default_rng(self.seed).permutation(self.some(2 * PAIRS))
        ends = [self.data[part] for part in np.array_split(few[: len(few) // 2 * 2], 2)]
        return interpolation(self.model, list(zip(*ends, strict=True)))

    def usual(self) -> Figure:
        """How usual each image of the data is, and the least and the most usual ones."""
        assert self.data is not None
        nats = np.asarray(self.model.score_samples(as_frame(self.data, self._known), self.condition))
        return densities(nats, None, self.data, self.images, ENDS, "typicality" if self.typical else "log-density")

    def density(self) -> Figure:
        """A curve, contours, or how usual each row is."""
        integer = self.model.columns_.integer.tolist()
        if len(self.names) == 1:
            return density_curve(self.log_density, self.rows, self.names[0], integer[0], self.kind)
        if len(self.names) == 2:
            return density(self.log_density, self.rows, self.names, integer, self.kind)
        pictures = None if self.images is None else self.rows
        return densities(self.log_density(self.rows), self.components, pictures, self.images)

    def clusters(self) -> Figure:
        """The regions of the components, or a map of many columns."""
        if len(self.names) == 2 and self.condition is None:
            integer = self.model.columns_.integer.tolist()
            return regions(self.rows, {"the data": self.posterior}, self.names, integer=integer)
        return component_map(self.rows, self.components, n_components=self.mixture.n_components_)

    def training(self) -> Figure:
        """The course of training."""
        return training_curve(self.model.history_, self.model.best_epoch_, self.model.columns_.log_scale)
