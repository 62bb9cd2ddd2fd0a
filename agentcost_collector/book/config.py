"""Settings of booking."""

from __future__ import annotations

from datetime import date

from pydantic import BaseModel

from agentcost_collector.model.partition import DATE_MIN, ENVIRONMENTS


class Config(BaseModel, frozen=True, extra="forbid"):
    """Booking. `environments` and `date_min` must be those of the ledger."""

    environments: tuple[str, ...] = ENVIRONMENTS
    """Environments kept by name, lower case. Any other becomes `other`, none given `none`."""

    date_min: date = DATE_MIN
    """First day of the ledger: an entry dated earlier is filed under this day."""
