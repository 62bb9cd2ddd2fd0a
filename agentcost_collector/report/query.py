"""Runs what a user asks: one SELECT, answered as Arrow or written to a file."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from agentcost_collector.model.errors import ConfigError, CorruptionError

MEMORY_LIMIT = "2GiB"
"""That a connection for queries may take."""

_BATCH_ROWS = 10_000


def select(
    connection: duckdb.DuckDBPyConnection,
    query: str,
    timeout_s: float | None = None,
    rows_max: int | None = None,
) -> pa.RecordBatchReader:
    """The rows of `query`, streamed. Sums of integers come as DECIMAL(38,0), exact.

    Raises ConfigError with DuckDB's own words where it is not exactly one SELECT or cannot be
    answered, changes anything, takes longer than `timeout_s` seconds or has more than `rows_max`
    rows; that may also be while reading.
    """
    watch = _Watch(connection, timeout_s, rows_max)
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError("the query must be exactly one SELECT statement")
        _leave_transaction(connection)
        connection.execute("BEGIN TRANSACTION READ ONLY")  # a SELECT may hold an INSERT
        reader = connection.sql(query).to_arrow_reader(_BATCH_ROWS)
    except duckdb.Error as error:
        raise watch.refusal(error) from error
    return pa.RecordBatchReader.from_batches(reader.schema, _batches(reader, watch))


def hold(connection: duckdb.DuckDBPyConnection, name: str, query: str) -> None:
    """Makes the rows of our own `query` a temporary table of the connection, in place of one of
    that name. CorruptionError where a data file cannot be read."""
    _leave_transaction(connection)
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {query}")
    except duckdb.Error as error:
        raise CorruptionError(f"the ledger cannot be read: {sentence(error)}") from error


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


def _leave_transaction(connection: duckdb.DuckDBPyConnection) -> None:
    """That of a query before, which may not have been read to its end."""
    with contextlib.suppress(duckdb.Error):
        connection.rollback()


class _Watch:
    """Time and rows that one query may take."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, timeout_s: float | None, rows_max: int | None
    ) -> None:
        self._connection = connection
        self._timeout_s = timeout_s
        self._rows_max = rows_max
        self._rows = 0
        self._is_over = False
        self._timer = threading.Timer(timeout_s or 0, self._interrupt)
        self._timer.daemon = True
        if timeout_s:
            self._timer.start()

    def count(self, rows: int) -> None:
        """Takes note of so many more rows. Raises ConfigError where that is too much."""
        self._rows += rows
        if self._rows_max is not None and self._rows > self._rows_max:
            raise ConfigError(
                f"the answer has more than {self._rows_max} rows; ask for less, or allow more"
            )
        if self._is_over:
            raise self._too_long()

    def refusal(self, error: Exception) -> ConfigError:
        """What to tell of an error, which may be our own interruption."""
        self.end()
        if self._is_over:
            return self._too_long()
        if "Out of Memory" in str(error):
            return ConfigError(
                f"the query needs more than {MEMORY_LIMIT} of memory; ask for fewer days or"
                " columns, or run `agentcost rollup` first where it reads `days` or `hours`"
            )
        return ConfigError(sentence(error))

    def end(self) -> None:
        """The query is over."""
        self._timer.cancel()

    def _interrupt(self) -> None:
        self._is_over = True
        self._connection.interrupt()

    def _too_long(self) -> ConfigError:
        return ConfigError(
            f"the query took longer than {self._timeout_s:g} seconds; ask for less, or allow more"
        )


def _batches(reader: pa.RecordBatchReader, watch: _Watch) -> Iterator[pa.RecordBatch]:
    try:
        for batch in reader:
            watch.count(batch.num_rows)
            yield batch
    except OSError as error:  # how Arrow hands on an error of DuckDB
        raise watch.refusal(error) from error
    finally:
        watch.end()
