"""What passes between processes: compiled programs are kept where nobody chose another place."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pushforward.processes import cache_folder


def test_cache_folder_follows_the_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHFORWARD_CACHE", "")
    assert cache_folder() is None
    monkeypatch.delenv("PUSHFORWARD_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "pushforward"
    assert (tmp_path / "xdg" / "pushforward").stat().st_mode & 0o077 == 0
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "Library" / "Caches" / "pushforward"
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "mine"))
    assert cache_folder() == tmp_path / "mine"
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path / "file"))
    assert cache_folder() is None


def test_cache_keeps_to_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUSHFORWARD_CACHE", str(tmp_path))
    monkeypatch.setattr("pushforward.processes.CACHE_BYTES", 250)
    (tmp_path / "thesis.tex").write_bytes(bytes(1000))
    for age, name in enumerate(["new-cache", "older-cache", "oldest-cache"]):
        (tmp_path / name).write_bytes(bytes(100))
        os.utime(tmp_path / name, (1e9 - age, 1e9 - age))
    assert cache_folder() == tmp_path
    assert {path.name for path in tmp_path.iterdir()} == {"new-cache", "older-cache", "thesis.tex"}


FIT = """
import logging, os, sys
import jax
import numpy as np
{before}
jax.numpy.ones(3).sum()  # a program before ours
import pushforward as pf

x = np.random.default_rng(0).normal(size=(60, 2))
pf.FlowDensity("nice", n_layers=1, hidden_sizes=(4,), max_epochs=1, random_state=0).fit(x).score(x)
print(jax.config.jax_compilation_cache_dir)
"""


def kept(folder: Path, before: str = "", **environment: str) -> tuple[set[str], str]:
    """What a process that fits leaves in a folder, and where JAX keeps its programs there."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    given = {**inherited, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PUSHFORWARD_CACHE": str(folder), **environment}
    code = FIT.format(before=before)
    said = subprocess.run([sys.executable, "-c", code], env=given, capture_output=True, text=True, check=True)
    return {path.name.split("-")[0] for path in folder.glob("*-cache")}, said.stdout.strip()


def test_programs_are_kept_for_the_next_process(tmp_path: Path) -> None:
    programs, place = kept(tmp_path)
    assert "jit_run_epochs" in programs and place == str(tmp_path)
    entries = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-cache")}
    kept(tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("*-cache")} == entries  # read, not written


@pytest.mark.long
def test_what_the_user_chose_stays(tmp_path: Path) -> None:
    mine, ours = tmp_path / "mine", tmp_path / "ours"
    ours.mkdir()
    assert kept(ours, JAX_COMPILATION_CACHE_DIR=str(mine)) == (set(), str(mine))
    assert kept(ours, f"jax.config.update('jax_compilation_cache_dir', {str(mine)!r})") == (set(), str(mine))
    assert kept(ours, "jax.config.update('jax_enable_compilation_cache', False)") == (set(), "None")
    assert kept(ours, PUSHFORWARD_CACHE="") == (set(), "None")
