"""Every span set aside is counted, and is kept, released once, repeated or dropped."""

from __future__ import annotations

import sqlite3

import numpy as np
import pyarrow as pa
import pytest

from agentcost_collector.journal.config import Config
from agentcost_collector.journal.quarantine import Wanted
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.schemas import REJECTS, SPANS


def rejects(*names: str, reason: str = "trace_id_invalid", at_ns: int = 7) -> pa.Table:
    """One reject for each name, with every column filled."""
    rows = [
        {
            "reason": reason,
            "detail": "5 bytes",
            "trace_id": "6162",
            "span_id": f"{n:016x}",
            "parent_span_id": "ab" * 8,
            "start_ns": 2**64 - 1,
            "end_ns": 1,
            "kind": 3,
            "name": name,
            "status": 2,
            "scope_name": "scope",
            "scope_version": "1",
            "resource": '{"service.name":"shop"}',
            "attributes": [("a", "1"), ("b", "ü\u202e")],
            "links": [{"trace_id": "c" * 32, "span_id": "d" * 16}],
            "dropped_attributes": 4,
            "received_at_ns": at_ns,
        }
        for n, name in enumerate(names)
    ]
    return pa.Table.from_pylist(rows, schema=REJECTS)


def every(table: pa.Table, repair: bool) -> tuple[pa.Table, np.ndarray]:
    """Spans of all rows, or, without repair, of those that are called valid."""
    names = table.column("name").to_pylist()
    rows = [n for n, name in enumerate(names) if repair or name.startswith("valid")]
    spans = [
        {"trace_id": "e" * 32, "span_id": "f" * 16, "name": names[n], "start_ns": 1, "end_ns": 2}
        for n in rows
    ]
    return pa.Table.from_pylist(spans, schema=SPANS), np.array(rows, dtype=np.int64)


@pytest.fixture
def nothing() -> pa.Table:
    return SPANS.empty_table()


def names(reader: JournalReader, wanted: Wanted = Wanted()) -> list[str]:  # noqa: B008
    return reader.quarantined(wanted).column("name").to_pylist()


def assert_adds_up(reader: JournalReader) -> None:
    """Ever set aside = kept + released + repeated + dropped."""
    t = reader.totals()
    gone = t.spans_released + t.quarantine_repeated + t.quarantine_dropped
    assert t.spans_quarantined == reader.quarantine_kept() + gone


def test_a_row_comes_back_whole(journal, reader, nothing):
    """All columns of a set-aside span come back as they went in, with where it came."""
    given = rejects("a", "b")
    assert journal.append(nothing, given) == 1
    kept = reader.quarantined()
    assert kept.select(REJECTS.names).to_pylist() == given.to_pylist()[::-1]
    numbers = kept.select(["number", "position", "arrivals", "released"]).to_pylist()
    assert [tuple(row.values()) for row in numbers] == [(2, 1, 1, None), (1, 1, 1, None)]


def test_the_same_span_again_is_one_row(journal, reader, nothing):
    """A sender that sends a bad span again and again fills nothing; each arrival is counted."""
    for at_ns in range(3):
        journal.append(nothing, rejects("a", "a", "b", at_ns=at_ns))
    assert sorted(reader.quarantined().column("arrivals").to_pylist()) == [3, 3, 3]
    totals = reader.totals()
    assert (totals.spans_quarantined, totals.quarantine_repeated) == (9, 6)
    assert_adds_up(reader)


def test_wanted(journal, reader, nothing):
    """Rows are found by number, reason and time."""
    journal.append(nothing, rejects("a", at_ns=5))
    journal.append(nothing, rejects("b", reason="time_out_of_range", at_ns=6))
    assert names(reader) == ["b", "a"]
    assert names(reader, Wanted(numbers=[1, 77])) == ["a"]
    assert names(reader, Wanted(reason="time_out_of_range")) == ["b"]
    assert names(reader, Wanted(since_ns=6)) == ["b"]
    assert names(reader, Wanted(limit=1)) == ["b"]


