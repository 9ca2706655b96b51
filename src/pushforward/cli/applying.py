"""`pushforward score`, `cluster` and `sample`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushforward.cli.describing import ModelFolder, load
from pushforward.cli.fitting import Data, DropMissing, Overwrite
from pushforward.cli.shell import about, note

if TYPE_CHECKING:
    from pushforward.data import TableWriter

SCORE_EPILOG = """
**Examples**

pushforward score model flowers.csv --out scored.csv

pushforward score model "SELECT * FROM 'day-\\*.parquet'" --out scored.parquet

pushforward score model power.csv --out surprises.csv    *(fitted with --series: each step given those before it)*

pushforward score detector flowers.csv --out flagged.csv    *(a model fitted with --kind outliers: adds outlier)*

zcat flowers.csv.gz | pushforward score model - --out - | head    *(in a pipe; --format jsonl for JSON lines)*

The least likely rows: pushforward score …, then "SELECT \\* FROM 'scored.csv' ORDER BY log_density LIMIT 10" in DuckDB.
"""
CLUSTER_EPILOG = """
**Examples**

pushforward cluster model flowers.csv --out clusters.csv

pushforward cluster model flowers.parquet --out clusters.parquet --drop-missing

pushforward cluster model <(zcat flowers.csv.gz) --out clusters.jsonl.gz
"""
SAMPLE_EPILOG = """
**Examples**

pushforward sample model -n 1000 --out new-rows.csv

pushforward sample model -n 10 --out -    *(to the screen, or another program)*

pushforward sample model -n 100 --out third.parquet --component 2 --seed 7

pushforward sample model -n 100 --out monday.csv --given weekday=1    *(a model fitted with --given weekday)*

pushforward sample model -n 100 --out adults.csv --where "age >= 18 AND premium > 0"
"""

IMPUTE_EPILOG = """
**Examples**

pushforward impute model customers.csv --out complete.csv

pushforward impute model patients.parquet --out complete-2.parquet --seed 2    *(another draw of what is missing)*
"""

PHASES = {"score": "scoring", "cluster": "clustering"}


class Form(StrEnum):
    """How standard output is written."""

    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


OutFile = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FILE",
        help="File to write, .csv, .jsonl, .csv.gz, .jsonl.zst and so on, or .parquet; - writes standard output.",
        show_default=False,
    ),
]
Format = Annotated[
    Form | None,
    typer.Option(
        "--format",
        metavar="csv|jsonl|parquet",
        help="What --out - writes; a file is what its ending says. [default: csv]",
        show_default=False,
    ),
]


def score(
    model: ModelFolder,
    data: Data,
    out: OutFile,
    form: Format = None,
    drop_missing: DropMissing = False,
    overwrite: Overwrite = False,
) -> None:
    """Add to every row of a table its log-density: how usual the row is, the lower the stranger.

    The table may be larger than memory. The new column, log_density, is in nats, in the data's own units.
    A model fitted with --kind outliers adds another one, outlier: whether the row is below its threshold.
    Of a model fitted with --series it is the log-density of each row given those before it in time.
    """
    from pushforward.service import describe_saved

    told = describe_saved(model)
    if told is None or told.kind != "series":
        _append(model, data, out, form, drop_missing, overwrite, "score")
        return
    from pushforward.cli.series import score_table

    if drop_missing:
        raise ValueError("--drop-missing: a model of series takes empty cells as gaps; leave it out")
    score_table(model, data, out, form, overwrite)


def cluster(
    model: ModelFolder,
    data: Data,
    out: OutFile,
    form: Format = None,
    drop_missing: DropMissing = False,
    overwrite: Overwrite = False,
) -> None:
    """Add to every row of a table its component, how sure that is, and its log-density.

    New columns: component (the likeliest), p_0, p_1, … (the probability of each), log_density; and, from a model
    fitted with --label-column L, predicted_L. The table may be larger than memory.
    """
    _append(model, data, out, form, drop_missing, overwrite, "cluster")


def sample(
    model: ModelFolder,
    out: OutFile,
    n: Annotated[int, typer.Option("-n", metavar="N", min=1, help="How many rows.", show_default=False)],
    component: Annotated[
        int | None,
        typer.Option(metavar="K", min=0, help="Draw from this component alone. [default: all]", show_default=False),
    ] = None,
    given: Annotated[
        str | None,
        typer.Option(
            metavar="C=1,D=2,…",
            help="Values of the columns the model is conditioned on; or, of a table with categories, dates or gaps, of "
            "any columns, to draw the others given.",
            show_default=False,
        ),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            metavar="RULE",
            help='Rule in SQL that rows are to keep to, such as "age >= 18 AND premium > 0"; others are drawn again.',
            show_default=False,
        ),
    ] = None,
    temperature: Annotated[
        float,
        typer.Option(metavar="T", help="Scale of the noise; below 1, rows are more usual, and vary less."),
    ] = 1.0,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Same seed, same rows.")] = 0,
    form: Format = None,
    overwrite: Overwrite = False,
) -> None:
    """Draw new rows from a model; a mixture's come with the component each is from."""
    from pushforward.data.writing import TableWriter
    from pushforward.service import TooLargeError, is_mixed_model
    from pushforward.service import sample as draw
    from pushforward.training import reporting, tell

    TableWriter(out, overwrite, form)  # refuses before any work what could not be written
    if given and where is not None:
        raise ValueError("--given and --where do not go together; draw given values, and choose among the draws")
    estimator = load(model)
    as_floats: set[str] = set()
    while True:
        with about(model):
            values = parse_given(given, texts=is_mixed_model(estimator))
            batches = draw(
                estimator,
                n,
                component=component,
                given=values,
                where=where,
                temperature=temperature,
                seed=seed,
                as_floats=as_floats,
            )
        drawn = 0
        try:
            with TableWriter(out, overwrite, form) as writer, reporting(True, "sampling"):
                for batch in batches:
                    writer.write(batch)
                    drawn += batch.num_rows
                    tell("sampling", drawn, n, "rows")
            break
        except TooLargeError as error:  # all batches of a file have the same types, so the file starts anew
            if drawn and writer.standard:
                name = error.column
                says = f"{model}: column {name!r} has values beyond 64-bit whole numbers, found late; give --out FILE"
                raise ValueError(says) from error
            as_floats.add(error.column)
    tell_rows(writer, n)


