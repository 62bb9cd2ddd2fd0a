"""Periods of an organisation: what days a name such as 2026-05, FY2026-Q2 or last-month means."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Self
from zoneinfo import ZoneInfo

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.report.config import Config

FORMS = (
    "a day (2026-05-28), ISO week (2026-W22), month (2026-05), quarter (2026-Q2), year (2026),"
    " fiscal quarter or year (FY2026-Q2, FY2026), days from and to (2026-05-01..2026-05-14),"
    " today, yesterday, or this or last with any of week, month, quarter, year, fiscal-quarter,"
    " fiscal-year (last-month)"
)
"""What `Period.parse` takes, for helps and errors."""


class Span(StrEnum):
    """How long a period is, and where it can begin."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    QUARTER = "quarter"
    YEAR = "year"
    FISCAL_QUARTER = "fiscal-quarter"
    FISCAL_YEAR = "fiscal-year"
    DAYS = "days"
    """Any number of days, from any day on."""


_MONTHS = {
    Span.MONTH: 1,
    Span.QUARTER: 3,
    Span.YEAR: 12,
    Span.FISCAL_QUARTER: 3,
    Span.FISCAL_YEAR: 12,
}
_FISCAL = {Span.FISCAL_QUARTER, Span.FISCAL_YEAR}


@dataclass(frozen=True, order=True)
class Period:
    """Whole days in a row, by the calendar of the organisation's time zone."""

    first: date
    until: date
    """The day after its last."""
    span: Span
    name: str
    """As users write it."""

    @classmethod
    def parse(cls, text: str, config: Config, today: date) -> Self:
        """The period that a user names by one of FORMS. ConfigError where there is none."""
        relative = re.fullmatch(r"(this|last)-([a-z-]+)", text)
        if text in ("today", "yesterday"):
            return cls.of(Span.DAY, today - timedelta(days=text == "yesterday"), config)
        try:
            if relative:
                current = cls.of(Span(relative[2]), today, config)
                return current if relative[1] == "this" else current.before(config)
            return cls._absolute(text, config)
        except (ValueError, OverflowError):
            raise ConfigError(f"{text}: not a period; give {FORMS}") from None

    @classmethod
    def of(cls, span: Span, day: date, config: Config) -> Self:
        """The period of this span that holds `day`. ValueError for DAYS, which has no grid."""
        if span is Span.DAY:
            return cls(day, day + timedelta(days=1), span, day.isoformat())
        if span is Span.WEEK:
            monday = day - timedelta(days=day.weekday())
            year, week, _ = day.isocalendar()
            return cls(monday, monday + timedelta(days=7), span, f"{year}-W{week:02}")
        if span not in _MONTHS:
            raise ValueError(f"{span} has no grid")
        offset = config.fiscal_year_start - 1 if span in _FISCAL else 0
        length = _MONTHS[span]
        number = day.year * 12 + day.month - 1
        first = number - (number - offset) % length
        return cls(_month(first), _month(first + length), span, _name(span, first, offset))

    def before(self, config: Config) -> Self:
        """The one that ends where this begins; as many days where it has no grid."""
        if self.span is Span.DAYS:
            return self._days(self.first - (self.until - self.first), self.first)
        return self.of(self.span, self.first - timedelta(days=1), config)

    def days_passed(self, today: date) -> int:
        """How many of its days have begun, `today` among them."""
        return max(
            0, min(self.until, today + timedelta(days=1)).toordinal() - self.first.toordinal()
        )

    @property
    def days(self) -> int:
        """How many days it has."""
        return (self.until - self.first).days

    @property
    def where(self) -> str:
        """SQL: the rows of the views `days` and `hours` that lie in it."""
        return f"(day >= DATE '{self.first}' AND day < DATE '{self.until}')"

    @classmethod
    def _absolute(cls, text: str, config: Config) -> Self:
        for pattern, made in _FORMS:
            match = re.fullmatch(pattern, text, re.ASCII)
            if match:
                span, day = made(match, config)
                return cls.of(span, day, config)
        first, _, last = text.partition("..")
        return cls._days(date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1))

    @classmethod
    def _days(cls, first: date, until: date) -> Self:
        if until <= first:
            raise ValueError("ends before it begins")
        return cls(first, until, Span.DAYS, f"{first}..{until - timedelta(days=1)}")


def day_of(now_ns: int, config: Config) -> date:
    """What day it is for the organisation."""
    return (
        datetime.fromtimestamp(now_ns // 10**9, UTC).astimezone(ZoneInfo(config.time_zone)).date()
    )


def _month(number: int) -> date:
    """First day of a month, counted from year 0."""
    return date(number // 12, number % 12 + 1, 1)


def _name(span: Span, first: int, offset: int) -> str:
    """Of the period of months that begins with month `first`; `offset` is where its year does."""
    year, month = divmod(first - offset, 12)
    year += offset > 0  # a fiscal year is named after the year in which it ends
    if span is Span.MONTH:
        return f"{year}-{month + 1:02}"
    fiscal = "FY" if span in _FISCAL else ""
    quarter = f"-Q{month // 3 + 1}" if _MONTHS[span] == 3 else ""
    return f"{fiscal}{year}{quarter}"


def _fiscal(match: re.Match[str], config: Config) -> date:
    quarter = int(match[2]) if match.re.groups > 1 else 1
    offset = config.fiscal_year_start - 1
    return _month((int(match[1]) - (offset > 0)) * 12 + offset + 3 * (quarter - 1))


_FORMS: tuple[tuple[str, Callable[[re.Match[str], Config], tuple[Span, date]]], ...] = (
    (r"\d{4}-\d\d-\d\d", lambda m, c: (Span.DAY, date.fromisoformat(m[0]))),
    (r"(\d{4})-W(\d\d)", lambda m, c: (Span.WEEK, date.fromisocalendar(int(m[1]), int(m[2]), 1))),
    (r"(\d{4})-(\d\d)", lambda m, c: (Span.MONTH, date(int(m[1]), int(m[2]), 1))),
    (r"(\d{4})-Q([1-4])", lambda m, c: (Span.QUARTER, date(int(m[1]), 3 * int(m[2]) - 2, 1))),
    (r"(\d{4})", lambda m, c: (Span.YEAR, date(int(m[1]), 1, 1))),
    (r"FY(\d{4})-Q([1-4])", lambda m, c: (Span.FISCAL_QUARTER, _fiscal(m, c))),
    (r"FY(\d{4})", lambda m, c: (Span.FISCAL_YEAR, _fiscal(m, c))),
)
