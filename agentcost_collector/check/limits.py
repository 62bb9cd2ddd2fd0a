"""What runs may cost, and those that cost more."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

import duckdb

from agentcost_collector.check.cost import DIMENSIONS, NOTHING, RUN, TOTAL, cost_of, costs
from agentcost_collector.check.trial import Trial
from agentcost_collector.model.printable import amount
from agentcost_collector.report.sql import ALL_TOKENS, NOT_FULLY_PRICED, token_sum

_FINDINGS_MAX = 20  # runs over one limit that are named
_DRIVERS_MAX = 3


class Measure(StrEnum):
    """What is limited, for each run but for the first."""

    USD = "max-usd"
    """All recordings together."""
    USD_PER_RUN = "max-usd-per-run"
    STEPS_PER_RUN = "max-steps-per-run"
    TOKENS_PER_RUN = "max-tokens-per-run"

    @property
    def is_money(self) -> bool:
        """Whether it is in dollars, so that a step without a price breaks the proof."""
        return self in (Measure.USD, Measure.USD_PER_RUN)


_SUMS = {
    Measure.USD: "sum(cost_usd)",
    Measure.USD_PER_RUN: "sum(cost_usd)",
    Measure.STEPS_PER_RUN: "count(*)",
    Measure.TOKENS_PER_RUN: token_sum(ALL_TOKENS),
}


@dataclass(frozen=True)
class Limit:
    """The most that is allowed."""

    measure: Measure
    most: Decimal
    feature: str | None = None
    """Only what this feature pays; None for everything."""


@dataclass(frozen=True)
class Share:
    """Of a part of the cost."""

    usd: Decimal
    calls: int
    what: str
    """The tool, model or kind."""


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be."""

    what: str
    """One sentence."""
    limit: str = ""
    """As it was given."""
    feature: str | None = None
    run: str | None = None
    actual: Decimal | None = None
    most: Decimal | None = None
    drivers: Sequence[Share] = ()
    """Dearest parts of the run."""

    def __str__(self) -> str:
        payer = f"{self.feature}: " if self.feature is not None else ""
        dearest = ", ".join(f"{x.what} x {x.calls} ${amount(x.usd)}" for x in self.drivers)
        return f"{payer}{self.what}" + (f" (dearest: {dearest})" if dearest else "")


def findings(
    trial: Trial, limits: Sequence[Limit], unattributed_max: Decimal | None, unpriced_ok: bool
) -> list[Finding]:
    """What of a trial breaks a limit; empty where all is well.

    `unattributed_max`: the share of the cost that may be without a feature, in percent. Unless
    `unpriced_ok`, a step without a full price breaks every limit in dollars, and so does a fault of
    the recordings. A feature that pays nothing at all is taken for a typing error.
    """
    found = [Finding(fault) for fault in trial.faults]
    paying = cost_of(costs(trial.connection))
    total = paying.get((TOTAL, None), NOTHING)
    if not total.steps:
        found.append(Finding("the recordings hold no billable step"))
    if total.unpriced_steps and not unpriced_ok and any(x.measure.is_money for x in limits):
        names = _unpriced(trial.connection)
        found.append(
            Finding(
                f"{total.unpriced_steps} of {total.steps} steps have no full price: {names};"
                " add rate cards for what has none, or allow unpriced steps"
            )
        )
    for limit in limits:
        if limit.feature is not None and (DIMENSIONS[0], limit.feature) not in paying:
            there = ", ".join(sorted(n for of, n in paying if of == DIMENSIONS[0] and n)) or "none"
            name = f"{limit.measure} {limit.feature}"
            found.append(Finding(f"{name}: no step is paid by this feature; recorded: {there}"))
        else:
            found += _broken(trial.connection, limit)
    if unattributed_max is not None:
        found += _unowned(trial.connection, unattributed_max)
    return found


def _broken(connection: duckdb.DuckDBPyConnection, limit: Limit) -> Iterator[Finding]:
    """Runs over a limit, the worst first."""
    per_run = limit.measure is not Measure.USD
    run = RUN if per_run else "NULL"
    query = f"""
SELECT {run} AS run, {_SUMS[limit.measure]} AS actual
FROM steps WHERE feature = $feature OR $feature IS NULL
GROUP BY ALL HAVING actual > CAST($most AS DECIMAL(38,12)) ORDER BY actual DESC, run"""
    given = {"feature": limit.feature, "most": str(limit.most)}
    rows = connection.execute(query, given).fetchall()
    for name, actual in rows[:_FINDINGS_MAX]:
        what = f"run {name}" if per_run else "all runs"
        yield Finding(
            f"{what}: {_said(limit.measure, actual)}, {_said(limit.measure, limit.most)} allowed",
            str(limit.measure),
            limit.feature,
            name,
            Decimal(actual),
            limit.most,
            _drivers(connection, name, limit.feature),
        )
    if len(rows) > _FINDINGS_MAX:
        more = len(rows) - _FINDINGS_MAX
        yield Finding(f"{more} more runs are over {limit.measure}", str(limit.measure))


def _unowned(connection: duckdb.DuckDBPyConnection, most: Decimal) -> Iterator[Finding]:
    query = """
SELECT coalesce(sum(cost_usd) FILTER (feature IS NULL), 0), coalesce(sum(cost_usd), 0) FROM steps"""
    ((part, whole),) = connection.execute(query).fetchall()
    if part * 100 > most * whole:
        yield Finding(
            f"${amount(part)} of ${amount(whole)} is paid by no feature,"
            f" over {amount(most)} percent; set agentcost.feature at the entry of the run",
            "max-unattributed",
            actual=part,
            most=most,
        )


def _drivers(
    connection: duckdb.DuckDBPyConnection, run: str | None, feature: str | None
) -> list[Share]:
    query = f"""
SELECT sum(cost_usd) AS usd, count(*), coalesce(tool, model, kind, 'unknown') AS what FROM steps
WHERE ({RUN} = $run OR $run IS NULL) AND (feature = $feature OR $feature IS NULL)
GROUP BY what HAVING usd IS NOT NULL ORDER BY usd DESC, what LIMIT {_DRIVERS_MAX}"""
    given = {"run": run, "feature": feature}
    return [Share(*row) for row in connection.execute(query, given).fetchall()]


def _unpriced(connection: duckdb.DuckDBPyConnection) -> str:
    query = f"""
SELECT DISTINCT concat_ws(' ', coalesce(model, tool, kind), '(' || cost_reason || ')') AS what
FROM steps WHERE {NOT_FULLY_PRICED} ORDER BY what LIMIT {_DRIVERS_MAX}"""
    return ", ".join(row[0] for row in connection.execute(query).fetchall())


def _said(measure: Measure, value: Decimal | int) -> str:
    if measure.is_money:
        return f"${amount(Decimal(value))}"
    return f"{value} {'steps' if measure is Measure.STEPS_PER_RUN else 'tokens'}"
