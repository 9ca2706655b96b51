"""The kinds of model, and all in which they differ: what one adds to rows, draws, and tells of itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pushforward.data.fields import Fields
from pushforward.estimators import FlowDensity, FlowMixture, FlowOutlierDetector, SeriesDensity
from pushforward.estimators.mixed_tables import as_table

if TYPE_CHECKING:
    import pyarrow as pa

Model: TypeAlias = FlowMixture | FlowDensity | FlowOutlierDetector
ESTIMATORS: Mapping[str, type[Model]] = MappingProxyType(
    {"mixture": FlowMixture, "density": FlowDensity, "outliers": FlowOutlierDetector}
)


class RequestError(ValueError):
    """A model is asked for what its kind has not, or what it was not fitted for; the message begins "the model"."""


def load_model(path: str | os.PathLike[str]) -> Model:
    """The estimator of rows in a model folder.

    Arguments:
        path: a folder that `pushforward.save` wrote.

    Raises:
        ModelFileError: the folder is missing, damaged or of a newer format.
        RequestError: it holds something else than an estimator, or one of series.
    """
    model = load_any(path)
    if isinstance(model, SeriesDensity):
        raise RequestError("the model is of series; score it, or forecast with it")
    return model


def load_any(path: str | os.PathLike[str]) -> Model | SeriesDensity:
    """The estimator in a model folder, of rows or of series; errors as those of `load_model`."""
    from pushforward.serialization import load

    model = load(path)
    if not isinstance(model, Model | SeriesDensity):
        raise RequestError(
            f"the model is a {type(model).__name__}, no fitted estimator; load it in Python with pushforward.load"
        )
    return model


def kind_of(model: Model) -> str:
    """A model's kind: "mixture", "density" or "outliers".

    Example:
        >>> import pushforward as pf
        >>> from pushforward.service import kind_of
        >>> kind_of(pf.FlowOutlierDetector())
        'outliers'
    """
    if isinstance(model, FlowOutlierDetector):  # before what it extends
        return "outliers"
    return "mixture" if isinstance(model, FlowMixture) else "density"


def is_mixed_model(model: Model) -> bool:
    """Whether a fitted model is of a table with categories, dates or gaps among its numbers."""
    return isinstance(model.columns_, Fields)


def require_mixture(model: Model, instead: str) -> FlowMixture:
    """A model that has to have components.

    Raises:
        RequestError: it has none; the message ends with what to do instead.
    """
    if not isinstance(model, FlowMixture):
        raise RequestError(f"the model holds one density without components; {instead}")
    return model


def scores(model: Model, rows: Any, condition: Any) -> dict[str, Any]:
    """The columns that scoring adds: log_density, or typicality, and of a detector that has a threshold outlier."""
    log_density = model.score_samples(rows, condition)
    if isinstance(model, FlowOutlierDetector) and model.offset_ is not None:
        name = "log_density" if model.centre_ is None else "typicality"
        return {name: log_density, "outlier": log_density < model.offset_}
    return {"log_density": log_density}


def clusters(model: Model, rows: Any, condition: Any) -> dict[str, Any]:
    """The columns that clustering adds: component, the label it stands for, p_0, p_1, …, log_density.

    Raises:
        RequestError: the model has no components.
    """
    mixture = require_mixture(model, "score it instead")
    component, probabilities, log_density = mixture.assign(rows, condition)
    columns: dict[str, Any] = {"component": component}
    if mixture.label_column_ is not None:
        columns[f"predicted_{mixture.label_column_}"] = labels_of(mixture, component)
    columns |= {f"p_{k}": probabilities[:, k] for k in range(probabilities.shape[1])}
    return columns | {"log_density": log_density}


def draw(
    model: Model,
    n: int,
    component: int | None,
    condition: NDArray[np.float64] | None,
    where: str | None,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.integer] | None]:
    """New rows, shape (n, D), under one condition, shape (1, C); and of a mixture their components, shape (n,)."""
    if isinstance(model, FlowMixture):
        rows, components = model.sample(n, component=component, condition=condition, where=where, random_state=seed)
        return _as_array(rows, n), components.reshape(n)
    return _as_array(model.sample(n, condition=condition, where=where, random_state=seed), n), None


def draw_table(
    model: Model, n: int, component: int | None, given: pa.Table | None, where: str | None, seed: int
) -> tuple[pa.Table, NDArray[np.integer] | None]:
    """New rows of a model of more than numbers, as an Arrow table; and of a mixture their components, shape (n,)."""
    if isinstance(model, FlowMixture):
        rows, components = model.sample(n, component=component, given=given, where=where, random_state=seed)
        return as_table(rows), components
    return as_table(model.sample(n, given=given, where=where, random_state=seed)), None


def _as_array(rows: Any, n: int) -> NDArray[np.float64]:
    """Rows that came in the kind of table that the model was fitted on."""
    return np.asarray(rows, dtype=np.float64).reshape(n, -1)


def shares(model: Model) -> tuple[float, ...]:
    """The weights of a mixture's components; none of one density."""
    return tuple(float(weight) for weight in model.weights_) if isinstance(model, FlowMixture) else ()


def labels_of(model: Model, component: NDArray[np.integer]) -> pa.Array:
    """The labels that components stand for, null where one stands for none."""
    import pyarrow as pa

    names = dict(enumerate(model.label_names_ or ()))
    return pa.array([names.get(k) for k in component.tolist()], pa.string())
