"""From a period down: its features, the runs of one of them, and what such a run usually costs.

Unlike the rest of this package it asks the views of the ledger. Sums are exact, medians are values
that occur.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import duckdb
import pyarrow as pa

from agentcost_collector.explain.drivers import Driver
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import BY_PAYER, entries_of
from agentcost_collector.report.period import Period
from agentcost_collector.report.query import sentence
from agentcost_collector.report.sql import ALL_TOKENS, NOT_FULLY_PRICED, UNATTRIBUTED, token_sum

RUNS_MAX = 20
USUAL_DAYS = 28
"""How far back runs count for what is usual."""

_RUN = "coalesce(parent_run_id, trace_id)"
_WHAT = """CASE WHEN kind = 'tool' THEN coalesce(tool, target, model, requested_model)
    ELSE coalesce(model, requested_model, tool, target) END"""


@dataclass(frozen=True)
class Usual:
    """What differs from the usual run of a feature. Medians over `runs`."""

    feature: str
    runs: int
    cost_usd: Decimal
    steps: int
    tokens: int
    drivers: Sequence[tuple[str | None, str | None, int, Decimal]]
    """Kind, what, usual steps and dollars of the drivers asked for; 0 where most runs have none."""


def features_of(connection: duckdb.DuckDBPyConnection, period: Period) -> pa.Table:
    """Row = feature that pays in a period, dearest first; NULL holds what no feature pays."""
    return _asked(
        connection,
        f"""
SELECT feature, CAST(sum(steps) AS BIGINT) AS steps, sum(cost_usd) AS cost_usd,
    CAST(coalesce(sum(steps) FILTER ({NOT_FULLY_PRICED}), 0) AS BIGINT) AS unpriced_steps,
    CAST(coalesce(sum(steps) FILTER ({UNATTRIBUTED}), 0) AS BIGINT) AS unattributed_steps
FROM {BY_PAYER} WHERE {period.where} GROUP BY feature
ORDER BY cost_usd DESC NULLS LAST, feature NULLS LAST""",
        [],
    )


def runs_of(
    connection: duckdb.DuckDBPyConnection, feature: str | None, period: Period, config: Config
) -> pa.Table:
    """Row = run, with what a feature (None: nobody) pays of it; the RUNS_MAX dearest."""
    return _asked(
        connection,
        f"""
SELECT run, min(started_at) AS started_at, CAST(sum(steps) AS BIGINT) AS steps,
    CAST(sum(tokens) AS BIGINT) AS tokens, sum(cost_usd) AS cost_usd,
    CAST(coalesce(sum(steps) FILTER ({NOT_FULLY_PRICED}), 0) AS BIGINT) AS unpriced_steps
FROM (
    SELECT {_RUN} AS run, cost_status, min(started_at) AS started_at, sum(sign) AS steps,
        {token_sum(ALL_TOKENS)} AS tokens, sum(cost_usd) AS cost_usd
    FROM {entries_of(period, config)}
    WHERE feature IS NOT DISTINCT FROM ?
    GROUP BY ALL HAVING sum(sign) <> 0)
GROUP BY run
ORDER BY cost_usd DESC NULLS LAST, run LIMIT {RUNS_MAX}""",
        [feature],
    )


def paths_of(
    connection: duckdb.DuckDBPyConnection, feature: str | None, period: Period, config: Config
) -> pa.Table:
    """`path` and `cost_usd` of what a feature pays in a period, for `fold`."""
    return _asked(
        connection,
        f"""
SELECT path, sum(cost_usd) AS cost_usd FROM {entries_of(period, config)}
WHERE feature IS NOT DISTINCT FROM ? GROUP BY path ORDER BY path""",
        [feature],
    )


def usual(
    connection: duckdb.DuckDBPyConnection,
    feature: str,
    trace_ids: Sequence[str],
    drivers: Sequence[Driver],
) -> Usual | None:
    """What the runs of a feature cost that began in the USUAL_DAYS before these traces; None where
    there were none."""
    before = f"""
begun AS (SELECT min(started_at) AS first_at FROM steps WHERE trace_id IN (SELECT unnest($traces))),
before AS (
    SELECT *, {_RUN} AS run, {_WHAT} AS what FROM steps, begun
    WHERE feature = $feature AND trace_id NOT IN (SELECT unnest($traces))
        AND date >= CAST(first_at AS DATE) - {USUAL_DAYS + 1}
        AND started_at < first_at AND started_at >= first_at - INTERVAL {USUAL_DAYS} DAY),
runs AS (
    SELECT run, coalesce(sum(cost_usd), 0) AS cost_usd, count(*) AS steps,
        coalesce({token_sum(ALL_TOKENS)}, 0) AS tokens
    FROM before GROUP BY run)"""
    all_of_it = f"""
WITH {before}
SELECT count(*) AS runs, quantile_disc(cost_usd, 0.5) AS cost_usd,
    quantile_disc(steps, 0.5) AS steps, quantile_disc(tokens, 0.5) AS tokens FROM runs"""
    parts = f"""
WITH {before},
wanted AS (SELECT DISTINCT unnest($kinds) AS kind, unnest($whats) AS what),
each AS (
    SELECT wanted.kind, wanted.what, runs.run, count(before.step_id) AS steps,
        coalesce(sum(before.cost_usd), 0) AS cost_usd
    FROM wanted CROSS JOIN runs LEFT JOIN before
        ON before.run = runs.run AND before.kind IS NOT DISTINCT FROM wanted.kind
        AND before.what IS NOT DISTINCT FROM wanted.what
    GROUP BY ALL)
SELECT kind, what, quantile_disc(steps, 0.5), quantile_disc(cost_usd, 0.5)
FROM each GROUP BY kind, what"""
    given = {"traces": list(trace_ids), "feature": feature}
    ((runs, cost, steps, tokens),) = _rows(connection, all_of_it, given)
    if not runs:
        return None
    called = {"kinds": [d.kind for d in drivers], "whats": [d.what for d in drivers]}
    found = _rows(connection, parts, {**given, **called})
    return Usual(feature, runs, cost, steps, tokens, [tuple(row) for row in found])


def _rows(
    connection: duckdb.DuckDBPyConnection, query: str, given: Mapping[str, object]
) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(query, given).fetchall()
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault


def _asked(connection: duckdb.DuckDBPyConnection, query: str, given: Sequence[object]) -> pa.Table:
    try:
        return connection.sql(query, params=list(given)).to_arrow_table()
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
