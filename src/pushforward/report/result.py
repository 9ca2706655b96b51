"""What a comparison of synthetic rows with real ones found, to read as text, as a picture, or as JSON."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEAST_ALIKE = 3  # named in the text


class ColumnLikeness(NamedTuple):
    """A column of two tables.

    Arguments:
        name: of the column.
        kind: what it is.
        alike: one minus a distance of its two distributions, 1 where they are the same: Kolmogorov and Smirnov's of
            numbers, total variation of categories.
        gaps: the share of real rows where it is missing.
        synthetic_gaps: of synthetic rows.
    """

    name: str
    kind: str
    alike: float
    gaps: float
    synthetic_gaps: float


class PairLikeness(NamedTuple):
    """Two columns of two tables.

    Arguments:
        first, second: names of the columns.
        alike: 1 where they go together alike: one minus half the difference of correlations of numbers, or the total
            variation of contingency tables.
    """

    first: str
    second: str
    alike: float


class Distances(NamedTuple):
    """Of rows to the nearest training row, from 0, a copy, to 1.

    Arguments:
        synthetic: of synthetic rows, shape (m,).
        held_out: of real rows that are no training rows, shape (h,).
        close: at which distance a row is a near-copy.
    """

    synthetic: NDArray[np.float64]
    held_out: NDArray[np.float64]
    close: float


@dataclasses.dataclass(frozen=True, repr=False)
class Quality:
    """How good synthetic rows are: like the real ones, and no copies of them.

    Arguments:
        columns: each column.
        pairs: every two columns.
        detection: area under the ROC curve of a classifier that tells synthetic rows from real ones; 0.5 where it
            cannot.
        distances: to the nearest training rows.
        left_out: of columns that are not compared, why.
    """

    columns: tuple[ColumnLikeness, ...]
    pairs: tuple[PairLikeness, ...]
    detection: float
    distances: Distances
    left_out: dict[str, str]

    @property
    def columns_alike(self) -> float:
        """The mean over columns, 1 where their distributions are the same."""
        return float(np.mean([column.alike for column in self.columns]))

    @property
    def pairs_alike(self) -> float:
        """The mean over pairs of columns; NaN of a single column."""
        return float(np.mean([pair.alike for pair in self.pairs])) if self.pairs else float("nan")

    @property
    def near_copies(self) -> float:
        """The share of synthetic rows that are near-copies of training rows."""
        return float(np.mean(self.distances.synthetic <= self.distances.close))

    @property
    def held_out_near_copies(self) -> float:
        """The share of held-out rows that are as near to training rows, though they are no copies."""
        return float(np.mean(self.distances.held_out <= self.distances.close))

    def to_dict(self) -> dict[str, Any]:
        """All but the distances of single rows, as JSON takes it."""
        return {
            "detection": self.detection,
            "columns_alike": self.columns_alike,
            "pairs_alike": self.pairs_alike if self.pairs else None,
            "near_copies": self.near_copies,
            "held_out_near_copies": self.held_out_near_copies,
            "columns": [column._asdict() for column in self.columns],
            "pairs": [pair._asdict() for pair in self.pairs],
            "left_out": self.left_out,
        }

    def plot(self) -> Figure:
        """A picture of it: columns, pairs, and distances to training rows."""
        from pushforward.plots import quality

        return quality(self)

    def __str__(self) -> str:
        facts = {
            "detection AUROC": (f"{self.detection:.3f}", "0.5: no classifier tells them from real rows; 1: always"),
            "columns alike": (f"{self.columns_alike:.3f}", "1: the same; least " + _least(_of(self.columns))),
            "pairs alike": (f"{self.pairs_alike:.3f}", "1: the same; least " + _least(_of(self.pairs))),
            "near-copies": (f"{self.near_copies:.1%}", "of synthetic rows lie as near to a training row"),
            "": (f"{self.held_out_near_copies:.1%}", "of held-out rows do, which are no copies"),
        }
        if not self.pairs:
            del facts["pairs alike"]
        lines = [f"{name:17}{figure:>7}   {says}" for name, (figure, says) in facts.items()]
        width = max(6, *(len(column.name) for column in self.columns))
        lines += ["", f"{'column':{width}}  {'kind':9}{'alike':>7}{'gaps':>8}{'synthetic gaps':>16}"]
        lines += [
            f"{c.name:{width}}  {c.kind:9}{c.alike:7.3f}{c.gaps:8.1%}{c.synthetic_gaps:16.1%}" for c in self.columns
        ]
        if self.left_out:
            lines += ["", "left out: " + ", ".join(f"{name} ({why})" for name, why in self.left_out.items())]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def _of(likenesses: Iterable[ColumnLikeness | PairLikeness]) -> list[tuple[float, str]]:
    named = ((x, x.name if isinstance(x, ColumnLikeness) else f"{x.first} × {x.second}") for x in likenesses)
    return [(likeness.alike, name) for likeness, name in named]


def _least(named: list[tuple[float, str]]) -> str:
    return ", ".join(f"{name} {alike:.3f}" for alike, name in sorted(named)[:LEAST_ALIKE])
