"""Who costs what, and the check that every view says the same."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import duckdb

from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.report.query import sentence
from agentcost_collector.report.sql import ALL_TOKENS, NOT_FULLY_PRICED, UNATTRIBUTED, token_sum

SHOWBACK = f"""
SELECT feature, team, tenant,
    count(*) AS steps,
    {token_sum(ALL_TOKENS)} AS tokens,
    sum(cost_usd) AS cost_usd,
    count(*) FILTER ({NOT_FULLY_PRICED}) AS unpriced_steps,
    count(*) FILTER ({UNATTRIBUTED}) AS unattributed_steps
FROM steps
GROUP BY feature, team, tenant
ORDER BY cost_usd DESC NULLS LAST, feature NULLS LAST, team NULLS LAST, tenant NULLS LAST"""
"""Row = feature, team and tenant that pay together, dearest first. `cost_usd` holds what could be
priced: NULL where nothing could; `unpriced_steps` have no price or only part of one."""

_TOTALS = f"""
SELECT l.usd, s.usd, r.usd, l.steps, s.steps, r.steps, unpriced, unattributed, unattributed_usd
FROM (SELECT sum(cost_usd) AS usd, coalesce(sum(sign), 0)::BIGINT AS steps FROM ledger) AS l,
    (SELECT sum(cost_usd) AS usd, count(*) AS steps,
        count(*) FILTER ({NOT_FULLY_PRICED}) AS unpriced,
        count(*) FILTER ({UNATTRIBUTED}) AS unattributed,
        sum(cost_usd) FILTER ({UNATTRIBUTED}) AS unattributed_usd
    FROM steps) AS s,
    (SELECT sum(cost_usd) AS usd, coalesce(sum(steps), 0)::BIGINT AS steps FROM runs) AS r"""


@dataclass(frozen=True, slots=True)
class Totals:
    """All of the ledger three ways. Money in dollars, None where nothing is priced."""

    ledger_usd: Decimal | None
    steps_usd: Decimal | None
    runs_usd: Decimal | None
    ledger_steps: int
    """Entries less reversals."""
    steps: int
    runs_steps: int
    unpriced_steps: int
    """Without a price, or with a price for a part of their quantities only."""
    unattributed_steps: int
    """Without a feature that pays."""
    unattributed_usd: Decimal | None

    @property
    def agree(self) -> bool:
        """True where ledger, steps and runs hold the same money and the same steps."""
        money = (self.ledger_usd, self.steps_usd, self.runs_usd)
        same = len({amount or Decimal(0) for amount in money}) == 1
        return same and self.ledger_steps == self.steps == self.runs_steps


def totals(connection: duckdb.DuckDBPyConnection) -> Totals:
    """The totals of all views, each computed on its own."""
    try:
        row = connection.execute(_TOTALS).fetchone()
    except duckdb.Error as fault:
        raise CorruptionError(f"the ledger cannot be read: {sentence(fault)}") from fault
    assert row is not None
    return Totals(*row)
