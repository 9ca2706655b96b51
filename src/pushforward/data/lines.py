"""Rows as JSON lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pushforward.data.duck import connect, quoted

if TYPE_CHECKING:
    import pyarrow as pa


class LinesWriter:
    """Writes record batches as JSON lines, an object a row: what is no finite number is null, as JSON knows none.

    Arguments:
        stream: to write to.
        schema: of every batch.
    """

    def __init__(self, stream: Any, schema: pa.Schema):
        pairs = ", ".join(f"{quoted(name, chr(39))}, {quoted(name)}" for name in schema.names)
        self._query = f"SELECT json_object({pairs})::VARCHAR FROM rows"
        self._stream, self._connection = stream, connect()

    def write_batch(self, batch: pa.RecordBatch) -> None:
        """Append rows."""
        import pyarrow as pa

        columns = [_finite(column) for column in batch.columns]
        self._connection.register("rows", pa.table(columns, names=batch.schema.names))
        lines = self._connection.execute(self._query).fetchall()
        self._stream.write("".join(f"{line}\n" for (line,) in lines).encode())

    def close(self) -> None:
        """The stream is left to who opened it."""
        self._connection.close()


def _finite(values: pa.Array) -> pa.Array:
    """Null in the place of NaN and infinities, also within lists and structs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_floating(values.type):
        return pc.if_else(pc.is_finite(values), values, None)
    if pa.types.is_nested(values.type):
        return pa.array([_plain(value) for value in values.to_pylist()], values.type)
    return values


def _plain(value: Any) -> Any:
    """A Python value with None in the place of NaN and infinities."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return None if isinstance(value, float) and value - value != 0 else value
