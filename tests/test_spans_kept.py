"""Evidence that is kept for a few days only."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.kernel import Rulebook
from agentcost_collector.ledger.config import Config as LedgerConfig
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.schemas import ENTRIES
from agentcost_collector.model.tables import concat
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler
from tests.cli.command import agentcost, parse_facts
from tests.support.copies import copies
from tests.support.recordings import requests_of
from tests.support.walked import decode

START = 1_793_000_000 * 10**9
DAY = 86_400 * 10**9
JOURNAL = "journal"
AFTER = START + 10 * DAY


def settings_for(data: Path, kept_days: int = 7) -> Settings:
    kept = LedgerConfig(spans_kept_days=kept_days, replaced_kept_h=1)
    return Settings(data=data, ledger=kept)


def recorded() -> pa.Table:
    spans = decode(requests_of("nested_features_baggage"))
    return copies(spans, 1, 0, START, 0)


def settled(settings: Settings, spans: pa.Table, now_ns: int) -> tuple[int, int]:
    with Ledger.open(settings.ledger_path, JOURNAL, settings.ledger) as ledger:
        settler = Settler(ledger, Rulebook.of(settings), settings)
        return settler.settle(spans, ledger.state, now_ns)


def retired(settings: Settings, now_ns: int = AFTER) -> int:
    with Ledger.open(settings.ledger_path, JOURNAL, settings.ledger) as ledger:
        return sum(piece.spans_retired for piece in ledger.upkeep(now_ns))


def entries_of(settings: Settings) -> pa.Table:
    reader = LedgerReader(settings.ledger_path)
    files = reader.snapshot().ledger_files
    return concat([piece for file in files for piece in reader.entries(file)], ENTRIES)


def standing(entries: pa.Table) -> dict[str, tuple]:
    """Step: its cost and payer, of steps that stand."""
    rows = entries.to_pylist()
    assert all(row["sign"] == 1 for row in rows), "nothing was reversed"
    return {row["step_id"]: (row["cost_usd"], row["feature"], row["team"]) for row in rows}


def late_steps(spans: pa.Table, entries: pa.Table) -> pa.Array:
    """Which rows of SPANS carry the last booked step of each trace that has several."""
    by_trace: dict[str, list[str]] = {}
    for row in entries.sort_by("started_at").to_pylist():
        by_trace.setdefault(row["trace_id"], []).append(row["span_id"])
    late = [ids[-1] for ids in by_trace.values() if len(ids) > 1]
    assert late
    return pc.is_in(spans["span_id"], value_set=pa.array(late))


def test_old_evidence_goes_and_the_ledger_stays(tmp_path):
    """Whole days older than is set: no entry changes, spans stored and retired add up to what was
    acknowledged, the files go after the time for readers; a younger day stays."""
    settings = settings_for(tmp_path)
    spans = recorded()
    settled(settings, spans, START)
    before = entries_of(settings)
    assert retired(settings, START + 6 * DAY) == 0
    assert retired(settings) == spans.num_rows
    assert retired(settings, AFTER + DAY) == 0
    reader = LedgerReader(settings.ledger_path)
    assert (reader.snapshot().span_rows, reader.spans_retired()) == (0, spans.num_rows)
    assert reader.spans_stored(JOURNAL, 1) == spans.num_rows
    assert entries_of(settings).equals(before)
    assert not list(tmp_path.glob("ledger/spans/environment=*/date=*/*"))
    facts = parse_facts(agentcost("status", "--data", tmp_path).stdout)
    assert facts["evidence spans retired"] == str(spans.num_rows)


def test_what_is_kept_for_ever_never_goes(tmp_path):
    """The default: a hundred years later all evidence is there."""
    settings = settings_for(tmp_path, kept_days=0)
    settled(settings, recorded(), START)
    assert retired(settings, START + 36_500 * DAY) == 0
    assert LedgerReader(settings.ledger_path).snapshot().span_rows == recorded().num_rows


def test_a_late_span_of_a_closed_trace_is_added_and_reverses_nothing(tmp_path):
    """Once the evidence is gone, what is booked stands whatever comes: a late step is booked
    beside it, and sending everything again books nothing more."""
    settings = settings_for(tmp_path)
    spans = recorded()
    settled(settings_for(tmp_path / "whole"), spans, START)
    whole = entries_of(settings_for(tmp_path / "whole"))
    late = late_steps(spans, whole)
    settled(settings, spans.filter(pc.invert(late)), START)
    before = standing(entries_of(settings))
    retired(settings)
    kept, written = settled(settings, spans.filter(late), AFTER)
    after = standing(entries_of(settings))
    assert (kept, written) == (pc.sum(late).as_py(), len(after) - len(before))
    assert set(after) == set(standing(whole))
    assert {step: after[step] for step in before} == before
    assert {step: after[step][0] for step in after} == {
        step: cost for step, (cost, _, _) in standing(whole).items()
    }
    assert settled(settings, spans, AFTER + 1) == (spans.num_rows - kept, 0)
    assert standing(entries_of(settings)) == after


def test_a_restatement_leaves_closed_traces_as_they_are(tmp_path):
    """With a late span stored and the rest gone, restating would see a part and take it for the
    whole; it books nothing, and says how many entries have no spans."""
    settings = settings_for(tmp_path)
    spans = recorded()
    settled(settings, spans, START)
    before = entries_of(settings)
    late = late_steps(spans, before)
    retired(settings)
    command = ("restate", "--data", tmp_path, "--from", "2026-01-01")
    facts = parse_facts(agentcost(*command).stdout)
    assert facts["entries without spans"] == f"{before.num_rows}, left as they are"
    kept, written = settled(settings, spans.filter(late), AFTER)
    assert (kept, written) == (pc.sum(late).as_py(), 0)
    done = agentcost(*command)
    assert done.returncode == 0
    assert parse_facts(done.stdout)["entries written"] == "0"
    assert entries_of(settings).equals(before)
