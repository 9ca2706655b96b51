"""What the classes of models are called in files: public names of rooms, and names registered by hand."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Protocol, TypeVar, overload, runtime_checkable

import equinox as eqx

from pushforward.serialization.renamed import CLASSES

PACKAGE = "pushforward"
# Where classes of models live. A file names a class by its room and its public name there, or by a registered name, and
# by nothing else.
ROOMS = ("trees", "networks", "bijections", "distributions", "data", "estimators", "inference")
REGISTER = f"{PACKAGE}.serialization.register"

C = TypeVar("C", bound=type)

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_registered: dict[str, type] = {}


@runtime_checkable
class Stateful(Protocol):
    """An object that says itself what it is made of; other objects are saved field by field."""

    def to_state(self) -> dict[str, Any]:
        """Everything needed to rebuild the object: names to anything that `save` takes."""

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Any:
        """The object that gave `state`."""


@overload
def register(cls: C, name: str | None = None) -> C: ...
@overload
def register(cls: None = None, name: str | None = None) -> Callable[[C], C]: ...
def register(cls: Any = None, name: str | None = None) -> Any:
    """Let models made of a class of one's own be saved and loaded.

    A file holds the name alone, never code: what loads it must have imported, or defined and registered, the class
    before. Loading writes the saved fields without calling `__init__`. Static fields must be None, booleans, numbers,
    strings or tuples of those. A class defined anew, as in a notebook, takes its older self's place.

    Arguments:
        cls: a concrete subclass of `equinox.Module`, or a class with `to_state` and `from_state`.
        name: in files; the class's own name if None. Such as "mylab.Wave" where others may have a `Wave` too.

    Returns:
        The class, so that this decorates it: `@register`, or `@register(name="mylab.Wave")`.

    Raises:
        TypeError: `cls` is no such class.
        ValueError: the name is none, belongs to a room of this package or to another class, or the class has another.

    Example:
        >>> import equinox as eqx, jax
        >>> from pushforward.serialization import register
        >>> @register(name="docs.Cubic")
        ... class Cubic(eqx.Module):
        ...     slope: jax.Array
        ...     def __call__(self, z):
        ...         return self.slope * z + z**3
    """
    if cls is None:
        return lambda given: register(given, name)
    if not inspect.isclass(cls) or not (issubclass(cls, eqx.Module) or issubclass(cls, Stateful)) or is_abstract(cls):
        raise TypeError(
            f"cannot register {cls!r}: expected a concrete subclass of equinox.Module, or a class with to_state and "
            "from_state"
        )
    name = cls.__name__ if name is None else name
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(f'name must be made of identifiers, such as "Wave" or "mylab.Wave"; got {name!r}')
    if name.partition(".")[0] in ROOMS:
        raise ValueError(f"name {name!r} looks like one of {PACKAGE} itself; begin it with no name of {ROOMS}")
    other = _registered.get(name)
    if other is not None and _place(other) != _place(cls):
        raise ValueError(f"name {name!r} is that of {'.'.join(_place(other))}; give another name")
    known = name_of(cls)
    if known is not None and known != name:
        raise ValueError(f"{'.'.join(_place(cls))} is already called {known!r} in files; leave it, or give that name")
    _registered[name] = cls
    return cls


def name_of(cls: type) -> str | None:
    """What a class is called in files, or None if `class_of` would not find it again."""
    package, room = ([*cls.__module__.split("."), ""])[:2]
    known = import_module(f"{PACKAGE}.{room}") if package == PACKAGE and room in ROOMS else None
    if known is not None and vars(known).get(cls.__name__) is cls:
        return f"{room}.{cls.__name__}"
    return next((name for name, registered in _registered.items() if registered is cls), None)


def class_of(name: str) -> tuple[str, type] | None:
    """The class of a name in a file, and its name of today; None if there is none.

    Never a module that the file chooses, never a private or imported name.
    """
    name = CLASSES.get(name, name)
    if name in _registered:
        return name, _registered[name]
    room, _, attribute = name.partition(".")
    if room in ROOMS and attribute.isidentifier() and not attribute.startswith("_"):
        home = f"{PACKAGE}.{room}"
        cls = vars(import_module(home)).get(attribute)
        if inspect.isclass(cls) and f"{cls.__module__}.".startswith(f"{home}.") and not is_abstract(cls):
            return name, cls
    return None


def is_abstract(cls: type) -> bool:
    """Whether no object can be of that class itself."""
    return inspect.isabstract(cls) or bool(vars(cls).get("__abstractvars__"))


def _place(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__