@pytest.mark.parametrize("full", [{"quarantine_rows_max": 3}, {"quarantine_bytes_max": 800}])
def test_quarantine_is_bounded_and_the_count_is_not(tmp_path, nothing, full):
    """Beyond the rows or bytes allowed the oldest go; how many is counted, and no number is given
    again."""
    config = Config(**full)
    with Journal.open(tmp_path / "j", config) as journal:
        for first in range(0, 9, 3):
            journal.append(nothing, rejects(*(f"no. {first + n}" for n in range(3))))
    with JournalReader.open(tmp_path / "j", config) as reader:
        assert names(reader) == ["no. 8", "no. 7", "no. 6"]
        totals = reader.totals()
        assert (totals.spans_quarantined, totals.quarantine_dropped) == (9, 6)
        assert reader.quarantined().column("number").to_pylist() == [9, 8, 7]
        assert_adds_up(reader)


def test_no_room_at_all(tmp_path, nothing):
    """A quarantine of no rows keeps nothing, and says how much that was."""
    config = Config(quarantine_rows_max=0)
    with Journal.open(tmp_path / "j", config) as journal:
        journal.append(nothing, rejects("a", "b"))
    with JournalReader.open(tmp_path / "j", config) as reader:
        assert (reader.quarantine_kept(), reader.totals().quarantine_dropped) == (0, 2)
        assert_adds_up(reader)


def test_release_is_an_arrival_once(journal, reader, nothing):
    """What is asked for is appended and marked, in one position; asked again, or sent again by its
    sender, it does not come twice."""
    journal.append(nothing, rejects("valid a", "b", "valid c"))
    asked = reader.ask_release([1, 2, 3, 99], repair=False)
    assert journal.release_asked(every) == 2
    assert not asked.exists()
    (batch,) = reader.after(1, 2**40)
    assert batch.spans.column("name").to_pylist() == ["valid c", "valid a"]
    assert reader.quarantined().column("released").to_pylist() == [2, None, 2]
    assert names(reader, Wanted(kept_only=True)) == ["b"]
    reader.ask_release([1, 3], repair=True)
    assert journal.release_asked(every) == 0
    assert journal.append(nothing, rejects("valid a", "b", "valid c")) == 3
    reader.ask_release([1, 2, 3], repair=True)
    assert journal.release_asked(every) == 1
    totals = reader.totals()
    assert (totals.spans_acknowledged, totals.spans_released) == (3, 3)
    assert (totals.spans_quarantined, totals.quarantine_repeated) == (6, 3)
    assert_adds_up(reader)


def test_two_requests_for_one_row(journal, reader, nothing):
    """Two who ask at the same time get one release."""
    journal.append(nothing, rejects("a"))
    for _ in range(2):
        reader.ask_release([1], repair=True)
    assert journal.release_asked(every) == 1
    assert reader.totals().spans_acknowledged == 1


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"journal_id": "other", "numbers": [1]}'])
def test_a_torn_or_foreign_request_asks_for_nothing(tmp_path, journal, reader, nothing, text):
    """It is removed and no row is touched."""
    journal.append(nothing, rejects("a"))
    path = tmp_path / "journal/release-x.json"
    path.write_bytes(text)
    assert journal.release_asked(every) == 0
    assert not path.exists()
    assert reader.quarantine_kept() == 1


def test_a_dropped_row_that_was_released_is_not_counted_twice(tmp_path, nothing):
    """Released rows make room without being counted as dropped."""
    config = Config(quarantine_rows_max=2)
    with (
        Journal.open(tmp_path / "j", config) as journal,
        JournalReader.open(tmp_path / "j", config) as reader,
    ):
        journal.append(nothing, rejects("a", "b"))
        reader.ask_release([1], repair=True)
        journal.release_asked(every)
        journal.append(nothing, rejects("c", "d"))
        totals = reader.totals()
        assert (totals.spans_released, totals.quarantine_dropped) == (1, 1)
        assert names(reader) == ["d", "c"]
        assert_adds_up(reader)


@pytest.mark.parametrize("column", ["body", "reason"])
def test_a_damaged_row_is_named(tmp_path, journal, reader, nothing, column):
    """A row that is not what was written is no evidence: CorruptionError with its number."""
    journal.append(nothing, rejects("a"))
    with sqlite3.connect(tmp_path / "journal/journal.sqlite") as db:
        db.execute(f"UPDATE quarantine SET {column} = replace({column}, 'a', 'b')")
    db.close()
    with pytest.raises(CorruptionError, match="number 1"):
        reader.quarantined()
