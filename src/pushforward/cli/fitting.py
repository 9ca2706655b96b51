"""`pushforward fit`."""

from __future__ import annotations

import csv
import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from pushforward.cli.shell import command, free_name, note, prepare

if TYPE_CHECKING:
    from pushforward.data import Source
    from pushforward.service import Description, Inputs, Model
    from pushforward.training import Checkpoint

EPILOG = """
**Examples**

pushforward fit flowers.csv --out model --components 3

pushforward fit "SELECT price, area FROM 'day-\\*.parquet' WHERE price > 0" --out model --bound price=0:

pushforward fit patients.parquet --out model --label-column diagnosis --drop-missing

pushforward fit sales.parquet --out model --kind density --columns price,volume --given weekday

pushforward fit readings.csv --out detector --kind outliers --contamination 0.05    *(then: score)*

pushforward fit faces --out model --kind density --flow glow    *(a folder of pictures of one size)*

pushforward fit power.csv --series date --out model    *(rows are steps of time; then: forecast)*

zcat readings.csv.gz | pushforward fit - --out model

pushforward fit big.parquet --out model --checkpoint 10    *(after a crash: the same with --resume)*
"""


class Kind(StrEnum):
    """What to fit."""

    mixture = "mixture"
    density = "density"
    outliers = "outliers"


