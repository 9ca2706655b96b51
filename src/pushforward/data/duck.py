"""Files and SQL queries, read through DuckDB."""

from __future__ import annotations

import csv
import glob
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pushforward.data.pipes import is_pipe, unpacked
from pushforward.data.sources import DataError, Source, first_line, listing, one_line_errors

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_READERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".data": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "json",
}
_CALLS = {
    # The whole file is sampled for its types: from a part of it DuckDB takes a column for whole numbers and
    # then rounds a 1.5 that comes later. `skip=0` keeps it from skipping rows that do not fit.
    "csv": "read_csv(?, delim=?, sample_size=-1, skip=0, quote='\"', escape='\"', comment='', strict_mode=true)",
    "parquet": "read_parquet(?, hive_partitioning=false)",
    "lines": "read_json(?, sample_size=-1, format='newline_delimited')",
    "json": "read_json(?, sample_size=-1)",
}
_QUOTED = re.compile(r"""['"]([^'"]+)['"]""")  # files, among others
_KINDS = {"csv": "CSV", "parquet": "Parquet", "lines": "JSON lines", "json": "JSON"}

_CLOSED: dict[str, Any] = {  # of a database that loads nothing and sees no variable of this program
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
    "python_enable_replacements": "false",
}


def connect() -> duckdb.DuckDBPyConnection:
    """A private in-memory DuckDB that loads no extension, opens no network and sees no variable of this program."""
    import duckdb

    connection = duckdb.connect(
        config=_CLOSED
        | {
            "memory_limit": "50%",
            "temp_directory": os.path.join(tempfile.gettempdir(), f"pushforward-{os.getpid()}"),
        }
    )
    connection.execute("SET enable_progress_bar = false")  # it would print between the results
    connection.execute("SET lock_configuration = true")  # a query may not undo any of this
    return connection


def rows_where(table: pa.Table, where: str) -> NDArray[np.intp]:
    """The numbers of the rows of a table that keep to a rule, ascending.

    Arguments:
        table: in memory.
        where: an expression of SQL, as DuckDB reads what follows WHERE; it can read no file and be no statement.

    Raises:
        DataError: it is no such expression, or names a column that is not there.

    Example:
        >>> import pyarrow as pa
        >>> from pushforward.data.duck import rows_where
        >>> rows_where(pa.table({"age": [20, 10, None]}), "age >= 18 AND age < 65").tolist()
        [0]
    """
    import duckdb

    number, folded = "row_number", [name.casefold() for name in table.column_names]
    alike = [name for name, low in zip(table.column_names, folded, strict=True) if folded.count(low) > 1]
    if alike:  # which SQL does not tell apart
        raise DataError(f"where= does not tell the columns {listing(alike)} apart; give them names that differ by more")
    while number in folded:
        number += "_"
    connection = duckdb.connect(config=_CLOSED | {"enable_external_access": "false", "lock_configuration": "true"})
    try:
        numbered = connection.from_arrow(table.append_column(number, [np.arange(len(table))]))
        kept = numbered.filter(where).project(quoted(number)).to_arrow_table().column(0)
    except duckdb.Error as error:
        raise DataError(
            f"where={where!r}: {first_line(error)}; it is a condition in SQL as DuckDB reads it, and the columns are "
            f"{listing(table.column_names)}"
        ) from error
    return np.sort(np.asarray(kept, dtype=np.intp))


def open_query(query: str) -> Source:
    """The result of one SELECT.

    Raises:
        DataError: the query does not parse, is not one SELECT, reads a pipe, or cannot be planned.
    """
    import duckdb

    name = "the query"
    try:
        statements = duckdb.extract_statements(query)
    except duckdb.Error as error:
        raise DataError(f"{name}: {first_line(error)}; it is SQL as DuckDB reads it") from error
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise DataError(f"{name}: give one SELECT; DATA is only ever read")
    pipes = [path for path in _QUOTED.findall(query) if path != "-" and is_pipe(path)]
    if pipes:
        raise DataError(
            f"{name}: {pipes[0]} can be read only once, and a query reads more often; write it to a file and name that "
            "one, or give it as DATA without a query (- is standard input)"
        )
    with one_line_errors(name):
        names = connect().sql(query).columns
    return _source(name, query, [], names)


def open_file(path: str, name: str | None = None) -> Source:
    """A file, or several files of one table where the path holds a `*`.

    Arguments:
        name: what messages call it; the path if None.

    Raises:
        DataError: the file is missing, empty, malformed or of an unknown kind.
    """
    name = path if name is None else name
    files = [path] if os.path.exists(path) else sorted(glob.glob(path, recursive=True))
    if not files:
        raise DataError(f"{path}: no such file; DATA is a file, or a SQL query that starts with SELECT, WITH or FROM")
    for file in files:
        _check_file(file)
    reader = _reader(files[0])
    arguments: list[Any] = [[glob.escape(file) for file in files]]
    if reader == "csv":
        try:
            arguments.append(_delimiter(files[0]))
        except (OSError, EOFError) as error:
            raise DataError(f"{name}: cannot be read: {error}") from error

    def explain(says: str) -> str:
        where = next(filter(None, map(_first_ragged_line, files)), "") if reader == "csv" else ""
        if not where and says.startswith("Error when sniffing"):
            says = "its rows do not fit together; look for a quote that is never closed"
        return f"not a well-formed {_KINDS[reader]} file: {where or says}"

    query = f"SELECT * FROM {_CALLS[reader]}"
    with one_line_errors(name, explain):
        plan = connect().sql(query, params=arguments)
        query = _as_spelled(query, arguments, plan) if reader == "csv" else query
    return _source(name, query, arguments, plan.columns, explain, _header(files[0]) if reader == "csv" else ())


