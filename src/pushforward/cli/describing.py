"""`pushforward info`, and the summary after a fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from pushforward.cli.shell import prepare

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="Folder that `fit` wrote.", show_default=False)]

EPILOG = """
**Example**

pushforward info model
"""
UNIT = (
    "unit: the length that the model counts as 1 in this column: the standard deviation (of a whole number x spread "
    "over x to x + 1), or an eighth of the range where that is larger"
)


def info(model: Model) -> None:
    """Tell what a saved model is: columns, components, how it was trained."""
    estimator = load_estimator(model)
    print_summary(estimator, {"model": str(model)})
    print_columns(estimator)
    if hasattr(estimator, "n_components"):
        print_components(estimator)


def load_estimator(model: Path) -> Any:
    """The estimator in a model folder.

    Raises:
        ModelFileError: the folder is missing, damaged or of a newer format.
        ValueError: it holds something else.
    """
    prepare()
    from pushforward.estimators import FlowDensity, FlowMixture
    from pushforward.serialization import load

    estimator = load(model)
    if not isinstance(estimator, (FlowDensity, FlowMixture)):
        raise ValueError(f"{model}: holds a {type(estimator).__name__}, no fitted estimator; load it in Python")
    return estimator


def print_summary(estimator: Any, facts: Mapping[str, str], x: Any = None, condition: Any = None) -> None:
    """A table of a few facts, on standard output."""
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in {**facts, **_facts(estimator, x, condition)}.items():
        table.add_row(name, value)
    Console().print(table, highlight=False, markup=False)


def _facts(estimator: Any, x: Any, condition: Any) -> dict[str, str]:
    columns = estimator.columns_
    integer = int(columns.integer.sum())
    facts = {"columns": f"{columns.n}" + (f", {integer} of them of whole numbers" if integer else "")}
    if estimator.condition_columns_ is not None:
        facts["given"] = ", ".join(estimator.condition_columns_.names)
    if hasattr(estimator, "n_components"):
        shares = ", ".join(f"{share:.0%}" for share in estimator.weights_)
        facts["components"] = f"{estimator.n_components_} of shares {shares}"
    if estimator.label_column_ is not None:
        facts["labels"] = f"{estimator.label_column_}: {', '.join(estimator.label_names_)}"
    chosen = estimator.spec_.flow
    facts["flow"] = f"{chosen}, chosen by the number of columns" if estimator.flow == "auto" else chosen
    if estimator.exactness_ != "exact":
        facts["log-density"] = f"known through estimates ({estimator.exactness_})"
    if hasattr(estimator, "offset_"):
        facts["outliers"] = f"rows of a log-density below {estimator.offset_:.6g}"
    facts["epochs"] = f"{estimator.n_iter_}, the best {estimator.best_epoch_}, in {estimator.seconds_:.1f} s"
    if x is not None:
        frame = _frame(estimator, x)
        nats, inexact = estimator.score(frame, condition=condition), estimator.exactness_ != "exact"
        label = f", an estimate ({estimator.exactness_})" if inexact else ""
        facts["log-density"] = f"{nats:.4f} nats a row, on rows it was fitted to{label}"
    return facts


def _frame(estimator: Any, x: Any) -> Any:
    from pushforward.cli.inputs import as_frame

    return as_frame(x, [str(name) for name in estimator.feature_names_in_])


def print_columns(estimator: Any) -> None:
    """What each column was taken to be."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    columns = estimator.columns_
    table = Table(title="columns", title_justify="left", box=None, pad_edge=False)
    for heading in ("name", "kind", "from", "to", "mean", "unit"):
        table.add_column(heading, justify="left" if heading in ("name", "kind") else "right")
    for i, (name, kind) in enumerate(zip(columns.names, columns.kinds, strict=True)):
        middle = columns.shift[i] - 0.5 * columns.integer[i]
        ends = ["" if not np.isfinite(end) else f"{end:g}" for end in (columns.low[i], columns.high[i])]
        table.add_row(escape(name), kind, *ends, f"{middle:.4g}", f"{columns.scale[i]:.4g}")
    Console().print("", table, UNIT, highlight=False)


def print_components(estimator: Any) -> None:
    """Each component's share, and the label it stands for."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    labels = estimator.label_names_ or ()
    table = Table(title="components", title_justify="left", box=None, pad_edge=False)
    table.add_column("number", justify="right")
    table.add_column("share", justify="right")
    if labels:
        table.add_column("label")
    for k, share in enumerate(estimator.weights_):
        table.add_row(str(k), f"{share:.2%}", *([escape(labels[k]) if k < len(labels) else ""] if labels else []))
    Console().print("", table, highlight=False)
