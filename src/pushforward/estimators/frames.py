"""Rows that a model makes, in the kind of table that it was fitted on, or that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import sklearn

from pushforward.data.cells import is_numeric, numbers_of
from pushforward.data.columns import Columns, FloatArray

KINDS = ("pandas", "polars", "pyarrow")
IMAGES = "images"
OUTPUTS = ("default", "pandas", "polars")  # what scikit-learn knows
# what tables call their types, in small letters, and what NumPy does
OTHER_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16", "boolean": "bool"}
DTYPES = {"bool", "float16", "float32", "float64"} | {
    f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)
}


class Container(NamedTuple):
    """The kind of table that rows came in.

    Arguments:
        kind: one of `KINDS`, or "images" of an array of them.
        labels: what its columns are called, (D,): texts, whole numbers, or tuples of those; of images, the shape of
            one.
        dtypes: what it calls their types, (D,); of images, the one that they have.
    """

    kind: str
    labels: tuple[Any, ...]
    dtypes: tuple[str, ...]


def container_of(table: Any) -> Container | None:
    """The kind of a table of pandas, polars or Arrow, or of an array of images; None of whatever else holds numbers."""
    if isinstance(table, np.ndarray) and table.ndim > 2:
        return Container(IMAGES, table.shape[1:], (str(table.dtype),))
    homes = [cls.__module__.partition(".")[0] for cls in type(table).__mro__]
    kind = next((home for home in homes if home in KINDS), None)
    if kind is None:
        return None
    labels = list(table.column_names if kind == "pyarrow" else table.columns)
    dtypes = table.schema.types if kind == "pyarrow" else table.dtypes
    parts = [part for label in labels for part in (label if isinstance(label, tuple) else (label,))]
    plain = all(isinstance(part, str | int) for part in parts)
    return Container(kind, tuple(labels if plain else map(str, labels)), tuple(str(dtype) for dtype in dtypes))


def in_container(
    rows: FloatArray, columns: Columns, container: Container | None, asked: str | None, like: Any = None
) -> Any:
    """Rows as a table with the names and types of the one fitted on, or as they are.

    A value that a type cannot hold becomes the nearest that it can. Columns that are whole numbers in the table, but
    not in the model, are floats.

    Arguments:
        rows: shape (n, D); others, draws under conditions, are no table and stay an array.
        columns: of the model.
        container: what the table fitted on was; None for an array.
        asked: what `set_output` was told, one of `OUTPUTS`; None for nothing, where scikit-learn's
            `transform_output` tells, and else the table fitted on.
        like: what the rows are made of; their index is that of a table of pandas.
    """
    everywhere = sklearn.get_config()["transform_output"]
    asked = everywhere if asked is None and everywhere != "default" else asked
    kind = asked or ("default" if container is None else container.kind)
    if container is not None and container.kind == IMAGES:
        if kind in (IMAGES, "default"):
            pictures = rows.reshape(*rows.shape[:-1], *container.labels)
            return _typed(pictures, numpy_dtype(container.dtypes[0]), bool(columns.integer.all()))
        container = None
    if kind == "default" or rows.ndim != 2:
        return rows
    was = container or Container("", columns.names, ("float64",) * columns.n)
    cells = [
        _typed(rows[:, i], numpy_dtype(name), whole)
        for i, (name, whole) in enumerate(zip(was.dtypes, columns.integer.tolist(), strict=True))
    ]
    if kind == "pandas":
        own = was.dtypes if was.kind == kind else [column.dtype.name for column in cells]
        return _pandas(cells, was.labels, own, like)
    named = dict(zip(map(str, was.labels), cells, strict=True))
    return _polars(named) if kind == "polars" else _arrow(named)


def numpy_dtype(name: str) -> np.dtype[Any] | None:
    """The NumPy type of what a table calls its columns' type; None where there is none, as of decimals."""
    plain = name.lower().removesuffix("[pyarrow]")
    known = OTHER_NAMES.get(plain, plain)
    return np.dtype(known) if known in DTYPES else None


def _typed(values: FloatArray, dtype: np.dtype[Any] | None, whole: bool) -> np.ndarray:
    """A column in the type that went in, where that holds what the model draws."""
    if dtype is None or (dtype.kind != "f" and not whole):
        return values
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind == "f":
        return np.clip(values, np.finfo(dtype).min, np.finfo(dtype).max).astype(dtype)
    limits = np.iinfo(dtype)
    top = limits.max if dtype.itemsize < 8 else np.nextafter(float(limits.max), 0)  # beyond it, as a float
    return np.clip(values, limits.min, top).astype(dtype)


def _pandas(cells: list[np.ndarray], labels: Sequence[Any], dtypes: Sequence[str], like: Any) -> Any:
    import pandas as pd

    table = pd.DataFrame(dict(enumerate(cells)), index=like.index if isinstance(like, pd.DataFrame) else None)
    plain = [numpy_dtype(name) for name in dtypes]
    # types of its own, such as Int64, that hold the same numbers
    table = table.astype(
        {i: dtypes[i] for i, column in enumerate(cells) if plain[i] is not None and column.dtype == plain[i]}
    )
    table.columns = pd.Index(labels)
    return table


def _polars(columns: dict[str, np.ndarray]) -> Any:
    import polars as pl

    return pl.DataFrame(columns)


def _arrow(columns: dict[str, np.ndarray]) -> Any:
    import pyarrow as pa

    return pa.table(columns)


def in_kind(table: Any, container: Container | None, asked: str | None, like: Any = None) -> Any:
    """A table of Arrow as the kind of table fitted on, or asked for.

    Where that was an array, an array of numbers if all columns are, else of objects.

    Arguments:
        table: of columns that may be text, categories or dates.
        container: what the table fitted on was; None for an array.
        asked, like: as of `in_container`.
    """
    everywhere = sklearn.get_config()["transform_output"]
    asked = everywhere if asked is None and everywhere != "default" else asked
    kind = asked or ("default" if container is None else container.kind)
    if kind == "pyarrow":
        return table
    if kind == "polars":
        import polars as pl

        return _with_enums(pl.from_arrow(table), table, container)
    if kind != "pandas":
        if all(map(is_numeric, table.columns)):
            return np.column_stack([numbers_of(column) for column in table.columns])
        return np.array([column.to_pylist() for column in table.columns], dtype=object).T
    import pandas as pd

    made = table.to_pandas()
    if isinstance(like, pd.DataFrame) and len(like) == len(made):
        made.index = like.index
    if container is None or container.kind != "pandas":
        return made
    for label, dtype in zip(container.labels, container.dtypes, strict=True):
        name, plain = str(label), numpy_dtype(dtype)
        own = plain is None or str(plain) != dtype  # one of pandas, which may hold gaps
        if name in made.columns and str(made[name].dtype) != dtype and (own or not made[name].isna().any()):
            with contextlib.suppress(TypeError, ValueError):  # what a type cannot hold stays as it is
                made[name] = made[name].astype(dtype)
    labels = {str(label): label for label in container.labels}
    made.columns = pd.Index([labels.get(name, name) for name in made.columns])
    return made


def _with_enums(made: Any, table: Any, container: Container | None) -> Any:
    """A table of polars with its own kind of categories, which Arrow knows no name of, where the one before had it."""
    import polars as pl

    own = () if container is None else zip(container.labels, container.dtypes, strict=True)
    enums = {name for name, dtype in own if dtype.startswith("Enum(") and name in table.column_names}
    levels = {name: table.column(name).unify_dictionaries().chunk(0).dictionary.to_pylist() for name in enums}
    return made.with_columns(pl.col(name).cast(pl.Enum(levels[name])) for name in enums)
