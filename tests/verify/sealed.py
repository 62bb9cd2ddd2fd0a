"""A small sealed ledger, ways to tamper with it, and DuckDB running docs/audit.sql."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.layout import short
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from tests.ledger.tables import DAY, NOW, entries_table, entry, span, spans_table

JOURNAL = "journal-1"
NAME = short(JOURNAL)
BATCHES = 3
SQL = Path(__file__).parents[2] / "docs" / "audit.sql"


def fill(ledger: Path, batches: int = BATCHES, first: int = 1, journal: str = JOURNAL) -> None:
    """Some batches of twelve entries of three days and two environments; odd texts among them."""
    with Ledger.open(ledger, journal, Config()) as writer:
        for batch in range(first, first + batches):
            traces = [batch * 100 + n for n in range(4)]
            spans = spans_table([span(t, n) for t in traces for n in range(3)])
            entries = [
                entry(
                    t,
                    n,
                    cost=None if n == 2 else Decimal(t) / 10**9 * (1 - 2 * n),
                    date=date(2026, 5, 25 + t % 3),
                    environment=("prod", "staging")[n % 2],
                    name="a\tb\\N\n\\" if n == 1 else f"name {n}",
                    labels='{"é":"\U0001f600"}' if n == 0 else None,
                )
                for t in traces
                for n in range(3)
            ]
            writer.commit(spans, entries_table(entries), {"position": batch}, NOW + batch * DAY)


def ledger_files(ledger: Path) -> list[str]:
    """Live data files of the entries."""
    return LedgerReader(ledger).snapshot().ledger_files


def file_of(ledger: Path, batch: int, rows_min: int = 2) -> Path:
    """A data file of a batch with that many entries at least."""
    files = [f for f in map(Path, ledger_files(ledger)) if f"-{batch:010d}-" in f.name]
    return next(f for f in files if pq.read_metadata(f).num_rows >= rows_min)


def rewrite(file: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Writes a data file anew with other rows, as somebody with a Parquet library would."""
    pq.write_table(change(pq.ParquetFile(file).read()), file)


def with_column(rows: pa.Table, name: str, values: list[object]) -> pa.Table:
    """`rows` with other values in one column."""
    at = rows.schema.get_field_index(name)
    return rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type))


def audited(ledger: Path) -> dict[tuple[str, int], bool]:
    """What docs/audit.sql says of each batch."""
    with duckdb.connect() as connection:
        connection.execute(f"SET VARIABLE ledger = '{ledger}'")
        connection.execute(f"SET VARIABLE entries = {ledger_files(ledger)}")
        statements = duckdb.extract_statements(SQL.read_text())
        for statement in statements:
            found = connection.execute(statement)
        return {(journal, batch): ok for journal, batch, _, _, ok in found.fetchall()}
