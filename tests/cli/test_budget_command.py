"""`agentcost budget` as its users run it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest

from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, write_ledger

TODAY = datetime.now(UTC)
TOMORROW = (TODAY + timedelta(days=2)).date()


@pytest.fixture
def data(tmp_path):
    """$12 of team core today, and a team's budget of $10 a year."""
    at = TODAY.replace(microsecond=0)
    row = booked(started_at=at, ended_at=at, date=at.date(), cost_usd=Decimal(12))
    write_ledger(tmp_path / "data", [[row]])
    (tmp_path / "budgets.yaml").write_text(
        "schema: agentcost.budgets/v1\nbudgets:\n"
        '  - {name: core, owner: "#core", team: core, period: year, usd: "10"}\n'
    )
    return tmp_path / "data"


def budget(data, *arguments):
    return agentcost(
        "budget", *arguments, "--data", data, AGENTCOST_BUDGETS=str(data.parent / "budgets.yaml")
    )


def test_from_passed_to_acknowledged(data):
    """Exit code 1 until somebody says that it may be; then who, and until when."""
    passed = budget(data, "status")
    assert passed.returncode == 1
    assert "needs_acknowledgement" in passed.stdout
    assert "agentcost budget ack core" in passed.stdout
    said = budget(data, "ack", "core", "--by", "ann", "--reason", "launch", "--until", TOMORROW)
    assert (said.returncode, said.stdout) == (0, f"core: acknowledged by ann until {TOMORROW}\n")
    now = budget(data, "status", "--format", "json")
    assert now.returncode == 0
    (row,) = json.loads(now.stdout)
    assert (row["state"], row["acknowledged_by"]) == ("acknowledged", "ann")
    assert (row["spent"], row["cap"]) == ("12.000000000000", "10.000000000000")
    assert row["acknowledged_until"] == TOMORROW.isoformat()


def test_signing(data):
    """`check` says who has not signed; a changed budget is not signed any more."""
    assert "not signed  core" in budget(data, "check").stdout
    assert budget(data, "sign", "core", "--by", "ann").returncode == 0
    assert "not signed  none" in budget(data, "check").stdout
    file = data.parent / "budgets.yaml"
    file.write_text(file.read_text().replace('"10"', '"20"'))
    assert "not signed  core" in budget(data, "check").stdout


def test_an_edited_record_is_a_failed_check(data):
    """Exit code 1 and the line."""
    budget(data, "sign", "core", "--by", "ann")
    budget(data, "sign", "core", "--by", "bob")
    records = data / "budgets.jsonl"
    records.write_text(records.read_text().replace("ann", "eve"))
    done = budget(data, "check")
    assert done.returncode == 1
    assert "budgets.jsonl:1: this record was changed" in done.stderr


def test_the_view_shows_the_file(data):
    """In SQL, beside what was spent."""
    query = "SELECT budget, cap, sum(cost_usd) FROM budgets JOIN steps USING (team) GROUP BY ALL"
    done = agentcost(
        "sql",
        query,
        "--data",
        data,
        "--format",
        "csv",
        AGENTCOST_BUDGETS=str(data.parent / "budgets.yaml"),
    )
    assert done.stdout.splitlines()[1] == '"core",10.000000000000,12.000000000000'


def test_wrong_usage(data):
    """One sentence each."""
    file = data.parent / "budgets.yaml"
    at = ("--budgets", file, "--data", data)
    said = ("--by", "ann", "--reason", "r", "--until")
    assert "no file of budgets" in refusal("budget", "status", "--data", data)
    assert "it has core" in refusal("budget", "sign", "cor", "--by", "ann", *at)
    assert "--by: is empty" in refusal("budget", "sign", "core", "--by", " ", *at)
    assert "is over" in refusal("budget", "ack", "core", *said, date(2026, 1, 1), *at)
    assert "should be a day" in refusal("budget", "ack", "core", *said, "soon", *at)
    assert "should be a day" in refusal("budget", "status", "--on", "x", *at)
