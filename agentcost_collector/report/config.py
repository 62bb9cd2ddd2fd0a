"""Settings of reports."""

from __future__ import annotations

from zoneinfo import available_timezones

from pydantic import BaseModel, Field, field_validator


class Config(BaseModel, frozen=True, extra="forbid"):
    """By whose clock and calendar hours, days and periods are cut."""

    time_zone: str = "UTC"
    """Time zone of the organisation, by its IANA name (Europe/Berlin)."""

    fiscal_year_start: int = Field(default=1, ge=1, le=12)
    """Month in which the fiscal year begins; FY2026 ends in 2026."""

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("this time zone is not known; give its IANA name, as Europe/Berlin")
        return value
