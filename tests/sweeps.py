"""Sweeps over many like cases, of which `make test` runs a few and `make test-long` all the others."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def sweep(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    """Cases for `pytest.mark.parametrize`, all but the quick ones marked as long."""
    names = list(names)
    assert set(quick) <= set(names), f"{sorted(set(quick) - set(names))} are no cases"
    return [name if name in quick else pytest.param(name, marks=pytest.mark.long) for name in names]
