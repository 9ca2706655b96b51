"""The figure that every picture is: sharp in files, shown inline in notebooks, in no window."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

SCREEN, FILE = 100, 150  # dots an inch


class Picture(Figure):
    """A Matplotlib figure that displays itself where Python objects are shown as pictures.

    Matplotlib's own figures show in a notebook once pyplot has chosen a backend for the whole process; this one needs
    none. On the screen an inch is 100 dots, in files 150.
    """

    def savefig(self, fname: Any, **options: Any) -> None:
        """Write the picture; `options` as of Matplotlib, with a resolution for files."""
        super().savefig(fname, **{"dpi": FILE, **options})

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        """The picture for a notebook, with twice the dots that it takes on the page, as sharp screens show them."""
        buffer = BytesIO()
        FigureCanvasAgg(self).print_figure(buffer, format="png", dpi=2 * SCREEN)
        width, height = self.get_size_inches() * SCREEN
        return buffer.getvalue(), {"width": int(width), "height": int(height)}
