"""What people see while a fit runs: on a terminal, in a notebook, as lines elsewhere."""

import sys
import time
import types

import numpy as np
import pytest

from pushforward.estimators import FlowMixture
from pushforward.training import named_phase, progress, reporting, tell
from pushforward.training.progress import Display, Progress, Stage


class Stream:
    """Standard error that says whether people watch."""

    def __init__(self, watched: bool):
        self.watched, self.written = watched, ""

    def isatty(self) -> bool:
        return self.watched

    def write(self, text: str) -> int:
        self.written += text
        return len(text)

    def flush(self) -> None:
        pass


def watch(monkeypatch, watched: bool) -> Stream:
    """Standard error from here on: of a fixture, pytest would put its own in the place."""
    stream = Stream(watched)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(progress, "FIRST_LINE", 0.01)
    return stream


def train_a_little(show: bool = True) -> None:
    with Progress(10, 100, show) as shown:
        time.sleep(0.05)
        shown.update(1, 1.0, 2.0)
        time.sleep(0.05)
        shown.update(4, 0.5, 1.5)
        time.sleep(0.2)  # a terminal's bar is drawn ten times a second


@pytest.mark.parametrize("watched", [True, False])
def test_phases_losses_and_time_left_are_shown(monkeypatch, watched):
    stream = watch(monkeypatch, watched)
    with reporting(True, "reading table.csv"):
        time.sleep(0.15)
        train_a_little()
    told = stream.written
    assert "reading table.csv" in told and "compiling" in told and "training" in told
    if stream.watched:
        assert "4 of 10" in told and "train 0.5000, validation 1.5000" in told
        assert "rows/s" in told and "left" in told
    else:
        assert all(line.startswith("progress: ") and line.endswith(" so far") for line in told.splitlines())


@pytest.mark.parametrize("watched", [True, False])
def test_nothing_is_shown_where_nobody_asked(monkeypatch, watched):
    stream = watch(monkeypatch, watched)
    train_a_little(show=False)
    with reporting(False, "reading"):
        tell("training", 1, 2)
    assert stream.written == ""


def test_lines_come_again_while_a_phase_lasts_and_the_quick_say_nothing(monkeypatch):
    stream = watch(monkeypatch, False)
    monkeypatch.setattr(progress, "LINES_APART", 0.05)
    with reporting(True, "starting"):
        time.sleep(0.3)
    assert stream.written.count("progress: starting") > 1
    stream.written = ""
    monkeypatch.setattr(progress, "FIRST_LINE", 60.0)
    with reporting(True, "starting"):
        pass
    assert stream.written == ""


class Kept(Display):
    """Keeps what it is shown."""

    def __init__(self):
        self.stages: list[Stage] = []
        self.closed = 0

    def show(self, stage: Stage) -> None:
        self.stages.append(stage)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.long
def test_a_fit_names_its_phases_on_one_display(monkeypatch):
    display = Kept()
    monkeypatch.setattr(progress, "_display_here", lambda: display)
    X = np.random.default_rng(0).normal(size=(80, 2))
    FlowMixture(2, flow="real_nvp", n_layers=1, max_epochs=2, random_state=0, refine_posterior=True, verbose=1).fit(X)
    phases = list(dict.fromkeys(stage.phase for stage in display.stages))
    assert phases == ["starting", "compiling", "training", "refining", "refining: compiling"]
    assert display.closed == 1
    assert display.stages[-1].phase == "refining" and display.stages[-1].done == 2


def test_a_named_phase_ends_with_its_block(monkeypatch):
    display = Kept()
    monkeypatch.setattr(progress, "_display_here", lambda: display)
    with reporting(True):
        with named_phase("refining"):
            train_a_little(False)
        train_a_little(False)
    phases = [stage.phase for stage in display.stages]
    assert phases[-1] == "training" and "refining" in phases


def test_a_notebook_has_a_bar_that_is_updated_in_place(monkeypatch):
    outputs: list[list[str]] = []

    class Handle:
        def update(self, page) -> None:
            outputs[-1].append(page)

    def display(page, display_id):
        outputs.append([page])
        return Handle()

    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    module = types.ModuleType("IPython")
    module.get_ipython = lambda: shell
    module.display = types.ModuleType("IPython.display")
    module.display.HTML, module.display.display = str, display
    for name, there in (("IPython", module), ("IPython.display", module.display), ("ipykernel", module)):
        monkeypatch.setitem(sys.modules, name, there)
    monkeypatch.setattr(progress, "UPDATES_APART", 0.0)
    with reporting(True):
        train_a_little()
    (shown,) = outputs
    assert "starting" in shown[0] and any("value=4 max=10" in page for page in shown) and "done in" in shown[-1]
