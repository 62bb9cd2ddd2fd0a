"""Runs what a user asks: one SELECT, answered as Arrow or written to a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from agentcost_collector.model.errors import ConfigError

_BATCH_ROWS = 10_000


def select(connection: duckdb.DuckDBPyConnection, query: str) -> pa.RecordBatchReader:
    """The rows of `query`, streamed. Sums of integers come as DECIMAL(38,0), exact.

    Raises ConfigError with DuckDB's own words where it is not exactly one SELECT or cannot be
    answered; that may also be while reading.
    """
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError("the query must be exactly one SELECT statement")
        reader = connection.sql(query).to_arrow_reader(_BATCH_ROWS)
    except duckdb.Error as error:
        raise ConfigError(sentence(error)) from error
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(reader))


def write_parquet(rows: pa.RecordBatchReader, path: Path) -> None:
    """All rows as one Parquet file, types as they are. Needs memory for all of them. Raises
    OSError where it cannot be written."""
    table = rows.read_all()
    try:
        with duckdb.connect(":memory:") as connection:
            connection.from_arrow(table).write_parquet(str(path), compression="zstd")
    except duckdb.Error as error:
        raise OSError(sentence(error)) from error


def sentence(error: Exception) -> str:
    """What DuckDB says, without the excerpt of the query, which the user has before them."""
    message = str(error).split("\n\nLINE ")[0]
    return " ".join(message.split())


def _batches(reader: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
    try:
        yield from reader
    except OSError as error:  # how Arrow hands on an error of DuckDB
        raise ConfigError(sentence(error)) from error
