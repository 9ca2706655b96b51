"""`pushforward fit`."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pushforward.cli.shell import command, note, prepare

if TYPE_CHECKING:
    from pushforward.cli.inputs import Inputs

EPILOG = """
**Examples**

pushforward fit flowers.csv --out model --components 3

pushforward fit "SELECT price, area FROM 'day-\\*.parquet' WHERE price > 0" --out model --bound price=0:

pushforward fit patients.parquet --out model --label-column diagnosis --drop-missing

pushforward fit sales.parquet --out model --kind density --columns price,volume --given weekday

pushforward fit big.parquet --out model --checkpoint 10    *(after a crash: the same with --resume)*
"""


class Kind(StrEnum):
    """What to fit."""

    mixture = "mixture"
    density = "density"


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="CSV, Parquet, JSON lines, .npy or .npz file, or a SQL query over such files.",
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(metavar="MODEL", help="Folder to write the model to.", show_default=False)]
Columns = Annotated[
    str | None,
    typer.Option(metavar="A,B,…", help="Columns to model. All others are left out. [default: all]", show_default=False),
]
Given = Annotated[
    str | None,
    typer.Option(
        metavar="C,D,…", help="Columns to condition on: the model is of the others given these.", show_default=False
    ),
]
DropMissing = Annotated[bool, typer.Option("--drop-missing", help="Leave out rows with missing or infinite cells.")]
LabelColumn = Annotated[
    str | None,
    typer.Option(
        metavar="L",
        help="Column with the group of some rows, as text or number; empty where unknown (in .npz: negative). "
        "Each label gets a component of its own.",
        show_default=False,
    ),
]
Components = Annotated[
    str | None,
    typer.Option(
        metavar="K|auto",
        help="Components of the mixture; auto: as many as there are clusters. [default: 5, or one a label]",
        show_default=False,
    ),
]
Bound = Annotated[
    list[str] | None,
    typer.Option(
        metavar="A=LOW:HIGH",
        help="Range of a column; leave an end empty if it has none. Repeatable.",
        show_default=False,
    ),
]
Discrete = Annotated[
    str, typer.Option(metavar="auto|none|A,B,…", help="Which columns hold whole numbers; auto: those that do here.")
]
Image = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        help="Rows are images of so many pixels, 28x28 say, or 32x32x3 with colours last: clusters are found by what "
        "they show.",
        show_default=False,
    ),
]
Flow = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Kind of flow: auto (by the number of columns), real_nvp, spline_coupling, maf, residual and others; "
        "indexed_maf and so on for data with holes or in parts, whose densities are then estimates.",
    ),
]
Layers = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Layers of each flow. [default: the flow's own]", show_default=False),
]
Epochs = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="Passes over the table. [default: by its size]", show_default=False),
]
BatchSize = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Rows a step. [default: by the table]", show_default=False)
]
LearningRate = Annotated[
    float | None, typer.Option(metavar="R", help="Step size. [default: by the table]", show_default=False)
]
Restarts = Annotated[
    int, typer.Option(metavar="N", min=1, help="Fits trained side by side; the best on held-out rows is kept.")
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Same seed, same data, same model.")]
CheckpointMinutes = Annotated[
    float | None,
    typer.Option(
        "--checkpoint",
        metavar="MINUTES",
        min=0,
        help="Keep the state of training in MODEL.checkpoint this often, and on Ctrl-C, to go on from later.",
        show_default=False,
    ),
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from MODEL.checkpoint, with the same data and settings.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there.")]


def fit(
    data: Data,
    out: Out,
    kind: Annotated[Kind, typer.Option(help="Clusters and density, or density alone.")] = Kind.mixture,
    columns: Columns = None,
    given: Given = None,
    drop_missing: DropMissing = False,
    label_column: LabelColumn = None,
    components: Components = None,
    bound: Bound = None,
    discrete: Discrete = "auto",
    image: Image = None,
    flow: Flow = "auto",
    layers: Layers = None,
    epochs: Epochs = None,
    batch_size: BatchSize = None,
    learning_rate: LearningRate = None,
    restarts: Restarts = 1,
    seed: Seed = 0,
    checkpoint: CheckpointMinutes = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
) -> None:
    """Fit a mixture of flows, or one flow, to a table of numbers, and save it as a folder.

    Ctrl-C ends training and keeps the best model so far.
    """
    for option, value in (("--label-column", label_column), ("--components", components), ("--image", image)):
        if kind is Kind.density and value:
            raise ValueError(f"{option} needs --kind mixture; a density has no components")
    _check_paths(out, checkpoint, resume, overwrite)
    from pushforward.cli.inputs import read_inputs

    inputs = read_inputs(data, columns, given, label_column, drop_missing)
    options: dict[str, Any] = {
        "flow": flow,
        "n_layers": layers,
        "max_epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "n_init": restarts,
        "random_state": seed,
        "bounds": parse_bounds(bound or [], inputs.names),
        "discrete": _discrete(discrete, inputs.names),
        "verbose": 1,
    }
    if kind is Kind.mixture:
        options["n_components"] = _n_components(components, inputs, label_column)
        options["image_shape"] = _image_shape(image)
    estimator = _train(kind, options, inputs, label_column, out, checkpoint, resume, overwrite)
    _report(estimator, inputs, data, out, checkpoint is not None or resume)


def checkpoint_folder(out: Path) -> Path:
    """Where the state of training is kept: beside the model."""
    return out.with_name(f"{out.name}.checkpoint")


def parse_bounds(texts: list[str], names: tuple[str, ...]) -> dict[str, tuple[float | None, float | None]] | None:
    """`A=LOW:HIGH` options as the estimators take them.

    Raises:
        ValueError: one does not parse, or names no modelled column.
    """
    bounds: dict[str, tuple[float | None, float | None]] = {}
    for text in texts:
        name, _, ends = text.rpartition("=")
        low, colon, high = ends.partition(":")
        if name not in names:
            raise ValueError(f"--bound {text}: no modelled column {name!r}; write NAME=LOW:HIGH, such as price=0:")
        try:
            pair = (float(low) if low.strip() else None, float(high) if high.strip() else None)
        except ValueError:
            colon = ""
        if not colon:
            raise ValueError(f"--bound {text}: expected NAME=LOW:HIGH with numbers, such as price=0: or share=0:1")
        bounds[name] = pair
    return bounds or None


def _discrete(text: str, names: tuple[str, ...]) -> str | tuple[str, ...]:
    from pushforward.cli.inputs import split_names

    chosen = split_names(text) or ()
    if text in ("auto", "none"):
        return text
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f"--discrete {text}: no modelled column {unknown[0]!r}; write auto, none or column names")
    return chosen


def _image_shape(text: str | None) -> tuple[int, ...] | None:
    """`HxW` as the estimator takes it, which checks it against the columns."""
    sides = [] if text is None else text.lower().split("x")
    if not all(side.isdecimal() for side in sides):
        raise ValueError(f"--image {text}: expected HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS, such as 28x28")
    return tuple(int(side) for side in sides) or None


def _n_components(asked: str | None, inputs: Inputs, label_column: str | None) -> int | str:
    """K: as asked for, or one for each label, or 5."""
    if asked is None:
        return len(inputs.label_names) or 5
    if asked == "auto":
        return asked
    if not asked.isdecimal() or int(asked) < 1:
        raise ValueError(f"--components {asked}: give a whole number of at least 1, or auto")
    components = int(asked)
    if components < len(inputs.label_names):
        raise ValueError(
            f"{inputs.source}: label column {label_column!r} has {len(inputs.label_names)} labels for "
            f"{components} components; give --components {len(inputs.label_names)} or more"
        )
    return components


def _check_paths(out: Path, checkpoint: float | None, resume: bool, overwrite: bool) -> None:
    """Refuse before any work what could not be written in the end."""
    from pushforward.data.writing import check_output

    check_output(out, overwrite)
    if out.exists():
        foreign = [] if not out.is_dir() else sorted({*os.listdir(out)} - {"model.json", "weights.safetensors"})
        if not out.is_dir() or foreign:
            raise ValueError(f"{out}: is not a model, so it is not replaced; give another --out")
    state = checkpoint_folder(out)
    if state.exists() and not state.is_dir():
        raise ValueError(f"{state}: is in the way of the checkpoint; give another --out")
    if resume and not state.exists():
        raise ValueError(f"{state}: there is no checkpoint to go on from; start without --resume")
    if checkpoint is not None and state.exists() and not resume and not overwrite:
        raise ValueError(f"{state}: holds an unfinished fit; go on with --resume, or start anew with --overwrite")


def _train(
    kind: Kind,
    options: dict[str, Any],
    inputs: Inputs,
    label_column: str | None,
    out: Path,
    minutes: float | None,
    resume: bool,
    overwrite: bool,
) -> Any:
    """Fit and save."""
    prepare()
    from pushforward.cli.inputs import as_frame
    from pushforward.data.sources import DataError
    from pushforward.estimators import FlowDensity, FlowMixture
    from pushforward.serialization import save
    from pushforward.training import Checkpoint

    keep = None
    if minutes is not None or resume:
        settings = {"--columns": inputs.names, "--given": inputs.given, "the labels": inputs.label_names}
        keep = Checkpoint(
            checkpoint_folder(out), minutes=5.0 if minutes is None else minutes, resume=resume, fingerprint=settings
        )
    estimator = FlowMixture(**options) if kind is Kind.mixture else FlowDensity(**options)
    try:
        estimator.fit(as_frame(inputs.x, inputs.names), inputs.label, condition=inputs.condition, checkpoint=keep)
    except ValueError as error:
        raise DataError(f"{inputs.source}: {_in_options(str(error))}") from error
    _name_columns(estimator, inputs, label_column)
    save(estimator, out, overwrite=overwrite)
    if keep is not None and not estimator.interrupted_:
        keep.discard()
    return estimator


def _in_options(message: str) -> str:
    """A message of the estimators with the names of options in place of those of arguments."""
    renamed = {
        "n_components": "--components",
        "discrete=[...]": "--discrete",
        "image_shape": "--image",
        "max_epochs must": "--epochs must",  # with the verb, as columns may have such names
        "batch_size must": "--batch-size must",
        "learning_rate must": "--learning-rate must",
    }
    for argument, option in renamed.items():
        message = message.replace(argument, option)
    return message


def _name_columns(estimator: Any, inputs: Inputs, label_column: str | None) -> None:
    """Names that `score`, `cluster` and `sample` need and arrays do not carry."""
    import dataclasses

    if estimator.condition_columns_ is not None:
        estimator.condition_columns_ = dataclasses.replace(estimator.condition_columns_, names=inputs.given)
    if label_column is not None:
        estimator.label_column_, estimator.label_names_ = label_column, inputs.label_names


def _report(estimator: Any, inputs: Inputs, data: str, out: Path, kept: bool) -> None:
    """What was fitted, where it is, and what to type next."""
    from pushforward.cli.describing import print_summary
    from pushforward.training import Checkpoint

    facts = {
        "rows": f"{len(inputs.x):,}" + (f" ({inputs.dropped:,} with missing cells left out)" if inputs.dropped else "")
    }
    print_summary(estimator, facts, inputs.x[:20_000], None if inputs.condition is None else inputs.condition[:20_000])
    typer.echo(f"\nThe model is in {out}. Next:\n")
    verb, suffix = ("cluster", "clusters") if hasattr(estimator, "n_components") else ("score", "scores")
    typer.echo(f"  {command(verb, out, data, '--out', f'{suffix}.csv')}")
    if not inputs.given:
        typer.echo(f"  {command('sample', out, '-n', 1000, '--out', 'new-rows.csv')}")
    typer.echo(f"  {command('info', out)}")
    if estimator.interrupted_:
        resumable = kept and Checkpoint(checkpoint_folder(out)).file.exists()  # on a full disk there may be none
        again = "; the same command with --resume --overwrite goes on" if resumable else ""
        note(f"interrupted after {estimator.n_iter_} epochs: {out} holds the best model so far{again}")
        raise typer.Exit(130)
