"""Prices by the total of a period, and free units: what the whole month comes to."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.schemas import CHARGES
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.period import settle_period
from agentcost_collector.price.ratebook import RateBook
from agentcost_collector.price.steps import price_steps
from tests.price.acme import card_file, line, sku, steps

NOVEMBER = date(2026, 11, 1)
START = datetime(2026, 11, 1, tzinfo=UTC)
TOOL = "provider: [acme], operation: [execute_tool]"
BANDS = "bands: [{id: a}, {id: b, gt: 1000}, {id: c, gt: 10000}]"
AMOUNTS = '{a: "0.010", b: "0.008", c: "0.005"}'
LIMITS = ((0, Fraction("0.010")), (1000, Fraction("0.008")), (10_000, Fraction("0.005")))


def book_of(folder: Path, mode: str, more: str = "") -> RateBook:
    band = f"    band: {{measure: tool.x.call, mode: {mode}, {more}{BANDS}}}\n"
    return load_rate_book(
        [card_file(folder, sku("x", line("tool.x.call", AMOUNTS), match=TOOL, more=band))]
    )


def calls(count: int, after: timedelta, **more: Any) -> dict[str, Any]:
    row = {"kind": "tool", "provider": "acme", "units": Decimal(count), "unit": "tool.x.call"}
    return {**row, "ended_at": START + after, "started_at": START + after, **more}


def total_of(table: pa.Table, book: RateBook) -> Decimal:
    """What the steps and the settlement of the month come to."""
    both = (price_steps(table, book), settle_period(table, book, NOVEMBER))
    return sum((c for t in both for c in t["cost_usd"].to_pylist()), Decimal(0))


def graduated(quantity: int) -> Fraction:
    """The whole month by bands, worked out by hand: each band times what lies in it."""
    first, second = min(quantity, 1000), min(max(quantity - 1000, 0), 9000)
    third = max(quantity - 10_000, 0)
    return first * LIMITS[0][1] + second * LIMITS[1][1] + third * LIMITS[2][1]


def exact(amount: Fraction) -> Decimal:
    return Decimal(amount.numerator) / Decimal(amount.denominator)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> RateBook:
    return book_of(tmp_path_factory.mktemp("cards"), "period_graduated")


def test_the_vector(book: RateBook) -> None:
    """SYN-01: after 9,998 calls, five more cost 2 x 0.008 + 3 x 0.005."""
    before = calls(9998, timedelta(days=1))
    after = total_of(steps(before, calls(5, timedelta(days=2))), book)
    assert after - total_of(steps(before), book) == Decimal("0.031")


@settings(max_examples=40, deadline=None)
@given(counts=st.lists(st.integers(0, 4000), min_size=1, max_size=12), seed=st.integers(0, 99))
def test_any_order_and_any_cut(counts: list[int], seed: int, book: RateBook) -> None:
    """Steps in whatever order, of whatever size: the month costs what its total costs."""
    rows = [calls(n, timedelta(hours=i)) for i, n in enumerate(counts)]
    table = steps(*rows)
    shuffled = list(range(len(rows)))
    random.Random(seed).shuffle(shuffled)
    again = settle_period(table.take(shuffled), book, NOVEMBER)
    assert again.equals(settle_period(table, book, NOVEMBER))
    assert again.schema == CHARGES
    assert total_of(table, book) == exact(graduated(sum(counts)))


def test_volume_price_is_for_all_units(tmp_path: Path) -> None:
    """The band of the whole month has the price of every unit; at its edge the lower one."""
    volume = book_of(tmp_path, "period_volume")
    for counted, cost in ((1000, "10"), (1001, "8.008"), (10_001, "50.005")):
        rows = [calls(1, timedelta(days=1)), calls(counted - 1, timedelta(days=3))]
        assert total_of(steps(*rows), volume) == Decimal(cost)


def test_who_pays_and_what_is_said(book: RateBook) -> None:
    """The difference of a step is with its payer; parts, list and original agree."""
    rows = [
        calls(1000, timedelta(days=1), feature="one", team="t"),
        calls(1000, timedelta(days=2), feature="two"),
        calls(9000, timedelta(days=3), feature="two"),
    ]
    charges = settle_period(steps(*rows), book, NOVEMBER).to_pylist()
    assert [(c["feature"], c["cost_usd"]) for c in charges] == [("two", Decimal("-23"))]
    (charge,) = charges
    assert charge["unit_cost_usd"] == charge["list_cost_usd"] == charge["original_cost"] == -23
    assert (charge["kind"], charge["feature_from"], charge["team_from"]) == (
        "allocated",
        "allocated",
        "none",
    )
    assert charge["rate_id"] == "period/acme/x:tool.x.call@2026-11"
    assert (charge["started_at"], charge["ended_at"]) == (
        START,
        datetime(2026, 12, 1, tzinfo=UTC) - timedelta(microseconds=1),
    )


def test_accounts_and_months_are_counted_apart(book: RateBook) -> None:
    """Another account and another month begin at the lowest band again."""
    rows = [
        calls(1000, timedelta(days=1), account="a"),
        calls(1000, timedelta(days=2), account="b"),
        calls(1000, timedelta(days=-1), account="a"),
        calls(1000, timedelta(days=30), account="a"),
        calls(1000, timedelta(microseconds=-1)),
        calls(1000, timedelta(0)),
    ]
    assert settle_period(steps(*rows), book, NOVEMBER).num_rows == 0


def test_days_of_the_issuers_time_zone(tmp_path: Path) -> None:
    """A period begins at midnight where the issuer counts it."""
    daily = book_of(tmp_path, "period_graduated", "period: day, tz: Asia/Shanghai, ")
    rows = [calls(800, timedelta(hours=h)) for h in (1, 15, 17)]  # Shanghai: 9, 23, 1 o'clock
    charges = settle_period(steps(*rows), daily, NOVEMBER).to_pylist()
    assert [(c["rate_id"][-10:], c["cost_usd"]) for c in charges] == [
        ("2026-11-01", Decimal("-1.2"))  # 600 of 1,600 at 0.008
    ]


@pytest.mark.parametrize(("scope", "free"), [("organization", 500), ("account", 1000)])
def test_allowance(scope: str, free: int, tmp_path: Path) -> None:
    """The first units of the month cost nothing: of all accounts together, or of each."""
    more = (
        "    allowances: [{kind: container.minute, qty: 500, period: month,"
        f" scope: {scope}, from: 2026-01-01T00:00:00Z}}]\n"
    )
    skus = sku("c", line("container.second", '"0.0015"', 60), match=TOOL, more=more)
    allowing = load_rate_book([card_file(tmp_path, skus)])
    rows = [
        {**calls(36_000, timedelta(days=d), account=a), "unit": "container.second"}
        for d, a in ((1, "a"), (2, "b"))
    ]
    assert total_of(steps(*rows), allowing) == (1200 - free) * Decimal("0.0015")


def test_what_cannot_be_told_by_a_period_is_refused(tmp_path: Path) -> None:
    """Bands of a period are for the kind they measure, and free units are not counted twice."""
    band = f"    band: {{measure: tool.x.call, mode: period_volume, {BANDS}}}\n"
    allowance = (
        "    allowances: [{kind: tool.x.call, qty: 5, period: month, from: 2026-01-01T00:00:00Z}]\n"
    )
    other = sku("x", line("tool.y.call", AMOUNTS), match=TOOL, more=band)
    with pytest.raises(ConfigError, match="for the kind that they measure"):
        load_rate_book([card_file(tmp_path / "a", other)])
    both = sku("x", line("tool.x.call", AMOUNTS), match=TOOL, more=band + allowance)
    with pytest.raises(ConfigError, match="needs a line of that kind"):
        load_rate_book([card_file(tmp_path / "b", both)])
    whole = band.replace("period_volume", "whole_request")
    with pytest.raises(ConfigError, match="measure of a request is"):
        load_rate_book(
            [card_file(tmp_path / "c", sku("x", line("tool.x.call", AMOUNTS), more=whole))]
        )
