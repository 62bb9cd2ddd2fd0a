"""What recordings cost, in all and by feature, model and tool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

import duckdb
import pyarrow as pa

from agentcost_collector.model.money import USD
from agentcost_collector.report.sql import ALL_TOKENS, NOT_FULLY_PRICED, UNATTRIBUTED, token_sum

RUN = "coalesce(parent_run_id, trace_id)"
"""SQL: the run of a step."""

TOTAL = "total"
DIMENSIONS = ("feature", "model", "tool")

COSTS = pa.schema(
    [
        ("dimension", pa.string()),  # total, or one of DIMENSIONS
        ("name", pa.string()),  # of the feature, model or tool; NULL for steps without one
        ("runs", pa.int64()),  # with at least one such step
        ("steps", pa.int64()),
        ("tokens", pa.int64()),  # NULL where none were reported
        ("cost_usd", USD),  # of what has a price; NULL where nothing has
        ("unpriced_steps", pa.int64()),  # without a price, or with one for a part only
        ("unattributed_steps", pa.int64()),  # no feature pays
    ]
)
"""Row = one feature, model or tool, or all. Features add up to the total, models and tools with the
rows of the steps that have none."""


@dataclass(frozen=True)
class Cost:
    """What some steps cost."""

    runs: int
    steps: int
    tokens: int | None
    priced_usd: Decimal | None
    """Of what has a price; None where nothing has."""
    unpriced_steps: int
    unattributed_steps: int

    @property
    def usd(self) -> Decimal:
        """All of it. AssertionError where some steps have no price, for then nobody knows."""
        if self.unpriced_steps:
            raise AssertionError(f"{self.unpriced_steps} of {self.steps} steps have no full price")
        return self.priced_usd or Decimal(0)


NOTHING = Cost(0, 0, None, None, 0, 0)


def costs(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """COSTS of all steps, the total first, then the dearest of each dimension."""
    parts = [_grouped(TOTAL, "NULL"), *(_grouped(name, name) for name in DIMENSIONS)]
    order = f"list_position({[TOTAL, *DIMENSIONS]}, dimension)"
    query = f"""
FROM ({" UNION ALL ".join(parts)}) ORDER BY {order}, cost_usd DESC NULLS LAST, name NULLS LAST"""
    return connection.sql(query).to_arrow_table().cast(COSTS)


def cost_of(table: pa.Table) -> Mapping[tuple[str, str | None], Cost]:
    """Rows of COSTS by what they are of: (dimension, name)."""
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return {(of, name): Cost(*values) for of, name, *values in rows}


def _grouped(dimension: str, name: str) -> str:
    return f"""(
SELECT '{dimension}' AS dimension, CAST({name} AS VARCHAR) AS name, count(DISTINCT {RUN}) AS runs,
    count(*) AS steps, {token_sum(ALL_TOKENS)} AS tokens, sum(cost_usd) AS cost_usd,
    count(*) FILTER ({NOT_FULLY_PRICED}) AS unpriced_steps,
    count(*) FILTER ({UNATTRIBUTED}) AS unattributed_steps
FROM steps GROUP BY ALL)"""
