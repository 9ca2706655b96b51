"""What a fitted model is, as plain data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pushforward.estimators.build import flow_text
from pushforward.service import kinds
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
    """

    name: str
    kind: str
    low: float | None
    high: float | None
    mean: float | None
    unit: float


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
        kind: "mixture", "density" or "outliers".
        columns: the modelled ones.
        given: the columns that the model is conditioned on.
        components: of a mixture; none of one density.
        label_column: what the labels were called, or None.
        label_names: what each label stands for.
        flow: the recipe.
        flow_chosen: whether it was chosen by the number of columns.
        exactness: what log-densities are: "exact", "unbiased", "lower bound" or "approximate".
        threshold: rows of a lower log-density are outliers; None of a model that is no outlier detector.
        epochs, best_epoch: epochs of training, and the one that was kept.
        seconds: of training.
        interrupted: whether training was ended before its end.
    """

    kind: str
    columns: tuple[ColumnFacts, ...]
    given: tuple[str, ...]
    components: tuple[ComponentFacts, ...]
    label_column: str | None
    label_names: tuple[str, ...]
    flow: str
    flow_chosen: bool
    exactness: str
    threshold: float | None
    epochs: int
    best_epoch: int
    seconds: float
    interrupted: bool


def describe(model: Model) -> Description:
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
    labels = model.label_names_ or ()
    return Description(
        kind=kinds.kind_of(model),
        columns=_columns(model),
        given=() if model.condition_columns_ is None else model.condition_columns_.names,
        components=tuple(
            ComponentFacts(k, share, labels[k] if k < len(labels) else None)
            for k, share in enumerate(kinds.shares(model))
        ),
        label_column=model.label_column_,
        label_names=labels,
        flow=flow_text(model.spec_.flow),
        flow_chosen=isinstance(model.flow, str) and model.flow == "auto",
        exactness=model.exactness_,
        threshold=kinds.threshold(model),
        epochs=int(model.n_iter_),
        best_epoch=int(model.best_epoch_),
        seconds=float(model.seconds_),
        interrupted=bool(model.interrupted_),
    )


def _columns(model: Model) -> tuple[ColumnFacts, ...]:
    columns = model.columns_
    each = zip(columns.names, columns.kinds, columns.low, columns.high, columns.mean, columns.scale, strict=True)
    return tuple(
        ColumnFacts(name, kind, _finite(low), _finite(high), _finite(mean), float(unit))
        for name, kind, low, high, mean, unit in each
    )


def _finite(value: np.floating) -> float | None:
    return float(value) if np.isfinite(value) else None
