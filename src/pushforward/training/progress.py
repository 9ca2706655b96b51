"""What a fit is doing, from its first second: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import html
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from types import TracebackType
from typing import Any, NamedTuple

FIRST_LINE, LINES_APART = 1.0, 10.0  # seconds until the first plain line, and between lines of one phase
UPDATES_APART = 0.2  # seconds between updates of a notebook's bar


class Stage(NamedTuple):
    """Where a fit is.

    Arguments:
        phase: what is going on: reading, starting, compiling, training, refining.
        done, total: epochs or rows; a total of None where it is unknown.
        details: losses, speed, time left.
    """

    phase: str
    done: int = 0
    total: int | None = None
    details: str = ""


class Display(ABC):
    """Shows stages to a person."""

    @abstractmethod
    def show(self, stage: Stage) -> None:
        """The stage that there is now."""

    @abstractmethod
    def close(self) -> None:
        """There is nothing more to show."""


_DISPLAY: ContextVar[Display | None] = ContextVar("display", default=None)
_PHASE: ContextVar[str | None] = ContextVar("phase", default=None)


@contextmanager
def reporting(show: bool, phase: str = "starting") -> Iterator[None]:
    """Show what is going on inside the block; blocks within share the display of the outermost that shows.

    Arguments:
        show: whether to open a display where there is none.
        phase: what begins.

    Example:
        >>> from pushforward.training.progress import reporting, tell
        >>> with reporting(show=True, phase="reading"):
        ...     tell("reading", done=1000, details="rows")  # within a second: nothing is printed yet
    """
    outer = _DISPLAY.get()
    if outer is None and not show:
        yield
        return
    display = outer or _display_here()
    token = _DISPLAY.set(display)
    try:
        display.show(Stage(phase))
        yield
    finally:
        _DISPLAY.reset(token)
        if outer is None:
            display.close()


@contextmanager
def named_phase(name: str) -> Iterator[None]:
    """Name what goes on inside the block; training within it goes by that name."""
    token = _PHASE.set(name)
    tell(name)
    try:
        yield
    finally:
        _PHASE.reset(token)


def tell(phase: str, done: int = 0, total: int | None = None, details: str = "") -> None:
    """Show where things are, if anything is shown; arguments as of `Stage`."""
    display = _DISPLAY.get()
    if display is not None:
        display.show(Stage(phase, done, total, details))


class Progress:
    """Epoch, losses, speed and time left of training.

    Arguments:
        max_epochs: epochs at most.
        n_rows: rows of an epoch, for the speed.
        show: whether to show anything where no display is open.
    """

    def __init__(self, max_epochs: int, n_rows: int, show: bool):
        self._n_rows = n_rows
        self._max_epochs = max_epochs
        self._show = show
        self._name = _PHASE.get() or "training"
        self._began = (0.0, 0)  # when, and after which epoch, the clock was started
        self._open = ExitStack()

    def __enter__(self) -> Progress:
        before = "" if self._name == "training" else f"{self._name}: "
        self._open.enter_context(reporting(self._show, f"{before}compiling"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._open.close()

    def extend(self, max_epochs: int) -> None:
        """Say that there are other epochs at most than at first."""
        self._max_epochs = max_epochs

    def update(self, epoch: int, train_loss: float, validation_loss: float | None) -> None:
        """Show where training is."""
        now = time.monotonic()
        if not self._began[1]:
            self._began = now, epoch  # what was before went into compiling
        details = [f"train {train_loss:.4f}"]
        if validation_loss is not None:
            details.append(f"validation {validation_loss:.4f}")
        seconds, epochs = now - self._began[0], epoch - self._began[1]
        if seconds > 0 and epochs:
            details.append(f"{self._n_rows * epochs / seconds:,.0f} rows/s")
            details.append(f"at most {_duration((self._max_epochs - epoch) * seconds / epochs)} left")
        tell(self._name, epoch, self._max_epochs, ", ".join(details))


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _display_here() -> Display:
    """The display for where this process writes."""
    if _in_notebook():
        return Notebook()
    return Terminal() if sys.stderr.isatty() else Lines()


def _in_notebook() -> bool:
    """Whether Python runs as the kernel of a notebook."""
    if "ipykernel" not in sys.modules:
        return False
    from IPython import get_ipython

    shell = get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


class Terminal(Display):
    """A bar on standard error, that goes when all is done."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as Bar

        columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[details]}"))
        self._bar = Bar(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True)
        self._task = self._bar.add_task("", total=None, details="")
        self._phase: str | None = None

    def show(self, stage: Stage) -> None:
        from rich.markup import escape

        phase, details = escape(stage.phase), escape(_counted(stage))
        self._bar.update(self._task, completed=stage.done, total=stage.total, description=phase, details=details)
        if self._phase is None:
            self._bar.start()
        elif phase != self._phase:  # what follows may leave no time to draw
            self._bar.refresh()
        self._phase = phase

    def close(self) -> None:
        self._bar.stop()


class Notebook(Display):
    """A bar in the output of a cell, which stays as a line that says how long it took."""

    def __init__(self) -> None:
        self._began = self._shown = time.monotonic()
        self._phase = ""
        self._handle: Any = None

    def show(self, stage: Stage) -> None:
        if stage.phase == self._phase and time.monotonic() - self._shown < UPDATES_APART:
            return
        self._phase, self._shown = stage.phase, time.monotonic()
        value = f"value={stage.done} max={stage.total}" if stage.total else ""  # without, the bar moves by itself
        self._put(f"{html.escape(stage.phase)} <progress {value}></progress> {html.escape(_counted(stage))}")

    def close(self) -> None:
        self._put(f"done in {_duration(time.monotonic() - self._began)}")

    def _put(self, text: str) -> None:
        from IPython.display import HTML, display

        page = HTML(f'<div style="font-family: monospace">{text}</div>')
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)


class Lines(Display):
    """A line on standard error each time something else goes on, and every so often while it does.

    The first comes after a second, so that what is quick, or fails at once, says nothing.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._stage = Stage("")
        self._stream = sys.stderr
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def show(self, stage: Stage) -> None:
        self._stage = stage

    def close(self) -> None:
        self._ended.set()
        self._thread.join()

    def _write(self) -> None:
        phase, written = "", 0.0
        while not self._ended.wait(FIRST_LINE):
            stage, now = self._stage, time.monotonic()
            if stage.phase == phase and now - written < LINES_APART:
                continue
            phase, written = stage.phase, now
            told = ", ".join(filter(None, (phase, _counted(stage), f"{_duration(now - self._began)} so far")))
            print(f"progress: {told}", file=self._stream, flush=True)


def _counted(stage: Stage) -> str:
    """How far a stage is, in words."""
    count = f"{stage.done:,}" + (f" of {stage.total:,}" if stage.total else "") if stage.done else ""
    return ", ".join(filter(None, (count, stage.details)))
