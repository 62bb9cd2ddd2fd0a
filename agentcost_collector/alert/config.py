"""Settings of alerts."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, Field, field_validator, model_validator


class Runaway(BaseModel, frozen=True, extra="forbid"):
    """When a trace that is still open is out of hand. None: never for that reason."""

    cost_usd: Decimal | None = Field(default=Decimal(10), gt=0)
    """US dollars so far."""
    steps: int | None = Field(default=1000, ge=1)
    """Billable steps so far."""
    tool_calls: int | None = Field(default=100, ge=1)
    """Calls of one and the same tool so far."""
    spans_min: int = Field(default=20, ge=1)
    """Open traces with fewer spans are not looked at."""
    every_s: float = Field(default=5, gt=0)
    """Seconds between two looks at the open traces."""


class Config(BaseModel, frozen=True, extra="forbid", hide_input_in_errors=True):
    """Where alerts go, and what is worth one. The service looks only where a door is set."""

    urls: tuple[str, ...] = Field(default=(), repr=False)
    """Addresses of apprise (slack://..., mailto://..., json://...). They can hold secrets."""
    alertmanager: str | None = Field(default=None, repr=False)
    """Address of an Alertmanager, http://HOST:9093; user:password@ before the host is sent as basic
    authentication."""
    thresholds: tuple[Decimal, ...] = (Decimal("0.5"), Decimal("0.8"), Decimal(1))
    """Shares of a budget that are worth an alert each."""
    burn_rates: dict[int, Decimal] = {1: Decimal("14.4"), 6: Decimal(6)}
    """Hours, and how many times the budget's even pace may be spent in the last so many hours."""
    unattributed_share: Decimal = Field(default=Decimal("0.05"), ge=0, le=1)
    """Share of the spend of the last 24 hours that may be without a feature that pays."""
    unpriced_share: Decimal = Field(default=Decimal("0.01"), ge=0, le=1)
    """Share of the steps of the last 24 hours that may be without a full price."""
    every_s: float = Field(default=60, gt=0)
    """Seconds between two looks at the ledger."""
    timeout_s: float = Field(default=10, gt=0)
    """Seconds in which a door has to answer; it is told again later."""
    runaway: Runaway = Runaway()

    @property
    def wanted(self) -> bool:
        """Whether there is a door."""
        return bool(self.urls or self.alertmanager)

    @field_validator("urls", mode="before")
    @classmethod
    def _one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("alertmanager")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "http://none")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be http://HOST:PORT or https://HOST:PORT; it is not shown")
        return value

    @model_validator(mode="after")
    def _positive(self) -> Self:
        if any(share <= 0 for share in self.thresholds):
            raise ValueError("thresholds must be above 0")
        if any(hours < 1 or hours > 24 for hours in self.burn_rates):
            raise ValueError("burn_rates are for 1 to 24 hours")
        if any(times <= 0 for times in self.burn_rates.values()):
            raise ValueError("burn_rates must be above 0")
        return self
