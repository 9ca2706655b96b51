"""Models and tables: fit one to the other, apply it to batches, draw from it, describe it.

What the command line does, as functions: a server, a report or a cluster calls the same ones.
"""

from typing import TYPE_CHECKING

from pushforward.lazy import loader

if TYPE_CHECKING:
    from pushforward.service.aligning import AlignedBatch, Alignment, SomeRows, align, as_frame, some_rows
    from pushforward.service.applying import TASKS, Application, Imputation, batches
    from pushforward.service.describing import ColumnFacts, ComponentFacts, Description, describe, describe_saved
    from pushforward.service.fitting import Inputs, fit, read_inputs
    from pushforward.service.kinds import ESTIMATORS, Model, RequestError, is_mixed_model, kind_of, load_model
    from pushforward.service.sampling import TooLargeError, sample

__all__ = [
    "ESTIMATORS",
    "TASKS",
    "AlignedBatch",
    "Alignment",
    "Application",
    "ColumnFacts",
    "ComponentFacts",
    "Description",
    "Imputation",
    "Inputs",
    "Model",
    "RequestError",
    "SomeRows",
    "TooLargeError",
    "align",
    "as_frame",
    "batches",
    "describe",
    "describe_saved",
    "fit",
    "is_mixed_model",
    "kind_of",
    "load_model",
    "read_inputs",
    "sample",
    "some_rows",
]

__getattr__ = loader(
    __name__,
    {
        "AlignedBatch": "aligning",
        "Alignment": "aligning",
        "Application": "applying",
        "ColumnFacts": "describing",
        "ComponentFacts": "describing",
        "Description": "describing",
        "ESTIMATORS": "kinds",
        "Imputation": "applying",
        "Inputs": "fitting",
        "Model": "kinds",
        "RequestError": "kinds",
        "SomeRows": "aligning",
        "TASKS": "applying",
        "TooLargeError": "sampling",
        "align": "aligning",
        "as_frame": "aligning",
        "batches": "applying",
        "describe": "describing",
        "describe_saved": "describing",
        "fit": "fitting",
        "is_mixed_model": "kinds",
        "kind_of": "kinds",
        "load_model": "kinds",
        "read_inputs": "fitting",
        "sample": "sampling",
        "some_rows": "aligning",
    },
)
