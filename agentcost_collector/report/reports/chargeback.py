"""Chargeback: what teams owe each other for work that one did and another pays for."""

from __future__ import annotations

import duckdb

from agentcost_collector.report.reports.content import Scope, Section, Sums, asked, counted


def chargeback(connection: duckdb.DuckDBPyConnection, scope: Scope) -> list[Section]:
    """Lines from the team that did the work to the one that pays, their booking, and each team's
    net. Debits and credits of an environment add up to zero."""
    sums = Sums(connection, scope, [("owner_team", "team")])
    return [
        Section(
            "lines",
            "Who works for whom",
            sums.by(("owner_team", "team")),
            "owner_team did the work, team pays; without a name: no team is known.",
        ),
        Section(
            "journal",
            "To book",
            asked(connection, f"{_journal(scope)} ORDER BY ALL NULLS LAST"),
            "Two rows for each line between two teams: the payer's debit, the owner's credit."
            " BilledCost of an environment adds up to zero.",
        ),
        Section(
            "net",
            "Net of each team",
            asked(connection, _net(scope)),
            "net_usd is what the team owes, below zero what it gets; it adds up to zero.",
        ),
        sums.totals(),
    ]


def _journal(scope: Scope) -> str:
    """Row = one side of a line between two teams. Names of columns as FOCUS has them where it has
    one."""
    sides = [
        f"""
SELECT environment, {mine} AS team, {other} AS counterpart, '{side}' AS side,
    DATE '{scope.period.first}' AS ChargePeriodStart,
    DATE '{scope.period.until}' AS ChargePeriodEnd,
    {sign}sum(cost_usd) AS BilledCost, 'USD' AS BillingCurrency,
    {counted("steps", "unpriced")} AS unpriced_steps
FROM sums
WHERE is_now AND owner_team IS DISTINCT FROM team
GROUP BY environment, owner_team, team"""
        for side, mine, other, sign in (
            ("debit", "team", "owner_team", ""),
            ("credit", "owner_team", "team", "-"),
        )
    ]
    return " UNION ALL ".join(sides)


def _net(scope: Scope) -> str:
    return f"""
SELECT environment, team,
    sum(BilledCost) FILTER (side = 'debit') AS debit_usd,
    sum(BilledCost) FILTER (side = 'credit') AS credit_usd,
    sum(BilledCost) AS net_usd,
    {counted("unpriced_steps", "true")} AS unpriced_steps
FROM ({_journal(scope)})
GROUP BY environment, team ORDER BY environment NULLS LAST, net_usd DESC NULLS LAST, team"""
