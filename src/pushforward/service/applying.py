"""A model applied to a table: batches in, batches with more columns out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from pushforward.checks import check_choice
from pushforward.data.cells import gaps_of
from pushforward.data.fields import Fields
from pushforward.data.sources import DataError, Source
from pushforward.data.writing import append_columns
from pushforward.estimators.mixed_tables import as_table
from pushforward.service import kinds
from pushforward.service.aligning import Alignment, align, as_frame
from pushforward.service.kinds import Model

if TYPE_CHECKING:
    import pyarrow as pa

Add = Callable[[Model, Any, Any], dict[str, Any]]
TASKS: Mapping[str, Add] = MappingProxyType({"score": kinds.scores, "cluster": kinds.clusters})


@dataclass(frozen=True)
class Application:
    """A model applied to a table, batch by batch: a function from Arrow record batches to wider ones.

    Of a batch without rows the outcome has none either, and tells the schema.

    Arguments:
        model: a fitted estimator.
        alignment: which columns it reads.
        task: "score" adds log_density, and outlier where the model is an outlier detector; "cluster" adds component,
            predicted_L where the model knows labels L, p_0, p_1, … and log_density.
        drop_missing: leave out rows with missing or infinite cells instead of raising.

    Raises:
        RequestError: the model has no components to cluster by.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT sin(range) AS a, cos(range) AS b FROM range(60)")
        >>> model = service.fit(service.read_inputs(rows), "density", max_epochs=1)
        >>> score = service.Application.of(model, rows)
        >>> [score(batch).schema.names for batch in service.batches(rows)]
        [['a', 'b', 'log_density']]
    """

    model: Model
    alignment: Alignment
    task: str = "score"
    drop_missing: bool = False

    def __post_init__(self) -> None:
        check_choice("task", self.task, tuple(TASKS))
        if self.task == "cluster":
            kinds.require_mixture(self.model, "score it instead")

    @classmethod
    def of(cls, model: Model, source: Source, task: str = "score", *, drop_missing: bool = False) -> Application:
        """A model applied to an opened table; arguments and errors as those of the class and of `align`."""
        return cls(model, align(model, source), task, drop_missing)

    def __call__(self, batch: pa.RecordBatch, start: int = 0) -> pa.RecordBatch:
        """The batch with further columns.

        Arguments:
            batch: some rows of the table.
            start: the batch's first row in the table, for messages.

        Raises:
            DataError: missing cells, text where numbers are needed, or a column that is there already.
        """
        kept, rows, condition = self.alignment.read(batch, start=start, drop_missing=self.drop_missing)
        if self.alignment.shown is not None:
            kept = kept.select(list(self.alignment.shown))
        if kept.num_rows:
            added = TASKS[self.task](self.model, rows, condition)
        else:
            added = {name: values[:0] for name, values in self._of_one_row().items()}
        return append_columns(kept, added, self.alignment.source)

    def _of_one_row(self) -> dict[str, Any]:
        """What is added to a row in the middle of the data."""
        columns, given = self.model.columns_, self.model.condition_columns_
        if isinstance(columns, Fields):
            zeros = np.zeros((1, len(columns.modelled)))
            return TASKS[self.task](self.model, columns.decode(zeros, zeros, 0), None)
        row = as_frame(columns.restore(np.zeros((1, columns.n))), self.alignment.names)
        return TASKS[self.task](self.model, row, None if given is None else given.restore(np.zeros((1, given.n))))


@dataclass
class Imputation:
    """A model that fills the gaps of a table, batch by batch: from Arrow record batches to ones without gaps.

    Arguments:
        model: a fitted estimator, of a table of more than numbers, or of images of levels.
        alignment: which columns it reads.
        seed: of the draws.
        filled: how many cells were filled in so far.
    """

    model: Model
    alignment: Alignment
    seed: int = 0
    filled: int = 0

    @classmethod
    def of(cls, model: Model, source: Source, seed: int = 0) -> Imputation:
        """For an opened table.

        Raises:
            RequestError: the model was fitted to numbers alone, without a gap, and knows nothing that fills them.
            DataError: as of `align`.
        """
        if not (kinds.is_mixed_model(model) or model.columns_.flat):
            raise kinds.RequestError(
                "the model was fitted to numbers alone, without a gap, so that it knows nothing to fill gaps with; fit "
                + (
                    "one to the table with its gaps"
                    if model.image_shape_ is None
                    else "gated_pixel_cnn or another flow that draws one pixel after the other"
                )
            )
        return cls(model, align(model, source), seed)

    def __call__(self, batch: pa.RecordBatch, start: int = 0) -> pa.RecordBatch:
        """The batch with the gaps of the model's columns filled.

        Arguments:
            batch: some rows of the table.
            start: the batch's first row in the table, which other draws follow from.
        """
        import pyarrow as pa

        aligned, seed = self.alignment.read(batch, start=start, gaps=True), (self.seed + start) % 2**32
        rows, made = aligned.rows, self.model.impute(aligned.rows, random_state=seed, condition=aligned.condition)
        if not self.alignment.mixed:
            names = list(self.alignment.columns)
            rows = batch.select(names)
            made = as_table(made.reshape(len(made), -1) if isinstance(made, np.ndarray) else made).rename_columns(names)
        full = as_table(made)
        self.filled += sum(int(gaps_of(rows.column(name)).sum()) for name in rows.column_names)
        columns = {name: batch.column(name) for name in batch.schema.names}
        for name in full.column_names:
            values = full.column(name).combine_chunks()
            columns[name] = values if values.type == columns[name].type else values.cast(columns[name].type, safe=False)
        return pa.RecordBatch.from_pydict(columns)


def batch_rows(width: int) -> int:
    """Rows to hold at a time for a table of that many columns: some 64 MiB of numbers."""
    return int(np.clip(2**23 // max(width, 1) // 4096 * 4096, 4096, 65_536))


def batches(source: Source) -> Iterator[pa.RecordBatch]:
    """All columns of a table in batches that fit in memory.

    Raises:
        DataError: the table is malformed, or has no rows.
    """
    empty = True
    for batch in source.batches(batch_rows(len(source.names))):
        empty = False
        yield batch
    if empty:
        raise DataError(f"{source.name}: there are no rows; check the file or the query")
