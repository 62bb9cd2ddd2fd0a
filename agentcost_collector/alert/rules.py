"""What is worth an alert. Pure: facts, limits and the time in, alerts out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Context, Decimal
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.alert.config import Config, Runaway
from agentcost_collector.alert.facts import SCOPES
from agentcost_collector.model.printable import amount

_EXACT = Context(prec=60)
_NONE = Decimal(0)
_CRITICAL_TIMES = 10  # a runaway so many times over its limit is critical
_NOBODY = "nobody"
_LOOK = "`agentcost budget status` shows where it stands; spend less, or ask its owner to raise it."


@dataclass(frozen=True, slots=True)
class Alert:
    """Something to look at. One of a higher `level` in the same rule, scope and period is new."""

    rule: str
    """budget burn_rate unattributed unpriced runaway_cost runaway_steps runaway_tool"""
    scope: str
    """What it is about: a budget, a trace, or everything."""
    period: str
    """In which it is raised once."""
    level: str
    """How far over a limit, as a decimal: the threshold that was reached."""
    severity: str
    """warning or critical"""
    owner: str
    figures: Mapping[str, str]
    """Amounts, exact."""
    summary: str
    what_to_do: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Rule, scope and period: what is raised once for each level."""
        return self.rule, self.scope, self.period


def ledger_alerts(
    recent: pa.Table, budgets: pa.Table | None, config: Config, today: date
) -> list[Alert]:
    """What RECENT and the state of budgets are worth.

    `budgets`: as `budget.STATUS`; a row is a budget in its current period. None where there are
    none.
    """
    rows = recent.to_pylist()  # as many as there are payers
    day = [row for row in rows if row["hours"] == 24]
    alerts = [*_unattributed(day, config, today), *_unpriced(day, config, today)]
    for budget in budgets.to_pylist() if budgets is not None else []:
        alerts += _budget(budget, config)
        alerts += _burning(budget, rows, config, today)
    return alerts


def runaway_alerts(charges: pa.Table, limits: Runaway) -> list[Alert]:
    """What the CHARGES so far of traces that are still open are worth; period is the trace."""
    by_trace = charges.group_by("trace_id").aggregate(
        [
            ("cost_usd", "sum"),
            ("step_id", "count"),
            *((name, "max") for name in ("feature", "team", "service", "owner_team")),
        ]
    )
    unpriced = _counts(charges.filter(pc.is_null(charges.column("cost_usd"))), ["trace_id"])
    used = charges.filter(pc.is_valid(charges.column("tool")))
    calls: dict[str, tuple[int, str]] = {}
    for (trace, tool), count in _counts(used, ["trace_id", "tool"]).items():
        calls[trace] = max(calls.get(trace, (0, "")), (count, tool))
    alerts: list[Alert] = []
    for row in sorted(by_trace.to_pylist(), key=lambda row: row["trace_id"]):
        trace = row["trace_id"]
        count, tool = calls.get(trace, (0, ""))
        cost = row["cost_usd_sum"] or _NONE
        figures = {
            "cost_usd": str(cost),
            "steps": str(row["step_id_count"]),
            "unpriced_steps": str(unpriced.get((trace,), 0)),
            "tool": tool,
            "tool_calls": str(count),
        }
        for rule, value, limit, said in (
            ("runaway_cost", cost, limits.cost_usd, f"has cost {amount(cost)} USD"),
            ("runaway_steps", row["step_id_count"], limits.steps, "has taken steps without end"),
            ("runaway_tool", count, limits.tool_calls, f"has called {tool} again and again"),
        ):
            if limit is not None and value >= limit:
                alerts.append(_runaway(row, rule, Decimal(value), Decimal(limit), said, figures))
    return alerts


def _counts(steps: pa.Table, keys: list[str]) -> dict[tuple[str, ...], int]:
    grouped = steps.group_by(keys).aggregate([("step_id", "count")]).to_pylist()
    return {tuple(row[key] for key in keys): row["step_id_count"] for row in grouped}


def _runaway(
    row: Mapping[str, Any],
    rule: str,
    value: Decimal,
    limit: Decimal,
    said: str,
    figures: Mapping[str, str],
) -> Alert:
    critical = value >= limit * _CRITICAL_TIMES
    feature, service = row["feature_max"] or "no feature", row["service_max"] or "unnamed"
    trace = row["trace_id"]
    return Alert(
        rule=rule,
        scope=trace,
        period=trace,
        level=str(_CRITICAL_TIMES if critical else 1),
        severity="critical" if critical else "warning",
        owner=row["team_max"] or row["owner_team_max"] or _NOBODY,
        figures={**figures, "limit": str(limit)},
        summary=(
            f"A run of {feature} (service {service}, trace {trace}) that is still going on {said}:"
            f" {figures['cost_usd']} USD in {figures['steps']} steps so far,"
            f" {figures['tool_calls']} of them calls of {figures['tool'] or 'no tool'},"
            f" {figures['unpriced_steps']} without a price; the limit is {limit}."
        ),
        what_to_do=(
            "Stop the run if it makes no progress; when it has ended,"
            f" `agentcost explain {trace}` shows every step."
        ),
    )