def _as_spelled(query: str, arguments: Sequence[Any], plan: duckdb.DuckDBPyRelation) -> str:
    """A query of CSV that gives Yes and No, T and F, True and False as the texts that they are.

    DuckDB takes them all for truth values, which are written true and false; columns of these words stay so.

    Arguments:
        query: of `_CALLS`.
        arguments: of the query.
        plan: what it was planned as.
    """

    def with_texts(columns: Sequence[str]) -> str:
        types = ", ".join(quoted(column, "'") + ": 'VARCHAR'" for column in columns)
        return f"{query.removesuffix(')')}, types={{{types}}})" if columns else query

    truths = [column for column, kind in zip(plan.columns, plan.types, strict=True) if str(kind) == "BOOLEAN"]
    if not truths:
        return query
    plainly = ", ".join(f"bool_and({quoted(column)} IN ('true', 'false'))" for column in truths)
    spelled = connect().sql(with_texts(truths), params=list(arguments)).project(plainly).fetchall()[0]
    return with_texts([column for column, plain in zip(truths, spelled, strict=True) if plain is False])


def _check_file(path: str) -> None:
    if os.path.isdir(path):
        raise DataError(f"{path}: is a folder; name a file in it, or several as {os.path.join(path, '*.parquet')}")
    try:
        with open(path, "rb") as file:
            start = file.read(1)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error
    if not start:
        raise DataError(f"{path}: the file is empty; check how it was written")


def _reader(path: str) -> str:
    stem = path.lower().removesuffix(".gz").removesuffix(".zst")
    suffix = os.path.splitext(stem)[1]
    if suffix not in _READERS:
        raise DataError(
            f"{path}: unknown kind of file {suffix or '(no suffix)'!r}; expected {', '.join(_READERS)}, .arrow, "
            ".npy or .npz"
        )
    return _READERS[suffix]


def _source(
    name: str,
    query: str,
    arguments: Sequence[Any],
    names: Sequence[str],
    explain: Callable[[str], str] | None = None,
    header: Sequence[str] = (),
) -> Source:
    """What a query gives; each reading runs it anew on its own connection.

    Arguments:
        names: of its columns.
        header: the fields of a file's first line, to tell which columns DuckDB made up names for.
    """

    def read(columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        with one_line_errors(name, explain):
            relation = connect().sql(query, params=list(arguments))
            yield from relation.project(", ".join(map(quoted, columns))).to_arrow_reader(rows)

    has_names = len(header) == len(names) and all(h in ("", n) for h, n in zip(header, names, strict=True))
    unnamed = [n for h, n in zip(header, names, strict=True) if not h] if has_names else []
    return Source(name, names, read, unnamed=unnamed)


def quoted(text: str, mark: str = '"') -> str:
    """The name of a column as SQL takes it; with another mark a text."""
    return mark + text.replace(mark, 2 * mark) + mark


def _header(path: str) -> list[str]:
    """The fields of the first line that is not blank; none if there is no such line."""
    try:
        with _text(path) as file:
            rows = csv.reader(file, delimiter=_delimiter(path))
            return [field.strip() for field in next(row for row in rows if row)]
    except (OSError, EOFError, csv.Error, StopIteration):
        return []


def _text(path: str) -> TextIOWrapper:
    return TextIOWrapper(unpacked(path), encoding="utf-8-sig", errors="replace", newline="")


def _delimiter(path: str) -> str:
    """The delimiter that the first line uses most; DuckDB's own guess can turn a torn file into one column."""
    with _text(path) as file:
        line = re.sub(r'"[^"]*"', "", file.readline(1_000_000))
    counts = {mark: line.count(mark) for mark in (",", "\t", ";", "|", " ")}
    if any(counts[mark] for mark in (",", "\t", ";", "|")):
        counts[" "] = 0  # "weight (kg), height (cm)" is not delimited by spaces
    best = max(counts, key=lambda mark: counts[mark])
    return best if counts[best] else ","


def _first_ragged_line(path: str) -> str:
    """Where the number of fields first changes, for the message; empty if nowhere."""
    try:
        with _text(path) as file:
            rows = csv.reader(file, delimiter=_delimiter(path))
            width = len(next(rows))
            for row in rows:
                if row and len(row) != width:
                    return f"line {rows.line_num} has {len(row)} fields where line 1 has {width}; mend or remove it"
    except (OSError, EOFError, csv.Error, StopIteration):
        return ""
    return ""