Data = Annotated[
    str,
    typer.Argument(
        metavar="DATA",
        help="CSV, Parquet, JSON lines, Arrow, .npy or .npz file, a folder of PNG and JPEG pictures, a SQL query over "
        "files, or - for standard input.",
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
Contamination = Annotated[
    str | None,
    typer.Option(
        metavar="SHARE|auto",
        help="With --kind outliers: the share of rows that are outliers, above 0 and at most 0.5; auto: rows far below "
        "the quartiles. [default: auto]",
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
KindOf = Annotated[
    list[str] | None,
    typer.Option(
        "--kind-of",
        metavar="A=KIND",
        help="What a column is, where looking would be wrong: number, category, ordered, boolean, date or left-out. "
        "Repeatable.",
        show_default=False,
    ),
]
Missing = Annotated[
    str,
    typer.Option(
        metavar="marginal|level|refuse",
        help="What an empty cell is: a value unknown; in categories a level of its own; or an error.",
    ),
]
Image = Annotated[
    str | None,
    typer.Option(
        metavar="HxW",
        help="Rows are images of so many pixels, 28x28 say, or 32x32x3 with colours last: clusters are found by what "
        "they show, and flows of images can be had (--flow glow). [default: of a folder of pictures, their size]",
        show_default=False,
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="Rows are steps of time, and TIME is the column of dates or numbers that tells when: each row is modelled "
        "given those before it. Then: score, forecast.",
        show_default=False,
    ),
]
By = Annotated[
    str | None,
    typer.Option(
        metavar="C", help="With --series: the column that tells several series apart, a shop say.", show_default=False
    ),
]
Flow = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Kind of flow: auto (by the number of columns), real_nvp, spline_coupling, maf, residual and others; "
        "glow, real_nvp_image and residual_image for images; gated_pixel_cnn, pixel_cnn, row_lstm and diagonal_bilstm "
        "for images of whole numbers; "
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
    kind: Annotated[Kind, typer.Option(help="Clusters and density, density alone, or outliers.")] = Kind.mixture,
    columns: Columns = None,
    given: Given = None,
    drop_missing: DropMissing = False,
    label_column: LabelColumn = None,
    components: Components = None,
    contamination: Contamination = None,
    bound: Bound = None,
    discrete: Discrete = "auto",
    kind_of: KindOf = None,
    missing: Missing = "marginal",
    image: Image = None,
    series: Series = None,
    by: By = None,
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
    """Fit a mixture of flows, one flow, an outlier detector, or a model of series to a table as it is, and save it.

    Columns may be numbers, categories, dates, true or false; cells may be empty.

    Ctrl-C ends training and keeps the best model so far.
    """
    keep = Keep(checkpoint, resume, overwrite)
    for option, value in (("--label-column", label_column), ("--components", components)):
        if kind is not Kind.mixture and value:
            raise ValueError(f"{option} needs --kind mixture; --kind {kind} fits one flow, without components")
    if kind is not Kind.outliers and contamination:
        raise ValueError(f"--contamination needs --kind outliers; --kind {kind} has no threshold")
    _check_paths(out, keep)
    sizes = {"n_layers": layers, "max_epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate}
    of_all = {**sizes, "random_state": seed, "verbose": 1}
    if by is not None and series is None:
        raise ValueError(f"--by {by} needs --series TIME, the column of time")
    if series is not None:
        of_rows: dict[str, Any] = {"--kind": kind is not Kind.mixture, "--given": given, "--drop-missing": drop_missing}
        of_rows |= {"--label-column": label_column, "--components": components, "--bound": bound}
        of_rows |= {"--discrete": discrete != "auto", "--kind-of": kind_of, "--missing": missing != "marginal"}
        of_rows |= {"--image": image, "--flow": flow != "auto", "--restarts": restarts != 1}
        _fit_series(data, out, series, by, columns, of_all, of_rows, keep)
        return
    prepare()
    from pushforward.data.pipes import name_of
    from pushforward.data.tables import open_source
    from pushforward.service import read_inputs
    from pushforward.training import reporting, tell

    with reporting(True, f"reading {name_of(data)}"):
        source = open_source(data)
        inputs = read_inputs(
            source,
            columns=split_names(columns),
            given=split_names(given) or (),
            label_column=label_column or None,
            drop_missing=drop_missing,
        )
        options: dict[str, Any] = {
            **of_all,
            "flow": flow,
            "n_init": restarts,
            "bounds": parse_bounds(bound or [], inputs.names),
            "discrete": _discrete(discrete, inputs.names),
            "columns": parse_kinds(kind_of or [], inputs.names),
            "missing": missing,
            "image_shape": _image_shape(image, source, inputs.names),
        }
        if kind is Kind.mixture:
            options["n_components"] = _n_components(components)
        if kind is Kind.outliers:
            options["contamination"] = _contamination(contamination)
        model = _train(kind, options, inputs, out, keep)
        tell("scoring")
        x, condition = inputs.frames(most=20_000)
        log_density = model.score(x, condition=condition)
    _report(model, inputs, data, out, log_density, keep.wanted, drop_missing)


class Keep(NamedTuple):
    """What is kept, and what may be replaced.

    Arguments:
        minutes: between two checkpoints; None for none.
        resume: go on from a checkpoint.
        overwrite: replace what is there.
    """

    minutes: float | None
    resume: bool
    overwrite: bool

    @property
    def wanted(self) -> bool:
        """Whether there are checkpoints at all."""
        return self.minutes is not None or self.resume


def split_names(text: str | None) -> tuple[str, ...] | None:
    """Column names from a comma-separated option; a name that holds a comma stands in double quotes."""
    if text is None:
        return None
    names = tuple(name.strip() for name in next(csv.reader([text], skipinitialspace=True), []) if name.strip())
    if not names:
        raise ValueError("a list of columns is empty; write names separated by commas, such as --columns width,height")
    return names


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


def parse_kinds(texts: list[str], names: tuple[str, ...]) -> dict[str, str] | None:
    """`A=KIND` options as the estimators take them.

    Raises:
        ValueError: one does not parse, or names no modelled column.
    """
    kinds: dict[str, str] = {}
    for text in texts:
        name, equals, kind = text.rpartition("=")
        if not equals or name not in names:
            raise ValueError(f"--kind-of {text}: no modelled column {name!r}; write NAME=KIND, such as zip=category")
        kinds[name] = kind.replace("left-out", "left out")
    return kinds or None


def _discrete(text: str, names: tuple[str, ...]) -> str | tuple[str, ...]:
    chosen = split_names(text) or ()
    if text in ("auto", "none"):
        return text
    unknown = [name for name in chosen if name not in names]
    if unknown:
        raise ValueError(f"--discrete {text}: no modelled column {unknown[0]!r}; write auto, none or column names")
    return chosen


def _image_shape(text: str | None, source: Source, names: tuple[str, ...]) -> tuple[int, ...] | None:
    """`HxW` as the estimator takes it, which checks it against the columns; of pictures, all of each, their size."""
    pictures = source.image_shape if names == source.features else None
    if text is None:
        return pictures
    sides = text.lower().split("x")
    if len(sides) not in (2, 3) or not all(side.isdecimal() for side in sides):
        raise ValueError(f"--image {text}: expected HEIGHTxWIDTH or HEIGHTxWIDTHxCHANNELS, such as 28x28")
    shape = tuple(int(side) for side in sides)
    if pictures is not None and (*shape, 1)[:3] != pictures:
        own = "x".join(map(str, pictures))
        raise ValueError(f"{source.name}: --image {text} is not the size of the pictures, {own}; leave it out")
    return shape


def _n_components(text: str | None) -> int | str | None:
    """`K|auto` as the estimator takes it."""
    if text is None or text == "auto":
        return text
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--components {text}: give a whole number of at least 1, or auto")
    return int(text)


def _contamination(text: str | None) -> float | str:
    """`SHARE|auto` as the estimator takes it, which checks its range."""
    try:
        return "auto" if text is None or text == "auto" else float(text)
    except ValueError:
        raise ValueError(
            f"--contamination {text}: give a share above 0 and at most 0.5, such as 0.05, or auto"
        ) from None


def _check_paths(out: Path, keep: Keep) -> None:
    """Refuse before any work what could not be written in the end."""
    from pushforward.data.writing import check_output

    if str(out) == "-":
        raise ValueError("--out -: a model is a folder, which standard output cannot be; give --out a name")
    check_output(out, keep.overwrite)
    if out.exists():
        foreign = [] if not out.is_dir() else sorted({*os.listdir(out)} - {"model.json", "weights.safetensors"})
        if not out.is_dir() or foreign:
            raise ValueError(f"{out}: is not a model, so it is not replaced; give another --out")
    state = checkpoint_folder(out)
    if state.exists() and not state.is_dir():
        raise ValueError(f"{state}: is in the way of the checkpoint; give another --out")
    if keep.resume and not state.exists():
        raise ValueError(f"{state}: there is no checkpoint to go on from; start without --resume")
    if keep.minutes is not None and state.exists() and not keep.resume and not keep.overwrite:
        raise ValueError(f"{state}: holds an unfinished fit; go on with --resume, or start anew with --overwrite")


def _fit_series(
    data: str,
    out: Path,
    time: str,
    by: str | None,
    columns: str | None,
    options: dict[str, Any],
    of_rows: dict[str, Any],
    keep: Keep,
) -> None:
    """Fit a model of series, save it, and tell of it.

    Raises:
        ValueError: an option is given that is for rows alone.
    """
    for option, value in of_rows.items():
        if value:
            raise ValueError(f"{option} is for rows without an order; with --series leave it out")
    prepare()
    from pushforward.cli.describing import print_summary
    from pushforward.cli.series import fit_table, next_commands
    from pushforward.data.pipes import name_of
    from pushforward.serialization import save
    from pushforward.service import describe
    from pushforward.training import reporting

    checkpoint = _checkpoint(out, keep)
    with reporting(True, f"reading {name_of(data)}"):
        model, log_density, facts = fit_table(data, time, by, split_names(columns), options, checkpoint)
        save(model, out, overwrite=keep.overwrite)
    if checkpoint is not None and not model.interrupted_:
        checkpoint.discard()
    description = describe(model)
    print_summary(description, facts, log_density)
    typer.echo(f"\nThe model is in {out}. Next:\n")
    next_commands(data, out)
    _tell_interrupted(description, out, keep.wanted)


def _checkpoint(out: Path, keep: Keep) -> Checkpoint | None:
    """Where and how often to keep the state of training, if it is wanted."""
    from pushforward.training import Checkpoint

    if not keep.wanted:
        return None
    minutes = 5.0 if keep.minutes is None else keep.minutes
    return Checkpoint(checkpoint_folder(out), minutes=minutes, resume=keep.resume)


def _train(kind: Kind, options: dict[str, Any], inputs: Inputs, out: Path, keep: Keep) -> Model:
    """Fit and save."""
    from pushforward.serialization import save
    from pushforward.service import fit

    checkpoint = _checkpoint(out, keep)
    model = fit(inputs, str(kind), checkpoint=checkpoint, **options)
    save(model, out, overwrite=keep.overwrite)
    if checkpoint is not None and not model.interrupted_:
        checkpoint.discard()
    return model


def _report(
    model: Model, inputs: Inputs, data: str, out: Path, log_density: float, kept: bool, drop_missing: bool
) -> None:
    """What was fitted, where it is, and what to type next: nothing that a pipe would have to be read anew for."""
    from pushforward.cli.describing import print_summary
    from pushforward.data.pipes import is_pipe
    from pushforward.service import describe, is_mixed_model

    facts = {
        "rows": f"{len(inputs.x):,}" + (f" ({inputs.dropped:,} with missing cells left out)" if inputs.dropped else "")
    }
    description = describe(model)
    print_summary(description, facts, log_density)
    typer.echo(f"\nThe model is in {out}. Next:\n")
    verb, suffix = ("cluster", "clusters") if description.components else ("score", "scores")
    table = [] if is_pipe(data) else [data]
    dropping = ["--drop-missing"] if table and drop_missing and inputs.dropped else []  # the same rows are in the way
    if table:
        typer.echo(f"  {command(verb, out, data, '--out', free_name(f'{suffix}.csv'), *dropping)}")
    if not description.given:
        typer.echo(f"  {command('sample', out, '-n', 1000, '--out', free_name('new-rows.csv'))}")
    if is_mixed_model(model):
        if table and description.exactness != "exact":
            typer.echo(f"  {command('impute', out, data, '--out', free_name('complete.csv'))}")
    else:
        typer.echo(f"  {command('plot', out, *table, '--out', free_name('pictures'), *dropping)}")
    typer.echo(f"  {command('info', out)}")
    _tell_interrupted(description, out, kept)


def _tell_interrupted(description: Description, out: Path, kept: bool) -> None:
    """Say that training was ended, and how it goes on; the exit code says so too."""
    from pushforward.training import Checkpoint

    if description.interrupted:
        resumable = kept and Checkpoint(checkpoint_folder(out)).file.exists()  # on a full disk there may be none
        again = "; the same command with --resume --overwrite goes on" if resumable else ""
        note(f"interrupted after {description.epochs} epochs: {out} holds the best model so far{again}")
        raise typer.Exit(130)
