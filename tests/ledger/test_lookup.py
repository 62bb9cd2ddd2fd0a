from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from structlog.testing import capture_logs

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Booked, Ledger
from tests.ledger.tables import DAY, NOW, entries_table, entry, ids, span, spans_table

HOUR = 3600 * 10**9


def opened(directory: Path, **settings) -> Ledger:
    return Ledger.open(directory, "journal-1", Config(reopen_window_h=2, **settings))


def commit(ledger: Ledger, trace: int, number: int, now_ns: int, start_ns: int | None = None):
    start = now_ns - 60 * 10**9 if start_ns is None else start_ns
    spans = spans_table([span(trace, number, start_ns=start)])
    ledger.commit(spans, entries_table([entry(trace, number)]), {"position": now_ns}, now_ns)


def stored(found: Booked) -> tuple[list[str], list[str]]:
    return sorted(found.spans["span_id"].to_pylist()), sorted(found.entries["step_id"].to_pylist())


def wanted(trace: int, *numbers: int) -> tuple[list[str], list[str]]:
    return [f"{trace * 1000 + n:016x}" for n in numbers], [f"{trace}/{n}" for n in numbers]


def aged(directory: Path) -> Ledger:
    """A ledger whose trace 1 was forgotten by the index: younger commits pushed it out."""
    ledger = opened(directory)
    commit(ledger, 1, 0, NOW)
    for h in range(1, 8):
        commit(ledger, 100 + h, 0, NOW + h * HOUR)
    return ledger


def test_a_span_later_than_the_window_still_finds_its_trace(tmp_path):
    """Once the index has forgotten a trace, the days around it are scanned: same answer."""
    with aged(tmp_path) as ledger:
        assert len(ledger._lookup._index.groups) < 5
        assert stored(ledger.booked(ids(1, 9), NOW - HOUR)) == wanted(1, 0)
        assert stored(ledger.booked(ids(1), NOW - HOUR, NOW)) == wanted(1, 0)


def test_a_trace_found_by_scanning_is_whole_the_next_time(tmp_path):
    """After its late span is committed, old and new rows are found together, also when reopened."""
    ledger = aged(tmp_path)
    assert stored(ledger.booked(ids(1), NOW - HOUR)) == wanted(1, 0)
    commit(ledger, 1, 1, NOW + 8 * HOUR, start_ns=NOW)
    assert stored(ledger.booked(ids(1), NOW + 8 * HOUR)) == wanted(1, 0, 1)
    for h in range(9, 14):
        commit(ledger, 100 + h, 0, NOW + h * HOUR)
        assert stored(ledger.booked(ids(1), NOW)) == wanted(1, 0, 1)
    ledger.close()
    with opened(tmp_path) as again:
        assert stored(again.booked(ids(1), NOW)) == wanted(1, 0, 1)


def test_a_trace_found_by_scanning_is_known_by_its_links_too(tmp_path):
    """Its links lie in evidence that the index forgot; a commit brings it within reach again."""
    with opened(tmp_path) as ledger:
        linked = [{"trace_id": "e" * 32, "span_id": "a" * 16}]
        first = {**span(1, 0, start_ns=NOW - 60 * 10**9), "links": linked}
        ledger.commit(spans_table([first]), entries_table([entry(1, 0)]), {"position": 1}, NOW)
        for h in range(1, 8):
            commit(ledger, 100 + h, 0, NOW + h * HOUR)
        asked = pa.array(["e" * 32])
        assert not ledger.linking(asked).num_rows
        assert stored(ledger.booked(ids(1), NOW - HOUR)) == wanted(1, 0)
        commit(ledger, 1, 1, NOW + 8 * HOUR, start_ns=NOW)
        assert ledger.linking(asked)["trace_id"].to_pylist() == ids(1).to_pylist()


def test_a_backlog_is_within_reach_of_what_was_settled_when_it_came(tmp_path):
    """What waited in the journal for two days finds links to it that were stored before, also
    after the first commit of the backlog, of which the window was long over."""
    linked = [{"trace_id": "e" * 32, "span_id": "a" * 16}]
    asked = pa.array(["e" * 32])
    with opened(tmp_path) as ledger:
        first = {**span(1, 0, start_ns=NOW - 60 * 10**9), "links": linked}
        ledger.commit(spans_table([first]), entries_table([entry(1, 0)]), {"position": 1}, NOW)
        for waiting in range(2, 5):
            commit(ledger, waiting, 0, NOW + 50 * HOUR, start_ns=NOW + waiting * 60 * 10**9)
            assert ledger.linking(asked)["trace_id"].to_pylist() == ids(1).to_pylist()
        commit(ledger, 5, 0, NOW + 51 * HOUR)
        assert not ledger.linking(asked).num_rows


def test_one_old_trace_does_not_make_the_new_ones_search(tmp_path, monkeypatch):
    """With a start for each trace, only files of the old trace's days are opened."""
    with aged(tmp_path) as ledger:
        opened_files: list[str] = []
        lookup = "agentcost_collector.ledger.lookup.read_rows"
        real = ledger._lookup._spans.live

        def recorded(table: Path, paths: list[str], traces: list[str], kind) -> pa.Table:
            opened_files.extend(paths)
            assert traces == ids(50).to_pylist()
            return kind.rows.empty_table()

        monkeypatch.setattr(lookup, recorded)
        starts = pa.array([NOW + 7 * HOUR, NOW - 30 * DAY], pa.int64())
        ends = pa.array([NOW + 7 * HOUR, NOW - 30 * DAY], pa.int64())
        ledger.booked(ids(51, 50), starts, ends)
        assert opened_files == []
        ledger.booked(ids(51, 50), starts)
        assert set(real) <= set(opened_files)


