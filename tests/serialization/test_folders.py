"""A folder is replaced as a whole, whatever happens on the way."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward.serialization import folders
from pushforward.serialization.folders import aside, existing, replace_folder

OLD = {"a": b"old a", "b": b"old b"}
NEW = {"a": b"new a", "b": b"new b", "c": b"new c"}

# Replaces argv[1], and dies before the n-th step that touches the disk.
CRASH = """
import importlib.util, os, pathlib, shutil, signal, sys
spec = importlib.util.spec_from_file_location("folders", sys.argv[3])
folders = importlib.util.module_from_spec(spec)
spec.loader.exec_module(folders)
steps = 0
def dying(call):
    def wrapped(*args, **kwargs):
        global steps
        steps += 1
        if steps == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return wrapped
os.rename, os.fsync, shutil.rmtree = dying(os.rename), dying(os.fsync), dying(shutil.rmtree)
pathlib.Path.mkdir, pathlib.Path.open = dying(pathlib.Path.mkdir), dying(pathlib.Path.open)
folders.replace_folder(pathlib.Path(sys.argv[1]), {name: f"new {name}".encode() for name in "abc"})
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def crash_at(step: int, target: Path) -> bool:
    """Whether the process died of it; False once there are no more steps."""
    command = [sys.executable, "-S", "-c", CRASH, str(target), str(step), folders.__file__]
    code = subprocess.run(command, check=False).returncode
    assert code in (0, -signal.SIGKILL)
    return code != 0


def test_makes_and_replaces(tmp_path: Path) -> None:
    target = tmp_path / "model"
    replace_folder(target, OLD)
    assert contents(target) == OLD
    replace_folder(target, NEW)
    assert contents(target) == NEW
    assert os.listdir(tmp_path) == ["model"]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_kill_at_any_step_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    seen, step = [], 1
    while True:
        target = tmp_path / str(step) / "model"
        target.parent.mkdir()
        replace_folder(target, OLD)
        died = crash_at(step, target)
        found = contents(existing(target))
        assert found in (OLD, NEW)
        seen.append(found == NEW)
        replace_folder(target, NEW | {"d": b"later"})  # a later save works and removes what is left aside
        assert contents(target) == NEW | {"d": b"later"}
        assert not aside(target).exists()
        if not died:
            break
        step += 1
    assert step > 8
    assert seen == sorted(seen), "once the new folder is there it stays"
    assert seen[-1] and not seen[0]


@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_full_disk_leaves_the_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    target = tmp_path / "model"
    replace_folder(target, OLD)

    def full(*args: object) -> None:
        monkeypatch.undo()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        replace_folder(target, NEW)
    assert contents(target) == OLD
    assert os.listdir(tmp_path) == ["model"]


def test_a_second_rename_that_fails_puts_the_old_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model"
    replace_folder(target, OLD)
    rename = os.rename

    def refuse_new(source: Path, destination: Path) -> None:
        if source.suffix == ".tmp":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        rename(source, destination)

    monkeypatch.setattr(os, "rename", refuse_new)
    with pytest.raises(PermissionError):
        replace_folder(target, NEW)
    assert contents(target) == OLD
    assert os.listdir(tmp_path) == ["model"]


def test_what_a_killed_process_left_is_removed_after_a_day(tmp_path: Path) -> None:
    young, old, other = (tmp_path / name for name in (".m.0123abcd.tmp", ".m.89abcdef.tmp", ".mm.89abcdef.tmp"))
    for folder in (young, old, other):
        folder.mkdir()
    os.utime(old, (0, 0))
    os.utime(other, (0, 0))
    replace_folder(tmp_path / "m", NEW)
    assert young.exists() and other.exists() and not old.exists()
