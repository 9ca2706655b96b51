"""The one training engine."""

from pushforward.training.checkpoint import Checkpoint, CheckpointError
from pushforward.training.engine import Fit, TrainingWarning, train
from pushforward.training.feeds import AbstractFeed, Resident, Steps
from pushforward.training.progress import named_phase, reporting, tell
from pushforward.training.settings import Settings, TrainingError

__all__ = [
    "AbstractFeed",
    "Checkpoint",
    "CheckpointError",
    "Fit",
    "Resident",
    "Settings",
    "Steps",
    "TrainingError",
    "TrainingWarning",
    "named_phase",
    "reporting",
    "tell",
    "train",
]
