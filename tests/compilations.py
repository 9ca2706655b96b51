"""Counting what JAX compiles."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import jax

_START = "Finished XLA compilation of "


@contextmanager
def compilations() -> Iterator[list[str]]:
    """Collect the names of the programs that are compiled within the block."""
    found: list[str] = []

    class Collect(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message.startswith(_START):
                found.append(message.removeprefix(_START).split(" in ")[0])

    logger, handler = logging.getLogger("jax._src.dispatch"), Collect()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        with jax.log_compiles(True):
            yield found
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
