"""Tenants: what each costs, and which stand out."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa

from agentcost_collector.model.money import USD, round_half_even, usd
from agentcost_collector.report.reports.content import Scope, Section, Sums, divided


def tenants(
    connection: duckdb.DuckDBPyConnection, scope: Scope, times_median: int, percent: int
) -> list[Section]:
    """Flags tenants above `times_median` x the median, and those above `percent` % of spend.

    The median is that of the tenants of one environment whose cost is known. Steps without a
    tenant are a row that is never flagged.
    """
    sums = Sums(connection, scope, [("tenant", "feature")])
    rows = sums.by(("tenant",))
    listed = rows.to_pylist()
    total = sums.totals()
    whole = {row["environment"]: row["cost_usd"] for row in total.rows.to_pylist()}
    medians = {env: _median([r for r in listed if r["environment"] == env]) for env in whole}
    shares = [divided(r["cost_usd"], whole[r["environment"]]) for r in listed]
    flags = [_flags(r, medians, whole, times_median, percent) for r in listed]
    rounded = [usd(round_half_even(m)) if m is not None else None for m in medians.values()]
    rows = rows.append_column("share", pa.array(shares, USD))
    rows = rows.append_column("flagged", pa.array(flags, pa.string()))
    middle = pa.table(
        {
            "environment": pa.array(medians.keys(), pa.string()),
            "median_usd": pa.array(rounded, USD),
            "cost_usd": pa.array(whole.values(), USD),
            "unpriced_steps": total.rows["unpriced_steps"],
        }
    )
    note = f"Flagged: above {times_median} x the median, or above {percent} % of all spend."
    return [
        Section("tenants", "By tenant", rows, note),
        Section("median", "Median of the tenants", middle),
        Section(
            "features",
            "By tenant and feature",
            sums.by(("tenant", "feature")),
        ),
        total,
    ]


def _median(rows: list[dict[str, Any]]) -> Fraction | None:
    costs = [Fraction(r["cost_usd"]) for r in rows if r["tenant"] and r["cost_usd"] is not None]
    return median(costs) if costs else None


def _flags(
    row: dict[str, Any],
    medians: dict[str | None, Fraction | None],
    whole: dict[str | None, Decimal | None],
    times_median: int,
    percent: int,
) -> str | None:
    cost, middle = row["cost_usd"], medians[row["environment"]]
    if row["tenant"] is None or cost is None or cost <= 0 or middle is None:
        return None
    flags = []
    if Fraction(cost) > times_median * middle:
        flags.append(f"above {times_median} x the median")
    if Fraction(cost) * 100 > percent * Fraction(whole[row["environment"]] or 0):
        flags.append(f"above {percent} % of spend")
    return ", ".join(flags) or None