def _unattributed(day: list[dict[str, Any]], config: Config, today: date) -> Iterator[Alert]:
    total = _sum(day, "usd")
    without = _sum([row for row in day if row["feature"] is None], "usd")
    unpriced = int(_sum(day, "unpriced_steps"))
    if total > 0 and without > total * config.unattributed_share:
        yield Alert(
            rule="unattributed",
            scope="everything",
            period=today.isoformat(),
            level=str(config.unattributed_share),
            severity="warning",
            owner=_NOBODY,
            figures={
                "unattributed_usd": str(without),
                "total_usd": str(total),
                "unpriced_steps": str(unpriced),
            },
            summary=(
                f"{amount(without)} of the {amount(total)} USD spent in the last 24 hours have no"
                f" feature that pays, more than {config.unattributed_share} of it;"
                f" {unpriced} steps have no full price."
            ),
            what_to_do=(
                "See which services send them with `agentcost sql 'SELECT * FROM unattributed'`"
                " and tag them, or add a rule to the policy (docs/policy.md)."
            ),
        )


def _unpriced(day: list[dict[str, Any]], config: Config, today: date) -> Iterator[Alert]:
    steps, without = _sum(day, "steps"), _sum(day, "unpriced_steps")
    if steps > 0 and without > steps * config.unpriced_share:
        yield Alert(
            rule="unpriced",
            scope="everything",
            period=today.isoformat(),
            level=str(config.unpriced_share),
            severity="warning",
            owner=_NOBODY,
            figures={
                "unpriced_steps": str(without),
                "steps": str(steps),
                "total_usd": str(_sum(day, "usd")),
            },
            summary=(
                f"{without} of the {steps} steps of the last 24 hours have no full price, more"
                f" than {config.unpriced_share} of them; the spend of"
                f" {amount(_sum(day, 'usd'))} USD is without them."
            ),
            what_to_do=(
                "See why with `agentcost sql 'SELECT model, cost_reason, count(*) FROM steps WHERE"
                " cost_usd IS NULL GROUP BY ALL'`, add the rates, then `agentcost restate`."
            ),
        )


def _budget(budget: Mapping[str, Any], config: Config) -> Iterator[Alert]:
    reached = [t for t in config.thresholds if budget["spent"] >= t * budget["cap"]]
    if budget["cap"] <= 0 or not reached:
        return
    level = max(reached)
    yield Alert(
        rule="budget",
        scope=budget["budget"],
        period=budget["period"],
        level=str(level),
        severity="critical" if level >= 1 else "warning",
        owner=budget["owner"],
        figures=_budget_figures(budget),
        summary=(
            f"Budget {budget['budget']} has spent {_spent(budget)}"
            f" {budget['measure']} in {budget['period']} and so reached {level} of it;"
            f" {_beside(budget)}"
        ),
        what_to_do=budget["what_to_do"] or _LOOK,
    )


def _burning(
    budget: Mapping[str, Any], rows: list[dict[str, Any]], config: Config, today: date
) -> Iterator[Alert]:
    hours = (budget["until"] - budget["first"]).days * 24
    measure = budget["measure"]
    for window, times in config.burn_rates.items():
        spent = _sum([r for r in rows if r["hours"] == window and _is_in(r, budget)], measure)
        pace = _EXACT.divide(budget["cap"] * window, Decimal(hours)) if hours else _NONE
        if pace <= 0 or spent <= pace * times:
            continue
        yield Alert(
            rule="burn_rate",
            scope=f"{budget['budget']} {window} h",
            period=today.isoformat(),
            level=str(times),
            severity="critical",
            owner=budget["owner"],
            figures={
                **_budget_figures(budget),
                "window_spent": str(spent),
                "window_hours": str(window),
            },
            summary=(
                f"Budget {budget['budget']} spent {amount(spent)} {measure} in the last {window} h,"
                f" more than {times} times its even pace; {_spent(budget)} are"
                f" spent in {budget['period']};"
                f" {_beside(budget)}"
            ),
            what_to_do=f"Look for what started lately. {budget['what_to_do'] or _LOOK}",
        )


def _budget_figures(budget: Mapping[str, Any]) -> dict[str, str]:
    names = ("spent", "cap", "measure", "unpriced_steps", "unattributed_usd")
    return {name: str(budget[name]) for name in names}


def _spent(budget: Mapping[str, Any]) -> str:
    return f"{amount(budget['spent'])} of {amount(budget['cap'])}"


def _beside(budget: Mapping[str, Any]) -> str:
    return (
        f"{budget['unpriced_steps']} steps have no full price, and"
        f" {amount(budget['unattributed_usd'])} USD have no feature that pays."
    )


def _is_in(row: Mapping[str, Any], budget: Mapping[str, Any]) -> bool:
    return all(budget[name] is None or budget[name] == row[name] for name in SCOPES)


def _sum(rows: list[dict[str, Any]], name: str) -> Decimal:
    total = _NONE
    for row in rows:
        total = _EXACT.add(total, Decimal(row[name] or 0))
    return total
