"""Small SPANS and ENTRIES tables for the tests of the ledger."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa

from agentcost_collector.model.schemas import ENTRIES, SPANS
from agentcost_collector.model.tables import conform

DAY = 86_400 * 10**9
NOW = 1_780_000_000 * 10**9  # 2026-05-28T20:26:40Z
START = NOW - 3600 * 10**9


def trace_id(n: int) -> str:
    return f"{n * 0x9E3779B97F4A7C15 % 2**128:032x}"


def span(trace: int, number: int = 0, start_ns: int = START, **values) -> dict:
    environment = values.pop("environment", "prod")
    resource = {"deployment.environment.name": environment, "service.name": "s"}
    return {
        "trace_id": trace_id(trace),
        "span_id": f"{trace * 1000 + number:016x}",
        "name": f"span {number}",
        "kind": 1,
        "start_ns": start_ns,
        "end_ns": start_ns + 10**9,
        "scope_name": "scope",
        "resource": json.dumps(resource),
        "attributes": [("gen_ai.request.model", "m"), ("number", str(number))],
        "received_at_ns": start_ns + 2 * 10**9,
        **values,
    }


def entry(trace: int, number: int = 0, cost: Decimal | None = Decimal("0.1"), **values) -> dict:
    return {
        "trace_id": trace_id(trace),
        "span_id": f"{trace * 1000 + number:016x}",
        "step_id": f"{trace}/{number}",
        "started_at": datetime(2026, 5, 28, 12, 0, number % 60, tzinfo=UTC),
        "ended_at": datetime(2026, 5, 28, 13, tzinfo=UTC),
        "environment": "prod",
        "cost_usd": cost,
        "input_tokens": number,
        "sign": 1,
        "entry_reason": "first",
        "booked_at": datetime(2026, 5, 28, 20, tzinfo=UTC),
        "journal": "",
        "batch_seq": 0,
        "row_no": 0,
        "date": date(2026, 5, 28),
        **values,
    }


def spans_table(rows: list[dict]) -> pa.Table:
    plain = [f.with_type(f.type.value_type) if pa.types.is_dictionary(f.type) else f for f in SPANS]
    return conform(pa.Table.from_pylist(rows, schema=pa.schema(plain)), SPANS)


def entries_table(rows: list[dict]) -> pa.Table:
    return pa.Table.from_pylist(rows, schema=ENTRIES)


def ids(*traces: int) -> pa.Array:
    return pa.array([trace_id(n) for n in traces], pa.string())
