"""Margins of tenants: revenue by the file, cost by the ledger."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, reversed_of, write_ledger

PRICES = """schema: agentcost.prices/v1
tenants:
  acme: {month: "31"}
  zeta: {run: "0.5", month: 62}
  idle: {month: "10"}
"""


@pytest.fixture
def data(tmp_path):
    """In March acme: two runs of $1 and one of no known price; zeta: one of $40; poor: one of $2,
    and one that was taken back."""
    rows = [
        booked(step_id="1", trace_id="a" * 32, cost_usd=Decimal(1)),
        booked(step_id="2", trace_id="b" * 32, cost_usd=Decimal(1)),
        booked(step_id="3", trace_id="c" * 32, cost_usd=None, cost_status="unpriced"),
        booked(step_id="4", trace_id="d" * 32, cost_usd=Decimal(40), tenant="zeta"),
        booked(step_id="5", trace_id="e" * 32, cost_usd=Decimal(2), tenant="poor"),
    ]
    wrong = booked(step_id="6", trace_id="f" * 32, cost_usd=Decimal(9), tenant="poor")
    write_ledger(tmp_path / "data", [[*rows, wrong], [reversed_of(wrong, 2)]])
    (tmp_path / "prices.yaml").write_text(PRICES)
    return tmp_path / "data"


def margins(data, period):
    arguments = ("--period", period, "--prices", data.parent / "prices.yaml", "--data", data)
    done = agentcost("report", "unit-economics", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["sections"]["margin"]
    keys = ("runs", "revenue_usd", "cost_usd", "margin_usd", "margin_percent", "unpriced_steps")
    return {
        row["tenant"]: [None if row[k] is None else Decimal(row[k]) for k in keys] for row in rows
    }


def test_a_month(data):
    """Smallest margin first; who has no price has no margin, who has no steps costs nothing."""
    found = margins(data, "2026-03")
    assert list(found) == ["idle", "zeta", "acme", "poor"]
    assert found["acme"] == [3, 31, 2, 29, Decimal("93.5"), 1]
    assert found["zeta"] == [1, Decimal("62.5"), 40, Decimal("22.5"), 36, 0]
    assert found["idle"] == [0, 10, 0, 10, 100, 0]
    assert found["poor"] == [1, None, 2, None, None, 0]


def test_parts_of_months_count_by_their_days(data):
    """A day of March, and 14 days of February with all of March."""
    assert margins(data, "2026-03-01")["acme"][1] == 1
    assert margins(data, "2026-02-15..2026-03-31")["acme"][1] == Decimal("46.5")


def test_faults_have_a_line(data):
    """Of the file of prices."""
    file = data.parent / "prices.yaml"
    at = ("report", "unit-economics", "--data", data, "--prices", file)
    file.write_text(PRICES.replace('{month: "31"}', "{}"))
    assert "prices.yaml:3: " in (said := refusal(*at))
    assert "needs `month` or `run`" in said
    file.write_text(PRICES.replace('"31"', "31.5"))
    assert "quoted decimal" in refusal(*at)
