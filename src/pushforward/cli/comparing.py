"""`pushforward compare`."""

from __future__ import annotations

import json
import os
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pushforward.cli.fitting import Overwrite
from pushforward.cli.plotting import ENDINGS

if TYPE_CHECKING:
    import pyarrow as pa

    from pushforward.report import Quality

EPILOG = """
**Examples**

pushforward compare customers.csv synthetic.csv

pushforward compare train.csv synthetic.csv --held-out test.csv --out quality.png

pushforward compare train.parquet synthetic.parquet --out quality.json    *(every column and pair, for a program)*

**What it tells**

detection AUROC: of a classifier that tells synthetic rows from real ones. 0.5: it cannot; 1: it always can.

columns alike, pairs alike: how like the distribution of each column is, and how two columns go together. 1: the same.

near-copies: of synthetic rows, how many lie so near to a row they were learned from that they may give it away. No more
should than of held-out rows, which are as near by chance.

It needs sdmetrics: pip install 'pushforward[quality]'.
"""

Real = Annotated[
    str,
    typer.Argument(
        metavar="REAL",
        help="Table that the synthetic rows were learned from: a file, a SQL query, or - for standard input.",
        show_default=False,
    ),
]
Synthetic = Annotated[
    str, typer.Argument(metavar="SYNTHETIC", help="Table of synthetic rows of the same columns.", show_default=False)
]
HeldOut = Annotated[
    str | None,
    typer.Option(
        metavar="DATA",
        help="Real rows that the synthetic ones were not learned from. [default: half of REAL stands for them]",
        show_default=False,
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="File for a picture, .png, .svg, .pdf or .jpg, or for all figures, .json.",
        show_default=False,
    ),
]
Seed = Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="Same seed, same figures.")]


def compare(
    real: Real,
    synthetic: Synthetic,
    held_out: HeldOut = None,
    out: Out = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
) -> None:
    """Tell how good synthetic rows are: like the real ones, and no copies of them.

    Columns may be numbers, categories and dates, with gaps. Identifiers and free text are left out.
    """
    from pushforward.data.writing import check_output
    from pushforward.report import quality
    from pushforward.report.likeness import require_sdmetrics

    require_sdmetrics()
    if out is not None:
        if out.suffix.lower() not in (*ENDINGS, ".json"):
            raise ValueError(f"--out {out}: expected a name that ends in .json, or for a picture {', '.join(ENDINGS)}")
        check_output(out, overwrite)
    found = quality(
        _read(real), _read(synthetic), held_out=None if held_out is None else _read(held_out), random_state=seed
    )
    typer.echo(str(found))
    if out is not None:
        _write(found, out)
        typer.echo(f"\nThe {'figures are' if out.suffix.lower() == '.json' else 'picture is'} in {out}.")


def _read(data: str) -> pa.Table:
    from pushforward.data.tables import open_source

    return open_source(data).read()


def _write(found: Quality, out: Path) -> None:
    """Write the whole file, or nothing."""
    if out.suffix.lower() == ".json":
        content = (json.dumps(found.to_dict(), indent=1, ensure_ascii=False) + "\n").encode()
    else:
        buffer = BytesIO()
        found.plot().savefig(buffer, format=out.suffix.lower().removeprefix("."))
        content = buffer.getvalue()
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(out)
    finally:
        part.unlink(missing_ok=True)
