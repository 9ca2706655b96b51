"""What an opened table is, and the error every unusable table ends in."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import pyarrow as pa

# what pandas calls a column without a name, most often the numbers of the rows, when it writes or reads a table
_UNNAMED = re.compile(r"Unnamed: \d+|__index_level_\d+__")

ReadBatches: TypeAlias = "Callable[[Sequence[str], int], Iterator[pa.RecordBatch]]"


class DataError(ValueError):
    """A table that cannot be used, said in one line: which table, what is wrong, what to do."""


def is_unnamed(column: str) -> bool:
    """Whether a column's name is what pandas puts in the place of none."""
    return _UNNAMED.fullmatch(column) is not None


class Source:
    """An opened table: its columns are known, its rows are read when asked for.

    Arguments:
        name: what messages call it.
        names: its columns, in order.
        read: `read(columns, rows)` yields record batches of at most that many rows.
        features: the columns a model uses where the user names none; all that have a name by default.
        positional: whether the column names are made up, as for arrays.
        unnamed: the columns that have no name in the file.
        shown: the columns that are written beside what a model says of rows; None for all.
        image_shape: (height, width, channels) where rows are images; else None.

    Raises:
        DataError: two columns share a name.
    """

    def __init__(
        self,
        name: str,
        names: Sequence[str],
        read: ReadBatches,
        features: Sequence[str] | None = None,
        positional: bool = False,
        unnamed: Sequence[str] = (),
        shown: Sequence[str] | None = None,
        image_shape: tuple[int, int, int] | None = None,
    ):
        self.name = name
        self.names = tuple(names)
        left = tuple(n for n in self.names if n in unnamed or is_unnamed(n))
        self.unnamed = left if len(left) < len(self.names) else ()  # where none has a name, all are data
        named = tuple(n for n in self.names if n not in self.unnamed)
        self.features = named if features is None else tuple(features)
        self.positional = positional
        self.shown = None if shown is None else tuple(shown)
        self.image_shape = image_shape
        self._read = read
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        if twice:
            raise DataError(f"{name}: two columns are named {twice[0]!r}; give every column its own name")

    def check_columns(self, columns: Sequence[str]) -> None:
        """Raise DataError for a column that is not there, naming the nearest one that is."""
        lower = {n.lower(): n for n in self.names}
        for column in columns:
            if column not in self.names:
                near = difflib.get_close_matches(column.lower(), lower, 1)
                hint = f"did you mean {lower[near[0]]!r}? " if near else ""
                raise DataError(f"{self.name}: no column {column!r}; {hint}its columns are {listing(self.names)}")

    def choose(self, columns: Sequence[str] | None, beside: Collection[str] = ()) -> tuple[str, ...]:
        """The columns asked for, or those that a model uses by default; it warns where it leaves out unnamed ones.

        Arguments:
            columns: asked for, or None.
            beside: columns that are used for something else.
        """
        if columns is not None:
            return tuple(columns)
        left = [name for name in self.unnamed if name not in beside]
        if left:
            warnings.warn(
                f"{self.name}: without a name in the table, and so left out, as an index is no measurement: "
                f"{listing(left)}; name all columns to model if it is one",
                stacklevel=3,
            )
        return tuple(name for name in self.features if name not in beside)

    def batches(self, rows: int, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The rows in their own order, in batches of exactly `rows` but for the last, read as they are consumed.

        Raises:
            DataError: the table turns out to be malformed, or a column is not there.
        """
        columns = self.names if columns is None else tuple(columns)
        self.check_columns(columns)
        return rebatch(self._guarded(columns, rows), rows)

    def _guarded(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with one_line_errors(self.name):
            yield from self._read(columns, rows)

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The whole table, or some of its columns.

        Raises:
            DataError: as `batches`; or there are no rows.
        """
        import pyarrow as pa

        columns = self.names if columns is None else tuple(columns)
        self.check_columns(columns)
        batches = [b for b in self._guarded(columns, 65_536) if b.num_rows]
        if not batches:
            raise DataError(f"{self.name}: there are no rows; check the file or the query")
        return pa.Table.from_batches(batches)


def rebatch(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Join and cut batches to one size, so that compiled programs meet few shapes; the last may be shorter."""
    import pyarrow as pa

    held: list[pa.RecordBatch] = []
    count = 0
    for batch in batches:
        held.append(batch)
        count += batch.num_rows
        if count >= rows:
            joined = pa.concat_batches(held)
            cut = count - count % rows
            for start in range(0, cut, rows):
                yield joined.slice(start, rows)
            held, count = [joined.slice(cut)], count - cut
    if count:
        yield pa.concat_batches(held)


@contextmanager
def one_line_errors(name: str, explain: Callable[[str], str] | None = None) -> Iterator[None]:
    """Turn what DuckDB and Arrow raise into a DataError of one line.

    Arguments:
        name: what messages call the table.
        explain: makes the message out of the first line of what they say.
    """
    import duckdb
    import pyarrow as pa

    try:
        yield
    except DataError:
        raise
    except (duckdb.Error, pa.ArrowException, OSError) as error:
        says = first_line(error)
        raise DataError(f"{name}: {explain(says) if explain else says}") from error


def first_line(error: BaseException) -> str:
    """What an error says, without the advice and the quoted source that follow its first line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    first = lines[0].removeprefix("Invalid Input Error: ")
    if first.startswith("CSV Error on Line:"):  # what is wrong follows on a line of its own
        rest = [line for line in lines[1:] if not line.startswith("Original Line")]
        first = f"{first}: {rest[0]}" if rest else first
    return first.rstrip(".")


def listing(names: Sequence[str], most: int = 8) -> str:
    """Names for a message, cut off where there are many."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names)} in all)"
