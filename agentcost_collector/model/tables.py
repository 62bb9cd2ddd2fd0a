"""Small helpers for Arrow tables that keep to a schema."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa


def empty(schema: pa.Schema) -> pa.Table:
    """A table of `schema` without rows."""
    return schema.empty_table()


def concat(tables: Iterable[pa.Table], schema: pa.Schema) -> pa.Table:
    """One table of `schema`, one chunk per column, dictionaries unified; rows in given order."""
    parts = [t for t in tables if t.num_rows]
    if not parts:
        return schema.empty_table()
    if len(parts) == 1:
        return conform(parts[0], schema)
    return (
        pa.concat_tables([conform(t, schema) for t in parts]).unify_dictionaries().combine_chunks()
    )


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """`table` with exactly the columns and types of `schema`; missing columns become NULL.

    Raises pa.ArrowInvalid where a value does not fit the type: never a silent change.
    """
    if table.schema.equals(schema):
        return table if all(c.num_chunks == 1 for c in table.columns) else table.combine_chunks()
    columns = []
    for field in schema:
        if field.name in table.schema.names:
            columns.append(_cast(table.column(field.name), field.type))
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.table(columns, schema=schema).combine_chunks()


def codes(column: pa.ChunkedArray | pa.Array) -> pa.DictionaryArray:
    """`column` as one dictionary array: small integer codes and the distinct values."""
    if isinstance(column, pa.ChunkedArray):
        column = column.unify_dictionaries().combine_chunks()
    if isinstance(column, pa.ChunkedArray):  # no chunks at all
        column = pa.array([], type=column.type)
    return column if pa.types.is_dictionary(column.type) else column.dictionary_encode()


def coded_at(values: pa.Array, at: pa.Array) -> pa.DictionaryArray:
    """`values` at the rows `at` as one dictionary array; NULL where the row or the value is."""
    few = codes(values)
    return pa.DictionaryArray.from_arrays(few.indices.take(at), few.dictionary)


def _cast(column: pa.ChunkedArray, to: pa.DataType) -> pa.ChunkedArray:
    if column.type == to:
        return column
    if pa.types.is_dictionary(to) and not pa.types.is_dictionary(column.type):
        return column.cast(to.value_type).dictionary_encode()
    return column.cast(to)
