"""Ctrl-C: heard while nothing of Python runs, and what is said of a fit that it ended."""

import hashlib
import os
import signal
import sys
import threading
import warnings

import pytest

from pushforward.training import TrainingWarning
from pushforward.training.interrupts import HEARD, acknowledged, interrupts
from tests.training.test_engine import one_epoch_a_call, press_ctrl_c
from tests.training.toy import point, rows, run


class Notes:
    """Standard error that remembers whether a handler had run when something was written."""

    def __init__(self, pressed: list[int]):
        self.pressed, self.lines = pressed, list[tuple[str, bool]]()

    def write(self, text: str) -> int:
        if text.strip():
            self.lines.append((text.strip(), bool(self.pressed)))
        return len(text)

    def flush(self) -> None:
        pass


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_ctrl_c_is_acknowledged_while_a_program_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with interrupts() as pressed:
        notes = Notes(pressed)
        monkeypatch.setattr(sys, "stderr", notes)
        timer = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        hashlib.pbkdf2_hmac("sha256", b"", b"", 4_000_000)  # of one call, as a compiler's: no handler runs within
        timer.join()
    assert pressed == [signal.SIGINT]
    assert notes.lines == [(HEARD, False)]


@pytest.mark.skipif(sys.platform == "win32", reason="writes to a pipe")
def test_who_listened_before_still_hears() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    try:
        with interrupts() as pressed, acknowledged():
            signal.raise_signal(signal.SIGINT)
        assert pressed and os.read(reader, 1) == bytes([signal.SIGINT])
        assert signal.set_wakeup_fd(before) == writer
    finally:
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)


def test_a_fit_that_is_ended_before_an_epoch_counts_does_not_blame_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    one_epoch_a_call(monkeypatch)
    press_ctrl_c(monkeypatch, call=1)
    with pytest.warns(TrainingWarning, match="ended by Ctrl-C after epoch 1 of 9, before any was judged") as said:
        cut = run(point(0.0), rows((1.0,)), max_epochs=9, start_epochs=3, more={"validation": rows((1.0,), seed=1)})
    assert cut.interrupted and not any("extreme" in str(one.message) for one in said)


def test_a_fit_of_nothing_but_starting_epochs_says_so() -> None:
    with pytest.warns(TrainingWarning, match="start_epochs is 3 of 2"):
        run(point(0.0), rows((1.0,)), max_epochs=2, start_epochs=3, more={"validation": rows((1.0,), seed=1)})


def test_an_interrupted_fit_that_was_judged_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    one_epoch_a_call(monkeypatch)
    press_ctrl_c(monkeypatch, call=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert run(point(0.0), rows((1.0,)), max_epochs=9, more={"validation": rows((1.0,), seed=1)}).interrupted
