"""What passes from one process to another: compiled programs, in the user's cache; and not a fork of one at work."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

CACHE_BYTES = 1 << 30
PLAIN = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
F = TypeVar("F", bound=Callable[..., Any])

_used_in: set[int] = set()  # processes that JAX was used in: this one, and those it was forked off


def _remember_use() -> None:
    """Before a fork: note whether JAX was used here, by whomever."""
    bridge = sys.modules.get("jax._src.xla_bridge")  # nothing public says it
    if bridge is not None and bridge.backends_are_initialized():
        _used_in.add(os.getpid())


if sys.platform != "win32":
    os.register_at_fork(before=_remember_use)


def before_computing() -> None:
    """What every public function that computes for long begins with: no forks; and programs are kept.

    Raises:
        RuntimeError: this process was forked off one that JAX was used in.
    """
    refuse_fork()
    keep_programs()


def refuse_fork() -> None:
    """Refuse to go on in a process forked off one that JAX was used in, whose threads it would wait for in vain.

    Raises:
        RuntimeError: this is such a process.
    """
    here = os.getpid()
    if _used_in and here not in _used_in:
        raise RuntimeError(
            "this process was forked off one that had used JAX, where JAX would wait for ever; start workers anew: "
            'multiprocessing.get_context("spawn"), or joblib with its own backend, "loky"'
        )
    _used_in.add(here)


@functools.cache
def keep_programs() -> None:
    """Let JAX keep compiled programs in the user's cache folder, for the next process, once for this one.

    It stays as it is where the user has chosen a folder for JAX, or turned its cache off. The cache is a convenience:
    where it cannot be kept, everything works without.
    """
    import jax

    chosen = jax.config.values  # by the environment or in the program
    if chosen["jax_compilation_cache_dir"] is not None or not chosen["jax_enable_compilation_cache"]:
        return
    folder = cache_folder()
    if folder is None:
        return
    from jax.experimental.compilation_cache.compilation_cache import reset_cache

    settings: dict[str, Any] = {
        "jax_compilation_cache_dir": str(folder),
        "jax_persistent_cache_min_compile_time_secs": 0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
        "jax_raise_persistent_cache_errors": False,
    }
    for name, value in settings.items():
        jax.config.update(name, value)  # type: ignore[no-untyped-call]
    reset_cache()  # JAX settles at its first program whether it has one


def jit_once(function: F) -> F:
    """Compile a function that runs once: XLA's costly passes, which it goes without, take longer than they save."""
    import equinox as eqx

    compiled: F = eqx.filter_jit(function, compiler_options=PLAIN)  # type: ignore[call-overload]
    return compiled


def cache_folder() -> Path | None:
    """The user's folder for compiled programs, made if need be; None where it cannot be written.

    `PUSHFORWARD_CACHE` names another one; empty, it turns the cache off.
    """
    named = os.environ.get("PUSHFORWARD_CACHE")
    if named == "":
        return None
    try:
        folder = Path(named) if named else _platform_cache() / "pushforward"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # programs in it are run: they are the user's alone
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
        _prune(folder)
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None
    return folder.resolve()


def _platform_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"])
    return Path.home() / ("Library/Caches" if sys.platform == "darwin" else ".cache")


def _prune(folder: Path) -> None:
    """Remove the programs used least lately once they take more than a gigabyte, and nothing else that lies there."""
    entries = []
    for file in folder.glob("*-cache"):  # as JAX calls them
        with contextlib.suppress(FileNotFoundError):  # another process removes some as well
            entries.append((file, file.stat()))
    excess = sum(stat.st_size for _, stat in entries) - CACHE_BYTES
    for file, stat in sorted(entries, key=lambda entry: max(entry[1].st_atime, entry[1].st_mtime)):
        if excess <= 0:
            return
        file.unlink(missing_ok=True)
        excess -= stat.st_size
