"""Budgets as their file declares them: the schema `agentcost.budgets/v1`."""

from __future__ import annotations

import hashlib
import re
from datetime import date
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from agentcost_collector.report.period import Span

_AMOUNT = re.compile(r"\d{1,15}(\.\d{1,12})?")

SCOPE = ("feature", "team", "tenant", "environment")
"""Tags that a budget can be tied to."""


class Measure(StrEnum):
    """What is limited."""

    USD = "usd"
    TOKENS = "tokens"
    GPU_SECONDS = "gpu_seconds"


class Tier(StrEnum):
    """What happens when the cap is passed."""

    FEATURE = "feature"
    """A soft cap: the owner is alerted. Also of a tenant."""
    TEAM = "team"
    """Somebody must acknowledge before more is approved."""
    ORGANISATION = "organisation"
    """An incident."""


def _amount(value: Any) -> Decimal:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str):
        raise ValueError(f"must be a whole number or a quoted decimal, '{value}'")
    if not _AMOUNT.fullmatch(text) or not Decimal(text):
        raise ValueError("not an amount above 0, such as '1200.50', with at most 12 decimals")
    return Decimal(text)


Amount = Annotated[Decimal, BeforeValidator(_amount)]
Text = Annotated[str, Field(min_length=1, max_length=256)]


class Raise(BaseModel):
    """More for some days; it ends by itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: Amount
    """In the measure of its budget."""
    since: date = Field(alias="from")
    until: date
    """The day after its last."""
    reason: Text

    @model_validator(mode="after")
    def _lasts(self) -> Self:
        if self.until <= self.since:
            raise ValueError("`until` must be after `from`; it is the day after the last one")
        return self

    def holds(self, day: date) -> bool:
        """Whether it is in force."""
        return self.since <= day < self.until


class Budget(BaseModel):
    """A cap for each period of one length."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    owner: Text
    """Who defends it: a person, an address, a channel."""
    roadmap: Text | None = None
    """What the spending is for: a link."""
    feature: Text | None = None
    """All that is given of this and the next three must hold of a step."""
    team: Text | None = None
    tenant: Text | None = None
    environment: Text | None = None
    period: Span
    usd: Amount | None = None
    tokens: Amount | None = None
    gpu_seconds: Amount | None = None
    since: date | None = Field(default=None, alias="from")
    """First day; always where it is not given."""
    until: date | None = None
    """The day after its last."""
    raises: tuple[Raise, ...] = ()

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        given = [measure for measure in Measure if getattr(self, measure) is not None]
        if len(given) != 1:
            raise ValueError(f"needs exactly one of {', '.join(Measure)}")
        if self.period is Span.DAYS:
            raise ValueError(f"`period` is one of {', '.join(s for s in Span if s != Span.DAYS)}")
        if self.since and self.until and self.until <= self.since:
            raise ValueError("`until` must be after `from`; it is the day after the last one")
        return self

    @property
    def measure(self) -> Measure:
        """What is limited."""
        return next(measure for measure in Measure if getattr(self, measure) is not None)

    @property
    def amount(self) -> Decimal:
        """The cap of one period, without raises."""
        amount: Decimal = getattr(self, self.measure)
        return amount

    @property
    def tier(self) -> Tier:
        """By what it is tied to."""
        if self.feature is not None or self.tenant is not None:
            return Tier.FEATURE
        return Tier.TEAM if self.team is not None else Tier.ORGANISATION

    @property
    def digest(self) -> str:
        """SHA-256 of all that it says: who signs, signs this."""
        return hashlib.sha256(self.model_dump_json(by_alias=True).encode()).hexdigest()

    def holds(self, day: date) -> bool:
        """Whether it is in force."""
        return (self.since is None or self.since <= day) and (
            self.until is None or day < self.until
        )

    def raised(self, day: date) -> Decimal:
        """What is added to the cap on a day."""
        return sum((more.by for more in self.raises if more.holds(day)), Decimal(0))


class Budgets(BaseModel):
    """The whole file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_: Literal["agentcost.budgets/v1"] = Field(alias="schema")
    budgets: tuple[Budget, ...]

    def twice(self) -> tuple[int, int] | None:
        """Places of two budgets of one name."""
        seen: dict[str, int] = {}
        for at, budget in enumerate(self.budgets):
            if budget.name in seen:
                return seen[budget.name], at
            seen[budget.name] = at
        return None

    def named(self, name: str) -> Budget | None:
        """The budget of a name."""
        return next((budget for budget in self.budgets if budget.name == name), None)
