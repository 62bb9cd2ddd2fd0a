"""What the ledger says of the last hours."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import duckdb
import pyarrow as pa

from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.money import QUANTITY, USD
from agentcost_collector.report.query import sentence
from agentcost_collector.report.sql import ALL_TOKENS, NOT_FULLY_PRICED

SCOPES = ("feature", "team", "tenant", "environment")

RECENT = pa.schema(
    [
        ("hours", pa.int64()),  # what ended in the last so many
        *((name, pa.string()) for name in SCOPES),
        ("steps", pa.int64()),
        ("unpriced_steps", pa.int64()),  # without a full price
        ("usd", USD),  # NULL where nothing is priced
        ("tokens", pa.int64()),
        ("gpu_seconds", pa.decimal128(38, QUANTITY.scale)),
    ]
)
"""Row = standing steps of the last `hours` that are alike in SCOPES. Costs that were allocated are
not among them: they have no hour."""

_TOKENS = " + ".join(f"coalesce({name}, 0)" for name in ALL_TOKENS)


def recent(connection: duckdb.DuckDBPyConnection, hours: Iterable[int], now_ns: int) -> pa.Table:
    """RECENT for each of `hours`, at most 24. CorruptionError where the ledger cannot be read."""
    now = f"make_timestamptz({now_ns // 1000}::BIGINT)"
    first = datetime.fromtimestamp(now_ns // 10**9, UTC).date() - timedelta(days=2)
    windows = ", ".join(f"({n}::BIGINT)" for n in sorted(set(hours)))
    query = f"""
SELECT hours, {", ".join(SCOPES)},
    CAST(sum(steps) AS BIGINT) AS steps,
    CAST(coalesce(sum(steps) FILTER ({NOT_FULLY_PRICED}), 0) AS BIGINT) AS unpriced_steps,
    sum(usd) AS usd,
    CAST(sum(tokens) AS BIGINT) AS tokens,
    CAST(sum(gpu_seconds) AS DECIMAL(38,{QUANTITY.scale})) AS gpu_seconds
FROM (
    SELECT hours, {", ".join(SCOPES)}, cost_status,
        sum(sign) AS steps, sum(cost_usd) AS usd, sum({_TOKENS}) AS tokens,
        sum(gpu_seconds) AS gpu_seconds
    FROM ledger, (VALUES {windows}) AS windows(hours)
    WHERE date >= DATE '{first}'
        AND ended_at <= {now} AND ended_at > {now} - to_hours(hours)
    GROUP BY ALL HAVING sum(sign) <> 0)
GROUP BY hours, {", ".join(SCOPES)}"""
    try:
        return connection.sql(query).to_arrow_table().cast(RECENT)
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
