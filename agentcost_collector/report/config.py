"""Settings of reports."""

from __future__ import annotations

from zoneinfo import available_timezones

from pydantic import BaseModel, Field, field_validator


class Config(BaseModel, frozen=True, extra="forbid"):
    """By whose clock and calendar hours, days and periods are cut, and what a success is."""

    time_zone: str = "UTC"
    """Time zone of the organisation, by its IANA name (Europe/Berlin)."""

    fiscal_year_start: int = Field(default=1, ge=1, le=12)
    """Month in which the fiscal year begins; FY2026 ends in 2026."""

    outcome: str | None = None
    """LABEL=VALUE of a step that makes its run a success (resolved=true); None: a run succeeds
    where no step ended with an error."""

    @field_validator("outcome")
    @classmethod
    def _split(cls, value: str | None) -> str | None:
        if value is not None and value.find("=") < 1:
            raise ValueError("must be LABEL=VALUE, such as resolved=true")
        return value

    @field_validator("time_zone")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in available_timezones():
            raise ValueError("this time zone is not known; give its IANA name, as Europe/Berlin")
        return value
