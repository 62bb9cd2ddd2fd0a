"""Drivers hold every charge once, ranked, with shares that add up to the whole."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from agentcost_collector.explain import break_down
from tests.report.ledgers import STEP

EMPTY = dict.fromkeys(("model", "requested_model", "tool", "target", "path", "rate_id"))


def _charge(cost: str | None, **changes: Any) -> dict[str, Any]:
    usd = None if cost is None else Decimal(cost)
    return {**EMPTY, **STEP, "cost_usd": usd, **changes}


def test_ranked_with_shares() -> None:
    """14 calls of one retrieval at 61 %, the model at 39 %; the dearest is first."""
    query = {"kind": "retrieval", "model": None, "target": "docs", "path": "run;find"}
    charges = [_charge("0.1", **query) for _ in range(14)] + [_charge("0.895", path="run;ask")]
    found = break_down(charges)
    first, second = found.drivers
    assert (first.kind, first.what, first.path) == ("retrieval", "docs", "run;find")
    assert (first.steps, first.cost_usd, first.share_percent) == (14, Decimal("1.4"), 61)
    assert (second.what, second.share_percent) == ("gpt-4o", 39)
    assert found.cost_usd == Decimal("2.295")


def test_shares_add_up() -> None:
    """Three equal thirds are 34, 33 and 33."""
    found = break_down([_charge("1", path=path) for path in "abc"])
    assert [driver.share_percent for driver in found.drivers] == [34, 33, 33]


def test_unpriced_is_not_zero() -> None:
    """Nothing priced: no sum and no share; what is missing is counted."""
    found = break_down([_charge(None, cost_status="unpriced")])
    (driver,) = found.drivers
    assert (found.cost_usd, driver.cost_usd, driver.share_percent) == (None, None, None)
    assert (found.unpriced, driver.unpriced) == (1, 1)


def test_failed_and_unattributed() -> None:
    """Both are counted with the money in them, which stays in the total."""
    found = break_down([_charge("1"), _charge("2", status="error"), _charge("4", feature=None)])
    assert (found.failed, found.failed_usd) == (1, Decimal(2))
    assert (found.unattributed, found.unattributed_usd) == (1, Decimal(4))
    assert found.cost_usd == Decimal(7)


def test_no_charges() -> None:
    """A trace without steps has no cost, and no drivers."""
    found = break_down([])
    assert (found.steps, found.cost_usd, found.drivers) == (0, None, ())
