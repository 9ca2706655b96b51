"""Any model to a folder and back, without pickle: `save`, `load`; and `register` for classes of one's own."""

from typing import TYPE_CHECKING

from pushforward.lazy import loader
from pushforward.serialization.documents import ModelFileError, saved_description

if TYPE_CHECKING:
    from pushforward.serialization.model import load, save
    from pushforward.serialization.registry import Stateful, register

__all__ = ["ModelFileError", "Stateful", "load", "register", "save", "saved_description"]

__getattr__ = loader(__name__, {"Stateful": "registry", "load": "model", "register": "registry", "save": "model"})
