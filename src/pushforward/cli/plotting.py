"""`pushforward plot`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushforward.cli.describing import ModelFolder, load
from pushforward.cli.fitting import DropMissing, Overwrite
from pushforward.cli.shell import note

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pushforward.service import Model, SomeRows

EPILOG = """
**Examples**

pushforward plot model flowers.csv --out pictures    *(all of them, in a folder)*

pushforward plot model flowers.csv --out clusters.png --what clusters

pushforward plot model --out samples.svg    *(without data: what the model draws)*
"""
ENDINGS = (".png", ".svg", ".pdf", ".jpg")


class What(StrEnum):
    """A picture."""

    samples = "samples"
    interpolation = "interpolation"
    density = "density"
    clusters = "clusters"
    training = "training"


Shown = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="Table to show beside the model: a file, a folder of pictures, a SQL query, or - for standard input.",
        show_default=False,
    ),
]
Out = Annotated[
    Path,
    typer.Option(
        metavar="FOLDER|FILE",
        help="Folder for all pictures, as .png; or a file for one, .png, .svg, .pdf or .jpg.",
        show_default=False,
    ),
]
Choice = Annotated[
    What | None,
    typer.Option(
        metavar="samples|interpolation|density|clusters|training",
        help="One picture alone. [default: all; for a file, the first that there is]",
        show_default=False,
    ),
]


def plot(
    model: ModelFolder,
    out: Out,
    data: Shown = None,
    what: Choice = None,
    drop_missing: DropMissing = False,
    overwrite: Overwrite = False,
) -> None:
    """Draw a model: new rows beside the data, its density, its clusters, images between images, how training went.

    Each picture says what it shows and what is good. Of a table of more than 5,000 rows, so many at random are shown.
    """
    from pushforward.data.writing import check_output
    from pushforward.training import reporting, tell

    if str(out) == "-":
        raise ValueError(
            f"--out -: pictures are files; give --out a folder, or a name that ends in {', '.join(ENDINGS)}"
        )
    one = out.suffix.lower() in ENDINGS
    check_output(out, overwrite or (out.is_dir() and not one))
    estimator = load(model)
    with reporting(True, "drawing pictures"):
        pictures = _pictures(model, estimator, None if data is None else _rows(estimator, data, drop_missing), what)
        places = {(out if one else out / f"{name}.png"): name for name in list(pictures)[: 1 if one else None]}
        for place in places:
            if out.is_dir():
                check_output(place, overwrite)
        drawn = {}
        for done, (place, name) in enumerate(places.items()):
            drawn[place] = _bytes(pictures[name](), place.suffix.lower())
            tell("drawing pictures", done + 1, len(places), "pictures")
    if not one:
        out.mkdir(exist_ok=True)
    for place, content in drawn.items():
        place.write_bytes(content)
        typer.echo(f"{places[place]} is in {place}.")


def _rows(model: Model, data: str, drop_missing: bool) -> SomeRows:
    """The rows of a table that are shown."""
    from pushforward.data.tables import open_source
    from pushforward.service import some_rows

    some = some_rows(model, open_source(data), drop_missing=drop_missing)
    if some.of > len(some.rows):
        note(f"{len(some.rows):,} of {some.of:,} rows are shown, chosen at random")
    return some


def _pictures(
    folder: Path, model: Model, shown: SomeRows | None, what: What | None
) -> Mapping[str, Callable[[], Figure]]:
    """Those asked for.

    Raises:
        ValueError: there is none of that name.
    """
    from pushforward.plots import portrait

    rows, condition = (None, None) if shown is None else (shown.rows, shown.condition)
    pictures = portrait(model, rows, condition)
    if what is None:
        return pictures
    if what not in pictures:
        hint = "" if shown is not None else "; with DATA there may be more"
        raise ValueError(f"{folder}: of the model there is no picture {what}, but {', '.join(pictures)}{hint}")
    return {what: pictures[what]}


def _bytes(figure: Figure, ending: str) -> bytes:
    """A picture as the content of a file."""
    content = BytesIO()
    figure.savefig(content, format=ending.removeprefix("."))
    return content.getvalue()
