"""Showback: what features, teams and tenants cost, and what drives it."""

from __future__ import annotations

import duckdb

from agentcost_collector.report.reports.content import Scope, Section, Sums

_TOP = 20


def showback(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Section]:
    """By feature, team and tenant together, each alone, and the dearest agents, models, tools."""
    tags, names = ("feature", "team", "tenant"), ("agent", "model", "tool")
    sums = Sums(connection, scope, [tags, *((name,) for name in names)])
    sections = [Section("payers", "By feature, team and tenant", sums.by(tags)), sums.totals()]
    for tag in tags:
        sections.append(Section(f"{tag}s", f"By {tag}", sums.by((tag,))))
    for name in names:
        rows = sums.by((name,), f"{name} IS NOT NULL", _TOP)
        note = f"At most {_TOP} of each environment; steps without a {name} are not here."
        sections.append(Section(f"{name}s", f"Dearest {name}s", rows, note))
    return sections
