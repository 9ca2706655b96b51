"""New rows of a model, as batches of a table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.checks import check_whole
from pushforward.data.fields import Field, Fields
from pushforward.data.sources import listing
from pushforward.data.writing import append_columns
from pushforward.service import kinds
from pushforward.service.kinds import Model, RequestError

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 65_536  # of a batch
INT64_END = 2.0**63  # the first float beyond 64-bit whole numbers


class TooLargeError(ValueError):
    """A whole-number column has a value beyond 64-bit whole numbers; draw anew with it among `as_floats`."""

    def __init__(self, column: str):
        super().__init__(f"column {column!r} has values beyond 64-bit whole numbers; draw anew with it in as_floats=")
        self.column = column


def sample(
    model: Model,
    n: int,
    *,
    component: int | None = None,
    given: Mapping[str, Any] | None = None,
    where: str | None = None,
    temperature: float = 1.0,
    seed: int = 0,
    as_floats: Collection[str] = (),
) -> Iterator[pa.RecordBatch]:
    """Draw new rows, in batches of one schema.

    Whole-number columns are 64-bit whole numbers. The values that were given follow as columns, and so do a mixture's
    components, in a column component, and the labels they stand for, in one of the label's own name.

    Arguments:
        model: a fitted estimator.
        n: how many rows.
        component: draw from this one alone; from all by their weights if None.
        given: a value for each column that the model is conditioned on; of a model of more than numbers, values of
            any of its columns, which the others are drawn given.
        where: a rule that rows are to keep to, an expression of SQL; not together with `given`.
        temperature: scale of the noise; below 1, rows are more usual, and vary less.
        seed: same seed, same rows.
        as_floats: whole-number columns to give as floats nevertheless.

    Raises:
        RequestError: another component than the model has, or other columns given than it is conditioned on; or a
            column has a name that draws need for their own.
        DataError: the rule is no such expression, or hardly any draw keeps to it; both come with the first batch.
        TooLargeError: a whole number needs more than 64 bits; it may come after some batches.

    Example:
        >>> import pushforward as pf
        >>> from pushforward import service
        >>> rows = pf.data.open_source("SELECT sin(range) AS a, range AS b FROM range(60)")
        >>> model = service.fit(service.read_inputs(rows), "density", max_epochs=1)
        >>> [batch.schema.field("b").type for batch in service.sample(model, 5)]
        [DataType(int64)]
    """
    check_whole("n", n, 1)
    if component is not None:
        k = len(kinds.shares(kinds.require_mixture(model, "leave component= out")))
        if not 0 <= check_whole("component", component, 0) < k:
            raise RequestError(f"the model has no component={component}; its components are 0 to {k - 1}")
    _refuse_clash(model)
    model = model if temperature == 1 else model.cooled(temperature)
    if given and where is not None:
        raise ValueError("given= and where= do not go together; draw given values, and choose among the draws")
    if isinstance(model.columns_, Fields):
        return _mixed_batches(model, n, component, _given_row(model.columns_, given or {}), where, seed)
    condition = _condition(model, given or {})
    integers = {name for name, integer in zip(model.columns_.names, model.columns_.integer, strict=True) if integer}
    return _batches(model, n, component, condition, where, seed, integers - set(as_floats))


def _batches(
    model: Model,
    n: int,
    component: int | None,
    condition: NDArray[np.float64] | None,
    where: str | None,
    seed: int,
    integers: set[str],
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    counts = [min(SAMPLE_ROWS, n - start) for start in range(0, n, SAMPLE_ROWS)]
    seeds = np.random.SeedSequence(seed).generate_state(len(counts))
    for count, part_seed in zip(counts, seeds, strict=True):
        rows, components = kinds.draw(model, count, component, condition, where, int(part_seed))
        drawn: dict[str, Any] = {name: rows[:, i] for i, name in enumerate(model.columns_.names)}
        for name in integers:
            if not ((drawn[name] >= -INT64_END) & (drawn[name] < INT64_END)).all():
                raise TooLargeError(name)
            drawn[name] = drawn[name].astype(np.int64)
        if condition is not None and model.condition_columns_ is not None:
            values = zip(model.condition_columns_.names, condition[0], strict=True)
            drawn |= {name: np.full(count, value) for name, value in values}
        drawn |= _components(model, components)
        yield pa.RecordBatch.from_pydict(drawn)


def _given_row(fields: Fields, given: Mapping[str, Any]) -> pa.Table | None:
    """Given values as a table of one row; None where there are none.

    Raises:
        RequestError: there is no such column, or a value is none of its kind.
    """
    import pyarrow as pa

    if not given:
        return None
    known = {field.name: field for field in fields.all if field.name in fields.drawn}
    row: dict[str, Any] = {}
    for name, value in given.items():
        if name not in known:
            raise RequestError(f"the model has no column {name!r} to be given; its columns are {', '.join(known)}")
        row[name] = pa.array([_as_kind(known[name], value)])
    return pa.table(row)


def _as_kind(field: Field, value: Any) -> Any:
    """A value, perhaps as text, as one of a column.

    Raises:
        RequestError: it is none.
    """
    if not field.is_number:
        level = next((level for level in field.levels if level == value or str(level) == str(value)), None)
        if level is None:
            listed = listing([str(level) for level in field.levels])
            raise RequestError(f"the model knows no {field.name}={value!r}; it knows {listed}")
        return level
    try:
        return np.datetime64(value, "us") if field.kind == "date" else float(value)
    except ValueError:
        kind = "date, such as 2024-01-31" if field.kind == "date" else "number"
        raise RequestError(f"the model takes no {field.name}={value!r}; expected a {kind}") from None


def _mixed_batches(
    model: Model, n: int, component: int | None, given: pa.Table | None, where: str | None, seed: int
) -> Iterator[pa.RecordBatch]:
    counts = [min(SAMPLE_ROWS, n - start) for start in range(0, n, SAMPLE_ROWS)]
    seeds = np.random.SeedSequence(seed).generate_state(len(counts))
    for count, part_seed in zip(counts, seeds, strict=True):
        table, components = kinds.draw_table(model, count, component, given, where, int(part_seed))
        for batch in table.combine_chunks().to_batches():
            yield append_columns(batch, _components(model, components), "the model")


def _components(model: Model, components: NDArray[np.integer] | None) -> dict[str, Any]:
    """The columns that tell a mixture's components, and the labels they stand for."""
    if components is None:
        return {}
    told: dict[str, Any] = {"component": components}
    if model.label_column_ is not None:
        told[model.label_column_] = kinds.labels_of(model, components)
    return told


def _condition(model: Model, given: Mapping[str, int | float]) -> NDArray[np.float64] | None:
    """Given values as one row in the order of the model's conditioning columns."""
    names = () if model.condition_columns_ is None else model.condition_columns_.names
    if set(given) != set(names):
        values = ", ".join(f"{name!r}: VALUE" for name in names)
        raise RequestError(
            f"the model is conditioned on {', '.join(names)}; write given={{{values}}}"
            if names
            else "the model is not conditioned on columns; leave given= out"
        )
    return np.array([[given[name] for name in names]], dtype=np.float64) if names else None


def _refuse_clash(model: Model) -> None:
    """Names that draws give to their component and label may not be those of columns."""
    if not kinds.shares(model):
        return
    given = () if model.condition_columns_ is None else model.condition_columns_.names
    label = [] if model.label_column_ is None else [model.label_column_]
    columns = model.columns_
    taken = [*(columns.drawn if isinstance(columns, Fields) else columns.names), *given]
    if clash := [name for name in ["component", *label] if name in taken] or ["component"] * ("component" in label):
        raise RequestError(
            f"the model has a column {clash[0]!r}, which draws need for their own; rename it and fit again, or draw "
            "in Python with FlowMixture.sample"
        )
