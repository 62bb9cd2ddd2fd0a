"""What is worth an alert, by hand-made figures."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow as pa

from agentcost_collector.alert.config import Config, Runaway
from agentcost_collector.alert.facts import RECENT
from agentcost_collector.alert.rules import ledger_alerts, runaway_alerts
from agentcost_collector.model.schemas import CHARGES

TODAY = date(2026, 3, 15)
LIMITS = Runaway(cost_usd=Decimal(10), steps=1000, tool_calls=5)


def recent(*rows: dict[str, Any]) -> pa.Table:
    usual = {"hours": 24, "steps": 1, "unpriced_steps": 0, "usd": Decimal(0), "feature": "search"}
    return pa.Table.from_pylist([{**usual, **row} for row in rows], schema=RECENT)


def budget(**changes: Any) -> pa.Table:
    row = {
        "budget": "search-march",
        "owner": "ada",
        "feature": "search",
        "team": None,
        "tenant": None,
        "environment": None,
        "period": "2026-03",
        "first": date(2026, 3, 1),
        "until": date(2026, 4, 1),
        "measure": "usd",
        "cap": Decimal(744),  # 1 USD an hour
        "spent": Decimal(0),
        "unpriced_steps": 3,
        "unattributed_usd": Decimal(0),
        "what_to_do": "ask for an acknowledgement.",
    }
    return pa.Table.from_pylist([{**row, **changes}])


def charges(*rows: dict[str, Any]) -> pa.Table:
    usual = {"trace_id": "a" * 32, "span_id": "1" * 16, "step_id": "s", "service": "shop"}
    return pa.Table.from_pylist([{**usual, **row} for row in rows], schema=CHARGES)


def test_a_share_is_exceeded_only_above_it():
    """Exactly 5 % without a feature is no alert, a pico-dollar more is one."""
    rest = {"usd": Decimal("0.95")}
    at = recent(rest, {"feature": None, "usd": Decimal("0.05")})
    above = recent(rest, {"feature": None, "usd": Decimal("0.050000000001")})
    assert ledger_alerts(at, None, Config(), TODAY) == []
    (alert,) = ledger_alerts(above, None, Config(), TODAY)
    assert (alert.rule, alert.period) == ("unattributed", "2026-03-15")
    assert alert.figures["unattributed_usd"] == "0.050000000001"


def test_unpriced_steps_are_told_although_they_cost_nothing_yet():
    """2 of 100 steps without a price raise, 1 of 100 does not."""
    assert ledger_alerts(recent({"steps": 100, "unpriced_steps": 1}), None, Config(), TODAY) == []
    (alert,) = ledger_alerts(
        recent({"steps": 100, "unpriced_steps": 2, "usd": None}), None, Config(), TODAY
    )
    assert (alert.rule, alert.figures["unpriced_steps"]) == ("unpriced", "2")


def test_a_budget_names_the_highest_threshold_reached():
    """Under half nothing; at half, four fifths and the whole one alert each, with owner, figures
    and what to do."""
    reached = {}
    for spent in ("371.99", "372", "595.2", "743.99", "744"):
        found = ledger_alerts(recent(), budget(spent=Decimal(spent)), Config(), TODAY)
        reached[spent] = [(a.level, a.severity) for a in found]
    assert reached == {
        "371.99": [],
        "372": [("0.5", "warning")],
        "595.2": [("0.8", "warning")],
        "743.99": [("0.8", "warning")],
        "744": [("1", "critical")],
    }
    (alert,) = ledger_alerts(recent(), budget(spent=Decimal(744)), Config(), TODAY)
    assert (alert.scope, alert.owner) == ("search-march", "ada")
    assert alert.what_to_do == "ask for an acknowledgement."
    assert "744 of 744 usd" in alert.summary
    assert "3 steps" in alert.summary


def test_burning_is_measured_against_the_pace_of_the_budget():
    """A budget of 1 USD an hour: 14.4 in the last hour is its limit, of its own feature only."""
    config = Config(burn_rates={1: Decimal("14.4")})
    calm = recent(
        {"hours": 1, "usd": Decimal("14.4")}, {"hours": 1, "feature": "chat", "usd": Decimal(99)}
    )
    fast = recent({"hours": 1, "usd": Decimal("14.400000000001")})
    assert ledger_alerts(calm, budget(), config, TODAY) == []
    (alert,) = ledger_alerts(fast, budget(), config, TODAY)
    assert (alert.rule, alert.owner, alert.period) == ("burn_rate", "ada", "2026-03-15")
    assert alert.figures["window_spent"] == "14.400000000001"


def test_each_way_to_run_away():
    """Cost, steps and one tool again and again are found apart, per trace, from the limit on; ten
    times the limit is critical."""
    loop = charges(*[{"tool": "search", "feature": "shop", "team": "web"}] * 5, {"tool": "other"})
    (alert,) = runaway_alerts(loop, LIMITS)
    assert (alert.rule, alert.scope, alert.owner) == ("runaway_tool", "a" * 32, "web")
    assert (alert.figures["tool"], alert.figures["tool_calls"]) == ("search", "5")
    assert alert.figures["unpriced_steps"] == "6"
    spread = charges(*[{"tool": f"t{n}"} for n in range(9)])
    assert runaway_alerts(spread, LIMITS) == []
    dear = charges(
        {"cost_usd": Decimal("99.999999999999")}, {"cost_usd": Decimal("0.000000000001")}
    )
    (alert,) = runaway_alerts(dear, LIMITS)
    assert (alert.rule, alert.severity, alert.level) == ("runaway_cost", "critical", "10")
    assert runaway_alerts(dear, Runaway(cost_usd=None)) == []
    other = charges(*[{"step_id": f"{n}"} for n in range(1000)], {"trace_id": "b" * 32})
    (alert,) = runaway_alerts(other, LIMITS)
    assert (alert.rule, alert.severity, alert.figures["steps"]) == (
        "runaway_steps",
        "warning",
        "1000",
    )