def impute(
    model: ModelFolder,
    data: Data,
    out: OutFile,
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Same seed, same values.")] = 0,
    form: Format = None,
    overwrite: Overwrite = False,
) -> None:
    """Fill the empty cells of a table by draws from what the model knows of them, given the row's other cells.

    The model is one of a table that had categories, dates or gaps. All that is there stays as it is.
    """
    from pushforward.data.tables import open_source
    from pushforward.data.writing import TableWriter
    from pushforward.service import Imputation, batches
    from pushforward.training import reporting, tell

    writer = TableWriter(out, overwrite, form)
    source = open_source(data)
    estimator = load(model)
    with about(model):
        fill = Imputation.of(estimator, source, seed)
    seen = 0
    with writer, reporting(True, f"reading {source.name}"):
        for batch in batches(source):
            writer.write(fill(batch, seen))
            seen += batch.num_rows
            tell("filling in", seen, details="rows")
    note(f"{fill.filled:,} cells were filled in")
    tell_rows(writer, seen)


def tell_rows(writer: TableWriter, rows: int) -> None:
    """Say where rows are; beside standard output, where they are in it."""
    there = "rows were written" if writer.standard else f"rows are in {writer.name}"
    typer.echo(f"{rows:,} {there}.", err=writer.standard)


def parse_given(text: str | None, texts: bool = False) -> dict[str, Any]:
    """`C=1,D=2` as values of columns, numbers, or text as it is.

    Raises:
        ValueError: it does not parse, or names a column twice.
    """
    values: dict[str, Any] = {}
    for part in (text or "").split(","):
        name, equals, value = part.rpartition("=")
        if not part:
            continue
        if not equals or name.strip() in values:
            raise ValueError(f"--given {text}: expected one value for each column; write --given {name or part}=VALUE")
        if texts:
            values[name.strip()] = value.strip()
            continue
        try:
            values[name.strip()] = float(value)
        except ValueError:
            raise ValueError(f"--given {text}: a value is not a number; write --given {name}=VALUE") from None
    return values


def _append(
    model: Path, data: str, out: Path, form: Form | None, drop_missing: bool, overwrite: bool, task: str
) -> None:
    """Stream a table through the model into a file with more columns."""
    from pushforward.data.sources import DataError
    from pushforward.data.tables import open_source
    from pushforward.data.writing import TableWriter
    from pushforward.service import Application, batches, describe
    from pushforward.training import reporting, tell

    writer = TableWriter(out, overwrite, form)
    source = open_source(data)
    estimator = load(model)
    with about(model):
        widen = Application.of(estimator, source, task, drop_missing=drop_missing)
    seen = written = 0
    with writer, reporting(True, f"reading {source.name}"):
        for batch in batches(source):
            wider = widen(batch, seen)
            seen += batch.num_rows
            written += wider.num_rows
            if wider.num_rows:
                writer.write(wider)
            tell(PHASES[task], seen, details="rows")
        if not written:
            raise DataError(f"{source.name}: every row has a missing or infinite value; there is nothing to write")
    if seen > written:
        note(f"{seen - written:,} rows with missing or infinite cells were left out")
    if (exactness := describe(estimator).exactness) != "exact":
        note(f"log_density is known through estimates alone ({exactness})")
    tell_rows(writer, written)
