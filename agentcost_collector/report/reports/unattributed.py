"""Spend that no feature pays for: where it arises, and what to do."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from agentcost_collector.model.money import USD
from agentcost_collector.model.reasons import UnattributedReason
from agentcost_collector.report.reports.content import Scope, Section, Sums, divided

OBJECTIVE = Decimal("0.05")
"""Share of spend that may be without a feature."""

_TO_DO = {
    UnattributedReason.TAG_INVALID: "send a value that the policy allows, or allow it there",
    UnattributedReason.ROOT_MISSING: "send all spans of a trace to one collector; see sampling",
    UnattributedReason.PARENTS_IN_A_CIRCLE: "correct the parent ids of this instrumentation",
    UnattributedReason.LINK_MISSING: "send the trace that is linked to here too",
    UnattributedReason.NOT_REQUIRED: "nothing, or require a feature here in the policy",
    UnattributedReason.NO_TAG: "set agentcost.feature on the entry span, or a rule in the policy",
    UnattributedReason.IDLE: "name the feature that pays for idle time in the shared cost's file",
    UnattributedReason.UNATTRIBUTED_USE: "give the steps that used it a feature",
}


def unattributed(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Section]:
    """Per service and reason, with the share of all spend; then shares against OBJECTIVE."""
    keys = ("service", "unattributed_reason")
    sums = Sums(connection, scope, [keys])
    total = sums.totals()
    whole = {row["environment"]: row for row in total.rows.to_pylist()}
    found = sums.by(keys, "unattributed")
    rows = found.to_pylist()
    found = found.drop(["unattributed_steps", "unattributed_usd"])
    shares = [divided(r["cost_usd"], whole[r["environment"]]["cost_usd"]) for r in rows]
    found = found.append_column("share", pa.array(shares, USD))
    to_do = [_TO_DO.get(r["unattributed_reason"], "") for r in rows]
    found = found.append_column("what_to_do", pa.array(to_do, pa.string()))
    return [
        Section("unattributed", "Without a feature, by service and reason", found),
        Section(
            "objective",
            "Against the objective",
            pa.Table.from_pylist([_held(row) for row in whole.values()], schema=_OBJECTIVE),
            "share is a fraction of what is priced, here of all spend of the environment.",
        ),
        total,
    ]


_OBJECTIVE = pa.schema(
    [
        ("environment", pa.string()),
        ("cost_usd", USD),
        ("unattributed_usd", USD),
        ("share", USD),
        ("objective", pa.decimal128(4, 2)),
        ("held", pa.string()),  # yes no; NULL where nothing was spent
        ("unpriced_steps", pa.int64()),
    ]
)


def _held(row: dict[str, Any]) -> dict[str, Any]:
    cost, lost = row["cost_usd"], row["unattributed_usd"]
    share = divided(Decimal(0) if lost is None else lost, cost)
    held = None if share is None else "yes" if share <= OBJECTIVE else "no"
    return {**row, "share": share, "objective": OBJECTIVE, "held": held}
