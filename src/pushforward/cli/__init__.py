"""The command line: `pushforward fit`, `score`, `cluster`, `sample`, `impute`, `forecast`, `compare`, `plot`, `info`
and `demo`."""

from __future__ import annotations

from typing import Annotated

import typer

from pushforward import __version__
from pushforward.cli import applying, comparing, demo, describing, fitting, plotting, series
from pushforward.cli.shell import OneLineGroup

__all__ = ["app", "main"]

EPILOG = """
**A first look:** pushforward demo

**Your own table:** pushforward fit table.csv --out model, then pushforward cluster model table.csv --out clusters.csv

DATA is CSV, Parquet, JSON lines, Arrow, .npy, .npz, or SQL such as "SELECT a, b FROM 'day-\\*.parquet' WHERE a > 0".
CSV and JSON may be compressed (.gz, .zst). DATA may be - for standard input; --out - writes rows to standard output.
Each command tells more with --help.

**Environment:** PUSHFORWARD_DEBUG=1 shows the traceback of an error. PUSHFORWARD_CACHE=FOLDER keeps compiled programs
in that folder instead of the user's cache; empty, it keeps none.
"""

app = typer.Typer(
    cls=OneLineGroup,
    epilog=EPILOG,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit
    return wanted


@app.callback()
def pushforward(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    """Density, clusters and new samples from a table, by mixtures of normalizing flows."""


app.command("fit", epilog=fitting.EPILOG)(fitting.fit)
app.command("cluster", epilog=applying.CLUSTER_EPILOG)(applying.cluster)
app.command("score", epilog=applying.SCORE_EPILOG)(applying.score)
app.command("sample", epilog=applying.SAMPLE_EPILOG)(applying.sample)
app.command("impute", epilog=applying.IMPUTE_EPILOG)(applying.impute)
app.command("forecast", epilog=series.EPILOG)(series.forecast)
app.command("compare", epilog=comparing.EPILOG)(comparing.compare)
app.command("plot", epilog=plotting.EPILOG)(plotting.plot)
app.command("info", epilog=describing.EPILOG)(describing.info)
app.command("demo", epilog=demo.EPILOG)(demo.demo)


def main() -> None:
    """Run the command line."""
    app(prog_name="pushforward")
