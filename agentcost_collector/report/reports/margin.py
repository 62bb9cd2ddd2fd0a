"""Margin: what tenants pay against what they cost."""

from __future__ import annotations

import calendar
import re
from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, Self

import duckdb
import pyarrow as pa
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agentcost_collector.model.money import USD, round_half_even, usd
from agentcost_collector.model.schemas import ALLOCATED
from agentcost_collector.report.config import Config
from agentcost_collector.report.cubes import entries_of
from agentcost_collector.report.period import Period
from agentcost_collector.report.reports.content import Scope, Section, asked
from agentcost_collector.report.sql import NOT_FULLY_PRICED, quoted

_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,12})?")
_PERCENT = pa.decimal128(38, 1)


def _amount(value: Any) -> Decimal:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _AMOUNT.fullmatch(text):
        raise ValueError("must be a whole number or a quoted decimal of dollars, '1200.50'")
    return Decimal(text)


Amount = Annotated[Decimal, BeforeValidator(_amount)]


class Price(BaseModel):
    """What one tenant pays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    month: Amount | None = None
    """US dollars for each calendar month; a part of one counts by its days."""
    run: Amount | None = None
    """US dollars for each run."""

    @model_validator(mode="after")
    def _is_given(self) -> Self:
        if self.month is None and self.run is None:
            raise ValueError("needs `month` or `run`, or both")
        return self

    def revenue(self, period: Period, runs: int) -> Fraction:
        """Dollars of a period."""
        return Fraction(self.month or 0) * _months(period) + Fraction(self.run or 0) * runs


class Prices(BaseModel):
    """The file of prices: the schema `agentcost.prices/v1`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["agentcost.prices/v1"] = Field(alias="schema")
    tenants: Mapping[str, Price]


def margin(
    connection: duckdb.DuckDBPyConnection, scope: Scope, config: Config, prices: Prices
) -> Section:
    """Row = tenant with a price or with steps, the smallest margin first. All environments of the
    scope together, for a tenant pays once."""
    used = {row["tenant"]: row for row in asked(connection, _used(scope, config)).to_pylist()}
    rows = [_row(name, used.get(name), prices, scope.period) for name in {*used, *prices.tenants}]
    rows.sort(key=lambda row: (row["margin_usd"] is None, row["margin_usd"] or 0, row["tenant"]))
    schema = pa.schema(
        [
            ("tenant", pa.string()),
            ("runs", pa.int64()),
            ("revenue_usd", USD),
            ("cost_usd", USD),
            ("margin_usd", USD),
            ("margin_percent", _PERCENT),
            ("unpriced_steps", pa.int64()),
        ]
    )
    return Section(
        "margin",
        "Margin",
        pa.Table.from_pylist(rows, schema),
        "revenue_usd comes from the file of prices, empty where it has none; margins are too high"
        " by what unpriced_steps cost.",
    )


def _row(
    name: str, used: Mapping[str, Any] | None, prices: Prices, period: Period
) -> dict[str, Any]:
    used = used or {"runs": 0, "cost_usd": Decimal(0), "unpriced_steps": 0}
    runs, cost = used["runs"], used["cost_usd"]
    price = prices.tenants.get(name)
    earned = None if price is None else usd(round_half_even(price.revenue(period, runs)))
    left = None if earned is None else earned - (cost or Decimal(0))
    return {
        "tenant": name,
        "runs": runs,
        "revenue_usd": earned,
        "cost_usd": cost,
        "margin_usd": left,
        "margin_percent": _percent(left, earned) if left is not None and earned else None,
        "unpriced_steps": used["unpriced_steps"],
    }


def _percent(part: Decimal, whole: Decimal) -> Decimal:
    return Decimal(round(Fraction(part) * 1000 / Fraction(whole))).scaleb(-1)


def _used(scope: Scope, config: Config) -> str:
    return f"""
SELECT tenant, CAST(count(DISTINCT run) FILTER (spans > 0) AS BIGINT) AS runs,
    sum(cost_usd) AS cost_usd,
    CAST(coalesce(sum(unpriced), 0) AS BIGINT) AS unpriced_steps
FROM (
    SELECT tenant, coalesce(parent_run_id, trace_id) AS run, cost_status,
        sum(sign) FILTER (kind IS DISTINCT FROM {quoted(ALLOCATED)}) AS spans,
        sum(cost_usd) AS cost_usd, sum(sign) FILTER ({NOT_FULLY_PRICED}) AS unpriced
    FROM {entries_of(scope.period, config)}
    WHERE {scope.chosen} AND tenant IS NOT NULL
    GROUP BY ALL HAVING sum(sign) <> 0)
GROUP BY tenant"""


def _months(period: Period) -> Fraction:
    """How many calendar months a period is; a part counts by its days."""
    total, day = Fraction(0), period.first
    while day < period.until:
        length = calendar.monthrange(day.year, day.month)[1]
        following = date(day.year, day.month, length) + timedelta(days=1)
        until = min(following, period.until)
        total += Fraction((until - day).days, length)
        day = until
    return total
