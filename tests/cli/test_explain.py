"""`agentcost explain` finds what is asked and explains it from the evidence."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from agentcost_collector.cli.why import compared
from agentcost_collector.explain import break_down, usual
from agentcost_collector.report.views import open_views
from tests.cli.command import Done, agentcost, refusal
from tests.report.ledgers import booked, write_ledger, write_spans

ONE, TWO, OTHER = "aaaaaa11" + "0" * 24, "aaaaaa22" + "0" * 24, "bbbbbb33" + "0" * 24
CARDS = Path(__file__).with_name("cards")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Trace ONE: a feature calls a model, by two spans of which one repeats the other."""
    call = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "own",
        "gen_ai.request.model": "own-model",
        "gen_ai.response.id": "r1",
        "gen_ai.usage.input_tokens": "1000",
        "gen_ai.usage.output_tokens": "10",
    }
    spans = [
        {"span_id": "1" * 16, "name": "handle", "attributes": [("agentcost.feature", "search")]},
        {"span_id": "2" * 16, "parent_span_id": "1" * 16, "attributes": sorted(call.items())},
        {"span_id": "3" * 16, "parent_span_id": "2" * 16, "attributes": sorted(call.items())},
    ]
    write_spans(tmp_path, [{"trace_id": ONE, **span} for span in spans])
    write_spans(tmp_path, [{"trace_id": t, "span_id": "9" * 16} for t in (TWO, OTHER)])
    of_one = {"trace_id": ONE, "session_id": "s-1", "parent_run_id": "run-7"}
    write_ledger(
        tmp_path, [[booked(**of_one), booked(step_id="2", trace_id=TWO, session_id="s-1")]]
    )
    return tmp_path


def _explain(data: Path, asked: str, *more: str) -> Done:
    return agentcost("explain", asked, "--data", data, "--rate-cards", CARDS, *more)


@pytest.mark.parametrize(
    ("asked", "found_by", "traces"),
    [
        (ONE, "trace_id", [ONE]),
        (ONE.upper(), "trace_id", [ONE]),
        ("bbbbbb", "trace_id_prefix", [OTHER]),
        ("aaaaaa1", "trace_id_prefix", [ONE]),
        ("run-7", "parent_run_id", [ONE]),
        ("s-1", "session_id", [ONE, TWO]),
    ],
)
def test_what_can_be_asked(data: Path, asked: str, found_by: str, traces: list[str]) -> None:
    """A trace, the beginning of its id, a run and a session are found."""
    facts = json.loads(_explain(data, asked, "--format", "json").stdout)
    assert facts["found_by"] == found_by
    assert [trace["trace_id"] for trace in facts["traces"]] == traces


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ("aaaaaa", "several traces begin so"),
        ("bbbbb", "no settled trace"),
        ("x' OR 1=1", "no settled"),
    ],
)
def test_what_cannot_be_found(data: Path, asked: str, says: str) -> None:
    """Nothing, too little, or too much: one sentence."""
    assert says in refusal("explain", asked, "--data", data)


def test_every_fact_of_a_trace(data: Path) -> None:
    """Cost by the given card, the payer from above, and the span that repeats the call."""
    done = _explain(data, ONE, "--format", "json")
    (trace,) = json.loads(done.stdout)["traces"]
    root, outer, inner = trace["spans"]
    assert [s["depth"] for s in trace["spans"]] == [0, 1, 2]
    assert (root["verdict"], root["charges"]) == ("structure", [])
    (counted,) = [s for s in (outer, inner) if s["charges"]]
    (twin,) = [s for s in (outer, inner) if not s["charges"]]
    assert (twin["verdict"], twin["survivor_span_id"]) == ("twin", counted["span_id"])
    (charge,) = counted["charges"]
    assert charge["cost_usd"] == "0.002100000000"  # 1000 at $2 and 10 at $10 a million
    assert charge["rate_id"] == "own/model@2024-01-01"
    assert (charge["feature"], charge["feature_from"]) == ("search", "ancestor")


def test_the_tree_for_people(data: Path) -> None:
    """The same as text: the total is that of the evidence, and a different booking is said."""
    done = _explain(data, ONE)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1000 in, 10 out  $0.0021  at own/model@2024-01-01" in done.stdout
    assert "feature=search (ancestor)" in done.stdout
    assert "not counted (" in done.stdout
    assert "the ledger holds $0.00035" in done.stdout.splitlines()[-1]


