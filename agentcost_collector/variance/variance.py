"""Two periods of the ledger side by side, by feature, team or tenant."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa

from agentcost_collector.budget import Budget, Budgets, Measure
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.money import PICO, USD, pico, usd
from agentcost_collector.report import Config, Period
from agentcost_collector.report.query import sentence
from agentcost_collector.report.sql import NOT_FULLY_PRICED, quoted
from agentcost_collector.variance.causes import CAUSES, Cell, Work, causes


class By(StrEnum):
    """What a row is."""

    FEATURE = "feature"
    TEAM = "team"
    TENANT = "tenant"


VARIANCE = pa.schema(
    [
        ("name", pa.string()),  # NULL: nobody
        ("base_usd", USD),  # of the period before, or of the budget
        ("actual_usd", USD),
        ("change_usd", USD),
        *((name, USD) for name in CAUSES),  # of the change, to which they add up
        ("budget", pa.string()),  # that is tied to exactly this, for this period
        ("cap_usd", USD),  # with raises of its last day
        ("over_usd", USD),  # NULL where it is within its budget, or has none
        ("base_unpriced_steps", pa.int64()),
        ("unpriced_steps", pa.int64()),
    ]
)
"""Row = feature, team or tenant, the greatest change first; then all of them as the name `total`.
Money is of steps with a price."""

ROWS_MAX, BRANCHES_MAX = 100, 20
"""The dearest so many are rows, or branches of a row, of their own; all others are one, OTHER."""
OTHER = "__other__"

TOTAL = "total"

_CLASSES = {
    "input": ("input_tokens", "input_audio_tokens", "input_image_tokens"),
    "cache": ("cache_read_tokens", "cache_write_short_tokens", "cache_write_long_tokens"),
    "output": ("output_tokens", "output_audio_tokens", "output_image_tokens"),
}
_PATHS = {
    By.FEATURE: ("NULL", "tenant"),
    By.TEAM: ("feature", "tenant"),
    By.TENANT: ("feature", "NULL"),
}
Sides = tuple[list[Cell], list[Cell]]


def variance(
    connection: duckdb.DuckDBPyConnection,
    period: Period,
    before: Period,
    by: By,
    config: Config,
    budgets: Budgets | None = None,
    against_budget: bool = False,
) -> pa.Table:
    """VARIANCE of `period` against the period `before`, or against its budget.

    A budget is taken as a plan to do what was done `before`, as much of it as the cap pays for; a
    row without one is compared with `before`. CorruptionError where the ledger cannot be read.
    """
    try:
        sides, unpriced = _cells(connection, (before, period), by)
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
    caps = {getattr(b, by): b for b in _tied(budgets, by, period, config)}
    rows = [
        _row(name, cells, unpriced[name], caps.get(name) if name else None, period, against_budget)
        for name, cells in sides.items()
    ]
    rows.sort(key=lambda row: (-abs(row["change_usd"]), row["name"] is None, row["name"] or ""))
    return pa.Table.from_pylist([*rows, _total(rows)], VARIANCE)


def _row(
    name: str | None,
    sides: Sides,
    unpriced: tuple[int, int],
    budget: Budget | None,
    period: Period,
    against_budget: bool,
) -> dict[str, Any]:
    before, actual = (Fraction(sum(cell.cost for cell in cells), PICO) for cells in sides)
    cap = None if budget is None else budget.amount + budget.raised(_last_day(period))
    base, scale = before, Fraction(1)
    if against_budget and cap is not None:
        base = Fraction(cap)
        scale = base / before if before else scale
    parts = dict(causes(*sides, scale))
    if base != before * scale:  # a budget for what was never done: all of the plan is volume
        parts["volume"] -= pico(_decimal(base))
    return {
        "name": name,
        "base_usd": _decimal(base),
        "actual_usd": _decimal(actual),
        "change_usd": _decimal(actual - base),
        **{cause: usd(part) for cause, part in parts.items()},
        "budget": budget.name if budget else None,
        "cap_usd": cap,
        "over_usd": _decimal(actual) - cap if cap is not None and actual > cap else None,
        "base_unpriced_steps": unpriced[0],
        "unpriced_steps": unpriced[1],
    }


def _total(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    summed = ("base_usd", "actual_usd", "change_usd", *CAUSES)
    total: dict[str, Any] = {"name": TOTAL}
    total |= {name: sum((row[name] for row in rows), Decimal(0)) for name in summed}
    counts = ("base_unpriced_steps", "unpriced_steps")
    return total | {name: sum(row[name] for row in rows) for name in counts}


def _cells(
    connection: duckdb.DuckDBPyConnection, periods: Sequence[Period], by: By
) -> tuple[dict[str | None, Sides], dict[str | None, tuple[int, int]]]:
    """Cells of both sides for each row, and its steps without a full price."""
    sides: defaultdict[str | None, Sides] = defaultdict(lambda: ([], []))
    unpriced: defaultdict[str | None, list[int]] = defaultdict(lambda: [0, 0])
    for side, period in enumerate(periods):
        for name, missing, cell in _cells_of(connection, period, periods, by):
            sides[name][side].append(cell)
            unpriced[name][side] += missing
    return dict(sides), {name: (a, b) for name, (a, b) in unpriced.items()}


def _cells_of(
    connection: duckdb.DuckDBPyConnection, period: Period, periods: Sequence[Period], by: By
) -> Iterator[tuple[str | None, int, Cell]]:
    sums = [
        "sum(steps)",
        f"coalesce(sum(steps) FILTER ({NOT_FULLY_PRICED}), 0)",
        *(" + ".join(f"coalesce(sum({n}), 0)" for n in names) for names in _CLASSES.values()),
        *(f"coalesce(sum({name}_cost_usd), 0)" for name in _CLASSES),
        "coalesce(sum(cost_usd), 0)",
    ]
    names = _dearest(connection, periods, str(by), ROWS_MAX)
    paths = [
        "NULL" if of == "NULL" else _dearest(connection, periods, of, BRANCHES_MAX)
        for of in _PATHS[by]
    ]
    query = f"""
