"""A progress bar for people, and silence for everyone else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any


class Progress:
    """Epoch, losses, speed and time left, on standard error when it is a terminal.

    Arguments:
        max_epochs: epochs at most.
        n_rows: rows of an epoch, for the speed.
        show: whether to show anything at all; also off when standard error is no terminal.
    """

    def __init__(self, max_epochs: int, n_rows: int, show: bool):
        self._bar: Any = None
        self._n_rows = n_rows
        self._max_epochs = max_epochs
        self._show = show and sys.stderr.isatty()
        self._started = time.monotonic()
        self._first = 0

    def __enter__(self) -> Progress:
        if self._show:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("training"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[losses]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("", total=self._max_epochs, losses="compiling")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, epoch: int, train_loss: float, validation_loss: float | None) -> None:
        """Show where training is."""
        if self._bar is None:
            return
        if not self._first:
            self._started, self._first = time.monotonic(), epoch
        elapsed = time.monotonic() - self._started
        losses = f"train {train_loss:.4f}"
        if validation_loss is not None:
            losses += f"  validation {validation_loss:.4f}"
        if elapsed > 0 and epoch > self._first:
            losses += f"  {self._n_rows * (epoch - self._first) / elapsed:,.0f} rows/s"
        self._bar.update(self._task, completed=epoch, losses=losses)
