"""`agentcost rates settle`: the month's difference is in the ledger once, whatever comes later."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from agentcost_collector.book.charges import book_charges
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.model.schemas import ENTRIES, SPANS
from agentcost_collector.price.load import load_rate_book
from agentcost_collector.price.steps import price_steps
from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost, refusal
from tests.price.acme import steps

NOW_NS = 1_774_000_000_000_000_000

CARD = """schema: agentcost.ratecard/v1
card_id: list/acme-tool
kind: list
issuer: acme-tool
currency: USD
sources: {s: {url: "https://example.com", retrieved: 2026-01-01T00:00:00Z}}
skus:
  - sku: acme-tool/call
    match: {provider: [acme-tool], operation: [execute_tool]}
    band:
      measure: tool.acme.call
      mode: period_graduated
      bands: [{id: a}, {id: b, gt: 1000}]
    lines:
      - id: call
        kind: tool.acme.call
        prices: [{from: 2026-01-01T00:00:00Z, amount: {a: "0.010", b: "0.008"}, src: s}]
"""


def call(number: int, count: int, day: int) -> dict[str, Any]:
    row = {"kind": "tool", "provider": "acme-tool", "units": Decimal(count)}
    at = datetime(2026, 3, day, tzinfo=UTC)
    ids = {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "step_id": f"s{number}"}
    return {**row, **ids, "unit": "tool.acme.call", "started_at": at, "ended_at": at}


def book(data: Path, cards: Path, *rows: Mapping[str, Any]) -> None:
    """Steps into the ledger as the pipeline puts them there."""
    charges = price_steps(steps(*rows), load_rate_book([cards]))
    with Ledger.open(data / "ledger", "test", Config()) as ledger:
        entries = book_charges(charges, ENTRIES.empty_table(), NOW_NS)
        ledger.commit(SPANS.empty_table(), entries, {"position": len(rows)}, NOW_NS)


def total(data: Path) -> tuple[Decimal, Decimal]:
    with open_views(data) as connection:
        rows = [
            connection.execute(f"SELECT sum(cost_usd) FROM {view}").fetchall()[0]
            for view in ("ledger", "steps")
        ]
    return rows[0][0], rows[1][0]


def test_a_month_is_settled_once_and_again_when_something_is_late(tmp_path: Path) -> None:
    """1,500 calls cost 1,000 at 0.010 and 500 at 0.008; a late step corrects that, once."""
    data, cards = tmp_path / "data", tmp_path / "cards"
    cards.mkdir()
    (cards / "acme.yaml").write_text(CARD)
    command = ("rates", "settle", "--period", "2026-03", "--data", data, "--rate-cards", cards)
    book(data, cards, call(1, 900, 5), call(2, 600, 9))
    dry = agentcost(*command, "--dry-run")
    assert (dry.stderr, dry.returncode) == ("", 0)
    assert "would book  1 entries, $-1" in dry.stdout
    assert total(data) == (15, 15)
    assert "booked  1 entries, $-1" in agentcost(*command).stdout
    assert total(data) == (14, 14)
    assert "booked  0 entries, $0" in agentcost(*command).stdout
    book(data, cards, call(3, 300, 7))
    assert total(data) == (17, 17)
    assert "booked  2 entries, $-0.6" in agentcost(*command).stdout
    assert total(data) == (Decimal("16.4"), Decimal("16.4"))


def test_wrong_use(tmp_path: Path) -> None:
    """A month that is none is refused."""
    assert "such as 2026-10" in refusal("rates", "settle", "--period", "March", "--data", tmp_path)
