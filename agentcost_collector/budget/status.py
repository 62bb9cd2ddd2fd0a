"""How far each budget is in its period."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal, localcontext
from enum import StrEnum
from fractions import Fraction
from typing import Any

import duckdb
import pyarrow as pa

from agentcost_collector.budget.config import SCOPE, Budget, Budgets, Measure, Tier
from agentcost_collector.budget.records import Records
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.money import USD, round_half_even
from agentcost_collector.model.money import usd as decimal_of
from agentcost_collector.model.printable import amount
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import BY_PAYER
from agentcost_collector.report.period import Period
from agentcost_collector.report.query import sentence
from agentcost_collector.report.sql import ALL_TOKENS, token_sum

SHARE = pa.decimal128(38, 6)


class State(StrEnum):
    """How a budget stands."""

    OK = "ok"
    OVER = "over"
    """A feature's soft cap is passed."""
    NEEDS_ACKNOWLEDGEMENT = "needs_acknowledgement"
    """A team's cap is passed."""
    INCIDENT = "incident"
    """The organisation's cap is passed."""
    ACKNOWLEDGED = "acknowledged"
    """A cap is passed, and somebody said that it may be, for now."""


OPEN = (State.OVER, State.NEEDS_ACKNOWLEDGEMENT, State.INCIDENT)
"""States that somebody has to do something about."""

STATUS = pa.schema(
    [
        ("budget", pa.string()),
        ("tier", pa.string()),
        ("owner", pa.string()),
        *((tag, pa.string()) for tag in SCOPE),  # NULL: all
        ("period", pa.string()),
        ("first", pa.date32()),
        ("until", pa.date32()),  # the day after its last
        ("measure", pa.string()),
        ("cap", USD),  # in the measure, like the next three; with raises
        ("raised", USD),  # part of it that raises in force add
        ("spent", USD),
        ("forecast", USD),  # at the end of the period, at the pace so far; to the nearest
        ("used", SHARE),  # spent of cap, as a fraction; to the nearest
        ("unpriced_steps", pa.int64()),  # in the scope: dollars may be more by them
        ("unattributed_usd", USD),  # in the period and environment, paid by no feature
        ("state", pa.string()),
        ("signed_by", pa.string()),  # NULL: nobody has signed the budget as it is now
        ("acknowledged_by", pa.string()),
        ("acknowledged_until", pa.date32()),
        ("what_to_do", pa.string()),
    ]
)
"""Row = a budget in force, in its period that holds today."""

_SPENT = {
    Measure.USD: "sum(cost_usd)",
    Measure.TOKENS: token_sum(ALL_TOKENS),
    Measure.GPU_SECONDS: "sum(gpu_seconds)",
}


def status_of(
    connection: duckdb.DuckDBPyConnection,
    budgets: Budgets,
    records: Records,
    today: date,
    config: Config,
) -> pa.Table:
    """STATUS of all budgets in force, in the order of the file. CorruptionError where the ledger
    cannot be read."""
    try:
        rows = list(_rows(connection, budgets, records, today, config))
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
    return pa.Table.from_pylist(rows, STATUS)


def _rows(
    connection: duckdb.DuckDBPyConnection,
    budgets: Budgets,
    records: Records,
    today: date,
    config: Config,
) -> Iterator[dict[str, Any]]:
    for budget in budgets.budgets:
        if not budget.holds(today):
            continue
        period = Period.of(budget.period, today, config)
        spent, unpriced, unattributed = _spent(connection, budget, period)
        raised = budget.raised(today)
        cap = budget.amount + raised
        signed = records.signed(budget)
        acknowledged = records.acknowledged(budget, period.name, today)
        state = _state(budget.tier, spent > cap, acknowledged is not None)
        yield {
            "budget": budget.name,
            "tier": str(budget.tier),
            "owner": budget.owner,
            **{tag: getattr(budget, tag) for tag in SCOPE},
            "period": period.name,
            "first": period.first,
            "until": period.until,
            "measure": str(budget.measure),
            "cap": cap,
            "raised": raised,
            "spent": spent,
            "forecast": _scaled(spent, Fraction(period.days, period.days_passed(today))),
            "used": _share(spent, cap),
            "unpriced_steps": unpriced,
            "unattributed_usd": unattributed,
            "state": str(state),
            "signed_by": signed.by if signed else None,
            "acknowledged_by": acknowledged.by if acknowledged else None,
            "acknowledged_until": acknowledged.until if acknowledged else None,
            "what_to_do": _what_to_do(budget, state, spent - cap, signed is None),
        }


def _spent(
    connection: duckdb.DuckDBPyConnection, budget: Budget, period: Period
) -> tuple[Decimal, int, Decimal]:
    """In the measure; steps without a full price; dollars that no feature pays."""
    scope = {tag: getattr(budget, tag) for tag in SCOPE if getattr(budget, tag) is not None}
    mine = " AND ".join([*(f"{tag} = ${tag}" for tag in scope), "true"])
    beside = "environment = $environment" if "environment" in scope else "true"
    query = f"""
SELECT CAST(coalesce({_SPENT[budget.measure]}, 0) AS DECIMAL(38,12)) FROM {BY_PAYER}
    WHERE {period.where} AND {mine}"""
    others = f"""
SELECT coalesce(sum(steps) FILTER (cost_status IN ('unpriced', 'partial') AND {mine}), 0),
    coalesce(sum(cost_usd) FILTER (feature IS NULL AND {beside}), 0)
FROM {BY_PAYER} WHERE {period.where}"""
    ((spent,),) = connection.execute(query, scope).fetchall()
    ((unpriced, unattributed),) = connection.execute(others, scope).fetchall()
    return spent, int(unpriced), unattributed


def _state(tier: Tier, over: bool, acknowledged: bool) -> State:
    if not over:
        return State.OK
    if acknowledged:
        return State.ACKNOWLEDGED
    return {
        Tier.FEATURE: State.OVER,
        Tier.TEAM: State.NEEDS_ACKNOWLEDGEMENT,
        Tier.ORGANISATION: State.INCIDENT,
    }[tier]


def _what_to_do(budget: Budget, state: State, excess: Decimal, unsigned: bool) -> str | None:
    more = f"{amount(excess)} {budget.measure}"
    acknowledge = f"agentcost budget ack {budget.name}"
    match state:
        case State.OVER:
            return f"{budget.owner}: {more} over; spend less, or `{acknowledge}`"
        case State.NEEDS_ACKNOWLEDGEMENT:
            return f"{budget.owner}: {more} over; approve no more before `{acknowledge}`"
        case State.INCIDENT:
            return f"{budget.owner}: {more} over; open an incident, then `{acknowledge}`"
    if unsigned:
        return f"{budget.owner}: not signed as it is now; `agentcost budget sign {budget.name}`"
    return None


def _scaled(value: Decimal, by: Fraction) -> Decimal:
    return decimal_of(round_half_even(Fraction(value) * by))


def _share(part: Decimal, whole: Decimal) -> Decimal:
    with localcontext(prec=60):
        return (part / whole).quantize(Decimal(1).scaleb(-SHARE.scale))
