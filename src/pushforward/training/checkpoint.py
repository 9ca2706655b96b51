"""Checkpoints: the whole state of training in one file, written so that a crash leaves the old or the new one."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pushforward.training.settings import TrainingError

FILE_NAME = "training.safetensors"


class CheckpointError(TrainingError, ValueError):
    """A checkpoint cannot be used; the message says why and what to do."""


@dataclasses.dataclass
class Checkpoint:
    """Where and how often to keep the state of training, and whether to go on from it.

    Arguments:
        path: a folder; made if absent.
        minutes: keep the state when this long has passed; None for never by the clock.
        epochs: keep the state every so many epochs; None for never by the count.
        resume: continue from what is there.
        fingerprint: anything JSON-able that must not change between runs: settings, the data's hash. How the model
            is made, and what its optimizer keeps, training adds itself.
    """

    path: str | os.PathLike[str]
    minutes: float | None = 5.0
    epochs: int | None = None
    resume: bool = False
    fingerprint: dict[str, Any] = dataclasses.field(default_factory=dict)
    _written: float = dataclasses.field(default_factory=time.monotonic, repr=False)
    _epoch: int = dataclasses.field(default=0, repr=False)

    @property
    def file(self) -> Path:
        """The file the state is kept in."""
        return Path(self.path) / FILE_NAME

    @property
    def _partial(self) -> Path:
        return self.file.with_name(FILE_NAME + ".partial")

    def due(self, epoch: int) -> bool:
        """Whether the state should be kept now."""
        by_clock = self.minutes is not None and time.monotonic() - self._written >= 60 * self.minutes
        return by_clock or (self.epochs is not None and epoch - self._epoch >= self.epochs)

    def save(self, state: Any, history: list[dict[str, Any]], epoch: int) -> None:
        """Keep the state; the file is replaced only once the new one is complete on disk.

        Raises:
            OSError: it cannot be written; what was kept before is still there. `due` counts from this attempt.
        """
        arrays = {f"{i:05d}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(_raw_keys(state)))}
        metadata = {"fingerprint": _canonical(self.fingerprint), "history": json.dumps(history)}
        try:
            self._replace(save(arrays, metadata=metadata))
        finally:  # after a failure too: a full disk is not tried again at every turn
            self._written, self._epoch = time.monotonic(), epoch

    def _replace(self, content: bytes) -> None:
        folder, partial = self.file.parent, self._partial
        is_new = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        try:
            # safetensors' own writer hides the reason, a full disk for one, in an error that is no OSError
            with open(partial, "wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
            os.replace(partial, self.file)
        except BaseException:
            partial.unlink(missing_ok=True)
            if is_new:
                with contextlib.suppress(OSError):  # somebody put other things there meanwhile
                    folder.rmdir()
            raise

    def load(self, like: Any) -> tuple[Any, list[dict[str, Any]]]:
        """The state kept here, as leaves of `like`.

        Raises:
            CheckpointError: there is none, it is damaged, or it belongs to other data or settings.
        """
        if not self.file.exists():
            raise CheckpointError(f"nothing to resume: {self.file} does not exist; run without resuming first")
        try:
            with safe_open(self.file, framework="numpy") as handle:
                metadata = handle.metadata() or {}
                arrays = [handle.get_tensor(name) for name in sorted(handle.keys())]
            history = json.loads(metadata["history"])
            kept = json.loads(metadata["fingerprint"])
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise CheckpointError(f"{self.file} is damaged ({error}); delete its folder and start anew") from error
        now = json.loads(_canonical(self.fingerprint))
        changed = sorted(k for k in {*kept, *now} if kept.get(k) != now.get(k))
        if changed:
            raise CheckpointError(
                f"cannot resume from {self.file}: {', '.join(changed)} changed since it was written; "
                "resume with the same data and settings, or start anew"
            )
        raw = _raw_keys(like)
        leaves = jax.tree.leaves(raw)
        if [(a.shape, a.dtype) for a in arrays] != [(leaf.shape, leaf.dtype) for leaf in leaves]:
            raise CheckpointError(f"{self.file} holds another model; resume with the same settings, or start anew")
        restored = jax.tree.unflatten(jax.tree.structure(raw), [jnp.asarray(a) for a in arrays])
        return jax.tree.map(lambda a, b: jax.random.wrap_key_data(a) if _is_key(b) else a, restored, like), history

    def discard(self) -> None:
        """Remove the kept state, once training is complete."""
        self.file.unlink(missing_ok=True)
        self._partial.unlink(missing_ok=True)  # of a process that was killed while it wrote
        with contextlib.suppress(OSError):  # somebody keeps other things there
            self.file.parent.rmdir()


def structure_of(tree: Any) -> str:
    """A hash of how a tree is made, the same in every process: classes, functions, sizes, and its whole numbers.

    Floating numbers are left out, which another machine may round otherwise.
    """
    leaves, structure = jax.tree.flatten(tree)
    digest = hashlib.sha256(_without_addresses(structure))
    for leaf in leaves:
        if callable(leaf):
            digest.update(_without_addresses(leaf))
            continue
        array = np.asarray(_raw_keys(leaf) if isinstance(leaf, jax.Array) else leaf)
        digest.update(f"{array.dtype}{array.shape}".encode())
        if array.dtype.kind in "biu":
            digest.update(array.tobytes())
    return digest.hexdigest()


def _without_addresses(value: Any) -> bytes:
    return re.sub(r" at 0x[0-9a-f]+", "", str(value)).encode()


def _raw_keys(state: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, state)


def _is_key(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _canonical(fingerprint: dict[str, Any]) -> str:
    return json.dumps(fingerprint, sort_keys=True, default=str)