@pytest.mark.parametrize("lost", [False, True])
@pytest.mark.parametrize("ahead_h", [-30, -2, 2, 30])
def test_a_sender_may_have_any_clock(tmp_path, ahead_h, lost):
    """A trace that is sent again a day and more later is found, however wrong its clock was; also
    where the index was lost in between."""
    start = NOW + ahead_h * HOUR
    ledger = Ledger.open(tmp_path, "journal-1", Config())
    commit(ledger, 1, 0, NOW, start_ns=start)
    for h in range(5, 60, 5):
        commit(ledger, 100 + h, 0, NOW + h * HOUR)
        if lost and h in (25, 40):
            ledger.close()
            for path in tmp_path.glob("index.db*"):
                path.unlink()
            ledger = Ledger.open(tmp_path, "journal-1", Config())
        ends = pa.array([start + 10**9], pa.int64())
        again = ledger.booked(ids(1), pa.array([start], pa.int64()), ends)
        assert stored(again) == wanted(1, 0), f"{h} hours later"
    ledger.close()


def test_a_clock_far_ahead_is_not_kept_for_ever(tmp_path):
    """Traces of a sender that lives in another century leave the index, at most two days after
    the others of their time, and the others do not wait for them."""
    with Ledger.open(tmp_path, "journal-1", Config()) as ledger:
        for h in range(0, 100, 4):
            now = NOW + h * HOUR
            spans = [span(1000 + h, start_ns=2**62), span(2000 + h, start_ns=now)]
            ledger.commit(spans_table(spans), entries_table([]), {}, now)
        known = ledger._lookup._index.find(ids(*range(1000, 1100, 4), *range(2000, 2100, 4))).rows
    assert 18 <= np.count_nonzero(known < 25) <= 19
    assert 6 <= np.count_nonzero(known >= 25) <= 7


@pytest.mark.parametrize("loss", ["missing", "garbage"])
def test_a_lost_index_is_rebuilt_from_the_ledger(tmp_path, loss):
    """Without the index nothing is forgotten: recent traces by a new index, old ones by a scan."""
    ledger = aged(tmp_path)
    commit(ledger, 2, 0, NOW + 8 * HOUR)
    ledger.close()
    for path in tmp_path.glob("index.db*"):
        path.unlink() if loss == "missing" else path.write_bytes(b"garbage" * 1000)
    with capture_logs() as logs:
        again = opened(tmp_path)
    assert [log["event"] for log in logs] == ["index_rebuilt"]
    assert stored(again.booked(ids(2), NOW + 8 * HOUR)) == wanted(2, 0)
    assert stored(again.booked(ids(1), NOW)) == wanted(1, 0)
    again.close()


def test_a_rebuilt_index_does_not_take_a_part_for_the_whole(tmp_path):
    """A trace with rows on both sides of the rebuilt index's reach is found with all of them."""
    ledger = aged(tmp_path)
    ledger.booked(ids(1), NOW)
    commit(ledger, 1, 1, NOW + 8 * HOUR)
    ledger.close()
    for path in tmp_path.glob("index.db*"):
        path.unlink()
    with opened(tmp_path) as again:
        assert stored(again.booked(ids(1), NOW + 8 * HOUR)) == wanted(1, 0, 1)


def test_an_index_that_fell_behind_catches_up(tmp_path):
    """Commits that the index missed are read from the tables when it is opened."""
    ledger = opened(tmp_path)
    commit(ledger, 1, 0, NOW)
    ledger.close()
    database = sqlite3.connect(tmp_path / "index.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    behind = (tmp_path / "index.db").read_bytes()
    ledger = opened(tmp_path)
    commit(ledger, 1, 1, NOW + HOUR)
    commit(ledger, 2, 0, NOW + HOUR)
    ledger.close()
    for path in tmp_path.glob("index.db*"):
        path.unlink()
    (tmp_path / "index.db").write_bytes(behind)
    with opened(tmp_path) as again:
        assert stored(again.booked(ids(1), NOW)) == wanted(1, 0, 1)
        assert stored(again.booked(ids(2), NOW)) == wanted(2, 0)


@pytest.mark.parametrize("seed", range(4))
def test_any_history_is_answered_exactly(tmp_path, seed):
    """Random commits, late spans, reopenings and lost indexes over days: always all rows, once."""
    rng = random.Random(seed)
    truth: dict[int, list[int]] = {}
    starts: dict[int, int] = {}
    now = NOW
    ledger = opened(tmp_path, checkpoint_every=10)
    for turn in range(40):
        now += rng.choice([10**9, HOUR // 2, 3 * HOUR])
        reopened = rng.random() < 0.35 and truth
        trace = rng.choice(list(truth)) if reopened else turn + 1
        starts.setdefault(trace, now - 60 * 10**9)
        found = ledger.booked(ids(trace, 999), starts[trace], rng.choice([None, now]))
        assert stored(found) == wanted(trace, *truth.get(trace, []))
        number = len(truth.setdefault(trace, []))
        truth[trace].append(number)
        commit(ledger, trace, number, now, start_ns=starts[trace] + number)
        if rng.random() < 0.15:
            ledger.close()
            if rng.random() < 0.5:
                for path in tmp_path.glob("index.db*"):
                    path.unlink()
            ledger = opened(tmp_path, checkpoint_every=10)
    everything = ledger.booked(ids(*truth), min(starts.values()))
    assert everything.spans.num_rows == everything.entries.num_rows == 40
    ledger.close()
