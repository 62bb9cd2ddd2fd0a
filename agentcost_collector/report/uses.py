"""What shared costs go by: what was used in a period, and what is booked for them already."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import duckdb
import pyarrow as pa

from agentcost_collector.model.money import USD
from agentcost_collector.model.schemas import ALLOCATED, ENTRIES, PAYER_TAGS, SHARED_BY, USES
from agentcost_collector.model.tables import conform
from agentcost_collector.report.sql import ALL_TOKENS, quoted

_DECIMAL = f"DECIMAL({USD.precision},{USD.scale})"
_SUMS = {
    "cost": "sum(cost_usd)",
    "list_cost": "sum(list_cost_usd)",
    "tokens": " + ".join(f"coalesce(sum({name}), 0)" for name in ALL_TOKENS),
    "calls": "sum(sign)",
    "gpu_seconds": "sum(gpu_seconds)",
    "units": "sum(units)",
}


def uses_of(
    connection: duckdb.DuckDBPyConnection, first: date, until: date, columns: Sequence[str]
) -> pa.Table:
    """USES of the steps that are filed under the days from `first` to before `until`.

    Steps are told apart by the tags that pay and `columns`; the other columns of SHARED_BY are
    NULL. Allocated costs are left out. Cost: one scan of these days, a row per distinct values.
    """
    apart = [name for name in SHARED_BY if name in {*PAYER_TAGS, *columns}]
    sums = (f"CAST({text} AS {_DECIMAL}) AS {name}" for name, text in _SUMS.items())
    query = f"""
SELECT {", ".join([*apart, *sums])} FROM ledger
WHERE date >= CAST(? AS DATE) AND date < CAST(? AS DATE) AND kind IS DISTINCT FROM '{ALLOCATED}'
GROUP BY {", ".join(apart)} HAVING sum(sign) <> 0"""
    return conform(connection.sql(query, params=[first, until]).to_arrow_table(), USES)


def allocated_entries(
    connection: duckdb.DuckDBPyConnection, periods: Sequence[tuple[str, date, date]]
) -> pa.Table:
    """ENTRIES of kind `allocated` of any of these (beginning of rate_id up to "@", first day, day
    after the last) whose periods overlap."""
    asked = " OR ".join(
        f"(starts_with(rate_id, {quoted(sku + '@')})"
        f" AND epoch_us(started_at) < epoch_us(TIMESTAMP '{until.isoformat()}')"
        f" AND epoch_us(ended_at) >= epoch_us(TIMESTAMP '{first.isoformat()}'))"
        for sku, first, until in periods
    )
    query = f"FROM ledger WHERE kind = '{ALLOCATED}' AND ({asked or 'false'})"
    return conform(connection.sql(query).to_arrow_table(), ENTRIES)
