"""Prices by the hour."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from agentcost_collector.price.bundled import bundled_rate_cards
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, line, sku, steps


def periods(book: RateBook, model: str, *ends: str, provider: str = "acme") -> list[str | None]:
    """The mark of the rate, or the reason why there is none, for calls that ended then."""
    rows = [
        {"provider": provider, "model": model, "input_tokens": 1}
        | {"ended_at": datetime.fromisoformat(end)}
        for end in ends
    ]
    charges = price_steps(steps(*rows), book).to_pylist()
    return [c["rate_id"].split("#")[-1] if c["rate_id"] else c["cost_reason"] for c in charges]


@pytest.mark.parametrize(
    ("end", "period"),
    [
        ("2026-11-18T00:59:59.999999Z", "offpeak"),
        ("2026-11-18T01:00:00Z", "peak"),
        ("2026-11-18T03:59:59.999999Z", "peak"),
        ("2026-11-18T04:00:00Z", "offpeak"),
        ("2026-11-18T06:00:00Z", "peak"),
        ("2026-11-18T10:00:00Z", "offpeak"),
        ("2026-11-21T02:30:00Z", "offpeak"),  # Saturday
        ("2026-10-01T02:30:00Z", "offpeak"),  # public holiday, a Thursday
        ("2026-10-08T02:30:00Z", "peak"),
    ],
)
def test_deepseek_hours(end: str, period: str) -> None:
    """Peak hours are half-open, on working days in Beijing, and not on public holidays."""
    assert periods(BOOK, "deepseek-flash", end, provider="deepseek") == [period]


def test_deepseek_changes() -> None:
    """DSK-03/04: the change is an instant; weekends became off-peak a week later."""
    ends = (
        "2026-08-16T15:59:59Z",
        "2026-08-16T16:00:00Z",
        "2026-08-22T02:00:00Z",  # Saturday, still with peak hours
        "2026-08-29T02:00:00Z",
    )
    row = {"provider": "deepseek", "model": "deepseek-v4-pro", "input_tokens": 1_000_000}
    rows = [row | {"ended_at": datetime.fromisoformat(end)} for end in ends]
    costs = [str(c.normalize()) for c in price_steps(steps(*rows), BOOK)["cost_usd"].to_pylist()]
    assert costs == ["0.435", "0.66", "1.32", "0.66"]


def test_local_hours_follow_the_clock_change(tmp_path: Path) -> None:
    """09:00 in Berlin is 08:00 UTC in winter and 07:00 UTC in summer."""
    lines = [line("token.input", '"1"', 1, more=f"when: {{p: {p}}},") for p in ("day", "night")]
    more = """    schedule:
      tz: Europe/Berlin
      windows: [{days: fri-mon, at: ["09:00-24:00"], set: {p: day}}]
      otherwise: {p: night}
"""
    book = load_rate_book([card_file(tmp_path, sku("m", *lines, more=more))])
    ends = [f"2026-0{month}T{at}:59:59Z" for month in ("3-28", "3-30") for at in ("06", "07")]
    assert periods(book, "m", *ends) == ["night", "night", "night", "day"]
    ends = ["2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-31T12:00:00Z"]
    assert periods(book, "m", *ends) == ["day", "day", "night"]


BOOK = load_rate_book([bundled_rate_cards()])
