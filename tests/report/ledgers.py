"""Ledgers made by hand for the tests: Delta tables as any writer would leave them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from agentcost_collector.model.schemas import ENTRIES, SIGNED, SPANS

START_NS = 1_772_366_400_000_000_000  # NOON
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)

STEP: dict[str, Any] = {
    "trace_id": "a" * 32,
    "span_id": "1" * 16,
    "step_id": "s1",
    "kind": "llm",
    "name": "chat",
    "started_at": NOON,
    "ended_at": NOON,
    "duration_ms": Decimal("12.500"),
    "status": "ok",
    "feature": "search",
    "feature_from": "span",
    "team": "core",
    "tenant": "acme",
    "environment": "production",
    "model": "gpt-4o",
    "input_tokens": 100,
    "output_tokens": 10,
    "cost_usd": Decimal("0.000350000000"),
    "input_cost_usd": Decimal("0.000250000000"),
    "output_cost_usd": Decimal("0.000100000000"),
    "cost_status": "priced",
    "rate_id": "gpt-4o@2024-10-01",
    "date": date(2026, 3, 1),
}


def booked(batch_seq: int = 1, **changes: Any) -> dict[str, Any]:
    """An entry: STEP with `changes`."""
    booking = {
        "sign": 1,
        "entry_reason": "first",
        "booked_at": NOON,
        "journal": "000000000001",
        "batch_seq": batch_seq,
        "row_no": 0,
    }
    return {**STEP, **booking, **changes}


def reversed_of(entry: Mapping[str, Any], batch_seq: int) -> dict[str, Any]:
    """The reversal of an entry."""
    negated = {k: _negated(entry[k]) for k in SIGNED if entry.get(k) is not None}
    return {**entry, **negated, "sign": -1, "entry_reason": "late", "batch_seq": batch_seq}


def write_ledger(data: Path, batches: Iterable[Iterable[Mapping[str, Any]]]) -> None:
    """One commit per batch of entries."""
    for batch in batches:
        rows = [{name: row.get(name) for name in ENTRIES.names} for row in batch]
        _append(data, "ledger", pa.Table.from_pylist(rows, schema=ENTRIES))


def write_spans(data: Path, spans: Iterable[Mapping[str, Any]]) -> None:
    """One commit of evidence."""
    usual = {
        "start_ns": START_NS,
        "end_ns": START_NS + 10**9,
        "name": "chat",
        "attributes": [],
        "links": [],
    }
    columns = [(f.name, _plain(f.type)) for f in SPANS]
    schema = pa.schema([*columns, ("environment", pa.string()), ("date", pa.date32())])
    rows = [{"environment": "none", "date": STEP["date"], **usual, **span} for span in spans]
    _append(data, "spans", pa.Table.from_pylist(rows, schema=schema))


def _negated(value: int | Decimal) -> int | Decimal:
    return value.copy_negate() if isinstance(value, Decimal) else -value  # "-" would round


def _plain(of_type: pa.DataType) -> pa.DataType:
    return of_type.value_type if pa.types.is_dictionary(of_type) else of_type


def _append(data: Path, name: str, table: pa.Table) -> None:
    folder = (data / "ledger" / name).absolute().as_uri()
    write_deltalake(folder, table, mode="append", partition_by=["environment", "date"])
