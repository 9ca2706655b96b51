"""The one training engine."""

from pushforward.training.checkpoint import Checkpoint, CheckpointError
from pushforward.training.engine import Fit, TrainingWarning, train
from pushforward.training.rows import Rows, make_rows, no_rows, with_neighbours
from pushforward.training.settings import Settings, TrainingError

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "Fit",
    "Rows",
    "Settings",
    "TrainingError",
    "TrainingWarning",
    "make_rows",
    "no_rows",
    "train",
    "with_neighbours",
]
