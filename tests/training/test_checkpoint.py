"""Checkpoints: resuming gives the same bits, and what does not fit or is damaged is refused."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
from safetensors.numpy import save_file

from pushforward.training import Checkpoint, CheckpointError, Fit, checkpoint
from pushforward.training.epochs import initial_state
from tests.training.test_engine import one_epoch_a_call, press_ctrl_c
from tests.training.toy import Point, point, points, rows, run

DATA = rows((1.0, -1.0))


def fit(kept: Checkpoint | None = None, model: Any = None, n_restarts: int = 1, **settings: Any) -> Fit[Point]:
    options = {"max_epochs": 9, "averaging": 0.5, "schedule": "cosine", "patience": 6, **settings}
    model = (point(0.0, 0.0) if n_restarts == 1 else points((0.0, 0.0), (3.0, 3.0))) if model is None else model
    more = {"validation": rows((1.0, -1.0), seed=1), "checkpoint": kept, "n_restarts": n_restarts}
    return run(model, DATA, more=more, **options)


def keep(folder: Path, **options: Any) -> Checkpoint:
    return Checkpoint(folder / "kept", **{"epochs": 1, "fingerprint": {"data": "abc", "flow": "maf"}, **options})


@pytest.fixture
def stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the checkpoint of a fit that was cut after four epochs."""
    with monkeypatch.context() as patch:
        one_epoch_a_call(patch)
        press_ctrl_c(patch, call=4)
        assert fit(keep(tmp_path)).interrupted
    return tmp_path


@pytest.mark.parametrize("n_restarts", [1, 2])
def test_resuming_gives_the_bits_of_an_uninterrupted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_restarts: int
) -> None:
    with monkeypatch.context() as patch:
        one_epoch_a_call(patch)
        press_ctrl_c(patch, call=4)
        assert len(fit(keep(tmp_path), n_restarts=n_restarts).history) == 4
    resumed = fit(keep(tmp_path, resume=True), n_restarts=n_restarts)
    whole = fit(n_restarts=n_restarts)
    assert np.array_equal(resumed.model.at, whole.model.at)
    assert resumed.history == whole.history and len(whole.history) == 9
    assert (resumed.best_epoch, resumed.best_loss, resumed.losses) == (whole.best_epoch, whole.best_loss, whole.losses)


def test_a_checkpoint_of_a_finished_run_resumes_to_its_result(tmp_path: Path) -> None:
    whole = fit(keep(tmp_path))
    again = fit(keep(tmp_path, resume=True))
    assert again.history == whole.history and np.array_equal(again.model.at, whole.model.at)


def test_a_finished_run_goes_on_when_more_epochs_are_asked_for(tmp_path: Path) -> None:
    settings = {"schedule": "constant", "patience": None}
    assert len(fit(keep(tmp_path), max_epochs=4, **settings).history) == 4
    longer = fit(keep(tmp_path, resume=True), max_epochs=7, **settings)
    straight = fit(max_epochs=7, **settings)
    assert longer.history == straight.history and np.array_equal(longer.model.at, straight.model.at)


def test_the_state_is_kept_by_count_or_by_the_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_count = Checkpoint(tmp_path, minutes=None, epochs=3)
    assert [by_count.due(epoch) for epoch in (1, 2, 3, 4)] == [False, False, True, True]
    assert not Checkpoint(tmp_path, minutes=None).due(1000)
    by_clock = Checkpoint(tmp_path, minutes=2.0)
    now = checkpoint.time.monotonic()
    assert not by_clock.due(1)
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now + 121)
    assert by_clock.due(1)


def test_a_checkpoint_every_few_epochs_does_not_wait_for_a_longer_call(tmp_path: Path) -> None:
    saved = []

    class Watched(Checkpoint):
        def save(self, state: Any, history: Any, epoch: int) -> None:
            saved.append(epoch)
            super().save(state, history, epoch)

    fit(Watched(tmp_path, minutes=None, epochs=2), max_epochs=9)
    assert np.diff([0, *saved, 9]).max() <= 3


def test_nothing_to_resume_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nothing to resume: .*training.safetensors does not exist"):
        fit(keep(tmp_path, resume=True))


@pytest.mark.parametrize(
    ("fingerprint", "named"),
    [({"data": "xyz", "flow": "maf"}, "data"), ({"data": "xyz", "flow": "iaf"}, "data, flow"), ({}, "data, flow")],
)
def test_other_data_or_settings_are_refused_by_name(stopped: Path, fingerprint: Any, named: str) -> None:
    with pytest.raises(CheckpointError, match=f"cannot resume from .*: {named} changed since it was written"):
        fit(keep(stopped, resume=True, fingerprint=fingerprint))
    assert keep(stopped).file.exists()


