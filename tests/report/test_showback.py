"""Showback adds up, names what is not priced and not attributed, and checks itself."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from agentcost_collector.report.query import select
from agentcost_collector.report.showback import SHOWBACK, Totals, totals
from agentcost_collector.report.views import open_views
from tests.report.ledgers import booked, reversed_of, write_ledger


def _ledger(tmp_path: Path) -> Path:
    first = booked(step_id="1")
    write_ledger(
        tmp_path,
        [
            [
                first,
                booked(step_id="2", feature="chat", cost_usd=Decimal("3")),
                booked(step_id="3", feature=None, team=None, tenant=None, cost_usd=Decimal("2")),
                booked(step_id="4", feature="dark", cost_usd=None, cost_status="unpriced"),
                booked(step_id="5", feature="dark", cost_usd=None, cost_status="partial"),
            ],
            [reversed_of(first, 2), booked(2, step_id="1", feature="chat", input_tokens=1)],
        ],
    )
    return tmp_path


def test_showback_is_what_each_pays(tmp_path: Path) -> None:
    """One row per payer, dearest first; what is unpriced is NULL and counted, not zero."""
    rows = select(open_views(_ledger(tmp_path)), SHOWBACK).read_all()
    assert rows.schema.names == [
        "feature",
        "team",
        "tenant",
        "steps",
        "tokens",
        "cost_usd",
        "unpriced_steps",
        "unattributed_steps",
    ]
    assert [tuple(row.values()) for row in rows.to_pylist()] == [
        ("chat", "core", "acme", 2, 121, Decimal("3.000350000000"), 0, 0),
        (None, None, None, 1, 110, Decimal("2.000000000000"), 0, 1),
        ("dark", "core", "acme", 2, 220, None, 2, 0),
    ]


def test_totals_of_all_views(tmp_path: Path) -> None:
    """Three independent sums, and beside them what they leave out."""
    money = Decimal("5.000350000000")
    found = totals(open_views(_ledger(tmp_path)))
    assert found == Totals(
        ledger_usd=money,
        steps_usd=money,
        runs_usd=money,
        ledger_steps=5,
        steps=5,
        runs_steps=5,
        unpriced_steps=2,
        unattributed_steps=1,
        unattributed_usd=Decimal("2.000000000000"),
    )
    assert found.agree


def test_an_empty_ledger_agrees(tmp_path: Path) -> None:
    """Nothing booked, or all of it taken back, is no disagreement."""
    assert totals(open_views(tmp_path)).agree
    entry = booked()
    write_ledger(tmp_path, [[entry], [reversed_of(entry, 2)]])
    found = totals(open_views(tmp_path))
    assert (found.ledger_usd, found.steps_usd, found.steps) == (Decimal(0), None, 0)
    assert found.agree


def test_a_difference_is_seen(tmp_path: Path) -> None:
    """Money or steps that differ anywhere make the check fail."""
    good = totals(open_views(_ledger(tmp_path)))
    penny = Decimal("0.000000000001")
    assert good.runs_usd is not None
    assert not replace(good, runs_usd=good.runs_usd + penny).agree
    assert not replace(good, steps=6).agree


def test_a_reversal_without_its_entry_is_seen(tmp_path: Path) -> None:
    """A ledger that was damaged so that a step is taken back twice does not pass as agreeing."""
    entry = booked()
    write_ledger(tmp_path, [[entry], [reversed_of(entry, 2)], [reversed_of(entry, 3)]])
    assert not totals(open_views(tmp_path)).agree
