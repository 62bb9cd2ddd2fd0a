"""Unit economics: what a run, a session, a user, a tenant and a success cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import duckdb
import pyarrow as pa

from agentcost_collector.model.money import USD
from agentcost_collector.model.schemas import ALLOCATED
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import entries_of
from agentcost_collector.report.reports.content import Scope, Section, Sums, asked, divided
from agentcost_collector.report.sql import NOT_FULLY_PRICED, quoted


@dataclass(frozen=True)
class Outcome:
    """The label that marks a run as successful."""

    label: str
    value: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From LABEL=VALUE. ValueError where it is not."""
        label, separator, value = text.partition("=")
        if not separator or not label:
            raise ValueError("should be LABEL=VALUE, such as resolved=true")
        return cls(label, value)

    @classmethod
    def of(cls, config: Config) -> Self | None:
        """That of the settings."""
        return cls.parse(config.outcome) if config.outcome is not None else None


def unit_economics(
    connection: duckdb.DuckDBPyConnection, scope: Scope, config: Config, outcome: Outcome | None
) -> list[Section]:
    """What one unit costs, with how many there were.

    A run is successful where a step of it has the label of `outcome`; without one, where none of
    its steps ended with an error.
    """
    rows = asked(connection, _units(scope, config, outcome))
    each = [
        divided(cost, count)
        for cost, count in zip(rows["cost_usd"].to_pylist(), rows["count"].to_pylist(), strict=True)
    ]
    rows = rows.append_column("usd_each", pa.array(each, USD))
    meant = (
        f"with a step labelled {outcome.label} = {outcome.value}"
        if outcome
        else "in which no step ended with an error"
    )
    note = (
        "cost_usd is that of the steps that name such a unit. A successful run is one"
        f" {meant}; it bears the cost of the others too. Shared costs add to the cost, not to"
        " the counts."
    )
    return [Section("units", "What one costs", rows, note), Sums(connection, scope, [()]).totals()]


def _units(scope: Scope, config: Config, outcome: Outcome | None) -> str:
    runs = "coalesce(parent_run_id, trace_id)"
    units = [
        ("run", runs, "true"),
        ("successful run", runs, "true"),
        ("session", "session_id", "session_id IS NOT NULL"),
        ("user", "user_id", "user_id IS NOT NULL"),
        ("tenant", "tenant", "tenant IS NOT NULL"),
    ]
    parts = [
        f"""
SELECT environment, '{unit}' AS unit, {number} AS number,
    CAST(count(*) FILTER (spans > 0 {"AND succeeded" if unit == "successful run" else ""})
        AS BIGINT) AS count,
    sum(cost_usd) AS cost_usd,
    CAST(coalesce(sum(unpriced_steps), 0) AS BIGINT) AS unpriced_steps
FROM (
    SELECT environment, {key}, sum(spans) AS spans, sum(cost_usd) AS cost_usd,
        sum(unpriced_steps) AS unpriced_steps, {_succeeded(outcome)} AS succeeded
    FROM alike WHERE {where} GROUP BY environment, {key})
GROUP BY environment"""
        for number, (unit, key, where) in enumerate(units)
    ]
    return f"""
WITH alike AS MATERIALIZED (
    SELECT environment, trace_id, parent_run_id, session_id, user_id, tenant, cost_status,
        sum(sign) FILTER (kind IS DISTINCT FROM {quoted(ALLOCATED)}) AS spans,
        sum(cost_usd) AS cost_usd,
        sum(sign) FILTER ({NOT_FULLY_PRICED}) AS unpriced_steps,
        sum(sign) FILTER ({_marked(outcome)}) AS marked
    FROM {entries_of(scope.period, config)}
    WHERE {scope.chosen}
    GROUP BY ALL HAVING sum(sign) <> 0)
SELECT environment, unit, count, cost_usd, unpriced_steps
FROM ({" UNION ALL ".join(parts)}) ORDER BY environment NULLS LAST, number"""


def _marked(outcome: Outcome | None) -> str:
    """SQL: the entries that tell whether a run succeeded."""
    if outcome is None:
        return "status = 'error'"
    pointer = "/" + outcome.label.replace("~", "~0").replace("/", "~1")
    return f"json_extract_string(labels, {quoted(pointer)}) = {quoted(outcome.value)}"


def _succeeded(outcome: Outcome | None) -> str:
    return f"coalesce(sum(marked), 0) {'> 0' if outcome else '= 0'}"
