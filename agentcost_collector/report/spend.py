"""What was spent by the hour, with and without a feature that pays."""

from __future__ import annotations

import duckdb
import pyarrow as pa

from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.money import USD
from agentcost_collector.report.query import sentence
from agentcost_collector.report.sql import UNATTRIBUTED

SPEND = pa.schema(
    [
        ("hour", pa.int64()),  # hours since 1970 of ended_at; NULL where there is none
        ("attributed", pa.bool_()),  # a feature pays
        ("cost_status", pa.string()),
        ("cost_usd", USD),
        ("steps", pa.int64()),
    ]
)
"""Row = a group of standing steps."""

_QUERY = f"""
SELECT CASE WHEN hour >= ? THEN hour END AS hour, attributed, cost_status,
    sum(cost_usd) AS cost_usd, CAST(sum(sign) AS BIGINT) AS steps
FROM (
    SELECT epoch_us(ended_at) // 3600000000 AS hour, NOT ({UNATTRIBUTED}) AS attributed,
        cost_status, cost_usd, sign
    FROM ledger)
GROUP BY ALL"""


def hourly_spend(connection: duckdb.DuckDBPyConnection, first_hour: int) -> pa.Table:
    """SPEND of the whole ledger; what ended before `first_hour` has no hour. CorruptionError where
    a data file cannot be read."""
    try:
        return connection.sql(_QUERY, params=[first_hour]).to_arrow_table().cast(SPEND)
    except duckdb.Error as fault:
        raise CorruptionError(f"ledger cannot be read: {sentence(fault)}") from fault