def test_why_in_words(data: Path) -> None:
    """Total with what it does not hold, then the driver with share, path and rate."""
    total, driver, usually = _explain(data, "run-7", "--format", "text").stdout.splitlines()
    assert usually == "No earlier run of its feature is known to compare it with."
    assert total == (
        "run-7 cost $0.0021 in 1 step; 0 not fully priced, 0 without a feature, 0 failed."
    )
    assert driver.startswith("  100 % $0.0021: llm own-model, called 1 time, at handle;")
    assert driver.endswith("by own/model@2024-01-01")


def test_flame_graph(data: Path) -> None:
    """Stacks alone on stdout, the total beside them; the picture says the same."""
    folded = _explain(data, ONE, "--format", "folded")
    (line,) = folded.stdout.splitlines()
    assert line.startswith("handle;")
    assert line.endswith(" 2100000000")
    assert "0 not fully priced" in folded.stderr
    picture = _explain(data, ONE, "--format", "svg")
    assert (picture.returncode, picture.stderr) == (0, "")
    assert "<title>handle: $0.0021</title>" in picture.stdout


@pytest.fixture
def months(tmp_path: Path) -> Path:
    """In March search pays runs of $2 (4 calls of big), $1 (2 calls) and, last, $5 (10 calls);
    chat pays one of $1, and nobody one of $0.5."""
    rows = []
    runs: list[tuple[int, str | None, int, str]] = [
        *((1, "search", 4, "2"), (2, "search", 2, "1"), (9, "search", 10, "5")),
        *((3, "chat", 1, "1"), (4, None, 1, "0.5")),
    ]
    for number, (day, feature, calls, usd) in enumerate(runs):
        at = datetime(2026, 3, day, 12, tzinfo=UTC)
        for call in range(calls):
            step = {"step_id": f"{number}-{call}", "span_id": f"{call:016x}"}
            times = {"started_at": at, "ended_at": at, "date": at.date()}
            money = {"cost_usd": Decimal(usd) / calls, "feature": feature, "model": "big"}
            paths = {"path": "ask;call"}
            rows.append(booked(trace_id=f"{number:032x}", **step, **times, **money, **paths))
    write_ledger(tmp_path, [rows])
    return tmp_path


def test_from_the_bill_down_to_a_run(months: Path) -> None:
    """Each level has its total, and the command for the next."""
    bill = agentcost("explain", "2026-03", "--data", months).stdout
    assert bill.startswith(
        "2026-03 cost $9.5 in 18 steps; 0 not fully priced, 1 without a feature."
    )
    assert "Next: agentcost explain feature:NAME --period 2026-03" in bill
    feature = json.loads(
        agentcost(
            "explain", "feature:search", "--period", "2026-03", "--format", "json", "--data", months
        ).stdout
    )
    assert feature["cost_usd"] == "8.000000000000"
    assert [(run["run"], run["cost_usd"]) for run in feature["runs"]] == [
        (f"{2:032x}", "5.000000000000"),
        (f"{0:032x}", "2.000000000000"),
        (f"{1:032x}", "1.000000000000"),
    ]


def test_where_the_money_of_a_feature_went(months: Path) -> None:
    """Stacks in pico-dollars over a whole period; what nobody pays has no name behind the colon."""
    at = ("--period", "2026-03", "--format", "folded", "--data", months)
    assert agentcost("explain", "feature:search", *at).stdout == "ask;call 8000000000000\n"
    assert agentcost("explain", "feature:", *at).stdout == "ask;call 500000000000\n"
    picture = agentcost("explain", "feature:chat", *at[:2], "--format", "svg", "--data", months)
    assert "ask: $1" in picture.stdout


def test_what_differs_from_the_usual_run(months: Path) -> None:
    """The median of the two runs of search before: the lesser, $1 and 2 calls."""
    with open_views(months) as connection:
        charges = (
            connection.sql(f"SELECT * FROM steps WHERE trace_id = '{2:032x}'")
            .to_arrow_table()
            .to_pylist()
        )
        found = break_down(charges)
        before = usual(connection, "search", [f"{2:032x}"], found.drivers)
    assert before is not None
    assert (before.runs, before.cost_usd, before.steps) == (2, 1, 2)
    assert before.drivers == [("llm", "big", 2, 1)]
    lines = list(compared(found, 1100, 1, before))
    assert "here $5 in 10 steps, 1100 tokens" in lines[0]
    assert lines[1] == "  $4 more: llm big, called 10 times, usually 2"


def test_what_cannot_be_explained(months: Path) -> None:
    """One sentence."""
    told = refusal("explain", "feature:nobody", "--period", "2026-03", "--data", months)
    assert "pays nothing in 2026-03" in told
    assert "not a period" in refusal("explain", "feature:x", "--period", "m", "--data", months)
    assert "for one feature" in refusal("explain", "2026-03", "--format", "svg", "--data", months)