SELECT {names} AS name, {", ".join(paths)}, concat_ws(' ', kind, tool) AS tool,
    concat_ws(' ', provider, model) AS model, coalesce(status = 'error', false) AS failed,
    {", ".join(sums)}
FROM days WHERE {period.where} GROUP BY ALL"""
    found: dict[tuple[str | None, tuple[str | None, ...]], dict[bool, tuple[Any, ...]]] = {}
    for name, feature, tenant, tool, model, failed, *values in connection.execute(query).fetchall():
        branch = (feature, tenant, tool, model)
        found.setdefault((name, branch), {})[bool(failed)] = tuple(values)
    for (name, path), works in found.items():
        missing = sum(int(values[1]) for values in works.values())
        yield name, missing, Cell(path, _work(works.get(False)), _work(works.get(True)))


def _dearest(
    connection: duckdb.DuckDBPyConnection, periods: Sequence[Period], column: str, most: int
) -> str:
    """SQL of a column of `days`, in which only the dearest of both periods have their names."""
    where = " OR ".join(period.where for period in periods)
    query = f"""
SELECT {column} FROM days WHERE ({where}) AND {column} IS NOT NULL
GROUP BY {column} ORDER BY sum(cost_usd) DESC NULLS LAST, {column} LIMIT {most + 1}"""
    found = [row[0] for row in connection.execute(query).fetchall()]
    if len(found) <= most:
        return column
    named = ", ".join(quoted(name) for name in found[:most])
    return f"CASE WHEN {column} IN ({named}) OR {column} IS NULL THEN {column} ELSE '{OTHER}' END"


def _work(values: tuple[Any, ...] | None) -> Work:
    """Of a row of sums; the last class is what no token is priced for."""
    if values is None:
        return Work(0, (0,) * 4, (0,) * 4)
    steps, _, *rest = values
    tokens, costs = [int(n) for n in rest[:3]], [pico(usd) for usd in rest[3:6]]
    return Work(int(steps), (*tokens, 0), (*costs, pico(rest[6]) - sum(costs)))


def _tied(budgets: Budgets | None, by: By, period: Period, config: Config) -> Iterator[Budget]:
    """Budgets in dollars for exactly this period that are tied to nothing but a `by`."""
    for budget in budgets.budgets if budgets else ():
        tied = {
            tag
            for tag in ("feature", "team", "tenant", "environment")
            if getattr(budget, tag) is not None
        }
        if (
            tied == {str(by)}
            and budget.measure is Measure.USD
            and budget.holds(_last_day(period))
            and Period.of(budget.period, period.first, config) == period
        ):
            yield budget


def _last_day(period: Period) -> date:
    return period.until - timedelta(days=1)


def _decimal(amount: Fraction) -> Decimal:
    return usd(int(amount * PICO))
