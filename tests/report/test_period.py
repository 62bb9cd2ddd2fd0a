"""Periods by their names: calendar, weeks, fiscal years, and what `last-month` is today."""

from datetime import date

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.report.config import Config
from agentcost_collector.report.period import Period, day_of

CALENDAR = Config()
FROM_APRIL = Config(fiscal_year_start=4)
FROM_OCTOBER = Config(fiscal_year_start=10)
TODAY = date(2026, 5, 28)


@pytest.mark.parametrize(
    ("text", "config", "first", "until"),
    [
        ("2026-05-28", CALENDAR, date(2026, 5, 28), date(2026, 5, 29)),
        ("2026-W01", CALENDAR, date(2025, 12, 29), date(2026, 1, 5)),
        ("2026-W53", CALENDAR, date(2026, 12, 28), date(2027, 1, 4)),
        ("2026-02", CALENDAR, date(2026, 2, 1), date(2026, 3, 1)),
        ("2026-12", CALENDAR, date(2026, 12, 1), date(2027, 1, 1)),
        ("2026-Q4", CALENDAR, date(2026, 10, 1), date(2027, 1, 1)),
        ("2026-Q4", FROM_APRIL, date(2026, 10, 1), date(2027, 1, 1)),
        ("2026", FROM_APRIL, date(2026, 1, 1), date(2027, 1, 1)),
        ("FY2026", CALENDAR, date(2026, 1, 1), date(2027, 1, 1)),
        ("FY2026", FROM_APRIL, date(2025, 4, 1), date(2026, 4, 1)),
        ("FY2026-Q1", FROM_OCTOBER, date(2025, 10, 1), date(2026, 1, 1)),
        ("FY2026-Q4", FROM_APRIL, date(2026, 1, 1), date(2026, 4, 1)),
        ("2026-05-01..2026-05-14", CALENDAR, date(2026, 5, 1), date(2026, 5, 15)),
        ("today", CALENDAR, TODAY, date(2026, 5, 29)),
        ("yesterday", CALENDAR, date(2026, 5, 27), TODAY),
        ("this-week", CALENDAR, date(2026, 5, 25), date(2026, 6, 1)),
        ("last-month", CALENDAR, date(2026, 4, 1), date(2026, 5, 1)),
        ("last-quarter", CALENDAR, date(2026, 1, 1), date(2026, 4, 1)),
        ("this-fiscal-year", FROM_OCTOBER, date(2025, 10, 1), date(2026, 10, 1)),
        ("last-fiscal-quarter", FROM_OCTOBER, date(2026, 1, 1), date(2026, 4, 1)),
    ],
)
def test_a_name_means_these_days(text, config, first, until):
    """First day and day after the last, counted by hand."""
    period = Period.parse(text, config, TODAY)
    assert (period.first, period.until) == (first, until)


@pytest.mark.parametrize("config", [CALENDAR, FROM_APRIL, FROM_OCTOBER])
@pytest.mark.parametrize(
    "text",
    [
        "2026-05-28",
        "2026-W22",
        "2026-W53",
        "2026-02",
        "2026-Q3",
        "2026",
        "FY2026",
        "FY2026-Q1",
        "FY2026-Q4",
    ],
)
def test_a_period_is_named_as_it_is_asked_for(text, config):
    """So that what a report calls it can be asked for again."""
    assert Period.parse(text, config, TODAY).name == text


@pytest.mark.parametrize("config", [CALENDAR, FROM_APRIL, FROM_OCTOBER])
@pytest.mark.parametrize("text", ["2026-W01", "2026-01", "2026-Q1", "FY2026-Q1", "FY2026", "2026"])
def test_periods_of_a_kind_leave_no_day_between_them(text, config):
    """Each ends where the next begins."""
    period = Period.parse(text, config, TODAY)
    before = period.before(config)
    assert before.until == period.first
    assert before.span == period.span
    assert Period.parse(before.name, config, TODAY) == before


def test_days_from_and_to_come_after_as_many_days():
    """The period before 14 days is the 14 days before."""
    before = Period.parse("2026-05-01..2026-05-14", CALENDAR, TODAY).before(CALENDAR)
    assert before.name == "2026-04-17..2026-04-30"


def test_how_much_of_a_period_has_passed():
    """Today counts; a period that is over has passed whole, a coming one not at all."""
    parse = lambda text: Period.parse(text, CALENDAR, TODAY)  # noqa: E731
    assert parse("2026-05").days_passed(TODAY) == 28
    assert parse("2026-04").days_passed(TODAY) == 30
    assert parse("2026-06").days_passed(TODAY) == 0
    assert parse("2026-02").days == 28


def test_the_day_is_that_of_the_organisation():
    """At 23:30 UTC on New Year's Eve it is 2026 in Berlin and still 2025 in New York."""
    moment = 1_767_223_800 * 10**9  # 2025-12-31T23:30:00Z
    assert day_of(moment, Config(time_zone="Europe/Berlin")) == date(2026, 1, 1)
    assert day_of(moment, Config(time_zone="America/New_York")) == date(2025, 12, 31)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "may",
        "2026-13",
        "2026-W54",
        "2026-02-30",
        "2026-Q5",
        "FY2026-Q0",
        "last-days",
        "last-",
        "2026-05-14..2026-05-01",
        "9999",
        "0000",
        "２０２６",
    ],
)
def test_what_is_not_a_period_is_refused(text):
    """With the forms that can be given."""
    with pytest.raises(ConfigError, match="not a period; give a day"):
        Period.parse(text, CALENDAR, TODAY)
