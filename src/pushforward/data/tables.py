"""Tables of numbers from files and SQL queries: whole or streamed, checked, hashed."""

from __future__ import annotations

import hashlib
import os
import re
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float

from pushforward.data.pipes import is_pipe, name_of, spool
from pushforward.data.sources import DataError, Source, listing

if TYPE_CHECKING:
    import pyarrow as pa

_QUERY = re.compile(r"\s*\(?\s*(select|with|from)[\s'(*]", re.IGNORECASE)
_MISSING = ["", "NA", "N/A", "n/a", "NULL", "null", "None", "?"]
WORDS = {"true": True, "yes": True, "t": True, "y": True, "1": True}
WORDS |= {"false": False, "no": False, "f": False, "n": False, "0": False}
# Without leading zeros: 00123 is a code, not a number.
NUMBER = r"^[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?([nN][aA][nN]|[iI][nN][fF](inity)?)$"


@dataclass(frozen=True)
class Table:
    """Columns of finite numbers.

    Arguments:
        names: one name a column.
        values: float64, shape (n, d).
        dropped: how many rows were left out for missing or infinite cells.
    """

    names: tuple[str, ...]
    values: Float[np.ndarray, "n d"]
    dropped: int = 0


def open_source(source: str | os.PathLike[str] | pa.Table | pa.RecordBatch) -> Source:
    """Open a table: CSV, Parquet, JSON lines, Arrow, .npy, .npz, a folder of pictures, SQL, or Arrow in memory.

    Nothing in a file is ever run: no pickles, no extensions, no network. CSV and JSON may be compressed, ending in .gz
    or .zst. What can be read only once, `-` for standard input and named pipes, lies in a temporary file as long as the
    source lives; its first bytes tell its kind.

    Arguments:
        source: a path (`*` stands for several files of one table, a folder for the PNG and JPEG files in it), `-`, a
            query that starts with SELECT, WITH or FROM, or an Arrow table or record batch.

    Raises:
        DataError: the file is missing, empty, malformed or of an unknown kind, or the query fails.

    Example:
        >>> from pushforward.data import open_source
        >>> open_source("SELECT 1.5 AS width, 'a' AS name").names
        ('width', 'name')
    """
    if not isinstance(source, str | os.PathLike):
        return _open_arrow(source)
    from pushforward.data.duck import open_query

    text = os.fspath(source)
    if _QUERY.match(text) and not os.path.exists(text):
        return open_query(text)
    return _open_pipe(text) if is_pipe(text) else _open_path(text)


def read_table(
    source: str | os.PathLike[str] | pa.Table | pa.RecordBatch,
    columns: Sequence[str] | None = None,
    drop_missing: bool = False,
) -> Table:
    """Read columns of numbers.

    Arguments:
        source: as for `open_source`.
        columns: the columns to read, in the order wanted; by default all (of a .npz, those of X).
        drop_missing: leave out the rows with a missing or infinite cell instead of raising.

    Raises:
        DataError: as `open_source`; or there are no rows, a column is unknown or holds no numbers, or a cell is
            missing or infinite.

    Example:
        >>> from pushforward.data import read_table
        >>> read_table("SELECT 1 AS a, 2.5 AS b", columns=["b"]).values.tolist()
        [[2.5]]
    """
    opened = open_source(source)
    names = opened.choose(columns)
    values = to_numbers(opened.read(names), names, opened.name)
    check_filled(values, names, opened.name)
    keep = finite_rows(values, names, opened.name, drop_missing)
    return Table(names, values[keep], int((~keep).sum()))


def iter_batches(source: str | os.PathLike[str], rows: int = 65_536) -> Iterator[pa.RecordBatch]:
    """Stream all columns of a table in its own row order, in Arrow record batches of `rows` rows.

    Raises:
        DataError: as `open_source`, or a malformed row is met on the way.

    Example:
        >>> from pushforward.data import iter_batches
        >>> [batch.num_rows for batch in iter_batches("SELECT range AS i FROM range(5)", 2)]
        [2, 2, 1]
    """
    return open_source(source).batches(rows)


def to_numbers(
    batch: pa.Table | pa.RecordBatch, columns: Sequence[str], name: str, beside: Sequence[str] = ()
) -> Float[np.ndarray, "n d"]:
    """Columns of an Arrow table as float64, NaN where a cell is missing.

    Whole numbers, decimals and truth values are numbers, yes and no, in whatever case, as well; so is text of which
    every cell is a number or a mark for a missing one (NA, null, ?).

    Arguments:
        name: what messages call the table.
        beside: those of the columns that are read for another use than `columns=`, which advice leaves alone.

    Raises:
        DataError: a column holds something else; the message says what, and what to do with it.
    """
    out = np.empty((batch.num_rows, len(columns)))
    refused: list[str] = []
    usable: list[str] = []
    for i, column in enumerate(columns):
        values = batch.column(batch.schema.get_field_index(column))
        numbers = _numbers(values)
        if numbers is None:
            refused.append(f"{column!r} {_holds(values)}")
        else:
            usable.append(column)
            out[:, i] = numbers
    if refused:
        leave = leaving_out(usable, beside)
        raise DataError(
            f"{name}: not numbers: {listing(refused, 4)}; {leave and f'{leave}, or '}"
            "turn into numbers in a SQL query (a category as one 0/1 column for each value)"
        )
    return out


