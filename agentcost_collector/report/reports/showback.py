"""Showback: what features, teams and tenants cost, and what drives it."""

from __future__ import annotations

import duckdb

from agentcost_collector.report.reports.content import Scope, Section, compared, totals

_TOP = 20


def showback(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Section]:
    """By feature, team and tenant together, each alone, and the dearest agents, models, tools."""
    sections = [
        Section(
            "payers",
            "By feature, team and tenant",
            compared(connection, scope, ("feature", "team", "tenant")),
        ),
        totals(connection, scope),
    ]
    for tag in ("feature", "team", "tenant"):
        sections.append(Section(f"{tag}s", f"By {tag}", compared(connection, scope, (tag,))))
    for name in ("agent", "model", "tool"):
        rows = compared(connection, scope, (name,), f"{name} IS NOT NULL", _TOP)
        note = f"At most {_TOP} of each environment; steps without a {name} are not here."
        sections.append(Section(f"{name}s", f"Dearest {name}s", rows, note))
    return sections
