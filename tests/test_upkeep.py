from __future__ import annotations

from pathlib import Path

from agentcost_collector.caretaker import Caretaker
from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.price.archived import archived_set
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler
from tests.cli.command import agentcost, parse_facts
from tests.support.copies import copies
from tests.support.recordings import requests_of
from tests.support.walked import decode

START = 1_793_000_000 * 10**9
RECORDINGS = ("langgraph_five_at_once", "nested_features_baggage")
HOUR = 3600 * 10**9
QUERY = "SELECT feature, model, count(*), sum(cost_usd) FROM steps GROUP BY ALL ORDER BY ALL"


def filled(data: Path, commits: int = 6) -> Settings:
    """A ledger with copies of recorded traces, a commit each."""
    settings = Settings(data=data)
    spans = decode(body for name in RECORDINGS for body in requests_of(name))
    with Ledger.open(settings.ledger_path, "journal", settings.ledger) as ledger:
        rulebook = Rulebook.of(settings)
        ledger.archive_cards(*archived_set(rulebook.rates))
        settler = Settler(ledger, rulebook, settings)
        for number in range(commits):
            settler.settle(copies(spans, 1, number, START, 0), {"n": number}, START + number)
    return settings


def test_every_door_says_the_same_after_a_compaction(tmp_path):
    """Totals, an explanation, a restatement and the check of prices, before and after the files
    were merged: not a letter differs, and restating still finds nothing to correct."""
    filled(tmp_path)

    def said() -> list[tuple[int, str, str]]:
        trace = agentcost(
            "sql", "--data", tmp_path, "--format", "csv", "SELECT min(trace_id) FROM steps"
        )
        commands = (
            ("sql", "--format", "csv", QUERY),
            ("sql", "--format", "csv", "SELECT count(*), sum(cost_usd) FROM ledger"),
            ("sql", "--format", "csv", "SELECT count(*), max(received_at_ns) FROM spans"),
            ("explain", trace.stdout.split()[-1].strip('"')),
            ("restate", "--from", "2026-01-01", "--dry-run"),
        )
        done = [agentcost(name, "--data", tmp_path, *rest) for name, *rest in commands]
        return [(each.returncode, each.stdout, each.stderr) for each in done]

    before = said()
    assert [code for code, _, _ in before] == [0] * 5
    assert parse_facts(before[-1][1])["entries to write"] == "0"
    compact = ("compact", "--data", tmp_path, "--before", "2027-01-01")
    due = parse_facts(agentcost(*compact, "--dry-run").stdout)
    did = parse_facts(agentcost(*compact).stdout)
    assert due["files to merge"] == did["files merged"] == "12"
    assert due["into files"] == did["into files"] == "2"
    assert said() == before
    assert agentcost("verify", "--prices", "--data", tmp_path).returncode == 0
    status = parse_facts(agentcost("status", "--data", tmp_path).stdout)
    assert status["data files"] == "1 ledger, 1 spans"


def test_a_day_that_is_not_one_is_refused(tmp_path):
    """With the option, the value and the form that is wanted."""
    done = agentcost("compact", "--data", tmp_path, "--before", "soon")
    assert (done.returncode, done.stderr) == (
        2,
        "agentcost: --before soon: should be a day (2026-11-01)\n",
    )


def test_the_service_looks_after_its_ledger_between_two_batches(tmp_path):
    """Every so many hours, a piece a turn; not at all where it is switched off."""
    settings = filled(tmp_path)
    with Ledger.open(settings.ledger_path, "journal", settings.ledger) as ledger:
        never = Caretaker(ledger, 0)
        assert not never.step(START + 30 * HOUR, 10**18)
        caretaker = Caretaker(ledger, 1)
        steady = 10**15
        turns = 0
        while caretaker.step(START + 30 * HOUR, steady):
            turns += 1
        assert turns == 4  # two merges, two clean-ups
        assert not caretaker.step(START + 31 * HOUR, steady + HOUR - 1)
        assert caretaker.step(START + 31 * HOUR, steady + HOUR)
