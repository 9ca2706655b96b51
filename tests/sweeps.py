"""Sweeps over many like cases, of which `make test` runs a few and `make test-long` all the others."""

from collections.abc import Collection, Iterable
from typing import Any

import pytest


def long_if(condition: bool) -> Any:
    """The marks of a case that is long, or none."""
    return pytest.mark.long if condition else ()


def sweep(names: Iterable[str], quick: Collection[str]) -> list[Any]:
    """Cases for `pytest.mark.parametrize`, all but the quick ones marked as long."""
    names = list(names)
    assert set(quick) <= set(names), f"{sorted(set(quick) - set(names))} are no cases"
    return [pytest.param(name, marks=long_if(name not in quick)) for name in names]
