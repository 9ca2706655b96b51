"""Tables, toy sets, and how columns become preprocessing."""

from typing import TYPE_CHECKING

from pushforward.data.fields import Field, Fields
from pushforward.data.images import images
from pushforward.data.looking import learn_fields
from pushforward.data.shapes import SHAPES, Shape, shape
from pushforward.data.sources import DataError, Source
from pushforward.data.tables import Table, content_hash, iter_batches, open_source, read_table
from pushforward.data.toy import pinwheel, pinwheel_log_prob, pinwheel_posterior, two_circles
from pushforward.data.writing import TableWriter, append_columns, check_output
from pushforward.lazy import loader

if TYPE_CHECKING:
    from pushforward.data import audio

__all__ = [
    "SHAPES",
    "DataError",
    "Field",
    "Fields",
    "Shape",
    "Source",
    "Table",
    "TableWriter",
    "append_columns",
    "audio",
    "check_output",
    "content_hash",
    "images",
    "iter_batches",
    "learn_fields",
    "open_source",
    "pinwheel",
    "pinwheel_log_prob",
    "pinwheel_posterior",
    "read_table",
    "shape",
    "two_circles",
]

__getattr__ = loader(__name__, {"audio": "audio"})  # which needs JAX, as tables that pass through do not
