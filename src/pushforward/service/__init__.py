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
    from pushforward.service.kinds import ESTIMATORS, Model, RequestError, is_mixed_model, kind_of, load_any, load_model
    from pushforward.service.sampling import TooLargeError, sample
    from pushforward.service.series import (
        SeriesTable,
        fit_series,
        forecast_series,
        read_like,
        read_series,
        score_series,
    )

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
    "SeriesTable",
    "SomeRows",
    "TooLargeError",
    "align",
    "as_frame",
    "batches",
    "describe",
    "describe_saved",
    "fit",
    "fit_series",
    "forecast_series",
    "is_mixed_model",
    "kind_of",
    "load_any",
    "load_model",
    "read_inputs",
    "read_like",
    "read_series",
    "sample",
    "score_series",
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
        "SeriesTable": "series",
        "SomeRows": "aligning",
        "TASKS": "applying",
        "TooLargeError": "sampling",
        "align": "aligning",
        "as_frame": "aligning",
        "batches": "applying",
        "describe": "describing",
        "describe_saved": "describing",
        "fit": "fitting",
        "fit_series": "series",
        "forecast_series": "series",
        "is_mixed_model": "kinds",
        "kind_of": "kinds",
        "load_any": "kinds",
        "load_model": "kinds",
        "read_inputs": "fitting",
        "read_like": "series",
        "read_series": "series",
        "sample": "sampling",
        "score_series": "series",
        "some_rows": "aligning",
    },
)
