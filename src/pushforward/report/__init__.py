"""Reports: how good synthetic rows are."""

from typing import TYPE_CHECKING

from pushforward.lazy import loader

if TYPE_CHECKING:
    from pushforward.report.comparing import quality
    from pushforward.report.result import ColumnLikeness, Distances, PairLikeness, Quality

__all__ = ["ColumnLikeness", "Distances", "PairLikeness", "Quality", "quality"]

__getattr__ = loader(
    __name__,
    {
        "ColumnLikeness": "result",
        "Distances": "result",
        "PairLikeness": "result",
        "Quality": "result",
        "quality": "comparing",
    },
)
