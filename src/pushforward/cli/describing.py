"""`pushforward info`, and the summary after a fit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushforward.cli.shell import about, prepare

if TYPE_CHECKING:
    from pushforward.estimators import SeriesDensity
    from pushforward.service import ColumnFacts, Description, Model

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `fit` wrote.", show_default=False)]

EPILOG = """
**Example**

pushforward info model
"""
UNIT = (
    "unit: the length that the model counts as 1 in this column: the standard deviation (of a whole number x spread "
    "over x to x + 1), or an eighth of the range where that is larger"
)
FACTOR = "×: the model counts logarithms, and a factor as 1"
DAY = 86_400  # seconds
MOST_LOG = 700.0  # of which there is an exponential


def info(model: ModelFolder) -> None:
    """Tell what a saved model is: columns, components, how it was trained; of an outlier detector the threshold."""
    from pushforward.service import describe, describe_saved

    description = describe_saved(model) or describe(load_any(model))
    print_summary(description, {"model": str(model)})
    if description.image_shape is None:
        print_columns(description)
    if description.components:
        print_components(description)


def load(model: Path) -> Model:
    """The estimator of rows in a model folder.

    Raises:
        ModelFileError: the folder is missing, damaged or of a newer format.
        ValueError: it holds something else.
    """
    prepare()
    from pushforward.service import load_model

    with about(model):
        return load_model(model)


def load_any(model: Path) -> Model | SeriesDensity:
    """The estimator in a model folder, of rows or of series; errors as those of `load`."""
    prepare()
    from pushforward.service import load_any

    with about(model):
        return load_any(model)


def print_summary(description: Description, facts: Mapping[str, str], log_density: float | None = None) -> None:
    """A table of a few facts, on standard output.

    Arguments:
        description: of a model.
        facts: to begin with.
        log_density: the mean of the rows that the model was fitted to.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in {**facts, **_facts(description, log_density)}.items():
        table.add_row(name, value)
    Console().print(table, highlight=False, markup=False)


def _facts(model: Description, log_density: float | None) -> dict[str, str]:
    whole = sum(column.kind == "whole number" for column in model.columns)
    facts = {"columns": f"{len(model.columns)}" + (f", {whole} of them of whole numbers" if whole else "")}
    if model.image_shape is not None:
        facts = {"images": _images(model)}
    if model.time is not None:
        facts["time"] = model.time
    if model.given:
        facts["given"] = ", ".join(model.given)
    if model.components:
        shares = ", ".join(f"{component.share:.0%}" for component in model.components)
        facts["components"] = f"{len(model.components)} of shares {shares}"
    if model.label_column is not None:
        facts["labels"] = f"{model.label_column}: {', '.join(model.label_names)}"
    by = "number of columns" if model.image_shape is None else "size of the images"
    facts["flow"] = f"{model.flow}, chosen by the {by}" if model.flow_chosen else model.flow
    if model.exactness != "exact":
        facts["log-density"] = f"known through estimates ({model.exactness})"
    if model.threshold is not None:
        facts["outliers"] = (
            f"rows of a log-density below {model.threshold:.6g}"
            if model.centre is None
            else f"rows of a log-density further than {-model.threshold:.6g} from {model.centre:.6g}"
        )
    facts["epochs"] = f"{model.epochs}, the best {model.best_epoch}, in {model.seconds:.1f} s"
    if log_density is not None:
        row = "step" if model.kind == "series" else "row"
        label = "" if model.exactness == "exact" else f", an estimate ({model.exactness})"
        facts["log-density"] = f"{log_density:.4f} nats a {row}, on {row}s it was fitted to{label}"
    return facts


def _images(model: Description) -> str:
    """The size of images, and what their pixels are."""
    height, width, channels = model.image_shape or (0, 0, 0)
    pixel, coloured = model.columns[0], "" if channels == 1 else f" of {channels} channels"
    kind = "whole numbers" if pixel.kind == "whole number" else "numbers"
    ends = "" if pixel.low is None or pixel.high is None else f" from {pixel.low:g} to {pixel.high:g}"
    return f"{height} x {width} pixels{coloured}, {kind}{ends}"


def print_columns(description: Description) -> None:
    """What each column was taken to be."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="columns", title_justify="left", box=None, pad_edge=False)
    for heading in ("name", "kind", "from", "to", "mean", "unit"):
        table.add_column(heading, justify="left" if heading in ("name", "kind") else "right")
    for column in description.columns:
        ends = ["" if end is None else f"{end:g}" for end in (column.low, column.high)]
        mean = "unknown" if column.mean is None else f"{column.mean:.4g}"
        table.add_row(escape(column.name), column.kind, *ends, mean, unit_of(column))
    factors = any(column.counts == "logarithm" for column in description.columns)
    Console().print("", table, f"{UNIT}; {FACTOR}" if factors else UNIT, highlight=False)


def unit_of(column: ColumnFacts) -> str:
    """What the model counts as 1 in a column, as people read it."""
    if column.counts == "logarithm":
        return f"× {math.exp(min(column.unit, MOST_LOG)):.4g}"
    return f"{column.unit / DAY:.4g} days" if column.counts == "seconds" else f"{column.unit:.4g}"


def print_components(description: Description) -> None:
    """Each component's share, and the label it stands for."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    labelled = bool(description.label_names)
    table = Table(title="components", title_justify="left", box=None, pad_edge=False)
    table.add_column("number", justify="right")
    table.add_column("share", justify="right")
    if labelled:
        table.add_column("label")
    for component in description.components:
        label = [escape(component.label or "")] if labelled else []
        table.add_row(str(component.number), f"{component.share:.2%}", *label)
    Console().print("", table, highlight=False)