def test_another_model_is_refused(stopped: Path) -> None:
    with pytest.raises(CheckpointError, match="holds another model"):
        fit(keep(stopped, resume=True), averaging=0.0)


@pytest.mark.parametrize("damage", ["empty", "short", "garbage", "no history"])
def test_a_damaged_checkpoint_is_refused(stopped: Path, damage: str) -> None:
    file = keep(stopped).file
    whole = file.read_bytes()
    if damage == "no history":
        save_file({"00000": np.zeros(1)}, file)
    else:
        file.write_bytes({"empty": b"", "short": whole[: len(whole) // 2], "garbage": b"\xff" * 200}[damage])
    with pytest.raises(CheckpointError, match=r"training.safetensors is damaged .*delete its folder and start anew"):
        fit(keep(stopped, resume=True))


FULL_DISK = """
import json, resource, sys, warnings
from pathlib import Path
from pushforward.training import TrainingWarning
from tests.training import test_checkpoint as here

folder, resume = Path(sys.argv[1]), sys.argv[2] == "resume"
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))  # the nearest thing to a full disk
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    fit = here.fit(here.keep(folder, resume=resume))
ours = [str(w.message) for w in caught if w.category is TrainingWarning]
print(json.dumps({"history": fit.history, "at": fit.model.at.tolist(), "warned": ours}))
"""


def fit_on_a_full_disk(folder: Path, resume: str) -> Any:
    """What a fit tells in a process that cannot write a checkpoint; SIGXFSZ is one that Python ignores."""
    words = [sys.executable, "-c", FULL_DISK, str(folder), resume]
    uncached = {**os.environ, "PUSHFORWARD_CACHE": ""}  # programs that cannot be kept either would be told as well
    options: dict[str, Any] = {"cwd": Path(__file__).parents[2], "env": uncached, "capture_output": True, "text": True}
    done = subprocess.run(words, check=False, **options)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files in the POSIX way")
@pytest.mark.parametrize("resume", ["resume", "anew"])
def test_on_a_full_disk_training_goes_on_and_the_last_checkpoint_stays(stopped: Path, resume: str) -> None:
    kept = keep(stopped)
    before = kept.file.read_bytes()
    if resume == "anew":
        kept.discard()
    told = fit_on_a_full_disk(stopped, resume)
    whole = fit()
    assert told["history"] == whole.history and told["at"] == whole.model.at.tolist()
    assert f"{kept.file.parent}: the checkpoint could not be written: File too large" in told["warned"][0]
    if resume == "anew":
        assert os.listdir(stopped) == []
    else:
        assert kept.file.read_bytes() == before and os.listdir(kept.file.parent) == [kept.file.name]
        assert fit(keep(stopped, resume=True)).history == whole.history


def test_a_checkpoint_that_cannot_be_written_is_tried_again_when_due(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("in the way")
    kept = keep(tmp_path, minutes=None, epochs=3)
    with pytest.raises(OSError):
        kept.save(initial_state(point(0.0), jax.random.key(0), False), [], 4)
    assert [kept.due(epoch) for epoch in (4, 6, 7)] == [False, False, True]
    assert (tmp_path / "kept").read_text() == "in the way"


def test_ctrl_c_keeps_the_state_though_no_checkpoint_is_due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rarely = {"minutes": 10.0, "epochs": None}
    with monkeypatch.context() as patch:
        one_epoch_a_call(patch)
        press_ctrl_c(patch, call=4)
        cut = fit(keep(tmp_path, **rarely))
    assert cut.interrupted and len(cut.history) == 4
    resumed, whole = fit(keep(tmp_path, resume=True, **rarely)), fit()
    assert resumed.history == whole.history and np.array_equal(resumed.model.at, whole.model.at)


def test_a_crash_while_writing_leaves_the_last_checkpoint(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = keep(stopped).file
    before = file.read_bytes()

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        fit(keep(stopped, resume=True))
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


def test_discarding_removes_what_a_killed_writer_left(stopped: Path) -> None:
    kept = keep(stopped)
    kept._partial.write_bytes(b"half a stat")
    kept.discard()
    assert not kept.file.parent.exists()


def test_discarding_removes_the_folder_unless_others_use_it(stopped: Path) -> None:
    kept = keep(stopped)
    other = kept.file.parent / "notes.txt"
    other.write_text("mine")
    kept.discard()
    assert not kept.file.exists() and other.read_text() == "mine"
    other.unlink()
    kept.discard()
    assert not kept.file.parent.exists()
