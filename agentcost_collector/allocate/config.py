"""Shared costs as their file declares them: the schema `agentcost.shared/v1`."""

from __future__ import annotations

import re
from collections import defaultdict
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agentcost_collector.model.partition import DATE_MIN
from agentcost_collector.model.schemas import DRIVERS, PAYER_TAGS, SHARED_BY

_AMOUNT = re.compile(r"-?\d{1,15}(\.\d{1,12})?")
_MONTH = re.compile(r"(\d{4})-(\d{2})")

Method = Literal["even", "weights", "proportional", "usage"]
Driver = Literal["cost", "list_cost", "tokens", "calls", "gpu_seconds", "units"]
assert get_args(Driver) == DRIVERS


def _amount(value: Any) -> Decimal:
    if not isinstance(value, str):
        raise ValueError(f"must be a quoted decimal, '{value}'")
    if not _AMOUNT.fullmatch(value):
        raise ValueError("not a decimal such as '1200.50' of at most 15 digits and 12 decimals")
    return Decimal(value)


def _quantity(value: Any) -> Decimal:
    quantity = _amount(str(value) if type(value) is int else value)
    if quantity < 0:
        raise ValueError("must not be negative")
    return quantity


def _day(value: Any) -> date:
    """A day, or the first day of a month."""
    if isinstance(value, str):
        value = date.fromisoformat(f"{value}-01" if _MONTH.fullmatch(value) else value)
    if type(value) is not date:
        raise ValueError("not a day such as 2026-10-01 or a month such as 2026-10")
    if value < DATE_MIN:
        raise ValueError(f"before {DATE_MIN}, the first day of the ledger")
    return value


def _values(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def month_after(day: date) -> date:
    """First day of the month after that of `day`."""
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)


Amount = Annotated[Decimal, BeforeValidator(_amount)]
Quantity = Annotated[Decimal, BeforeValidator(_quantity)]
Day = Annotated[date, BeforeValidator(_day)]
Name = Annotated[str, Field(min_length=1, max_length=128)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Payer(_Part):
    """Tags that pay together; a missing tag is none."""

    feature: Name | None = None
    team: Name | None = None
    tenant: Name | None = None
    environment: Name | None = None
    workload_class: Name | None = None

    def tags(self) -> tuple[str | None, ...]:
        """In the order of PAYER_TAGS."""
        return tuple(getattr(self, tag) for tag in PAYER_TAGS)


class Weighted(Payer):
    """A payer with a fixed share."""

    weight: Quantity


class Owner(_Part):
    """Who runs what is paid for."""

    team: Name | None = None
    feature: Name | None = None
    service: Name | None = None


class SharedCost(BaseModel):
    """One amount for one period."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    id: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    """What the cost is, the same in every period."""
    name: Name | None = None
    """As the ledger shows it; the id where it is not given."""
    provider: Name | None = None
    """Who bills it."""
    owner: Owner = Owner()
    period: str | None = Field(default=None, pattern=_MONTH.pattern)
    """A month, `2026-10`: short for `from` and `to`."""
    since: Day = Field(alias="from")
    """First day, UTC."""
    until: Day = Field(alias="to")
    """Day after the last one."""
    amount: Amount
    """US dollars for the whole period, as a quoted decimal; negative for a credit."""
    shared_by: dict[str, Annotated[tuple[str | None, ...], BeforeValidator(_values)]] = {}
    """Columns of steps and the values that they may have: the steps that share the cost. All
    steps of the period where it is empty."""
    method: Method
    driver: Driver | None = None
    """What shares are in proportion to, for `proportional` and `usage`."""
    capacity: Quantity | None = None
    """How much of the driver the amount buys, for `usage`: what was not used is idle."""
    weights: tuple[Weighted, ...] = ()
    """Who pays how many parts, for `weights`."""
    idle: Payer | None = None
    """Who pays for what nobody used; the owner where it is not given."""

    @model_validator(mode="before")
    @classmethod
    def _month(cls, values: Any) -> Any:
        if not isinstance(values, dict) or values.get("period") is None:
            return values
        if "from" in values or "to" in values:
            raise ValueError("`period` already says `from` and `to`; keep one way")
        if not (isinstance(values["period"], str) and _MONTH.fullmatch(values["period"])):
            raise ValueError("`period` is a month such as 2026-10; use `from` and `to` for others")
        first = _day(values["period"])
        return {**values, "from": first, "to": month_after(first)}

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if self.until <= self.since:
            raise ValueError("`to` must be after `from`; it is the day after the last one")
        for column in self.shared_by:
            if column not in SHARED_BY:
                raise ValueError(f"`{column}` is not one of {', '.join(SHARED_BY)}")
        needed = {
            "even": {"shared_by"},
            "weights": {"weights"},
            "proportional": {"shared_by", "driver"},
            "usage": {"shared_by", "driver", "capacity"},
        }[self.method]
        for key in ("driver", "capacity", "weights"):
            if key in needed and not getattr(self, key):
                raise ValueError(f"method `{self.method}` needs `{key}`; add it")
        for key in ("driver", "capacity", "weights", "shared_by"):
            if key not in needed and getattr(self, key):
                raise ValueError(f"method `{self.method}` has no `{key}`; remove it")
        payers = [weighted.tags() for weighted in self.weights]
        if len(set(payers)) < len(payers):
            raise ValueError("a payer is twice among `weights`; add its weights up")
        return self

    @property
    def idle_payer(self) -> Payer:
        """Who pays for what nobody used."""
        return self.idle or Payer(feature=self.owner.feature, team=self.owner.team)


class SharedCosts(_Part):
    """The whole file."""

    schema_: Literal["agentcost.shared/v1"] = Field(alias="schema")
    costs: tuple[SharedCost, ...]

    @model_validator(mode="after")
    def _holds_something(self) -> Self:
        if not self.costs:
            raise ValueError("there is no cost in it; add one")
        return self

    def overlap(self) -> tuple[int, int] | None:
        """Places of two costs of one id whose periods overlap."""
        by_id: defaultdict[str, list[int]] = defaultdict(list)
        for at, cost in enumerate(self.costs):
            for other in by_id[cost.id]:
                earlier = self.costs[other]
                if cost.since < earlier.until and earlier.since < cost.until:
                    return other, at
            by_id[cost.id].append(at)
        return None
