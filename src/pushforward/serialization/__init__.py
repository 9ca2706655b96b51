"""Any model to a folder and back, without pickle: `save`, `load`; and `register` for classes of one's own."""

from pushforward.serialization.model import load, save
from pushforward.serialization.nodes import ModelFileError
from pushforward.serialization.registry import Stateful, register

__all__ = ["ModelFileError", "Stateful", "load", "register", "save"]
