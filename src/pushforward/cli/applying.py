"""`pushforward score`, `cluster` and `sample`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import typer

from pushforward.cli.describing import Model, load_estimator
from pushforward.cli.fitting import Data, DropMissing, Overwrite
from pushforward.cli.shell import note

if TYPE_CHECKING:
    import pyarrow as pa

SCORE_EPILOG = """
**Examples**

pushforward score model flowers.csv --out scored.csv

pushforward score model "SELECT * FROM 'day-\\*.parquet'" --out scored.parquet

The least likely rows: pushforward score …, then "SELECT \\* FROM 'scored.csv' ORDER BY log_density LIMIT 10" in DuckDB.
"""
CLUSTER_EPILOG = """
**Examples**

pushforward cluster model flowers.csv --out clusters.csv

pushforward cluster model flowers.parquet --out clusters.parquet --drop-missing
"""
SAMPLE_EPILOG = """
**Examples**

pushforward sample model -n 1000 --out new-rows.csv

pushforward sample model -n 100 --out third.parquet --component 2 --seed 7

pushforward sample model -n 100 --out monday.csv --given weekday=1    *(a model fitted with --given weekday)*
"""
SAMPLE_ROWS = 65_536
INT64_END = 2.0**63  # the first float beyond 64-bit whole numbers
Add: TypeAlias = Callable[[Any, Any, Any], dict[str, Any]]

OutFile = Annotated[
    Path, typer.Option("--out", metavar="FILE", help="File to write, .parquet or .csv.", show_default=False)
]


def score(
    model: Model, data: Data, out: OutFile, drop_missing: DropMissing = False, overwrite: Overwrite = False
) -> None:
    """Add to every row of a table its log-density: how usual the row is, the lower the stranger.

    The table may be larger than memory. The new column, log_density, is in nats, in the data's own units.
    A model that is a FlowOutlierDetector adds another one, outlier: whether the row is below its threshold.
    """
    _append(model, data, out, drop_missing, overwrite, _scores)


def cluster(
    model: Model, data: Data, out: OutFile, drop_missing: DropMissing = False, overwrite: Overwrite = False
) -> None:
    """Add to every row of a table its component, how sure that is, and its log-density.

    New columns: component (the likeliest), p_0, p_1, … (the probability of each), log_density; and, from a model
    fitted with --label-column L, predicted_L. The table may be larger than memory.
    """
    _append(model, data, out, drop_missing, overwrite, _clusters)


def sample(
    model: Model,
    out: OutFile,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many rows.", show_default=False)],
    component: Annotated[
        int | None,
        typer.Option(metavar="K", min=0, help="Draw from this component alone. [default: all]", show_default=False),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="C=1,D=2,…", help="Values of the columns the model is conditioned on.", show_default=False
        ),
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Same seed, same rows.")] = 0,
    overwrite: Overwrite = False,
) -> None:
    """Draw new rows from a model; a mixture's come with the component each is from."""
    from pushforward.data.writing import TableWriter

    TableWriter(out, overwrite)  # refuses before any work what could not be written
    estimator = load_estimator(model)
    if component is not None and not hasattr(estimator, "n_components"):
        raise ValueError(f"{model}: holds one density without components; leave --component out")
    if component is not None and component >= estimator.n_components_:
        raise ValueError(f"--component {component}: the components of {model} are 0 to {estimator.n_components_ - 1}")
    _refuse_clash(estimator, model)
    condition = _condition(estimator, given)
    counts = [min(SAMPLE_ROWS, n - start) for start in range(0, n, SAMPLE_ROWS)]
    seeds = np.random.SeedSequence(seed).generate_state(len(counts))
    columns = estimator.columns_
    integers = {name for name, integer in zip(columns.names, columns.integer, strict=True) if integer}
    while True:
        try:
            with TableWriter(out, overwrite) as writer, _counting("sampling", n) as count:
                for rows, part_seed in zip(counts, seeds, strict=True):
                    writer.write(_draw(estimator, rows, component, condition, int(part_seed), integers))
                    count(rows)
            break
        except _TooLarge as error:
            integers.remove(error.column)
    typer.echo(f"{n:,} rows are in {out}.")


def _append(model: Path, data: str, out: Path, drop_missing: bool, overwrite: bool, add: Add) -> None:
    """Stream a table through the model into a file with more columns."""
    from pushforward.cli.inputs import align, batches
    from pushforward.data.sources import DataError
    from pushforward.data.tables import open_source
    from pushforward.data.writing import TableWriter, append_columns

    writer = TableWriter(out, overwrite)
    source = open_source(data)
    estimator = load_estimator(model)
    if add is _clusters and not hasattr(estimator, "n_components"):
        raise ValueError(f"{model}: holds one density without components; use `pushforward score`")
    alignment = align(estimator, source)
    seen = written = 0
    with writer, _counting(data, None) as count:
        for batch in batches(source):
            kept, x, condition = alignment.read(batch, source.name, seen, drop_missing)
            seen += batch.num_rows
            written += kept.num_rows
            if kept.num_rows:
                writer.write(append_columns(kept, add(estimator, x, condition), source.name))
            count(batch.num_rows)
        if not written:
            raise DataError(f"{source.name}: every row has a missing or infinite value; there is nothing to write")
    if seen > written:
        note(f"{seen - written:,} rows with missing or infinite cells were left out")
    if estimator.exactness_ != "exact":
        note(f"log_density is known through estimates alone ({estimator.exactness_})")
    typer.echo(f"{written:,} rows are in {out}.")


