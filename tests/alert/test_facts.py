"""What the ledger says of the last hours."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

from agentcost_collector.alert.facts import recent
from agentcost_collector.alerting import run_rules
from agentcost_collector.report.views import open_views
from agentcost_collector.settings import Settings
from tests.report.ledgers import NOON, booked, reversed_of, write_ledger

NOW_NS = int(NOON.timestamp()) * 10**9


def ended(hours, **changes):
    at = NOON - timedelta(hours=hours)
    return booked(ended_at=at, started_at=at, date=at.date(), **changes)


def test_each_window_holds_what_ended_in_it(tmp_path):
    """An hour, six and 24 hold exactly their own steps, up to now and not beyond; corrections
    count, and what is unpriced is counted beside the money."""
    old = ended(5, step_id="s5", cost_usd=Decimal(7))
    new = ended(5, step_id="s5", batch_seq=2, cost_usd=Decimal(2))
    entries = [
        ended(0, step_id="s0", cost_usd=Decimal(1)),
        ended(1, step_id="s1", cost_usd=Decimal(4)),
        ended(13, step_id="s13", cost_usd=None, cost_status="unpriced"),
        ended(24, step_id="s24", cost_usd=Decimal(100)),
        ended(-1, step_id="future", cost_usd=Decimal(200)),
        old,
    ]
    write_ledger(tmp_path, [entries, [reversed_of(old, 2), new]])
    with open_views(tmp_path) as connection:
        rows = recent(connection, {1, 6, 24}, NOW_NS).to_pylist()
    found = {row["hours"]: (row["steps"], row["unpriced_steps"], row["usd"]) for row in rows}
    assert found == {
        1: (1, 0, Decimal(1)),
        6: (3, 0, Decimal(7)),
        24: (4, 1, Decimal(7)),
    }


def test_what_is_unpriced_now_is_not_zero(tmp_path):
    """A price that was taken back leaves no amount, and a step without a price."""
    old = ended(1, step_id="s", cost_usd=Decimal(5))
    new = ended(1, step_id="s", batch_seq=2, cost_usd=None, cost_status="unpriced")
    write_ledger(tmp_path, [[old], [reversed_of(old, 2), new]])
    with open_views(tmp_path) as connection:
        (row,) = recent(connection, {24}, NOW_NS).to_pylist()
    assert (row["usd"], row["unpriced_steps"]) == (None, 1)


def test_a_look_at_the_ledger_raises_once(tmp_path):
    """What has no feature is raised by the first look of the day and not by the second; nothing is
    raised where there is no ledger yet."""
    settings = Settings(data=tmp_path)
    assert run_rules(settings, NOW_NS) == []
    write_ledger(tmp_path, [[ended(1, feature=None)]])
    (raised,) = run_rules(settings, NOW_NS)
    assert (raised.alert.rule, raised.alert.period) == ("unattributed", "2026-03-01")
    assert run_rules(settings, NOW_NS + 10**9) == []


def test_budgets_of_the_file_are_looked_at(tmp_path):
    """A budget that is passed is raised with its owner and what its tier asks; the same spend
    raises nothing more in the month, and a new month begins anew."""
    file = tmp_path / "budgets.yaml"
    file.write_text(
        "schema: agentcost.budgets/v1\n"
        "budgets: [{name: core, owner: ada, team: core, period: month, usd: 10}]"
    )
    settings = Settings(data=tmp_path, budgets=file, alerts={"burn_rates": {}})
    write_ledger(tmp_path, [[ended(1, cost_usd=Decimal("10.000000000001"))]])
    (raised,) = run_rules(settings, NOW_NS)
    alert = raised.alert
    assert (alert.rule, alert.scope, alert.period) == ("budget", "core", "2026-03")
    assert (alert.owner, alert.level, alert.severity) == ("ada", "1", "critical")
    assert alert.figures["spent"] == "10.000000000001"
    assert "agentcost budget ack core" in alert.what_to_do
    assert run_rules(settings, NOW_NS + 10**9) == []
    month_ns = 31 * 24 * 3600 * 10**9
    write_ledger(tmp_path, [[ended(-24 * 31, step_id="april", cost_usd=Decimal(8))]])
    (april,) = run_rules(settings, NOW_NS + month_ns + 10**9)
    assert (april.alert.period, april.alert.level) == ("2026-04", "0.8")
