"""What a fitted model is, as plain data."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from pushforward.serialization import saved_description

if TYPE_CHECKING:
    from pushforward.estimators import SeriesDensity
    from pushforward.service.kinds import Model


@dataclass(frozen=True)
class ColumnFacts:
    """What a column was taken to be.

    Arguments:
        name: of the column.
        kind: "real", "bounded" or "whole number".
        low, high: its bounds, None for an open end.
        mean: of its values; None of a bounded column of a model of before models knew it.
        unit: the length that the model counts as 1: the standard deviation (of a whole number x spread over x to
            x + 1), or an eighth of the range where that is larger.
        counts: what the unit is of: "logarithm" of the values, "seconds" of dates, or "", of the values themselves.
    """

    name: str
    kind: str
    low: float | None
    high: float | None
    mean: float | None
    unit: float
    counts: str = ""


@dataclass(frozen=True)
class ComponentFacts:
    """A component's number and share, and the label that it stands for, or None."""

    number: int
    share: float
    label: str | None


@dataclass(frozen=True)
class Description:
    """What a fitted model is: numbers, words and tuples of them, which `dataclasses.asdict` makes ready for JSON.

    Arguments:
        kind: "mixture", "density", "outliers" or "series".
        columns: the modelled ones.
        image_shape: (height, width, channels) of rows that are images; else None.
        time: of series, the column of time and how long a step is; None of rows, and of series of arrays.
        given: the columns that the model is conditioned on.
        components: of a mixture; none of one density.
        label_column: what the labels were called, or None.
        label_names: what each label stands for.
        flow: the recipe.
        flow_chosen: whether it was chosen by the number of columns.
        exactness: what log-densities are: "exact", "unbiased", "lower bound" or "approximate".
        threshold: rows of a lower score are outliers; None of a model that is no outlier detector, or a cooled one.
        centre: the log-density that scores are distances from, taken as negative, where an outlier detector goes by
            typicality; None where scores are log-densities.
        epochs, best_epoch: epochs of training, and the one that was kept.
        seconds: of training.
        interrupted: whether training was ended before its end.
    """

    kind: str
    columns: tuple[ColumnFacts, ...]
    image_shape: tuple[int, int, int] | None
    time: str | None
    given: tuple[str, ...]
    components: tuple[ComponentFacts, ...]
    label_column: str | None
    label_names: tuple[str, ...]
    flow: str
    flow_chosen: bool
    exactness: str
    threshold: float | None
    centre: float | None
    epochs: int
    best_epoch: int
    seconds: float
    interrupted: bool


def describe(model: Model | SeriesDensity) -> Description:
    """What a fitted model is.

    Arguments:
        model: a fitted estimator.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT sin(range) AS a, range AS b FROM range(60)")
        >>> model = service.fit(service.read_inputs(rows), "density", max_epochs=1)
        >>> [(column.name, column.kind) for column in service.describe(model).columns]
        [('a', 'real'), ('b', 'whole number')]
    """
    return _description(model.describe())


def describe_saved(path: str | os.PathLike[str]) -> Description | None:
    """What a model folder says of itself, without loading the model, which takes seconds.

    Arguments:
        path: a folder that `pushforward.save` wrote.

    Returns:
        None of a model of before files told, of no estimator, and of a folder that is damaged or missing: loading the
        model tells which.
    """
    parts = saved_description(path)
    if parts is None or {*parts} != {field.name for field in fields(Description)}:
        return None
    return _description(parts)


def _description(parts: Mapping[str, Any]) -> Description:
    columns = tuple(ColumnFacts(*column) for column in parts["columns"])
    components = tuple(ComponentFacts(*component) for component in parts["components"])
    shape = None if parts["image_shape"] is None else tuple(parts["image_shape"])
    return Description(**{**parts, "columns": columns, "image_shape": shape, "components": components})
