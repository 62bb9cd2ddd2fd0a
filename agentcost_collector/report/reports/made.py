"""Makes a report by its name."""

from __future__ import annotations

from datetime import date

import duckdb

from agentcost_collector.report.config import Config
from agentcost_collector.report.reports.chargeback import chargeback
from agentcost_collector.report.reports.content import Report, Scope, Section, asked
from agentcost_collector.report.reports.margin import Prices, margin
from agentcost_collector.report.reports.showback import showback
from agentcost_collector.report.reports.tenants import tenants
from agentcost_collector.report.reports.unattributed import unattributed
from agentcost_collector.report.reports.unit_economics import Outcome, unit_economics

REPORTS = {
    "showback": "Showback",
    "chargeback": "Chargeback",
    "tenants": "Tenants",
    "unit-economics": "Unit economics",
    "unattributed": "Unattributed spend",
}
"""Titles of the reports, by name."""


def make_report(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    scope: Scope,
    config: Config,
    today: date,
    times_median: int = 10,
    percent: int = 10,
    outcome: Outcome | None = None,
    prices: Prices | None = None,
) -> Report:
    """One of REPORTS. ConfigError where the views cannot be read."""
    sections: list[Section]
    match name:
        case "showback":
            sections = showback(connection, scope)
        case "chargeback":
            sections = chargeback(connection, scope)
        case "tenants":
            sections = tenants(connection, scope, times_median, percent)
        case "unit-economics":
            sections = unit_economics(connection, scope, config, outcome)
            if prices is not None:
                sections.insert(1, margin(connection, scope, config, prices))
        case _:
            sections = unattributed(connection, scope)
    facts = _facts(connection, scope, config, today)
    return Report(name, f"{REPORTS[name]}, {scope.period.name}", facts, sections)


def _facts(
    connection: duckdb.DuckDBPyConnection, scope: Scope, config: Config, today: date
) -> list[tuple[str, str]]:
    period, before = scope.period, scope.before
    passed = period.days_passed(today)
    state = "over" if today >= period.until else f"{passed} of {period.days} days have begun"
    seals = asked(
        connection, "SELECT max(batch_seq)::BIGINT AS batch, max(sealed_at) AS at FROM seals"
    ).to_pylist()[0]
    sealed = f"batch {seals['batch']}, sealed {seals['at']} UTC" if seals["at"] else "no seals"
    return [
        ("period", f"{period.name}: from {period.first} until before {period.until}"),
        ("compared with", f"{before.name}: from {before.first} until before {before.until}"),
        ("time zone", config.time_zone),
        ("environment", scope.environment or "all, never added together"),
        ("complete", f"{state}; spans that come late still change it"),
        ("ledger", sealed),
        ("made on", str(today)),
    ]
