"""Checkpoints: resuming gives the same bits, and what does not fit or is damaged is refused."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pushforward.training import Checkpoint, CheckpointError, Fit, checkpoint
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
        checkpoint.save_file({"00000": np.zeros(1)}, file)
    else:
        file.write_bytes({"empty": b"", "short": whole[: len(whole) // 2], "garbage": b"\xff" * 200}[damage])
    with pytest.raises(CheckpointError, match=r"training.safetensors is damaged .*delete its folder and start anew"):
        fit(keep(stopped, resume=True))


def test_a_full_disk_leaves_the_last_checkpoint(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = keep(stopped).file
    before = file.read_bytes()

    def full(arrays: Any, path: Path, metadata: Any) -> None:
        Path(path).write_bytes(b"half a fil")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save_file", full)
        with pytest.raises(OSError, match="No space left"):
            fit(keep(stopped, resume=True))
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == [file.name]
    assert len(fit(keep(stopped, resume=True)).history) == 9


def test_a_crash_while_writing_leaves_the_last_checkpoint(stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = keep(stopped).file
    before = file.read_bytes()

    def crash(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint.os, "fsync", crash)
    with pytest.raises(KeyboardInterrupt):
        fit(keep(stopped, resume=True))
    assert file.read_bytes() == before and os.listdir(file.parent) == [file.name]


def test_discarding_removes_the_folder_unless_others_use_it(stopped: Path) -> None:
    kept = keep(stopped)
    other = kept.file.parent / "notes.txt"
    other.write_text("mine")
    kept.discard()
    assert not kept.file.exists() and other.read_text() == "mine"
    other.unlink()
    kept.discard()
    assert not kept.file.parent.exists()
