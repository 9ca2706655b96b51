"""`pushforward forecast`, and series in `fit` and `score`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushforward.cli.applying import Form, Format, OutFile, tell_rows
from pushforward.cli.describing import ModelFolder, load_any
from pushforward.cli.fitting import Data, Overwrite
from pushforward.cli.shell import about, command, free_name, note

if TYPE_CHECKING:
    from pushforward.estimators import SeriesDensity
    from pushforward.training import Checkpoint

EPILOG = """
**Examples**

pushforward fit power.csv --series date --out model    *(first: rows are steps of time)*

pushforward forecast model power.csv --horizon 24 --out tomorrow.csv

pushforward forecast model shops.csv --horizon 7 --quantiles 0.1,0.5,0.9 --out week.csv    *(fitted with --by shop)*

What has no row yet follows the last row of DATA, which may be of later times than the model was fitted to.
"""


def forecast(
    model: ModelFolder,
    data: Data,
    out: OutFile,
    horizon: Annotated[int, typer.Option(metavar="N", min=1, help="Steps ahead.", show_default=False)],
    samples: Annotated[int, typer.Option(metavar="N", min=2, help="Draws that quantiles are taken of.")] = 200,
    quantiles: Annotated[
        str, typer.Option(metavar="Q,R,…", help="Levels between 0 and 1: of 100 outcomes, so many are to be below.")
    ] = "0.05,0.5,0.95",
    seed: Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Same seed, same draws.")] = 0,
    form: Format = None,
    overwrite: Overwrite = False,
) -> None:
    """Forecast what follows the last rows of series, by a model fitted with --series.

    Written are time stamps that go on after DATA, and quantiles of every column: power_0.05 is what power is below in
    5 of 100 cases. One step after the other is drawn, so that draws are whole futures.
    """
    from pushforward.data.tables import open_source
    from pushforward.data.writing import TableWriter
    from pushforward.service import forecast_series, read_like
    from pushforward.training import reporting

    writer = TableWriter(out, overwrite, form)
    levels = parse_quantiles(quantiles)
    source = open_source(data)
    estimator = require_series(model)
    with about(model), reporting(True, "forecasting"):
        batch = forecast_series(estimator, read_like(estimator, source), horizon, samples, levels, seed)
    with writer:
        writer.write(batch)
    tell_rows(writer, batch.num_rows)


def require_series(model: Path) -> SeriesDensity:
    """The model of series in a folder.

    Raises:
        ValueError: it holds another one.
    """
    from pushforward.estimators import SeriesDensity

    estimator = load_any(model)
    if not isinstance(estimator, SeriesDensity):
        raise ValueError(f"{model}: the model is of rows, which have no order; fit one of series, with --series TIME")
    return estimator


def parse_quantiles(text: str) -> tuple[float, ...]:
    """`Q,R,…` as numbers.

    Raises:
        ValueError: one is none, not between 0 and 1, or there twice.
    """
    try:
        levels = tuple(float(part) for part in text.split(","))
    except ValueError:
        levels = ()
    if not levels or not all(0 < level < 1 for level in levels) or len({*levels}) < len(levels):
        raise ValueError(f"--quantiles {text}: expected different numbers between 0 and 1, such as 0.05,0.5,0.95")
    return levels


def fit_table(
    data: str, time: str, by: str | None, columns: Any, options: dict[str, Any], checkpoint: Checkpoint | None
) -> tuple[SeriesDensity, float, dict[str, str]]:
    """Fit a model to a table of series; with it the mean log-density of a step, and what was read, in words."""
    from pushforward.data.tables import open_source
    from pushforward.service import fit_series, read_series
    from pushforward.training import tell

    inputs = read_series(open_source(data), time, by=by, columns=columns)
    model = fit_series(inputs, checkpoint=checkpoint, **options)
    tell("scoring")
    steps = sum(map(len, inputs.x))
    facts = {
        "rows": f"{len(inputs.table):,}, {steps:,} steps of {inputs.clock.step_text}",
        "series": f"{len(inputs.x):,}" + ("" if by is None else f", told apart by {by}"),
    }
    return model, model.score(list(inputs.x), condition=inputs.conditions()), facts


def next_commands(data: str, out: Path) -> None:
    """What to type after a fit."""
    from pushforward.data.pipes import is_pipe

    if not is_pipe(data):
        typer.echo(f"  {command('score', out, data, '--out', free_name('scores.csv'))}")
        typer.echo(f"  {command('forecast', out, data, '--horizon', 24, '--out', free_name('forecast.csv'))}")
    typer.echo(f"  {command('info', out)}")


def score_table(model: Path, data: str, out: Path, form: Form | None, overwrite: bool) -> None:
    """Add to each row of a table of series its log-density given those before it."""
    from pushforward.data.tables import open_source
    from pushforward.data.writing import TableWriter
    from pushforward.service import read_like, score_series
    from pushforward.training import reporting

    writer = TableWriter(out, overwrite, form)
    source = open_source(data)
    estimator = require_series(model)
    with about(model), reporting(True, "scoring"):
        batch = score_series(estimator, read_like(estimator, source))
    empty = batch.column("log_density").null_count
    with writer:
        writer.write(batch)
    if empty:
        note(f"{empty:,} rows have no value at all, and no log_density")
    tell_rows(writer, batch.num_rows)
