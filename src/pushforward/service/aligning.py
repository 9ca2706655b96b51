"""Which columns of a table a fitted model reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pushforward.data.fields import Fields
from pushforward.data.sources import DataError, Source, listing
from pushforward.data.tables import finite_rows, to_numbers
from pushforward.estimators.mixed_tables import without_gaps
from pushforward.service.kinds import Model, RequestError

if TYPE_CHECKING:
    import pyarrow as pa


class AlignedBatch(NamedTuple):
    """A batch, and what a model reads of it.

    Arguments:
        batch: all its columns, without the rows left out.
        rows: what estimators take as X, n rows.
        condition: the conditioning columns, shape (n, C), or None.
    """

    batch: pa.RecordBatch
    rows: Any
    condition: Float[np.ndarray, "n c"] | None


@dataclass(frozen=True)
class Alignment:
    """Which columns of a table a fitted model reads; see `align`.

    Arguments:
        source: what messages call the table.
        columns: in the model's order.
        names: what the model calls them; None if it knows no names.
        given: the columns it is conditioned on.
        mixed: whether the columns may be more than numbers, and have gaps.
        shown: the columns that are written beside what the model says; None for all.
    """

    source: str
    columns: tuple[str, ...]
    names: tuple[str, ...] | None
    given: tuple[str, ...]
    mixed: bool = False
    shown: tuple[str, ...] | None = None

    def read(
        self, batch: pa.RecordBatch, *, start: int = 0, drop_missing: bool = False, gaps: bool = False
    ) -> AlignedBatch:
        """What the model reads of a batch of the table.

        Arguments:
            batch: some rows, with all the columns that are needed.
            start: the batch's first row in the table, for messages.
            drop_missing: leave out rows with missing or infinite cells instead of raising.
            gaps: whether cells of the model's columns of numbers may be missing; they are NaN.

        Raises:
            DataError: text where numbers are needed, or missing cells.
        """
        import pyarrow as pa

        if self.mixed:
            rows = pa.Table.from_batches([batch]).select(list(self.columns))
            if drop_missing:
                keep = without_gaps(rows)
                batch, rows = batch.filter(pa.array(keep)), rows.filter(pa.array(keep))
            return AlignedBatch(batch, rows, None)
        wanted = [*self.columns, *self.given]
        numbers = to_numbers(batch, wanted, self.source)
        d = len(self.columns)
        open_cells = np.isnan(numbers) & (np.arange(len(wanted)) < d) if gaps else np.zeros(numbers.shape, dtype=bool)
        keep = (np.isfinite(numbers) | open_cells).all(axis=1)
        if not keep.all():
            if not drop_missing:
                finite_rows(numbers, wanted, f"{self.source}, rows {start + 1:,} to {start + len(numbers):,}")
            batch, numbers = batch.filter(pa.array(keep)), numbers[keep]
        return AlignedBatch(batch, as_frame(numbers[:, :d], self.names), numbers[:, d:] if self.given else None)


def align(model: Model, source: Source) -> Alignment:
    """Find a fitted model's columns in a table: by name, or by place in a table that has no names.

    Arguments:
        model: a fitted estimator.
        source: the table, as `pushforward.data.open_source` opens it.

    Raises:
        DataError: a column is missing, or the width is wrong.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT sin(range) AS a, cos(range) AS b, range AS day FROM range(60)")
        >>> model = service.fit(service.read_inputs(rows, columns=["b", "a"]), "density", max_epochs=1)
        >>> service.align(model, rows).columns
        ('b', 'a')
    """
    if isinstance(model.columns_, Fields):
        try:
            source.check_columns(model.columns_.names)
        except DataError as error:
            raise DataError(f"{error}; the model was fitted on {listing(model.columns_.names)}") from None
        here = tuple(name for name in model.columns_.drawn if name in source.names)  # what follows need not be there
        return Alignment(source.name, here, here, (), mixed=True, shown=source.shown)
    if None not in (source.image_shape, model.image_shape_) and source.image_shape != model.image_shape_:
        sides, own = (" x ".join(map(str, shape or ())) for shape in (source.image_shape, model.image_shape_))
        raise DataError(
            f"{source.name}: pictures of {sides} (height x width x channels), and the model was fitted on pictures of "
            f"{own}; crop, scale or convert them to that"
        )
    known = vars(model).get("feature_names_in_")  # absent, says scikit-learn, where a table had no names
    names = None if known is None else tuple(str(name) for name in known)
    d = model.columns_.n
    given = () if model.condition_columns_ is None else model.condition_columns_.names
    fitted_on = f"the model was fitted on {listing(names) if names else f'{d} columns'}"
    if names is None or (source.positional and not set(names) <= set(source.names)):
        places = tuple(name for name in source.features if name not in given)
        if len(places) != d:
            raise DataError(f"{source.name}: has {len(places)} columns, where {fitted_on}; choose them in a SQL query")
        source.check_columns(given)
        return Alignment(source.name, places, names, given, shown=source.shown)
    try:
        source.check_columns([*names, *given])
    except DataError as error:
        raise DataError(f"{error}; {fitted_on}{f' given {listing(given)}' if given else ''}") from None
    return Alignment(source.name, names, names, given, shown=source.shown)


class SomeRows(NamedTuple):
    """Some rows of a table, as many as are shown.

    Arguments:
        rows: the model's columns, shape (n, D).
        condition: the conditioning columns, shape (n, C), or None.
        of: how many rows the table has, but for those left out.
    """

    rows: Float[np.ndarray, "n d"]
    condition: Float[np.ndarray, "n c"] | None
    of: int


def some_rows(model: Model, source: Source, most: int = 5000, *, drop_missing: bool = False, seed: int = 0) -> SomeRows:
    """Rows of a table of any size, all of them equally likely, in their order: what a picture or a check needs.

    Arguments:
        model: a fitted estimator.
        source: the table.
        most: how many.
        drop_missing: leave out rows with missing or infinite cells instead of raising.
        seed: of the choice.

    Raises:
        DataError: as of `align` and `Alignment.read`; or there are no rows.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT sin(range) AS a, cos(range) AS b FROM range(60)")
        >>> model = service.fit(service.read_inputs(rows), "density", max_epochs=1)
        >>> service.some_rows(model, rows, 7).rows.shape
        (7, 2)
    """
    if isinstance(model.columns_, Fields):
        raise RequestError(
            "the model was fitted to categories, dates or gaps among numbers, of which there are no pictures yet; "
            "score or cluster the table instead"
        )
    alignment, rng = align(model, source), np.random.default_rng(seed)
    wanted = [*alignment.columns, *alignment.given]
    numbers, order, start, of = np.empty((0, len(wanted))), np.empty(0), 0, 0
    for batch in source.batches(65_536, wanted):
        kept = alignment.read(batch, start=start, drop_missing=drop_missing).batch
        start, of = start + batch.num_rows, of + kept.num_rows
        numbers = np.concatenate([numbers, to_numbers(kept, wanted, source.name)])
        order = np.concatenate([order, rng.uniform(size=kept.num_rows)])
        chosen = np.sort(np.argsort(order)[:most])
        numbers, order = numbers[chosen], order[chosen]
    if not of:
        raise DataError(f"{source.name}: there are no rows to show; check the file or the query")
    d = len(alignment.columns)
    return SomeRows(numbers[:, :d], numbers[:, d:] if alignment.given else None, of)


def as_frame(values: Float[np.ndarray, "n d"], names: Sequence[str] | None) -> Any:
    """Numbers with the names of their columns, as estimators take them; plain numbers where there are no names."""
    import pyarrow as pa

    if names is None:
        return values
    return pa.table({name: np.ascontiguousarray(values[:, i]) for i, name in enumerate(names)})
