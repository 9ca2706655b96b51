"""Ctrl-C while compiled programs run: acknowledged at once, obeyed as soon as they let go."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from typing import Any

HEARD = "Ctrl-C: ending as soon as the running step is done; once more ends at once"
_acknowledging = threading.Lock()  # held by the outermost of several


@contextlib.contextmanager
def acknowledged(message: str = HEARD) -> Iterator[None]:
    """Say on standard error that Ctrl-C was heard, in the moment it is pressed.

    Python runs signal handlers between its own instructions, of which there may be none for half a minute while a
    program is compiled. What it does at once is to write the signal's number to a file; a thread reads it there.
    Outside the main thread, and within another `acknowledged`, it does nothing.

    Arguments:
        message: a line, said once.

    Example:
        >>> from pushforward.training.interrupts import acknowledged
        >>> with acknowledged():
        ...     pass
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or not _acknowledging.acquire(blocking=False):
        yield
        return
    try:
        reader, writer = socket.socketpair()
    except OSError:
        _acknowledging.release()
        raise
    writer.setblocking(False)
    before = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=_listen, args=(reader, before, message), daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writer.close()  # the thread reads the end of it
        thread.join()
        reader.close()
        _acknowledging.release()


def _listen(reader: socket.socket, before: int, message: str) -> None:
    said = False
    while numbers := reader.recv(64):
        if not said and signal.SIGINT in numbers:
            print(f"\n{message}", file=sys.stderr, flush=True)
            said = True
        if before >= 0:  # an event loop, say, listens too
            with contextlib.suppress(OSError):
                os.write(before, numbers)


@contextlib.contextmanager
def interrupts() -> Iterator[list[int]]:
    """A list that fills when Ctrl-C is pressed: training ends between calls, never with its state half given away.

    A second Ctrl-C ends at once. Outside the main thread, signals are not ours to take.
    """
    pressed: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.getsignal(signal.SIGINT)

    def press(number: int, frame: Any) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, press)
    try:
        with acknowledged():
            yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