def finite_rows(
    values: Float[np.ndarray, "n d"], columns: Sequence[str], name: str, drop_missing: bool = False
) -> Bool[np.ndarray, " n"]:
    """Which rows are complete.

    Raises:
        DataError: some are not and `drop_missing` is off, or none is.
    """
    bad = ~np.isfinite(values)
    incomplete = bad.any(axis=1)
    if incomplete.any() and not drop_missing:
        bad_rows = f"{incomplete.sum()} of {len(values)} rows in all"
        counts = [f"{c} ({k} row{'' if k == 1 else 's'})" for c, k in zip(columns, bad.sum(axis=0), strict=True) if k]
        raise DataError(
            f"{name}: missing or infinite values in {listing(counts)}, {bad_rows}; "
            "leave these rows out with drop_missing=True, or fill them in"
        )
    if len(values) and incomplete.all():
        raise DataError(f"{name}: every row has a missing or infinite value; use fewer columns, or fill them in")
    keep: Bool[np.ndarray, " n"] = ~incomplete
    return keep


def check_filled(
    values: Float[np.ndarray, "n d"], columns: Sequence[str], name: str, beside: Sequence[str] = ()
) -> None:
    """Refuse columns without any value, for which no row could be kept.

    Arguments:
        values: of the columns, at least one row.
        columns: their names.
        name: what messages call the table.
        beside: those of the columns that are read for another use than `columns=`, which advice leaves alone.

    Raises:
        DataError: there are some, beside others that have values.
    """
    empty = ~np.isfinite(values).any(axis=0)
    if empty.any() and not empty.all():
        listed = listing([repr(c) for c, e in zip(columns, empty, strict=True) if e])
        leave = leaving_out([c for c, e in zip(columns, empty, strict=True) if not e], beside)
        raise DataError(f"{name}: no row has a value in {listed}; {leave or 'use other columns'}")


def leaving_out(others: Sequence[str], beside: Sequence[str] = ()) -> str:
    """Advice to go on with other columns, in full, so that it can be copied; empty where there are none.

    Arguments:
        others: columns that can be used.
        beside: those of them that are used for something else than `columns=`.
    """
    rest = [column for column in others if column not in beside]
    return f"leave out with columns=[{', '.join(map(repr, rest))}]" if rest else ""


def content_hash(*parts: np.ndarray | Sequence[str] | None) -> str:
    """A hash of arrays and names, the same on every machine, to tell whether data has changed.

    Example:
        >>> import numpy as np
        >>> from pushforward.data import content_hash
        >>> content_hash(np.ones(2), ("a",)) == content_hash(np.ones(2), ("b",))
        False
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray) and part.dtype.kind in "buif":
            little = np.ascontiguousarray(part, dtype=part.dtype.newbyteorder("<"))
            digest.update(f"{little.dtype.str}{little.shape}".encode())
            digest.update(little.data)
        else:
            digest.update(repr(None if part is None else [str(item) for item in part]).encode())
    return digest.hexdigest()


def _open_path(path: str, name: str | None = None) -> Source:
    """A file by its ending, called by another name if one is given."""
    from pushforward.data.arrays import open_array
    from pushforward.data.arrow import SUFFIXES, open_arrow_file
    from pushforward.data.duck import open_file
    from pushforward.data.images import open_images

    if os.path.isdir(path):
        return open_images(path)
    if path.lower().endswith(SUFFIXES):
        return open_arrow_file(path, name)
    return (open_array if path.lower().endswith((".npy", ".npz")) else open_file)(path, name)


def _open_pipe(path: str) -> Source:
    """A pipe, copied to a temporary file that goes with the source, or at the end of the program."""
    file = spool(path)
    try:
        source = _open_path(str(file), name_of(path))
    except BaseException:
        file.unlink()
        raise
    weakref.finalize(source, file.unlink, missing_ok=True)
    return source


def _open_arrow(table: pa.Table | pa.RecordBatch) -> Source:
    """An Arrow table in memory."""

    def read(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        whole = pa.Table.from_batches([table]) if isinstance(table, pa.RecordBatch) else table
        yield from whole.select(list(columns)).to_batches(max_chunksize=rows)

    return Source("the table", table.schema.names, read)


def _numbers(values: pa.ChunkedArray | pa.Array) -> Float[np.ndarray, " n"] | None:
    """Values as float64, or None where they are not numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    types, kind = pa.types, values.type
    if types.is_string(kind) or types.is_large_string(kind):
        text = pc.utf8_trim_whitespace(values)
        text = pc.if_else(pc.is_in(text, value_set=pa.array(_MISSING, kind)), pa.scalar(None, kind), text)
        words = pc.index_in(pc.utf8_lower(text), value_set=pa.array([*WORDS], kind))
        if pc.all(pc.match_substring_regex(text, NUMBER), min_count=0).as_py():
            values = pc.cast(pc.utf8_ltrim(text, "+"), pa.float64())
        elif words.null_count == text.null_count:
            values = pc.take(pa.array([float(true) for true in WORDS.values()]), words)
        else:
            return None
    elif types.is_boolean(kind):
        values = pc.cast(values, pa.uint8())
    elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind)):
        return None
    numbers = pc.cast(values, pa.float64(), safe=False)
    result: Float[np.ndarray, " n"] = np.asarray(numbers.to_numpy(zero_copy_only=False), dtype=np.float64)
    return result


def _holds(values: pa.ChunkedArray | pa.Array) -> str:
    """What a column that is not numbers holds, for a message."""
    import pyarrow as pa

    kind = values.type
    if pa.types.is_dictionary(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        what = "holds categories" if pa.types.is_dictionary(kind) else "holds text"
    elif pa.types.is_temporal(kind):
        what = "holds dates or times"
    else:
        what = f"holds {kind}"
    example = next((v for v in values[:1000].to_pylist() if v is not None and _not_number(v)), None)
    return what if example is None else f"{what} (such as {str(example)[:30]!r})"


def _not_number(value: object) -> bool:
    return not (isinstance(value, str) and (re.match(NUMBER, value.strip()) or value.strip() in _MISSING))
