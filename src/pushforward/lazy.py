"""Packages whose public names load when they are first used, so that what needs few of them starts at once."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loader(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package.

    Arguments:
        package: its `__name__`.
        homes: the module within that each public name is from; of a module itself, its own name.
    """

    def load(name: str) -> Any:
        if name not in homes and name not in homes.values():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = import_module(f"{package}.{homes.get(name, name)}")
        value = module if name in homes.values() else getattr(module, name)
        setattr(sys.modules[package], name, value)
        return value

    return load
