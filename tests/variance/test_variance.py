"""Variance of ledgers: rows, budgets, and sums that agree with the ledger."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from agentcost_collector.budgets_file import read_budgets
from agentcost_collector.report.config import Config
from agentcost_collector.report.period import Period
from agentcost_collector.report.views import open_views
from agentcost_collector.variance import CAUSES, By, Compared, variance
from tests.cli.command import agentcost, refusal
from tests.report.ledgers import booked, reversed_of, write_ledger

CONFIG = Config()
APRIL = Period.parse("2026-04", CONFIG, date(2026, 5, 1))
MARCH = APRIL.before(CONFIG)


def entry(number, month, tokens, usd, **tags):
    at = datetime(2026, month, 10, 12, tzinfo=UTC)
    money = {"cost_usd": Decimal(usd), "input_cost_usd": Decimal(usd), "output_cost_usd": None}
    counts = {"input_tokens": tokens, "output_tokens": None}
    ids = {"step_id": f"s{number}", "span_id": f"{number:016x}"}
    return booked(**ids, started_at=at, ended_at=at, date=at.date(), **counts, **money, **tags)


@pytest.fixture
def data(tmp_path):
    """search: 2 steps of 100 tokens for $1 each in March; 3 of 200 tokens for $3 each in April, and
    one that was booked and reversed. chat: only in March. new: only in April, in another team."""
    wrong = entry(9, 4, 100, "50", feature="search")
    rows = [
        *(entry(n, 3, 100, "1", feature="search") for n in (1, 2)),
        *(entry(n, 4, 200, "3", feature="search") for n in (3, 4, 5)),
        entry(6, 3, 100, "4", feature="chat"),
        entry(7, 4, 100, "8", feature="new", team="other"),
        wrong,
    ]
    write_ledger(tmp_path / "data", [rows, [reversed_of(wrong, 2)]])
    return tmp_path / "data"


def rows_of(data, by=By.FEATURE, **more):
    with open_views(data) as connection:
        table = variance(Compared(connection, APRIL, MARCH), by, CONFIG, **more)
    return {row["name"]: row for row in table.to_pylist()}


def test_each_row_is_split(data):
    """By hand: 50 % more steps ($1), then twice the tokens ($3), then 1.5 times the price ($3)."""
    found = rows_of(data)["search"]
    assert (found["base_usd"], found["actual_usd"], found["change_usd"]) == (2, 9, 7)
    parts = {cause: found[cause] for cause in CAUSES if found[cause]}
    assert parts == {"volume": 1, "tokens_per_step": 3, "price": 3}


def test_what_began_and_what_ended_is_volume(data):
    """New features and gone ones; the greatest change comes first, then the total."""
    found = rows_of(data)
    assert found["new"]["volume"] == found["new"]["change_usd"] == 8
    assert found["chat"]["volume"] == found["chat"]["change_usd"] == -4
    assert list(found) == ["new", "search", "chat", "total"]
    assert (found["total"]["base_usd"], found["total"]["actual_usd"]) == (6, 17)


def test_a_team_changes_with_its_features(data):
    """core: 3 steps in both months, of chat and search, then of search alone."""
    found = rows_of(data, By.TEAM)["core"]
    assert (found["base_usd"], found["actual_usd"]) == (6, 9)
    parts = {cause: found[cause] for cause in CAUSES if found[cause]}
    assert parts == {"feature_mix": -3, "tokens_per_step": 3, "price": 3}


def test_against_a_budget(data, tmp_path):
    """The plan is March's work for the cap: 4 steps of $1 for search, $6 for a new one."""
    file = tmp_path / "budgets.yaml"
    file.write_text(
        "schema: agentcost.budgets/v1\nbudgets:\n"
        '  - {name: s, owner: o, feature: search, period: month, usd: "4"}\n'
        '  - {name: n, owner: o, feature: new, period: month, usd: "9"}\n'
        '  - {name: year, owner: o, feature: chat, period: year, usd: "1"}\n'
        '  - {name: team, owner: o, feature: chat, team: core, period: month, usd: "1"}\n'
    )
    found = rows_of(data, budgets=read_budgets(file), against_budget=True)
    search, new, chat = (found[name] for name in ("search", "new", "chat"))
    assert (search["budget"], search["cap_usd"], search["over_usd"]) == ("s", 4, 5)
    assert (search["base_usd"], search["change_usd"], search["volume"]) == (4, 5, -1)
    assert sum(search[cause] for cause in CAUSES) == 5
    assert (new["base_usd"], new["volume"], new["over_usd"]) == (9, -1, None)
    assert (chat["budget"], chat["base_usd"]) == (None, 4)


def test_steps_of_every_status_count(tmp_path):
    """Also those whose status nobody knows, beside others alike."""
    rows = [
        entry(n, 4, 100, "1", feature="search", status=status)
        for n, status in enumerate(["ok", "unset", None, "error"])
    ]
    write_ledger(tmp_path / "data", [rows])
    assert rows_of(tmp_path / "data")["search"]["actual_usd"] == 4


def test_a_retry_costs_what_failed(tmp_path):
    """Both months one call is done. In April a first attempt failed and was paid for, and another
    failed without a charge: what the paid one cost is retries, and nothing else has changed."""
    alike = {"feature": "search", "parent_span_id": "a" * 16}
    rows = [
        entry(1, 3, 100, "1", **alike),
        entry(2, 4, 100, "0.4", status="error", **alike),
        entry(3, 4, None, "0", status="error", **alike) | {"input_cost_usd": None},
        entry(4, 4, 100, "1", **alike),
    ]
    write_ledger(tmp_path / "data", [rows])
    found = rows_of(tmp_path / "data")["search"]
    assert {cause: found[cause] for cause in CAUSES if found[cause]} == {"retries": Decimal("0.4")}


def test_beyond_the_dearest_all_are_one(tmp_path):
    """51 features of $2 and 2 of $1: 50 rows of their own, and the rest, which adds up."""
    names = [f"it's \0 {n:03}" for n in range(53)]
    many = [entry(n, 4, 100, "2" if n < 51 else "1", feature=names[n]) for n in range(53)]
    write_ledger(tmp_path / "data", [many])
    found = rows_of(tmp_path / "data")
    assert len(found) == 52
    assert found["__other__"]["actual_usd"] == 4
    assert found["total"]["actual_usd"] == 104


def test_as_a_command(data, tmp_path):
    """JSON exact; the table leaves out causes that no row has; faults are one sentence."""
    run = ("variance", "--period", "2026-04", "--data", data)
    (first, *_) = json.loads(agentcost(*run, "--format", "json").stdout)
    assert (first["name"], first["volume"]) == ("new", "8.000000000000")
    table = agentcost(*run, "--against", "2026-03").stdout
    assert table.startswith("2026-04 against 2026-03, US dollars\n")
    assert "tokens_per_step" in table
    assert "retries" not in table
    assert "no file of budgets" in refusal(*run, "--against", "budget")
    assert "not a period" in refusal(*run, "--against", "march")