def _scores(estimator: Any, x: Any, condition: Any) -> dict[str, Any]:
    scores = estimator.score_samples(x, condition=condition)
    return {"log_density": scores} | ({"outlier": scores < estimator.offset_} if hasattr(estimator, "offset_") else {})


def _clusters(estimator: Any, x: Any, condition: Any) -> dict[str, Any]:
    import pyarrow as pa

    component, q, log_density = estimator.assign(x, condition)
    columns: dict[str, Any] = {"component": component}
    if estimator.label_column_ is not None:
        names = dict(enumerate(estimator.label_names_))
        predicted = pa.array([names.get(k) for k in component.tolist()], pa.string())
        columns[f"predicted_{estimator.label_column_}"] = predicted
    columns |= {f"p_{k}": q[:, k] for k in range(q.shape[1])}
    return columns | {"log_density": log_density}


def _condition(estimator: Any, text: str | None) -> np.ndarray | None:
    """`C=1,D=2` as one row in the order of the model's conditioning columns."""
    columns = estimator.condition_columns_
    names = () if columns is None else columns.names
    wanted = f"write --given {','.join(f'{name}=VALUE' for name in names)}" if names else "leave --given out"
    pairs = [part.rpartition("=")[::2] for part in (text or "").split(",") if part]
    if sorted(name.strip() for name, _ in pairs) != sorted(names):
        known = (
            f"the model is conditioned on {', '.join(names)}" if names else "the model is not conditioned on columns"
        )
        raise ValueError(f"{known}; {wanted}")
    if not names:
        return None
    try:
        values = {name.strip(): float(value) for name, value in pairs}
    except ValueError:
        raise ValueError(f"--given {text}: a value is not a number; {wanted}") from None
    return np.array([[values[name] for name in names]])


class _TooLarge(Exception):
    """A column to be written as 64-bit whole numbers has a value beyond them."""

    def __init__(self, column: str):
        super().__init__(column)
        self.column = column


def _refuse_clash(estimator: Any, model: Path) -> None:
    """Names that draws give to their component and label may not be those of columns."""
    if not hasattr(estimator, "n_components"):
        return
    given = () if estimator.condition_columns_ is None else estimator.condition_columns_.names
    label = [] if estimator.label_column_ is None else [estimator.label_column_]
    taken = [*estimator.columns_.names, *given]
    if clash := [name for name in ["component", *label] if name in taken] or ["component"] * ("component" in label):
        raise ValueError(
            f"{model}: has a column {clash[0]!r}, which draws need for their own; rename it and fit again, or draw "
            "in Python with FlowMixture.sample"
        )


def _draw(
    estimator: Any, n: int, component: int | None, condition: np.ndarray | None, seed: int, integers: set[str]
) -> pa.RecordBatch:
    """A batch of new rows, the columns named in `integers` as 64-bit whole numbers.

    Raises:
        _TooLarge: one of those does not fit. All batches of a file have the same types, so the file starts anew.
    """
    import pyarrow as pa

    columns = estimator.columns_
    chosen = None
    if hasattr(estimator, "n_components"):
        rows, chosen = estimator.sample(n, component=component, random_state=seed, condition=condition)
        chosen = chosen.reshape(n)
    else:
        rows = estimator.sample(n, condition=condition, random_state=seed)
    rows = rows.reshape(n, columns.n)  # one condition: an axis of length 1
    drawn: dict[str, Any] = {name: rows[:, i] for i, name in enumerate(columns.names)}
    for name in integers:
        if not ((drawn[name] >= -INT64_END) & (drawn[name] < INT64_END)).all():
            raise _TooLarge(name)
        drawn[name] = drawn[name].astype(np.int64)
    if condition is not None:
        for name, value in zip(estimator.condition_columns_.names, condition[0], strict=True):
            drawn[name] = np.full(n, value)
    if chosen is not None:
        drawn["component"] = chosen
        if estimator.label_column_ is not None:
            names = dict(enumerate(estimator.label_names_))
            drawn[estimator.label_column_] = pa.array([names.get(k) for k in chosen.tolist()], pa.string())
    return pa.RecordBatch.from_pydict(drawn)


@contextmanager
def _counting(what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A count of rows on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} rows"))
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what[:40], total=total)
        yield lambda rows: progress.advance(task, rows)
