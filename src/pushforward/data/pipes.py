"""What can be read only once, standard input and pipes, kept in a temporary file while it is used."""

from __future__ import annotations

import gzip
import os
import shutil
import stat
import sys
import tempfile
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

from pushforward.data.arrow import FILE, STREAM, SUFFIXES
from pushforward.data.sources import DataError

STANDARD_INPUT = "standard input"
_STANDARD = ("-", "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
_HEAD = 1 << 18  # bytes that tell the kind; the first block of zstd is no longer
_KINDS = {b"PAR1": ".parquet", b"\x93NUMPY": ".npy", b"PK\x03\x04": ".npz", b"{": ".json", b"[": ".json"}
_KINDS |= {FILE: SUFFIXES[0], STREAM: SUFFIXES[0]}
_PACKED = {b"\x1f\x8b": ".gz", b"\x28\xb5\x2f\xfd": ".zst"}


def is_pipe(path: str) -> bool:
    """Whether a path is `-`, a named pipe, or what a shell makes of `<(…)` and `/dev/stdin`: it can be read once."""
    if path in _STANDARD:
        return True
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISDIR(mode) and (not stat.S_ISREG(mode) or path.startswith(("/dev/fd/", "/proc/self/fd/")))


def name_of(path: str) -> str:
    """What messages call a table."""
    return STANDARD_INPUT if path in _STANDARD else path


def spool(path: str) -> Path:
    """Copy a pipe to a temporary file, whose ending says what its first bytes say; the caller removes it.

    Raises:
        DataError: nothing comes, it cannot be read, or the temporary folder is full.
    """
    name = name_of(path)
    try:
        with nullcontext(sys.stdin.buffer) if path in _STANDARD else open(path, "rb") as pipe:
            head = _first(pipe, _HEAD)
            if not head:
                raise DataError(f"{name}: nothing came; check the command before the pipe")
            descriptor, made = tempfile.mkstemp(_suffix(head), "pushforward-")
            try:
                with open(descriptor, "wb") as file:
                    file.write(head)
                    shutil.copyfileobj(pipe, file, 1 << 20)
            except BaseException:
                Path(made).unlink()
                raise
    except OSError as error:
        where = f"it is kept in {tempfile.gettempdir()} while it is read, and TMPDIR names another folder"
        raise DataError(f"{name}: cannot be read: {error.strerror or error}; {where}") from error
    return Path(made)


def unpacked(path: str) -> Any:
    """A file opened for its bytes, those within where its name ends in .gz or .zst."""
    if path.lower().endswith(".gz"):
        return gzip.open(path)
    if path.lower().endswith(".zst"):
        import pyarrow as pa

        return pa.input_stream(path, compression="zstd")
    return open(path, "rb")


def _first(pipe: Any, size: int) -> bytes:
    """The first bytes, as many as asked for unless the pipe ends before."""
    parts: list[bytes] = []
    while size > 0 and (part := pipe.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _suffix(head: bytes) -> str:
    """The ending that a file with such first bytes should have; CSV where they tell nothing else."""
    packed = next((suffix for magic, suffix in _PACKED.items() if head.startswith(magic)), "")
    if packed:
        head = _unpacked_head(head, packed)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip() if head[:1] in b"\xef{[ \t\r\n" else head
    return next((suffix for magic, suffix in _KINDS.items() if start.startswith(magic)), ".csv") + packed


def _unpacked_head(head: bytes, packed: str) -> bytes:
    """The first bytes within; empty where they cannot be had, which reading the file then says."""
    import zlib

    if packed == ".gz":
        with suppress(zlib.error):
            return zlib.decompressobj(wbits=31).decompress(head, 1024)
        return b""
    import pyarrow as pa

    with suppress(OSError, pa.ArrowException), pa.CompressedInputStream(pa.BufferReader(head), "zstd") as stream:
        return bytes(stream.read(1))
    return b""
