"""Any model to a folder and back, without pickle: `save`, `load`."""

from pushforward.serialization.model import load, save
from pushforward.serialization.nodes import ModelFileError, Stateful

__all__ = ["ModelFileError", "Stateful", "load", "save"]
