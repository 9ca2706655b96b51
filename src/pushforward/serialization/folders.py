"""Replacing a folder as a whole: after a crash there is the old one or the new one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from pathlib import Path

STALE = 86400.0  # seconds; a temporary folder this old was left by a process that was killed


def aside(target: Path) -> Path:
    """Where the old folder is while the new one takes its place."""
    return target.with_name(f".{target.name}.old-model")


def existing(target: Path) -> Path:
    """`target`, or the copy of it that a crash between two renames left aside."""
    return target if target.exists() or not aside(target).exists() else aside(target)


def replace_folder(target: Path, files: dict[str, bytes]) -> None:
    """Write a folder in full beside `target`, then let it take its place.

    Arguments:
        target: the folder to make; what it held is deleted in the end.
        files: contents by file name.

    Raises:
        OSError: the folder cannot be written; `target` is as it was.
    """
    if existing(target) != target:
        os.rename(aside(target), target)
    _remove_stale(target)
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        temporary.mkdir()
        for name, content in files.items():
            with (temporary / name).open("wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
        _sync(temporary)
        _swap(temporary, target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    shutil.rmtree(aside(target), ignore_errors=True)


def _swap(temporary: Path, target: Path) -> None:
    """Rename `target` aside and `temporary` to `target`, or leave both as they are."""
    try:
        if target.exists():
            if aside(target).exists():  # left by a crash after the new folder was in place
                shutil.rmtree(aside(target))
            os.rename(target, aside(target))
        os.rename(temporary, target)
    except BaseException:
        if existing(target) != target:
            os.rename(aside(target), target)
        raise
    _sync(target.parent)


def _sync(folder: Path) -> None:
    """Make the entries of a folder last; Windows has no such call."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_stale(target: Path) -> None:
    ours = re.compile(rf"\.{re.escape(target.name)}\.[0-9a-f]{{8}}\.tmp")
    with contextlib.suppress(OSError):  # another process may be at it, and it is no loss
        for entry in target.parent.iterdir():
            if ours.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > STALE:
                shutil.rmtree(entry, ignore_errors=True)
