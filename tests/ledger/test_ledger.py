from __future__ import annotations

import contextlib
import hashlib
import os
import resource
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pydantic import ValidationError

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.errors import ConfigError, TransientError
from agentcost_collector.model.schemas import ENTRIES, SPANS
from agentcost_collector.model.tables import empty
from tests.ledger.tables import DAY, NOW, START, entries_table, entry, ids, span, spans_table

NO_SPANS, NO_ENTRIES = empty(SPANS), empty(ENTRIES)
MOST = Decimal("9" * 26 + "." + "9" * 12)


def opened(directory: Path, **settings) -> Ledger:
    return Ledger.open(directory, "journal-1", Config(**settings))


def by_trace(table: pa.Table) -> pa.Table:
    return table.sort_by([("trace_id", "ascending"), ("span_id", "ascending")])


def two_traces() -> tuple[pa.Table, pa.Table]:
    spans = spans_table([span(t, n) for t in (1, 2) for n in range(3)])
    return by_trace(spans), by_trace(entries_table([entry(t, n) for t in (1, 2) for n in range(3)]))


def test_a_commit_is_read_back_exactly(tmp_path):
    """Every type of SPANS and ENTRIES survives the disk: maps, lists, codes, NULLs, decimals."""
    full = span(
        1,
        parent_span_id="f" * 16,
        status=2,
        scope_version="1.0",
        links=[{"trace_id": "a" * 32, "span_id": None}, {"trace_id": None, "span_id": "b" * 16}],
        dropped_attributes=2**31 - 1,
        attributes=[("a", ""), ("b", None), ("é\u0000", "\U0001f600")],
    )
    bare = span(2, name=None, kind=None, scope_name=None, resource=None, attributes=None, links=[])
    spans = by_trace(spans_table([full, bare]))
    money = entry(
        1, cost=MOST, units=Decimal("9" * 29 + "." + "9" * 9), gpu_seconds=Decimal("1e-9")
    )
    entries = by_trace(entries_table([money, entry(2, cost=None, environment=None)]))
    ledger = opened(tmp_path / "ledger")
    commit = ledger.commit(spans, entries, {"position": 7}, NOW)
    assert (commit.batch_seq, commit.spans, commit.entries) == (1, 2, 2)
    found = ledger.booked(ids(1, 2), START)
    assert found.spans.schema.equals(SPANS)
    assert found.entries.schema.equals(ENTRIES)
    assert by_trace(found.spans).to_pylist() == spans.to_pylist()
    journal = hashlib.sha256(b"journal-1").hexdigest()[:12]
    wanted = entries.to_pylist()
    for number, row in enumerate(wanted):
        row |= {"journal": journal, "batch_seq": 1, "row_no": number}
        row["environment"] = row["environment"] or "none"
    assert by_trace(found.entries).to_pylist() == wanted
    ledger.close()


def test_state_and_rows_survive_reopening(tmp_path):
    """The counters are those of the last commit, the next batch follows the last one."""
    ledger = opened(tmp_path)
    assert ledger.state == {}
    spans, entries = two_traces()
    ledger.commit(spans, entries, {"position": 3, "spans_settled": 6}, NOW)
    ledger.close()
    again = opened(tmp_path)
    assert again.state == {"position": 3, "spans_settled": 6}
    assert again.commit(NO_SPANS, NO_ENTRIES, {"position": 4}, NOW).batch_seq == 2
    assert again.booked(ids(1), START).spans.num_rows == 3
    assert again.booked(ids(1), START).entries.num_rows == 3
    assert LedgerReader(tmp_path).state() == {"position": 4}
    again.close()


def test_nothing_to_say_makes_no_commit(tmp_path):
    """No rows and the same counters leave the log as it is."""
    ledger = opened(tmp_path)
    ledger.commit(*two_traces(), {"position": 1}, NOW)
    version = LedgerReader(tmp_path).snapshot().version
    commit = ledger.commit(NO_SPANS, NO_ENTRIES, {"position": 1}, NOW)
    assert (commit.batch_seq, commit.spans, commit.entries) == (1, 0, 0)
    assert LedgerReader(tmp_path).snapshot().version == version
    ledger.close()


def test_new_traces_are_empty_tables_of_the_right_type(tmp_path):
    """Traces that were never stored, and no traces at all, give tables without rows."""
    ledger = opened(tmp_path)
    ledger.commit(*two_traces(), {}, NOW)
    for asked in (ids(3, 4), ids()):
        found = ledger.booked(asked, START)
        assert found.spans.equals(NO_SPANS)
        assert found.entries.equals(NO_ENTRIES)
    ledger.close()


def test_only_the_asked_traces_come_back(tmp_path):
    """Rows of other traces in the same data files stay out; rows of all batches come in."""
    ledger = opened(tmp_path)
    ledger.commit(*two_traces(), {}, NOW)
    late = spans_table([span(2, 9)]), entries_table([entry(2, 9)])
    ledger.commit(*late, {}, NOW + 10**9)
    found = ledger.booked(ids(2, 3), START)
    assert sorted(found.entries["step_id"].to_pylist()) == ["2/0", "2/1", "2/2", "2/9"]
    assert sorted(found.entries["batch_seq"].to_pylist()) == [1, 1, 1, 2]
    assert found.spans.num_rows == 4
    ledger.close()


def test_duckdb_and_deltalake_read_what_was_committed(tmp_path):
    """Other readers see the same rows and the same exact sum, also under a path with blanks."""
    place = tmp_path / "my data é"
    ledger = opened(place)
    half = Decimal("4" * 26 + "." + "9" * 12)
    costs = [half, Decimal("2e-12"), half.copy_negate(), None, Decimal("0.3")]
    entries = entries_table([entry(n, n, cost) for n, cost in enumerate(costs)])
    spans = spans_table([span(n) for n in range(5)])
    ledger.commit(spans, entries, {}, NOW)
    ledger.commit(NO_SPANS, entries_table([entry(9, cost=half)]), {}, NOW)
    snapshot = LedgerReader(place).snapshot()
    assert (snapshot.ledger_rows, snapshot.span_rows) == (6, 5)
    con = duckdb.connect()
    query = """SELECT sum(cost_usd), count(*), min(environment), max(date)
               FROM read_parquet(?, hive_partitioning = true)"""
    row = con.execute(query, [snapshot.ledger_files]).fetchone()
    assert row is not None
    assert row[1:] == (6, "prod", date(2026, 5, 28))
    assert str(row[0]) == "4" * 25 + "5.300000000001"
    delta = DeltaTable(place / "ledger").to_pyarrow_table()
    assert delta.num_rows == 6
    assert {f.name: f.type for f in delta.schema} == {f.name: f.type for f in ENTRIES}
    assert sorted(delta["step_id"].to_pylist()) == ["0/0", "1/1", "2/2", "3/3", "4/4", "9/0"]
    evidence = DeltaTable(place / "spans").to_pyarrow_table()
    assert next(dict(a) for a in evidence["attributes"].to_pylist())["gen_ai.request.model"] == "m"
    counted = con.execute(
        "SELECT count(*) FROM read_parquet(?) WHERE attributes['number'] = '0'",
        [snapshot.span_files],
    ).fetchone()
    assert counted == (5,)
    ledger.close()


def test_the_table_needs_no_feature_of_its_reader(tmp_path):
    """Reader version 1 and writer version 2: any engine that speaks Delta can read it."""
    opened(tmp_path).close()
    for name in ("spans", "ledger"):
        protocol = DeltaTable(tmp_path / name).protocol()
        assert (protocol.min_reader_version, protocol.min_writer_version) == (1, 2)


def test_hostile_environments_stay_inside_the_closed_set(tmp_path):
    """Empty, long, path-like and missing names fail nothing and name no directory."""
    names = ["", "x" * 300, "../x", None, "prod", "PROD", "%2e", "\u0000", "none", "a/b=c"]
    spans = spans_table([span(n, environment=name) for n, name in enumerate(names)])
    entries = entries_table([entry(n, n, environment=name) for n, name in enumerate(names)])
    ledger = opened(tmp_path)
    ledger.commit(spans, entries, {}, NOW)
    for table in ("spans", "ledger"):
        found = {path.name for path in (tmp_path / table).glob("environment=*")}
        assert found == {"environment=none", "environment=other", "environment=prod"}
    found = ledger.booked(ids(*range(len(names))), START).entries
    got = {row["step_id"]: row["environment"] for row in found.to_pylist()}
    assert [got[f"{n}/{n}"] for n in range(len(names))] == [
        *("none", "other", "other", "none", "prod", "prod", "other", "other", "none", "other")
    ]
    ledger.close()


@pytest.mark.parametrize(
    "resource",
    [None, "", "[]", "{", '{"deployment.environment": 5}', '{"deployment.environment": "ci"}'],
)
def test_any_resource_text_gives_a_partition(tmp_path, resource):
    """A resource that is missing, broken or of another shape is filed, not refused."""
    ledger = opened(tmp_path)
    ledger.commit(spans_table([span(1, resource=resource)]), NO_ENTRIES, {}, NOW)
    expected = "ci" if resource and "ci" in resource else "none"
    assert f"environment={expected}/" in LedgerReader(tmp_path).snapshot().span_files[0]
    ledger.close()


def test_spans_of_many_days_and_absurd_times_in_one_commit(tmp_path):
    """More than forty days at once; times before and after the window go to its edges."""
    starts = [NOW - n * DAY for n in range(45)] + [0, 2**62, NOW + 9 * DAY]
    spans = spans_table([span(n, start_ns=start) for n, start in enumerate(starts)])
    ledger = opened(tmp_path)
    ledger.commit(spans, NO_ENTRIES, {}, NOW)
    days = {Path(f).parent.name for f in LedgerReader(tmp_path).snapshot().span_files}
    assert len(days) == 47
    assert "date=2020-01-01" in days
    assert max(days) == "date=2026-05-29"
    assert ledger.booked(ids(*range(48)), 0).spans.num_rows == 48
    ledger.close()


def test_a_second_opener_is_told_who_has_it(tmp_path):
    """The lock names process and journal; it is free again after close."""
    first = opened(tmp_path)
    with pytest.raises(ConfigError, match=rf"process {os.getpid()} \(journal journal-1\)"):
        opened(tmp_path)
    first.close()
    opened(tmp_path).close()


def test_two_writers_of_one_journal_cannot_commit_the_same_batch(tmp_path):
    """Should the lock be lost, the second commit of a batch is refused and nothing doubles."""
    first = opened(tmp_path)
    first.commit(*two_traces(), {"position": 1}, NOW)
    (tmp_path / "lock").unlink()
    second = opened(tmp_path)
    late = spans_table([span(5)]), entries_table([entry(5)])
    first.commit(*late, {"position": 2}, NOW)
    with pytest.raises(ConfigError, match="another process"):
        second.commit(*late, {"position": 2}, NOW)
    with pytest.raises(TransientError, match="open the ledger again"):
        second.commit(*late, {"position": 2}, NOW)
    snapshot = LedgerReader(tmp_path).snapshot()
    assert (snapshot.span_rows, snapshot.ledger_rows) == (7, 7)
    first.close()
    second.close()


def test_everything_is_synced_before_a_commit_returns(tmp_path, monkeypatch):
    """Data files, their directories, log entries and both log directories, spans first."""
    ledger = opened(tmp_path)
    synced: list[str] = []
    real = os.fsync

    def recorded(handle: int) -> None:
        synced.append(os.path.relpath(os.readlink(f"/proc/self/fd/{handle}"), tmp_path))
        real(handle)

    monkeypatch.setattr(os, "fsync", recorded)
    ledger.commit(*two_traces(), {}, NOW)
    for table in ("spans", "ledger"):
        (data,) = list((tmp_path / table).glob("*/*/*.parquet"))
        day = f"{table}/environment=prod/date=2026-05-28"
        entry_file = f"{table}/_delta_log/00000000000000000001.json"
        expected = [f"{day}/.{data.name}.tmp", day, entry_file, f"{table}/_delta_log"]
        assert [p for p in synced if p in expected] == expected
        assert {table, f"{table}/environment=prod"} <= set(synced)
    assert synced.index("spans/_delta_log") < synced.index("ledger/_delta_log")
    ledger.close()


def test_a_failed_sync_is_never_acknowledged(tmp_path, monkeypatch):
    """An I/O error stops the ledger until it is opened again; then the batch is there once."""
    ledger = opened(tmp_path)
    real = os.fsync

    def failing(handle: int) -> None:
        if os.readlink(f"/proc/self/fd/{handle}").endswith("ledger/_delta_log"):
            raise OSError(5, "Input/output error")
        real(handle)

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(TransientError, match="Input/output error"):
        ledger.commit(*two_traces(), {"position": 1}, NOW)
    with pytest.raises(TransientError, match="open the ledger again"):
        ledger.commit(*two_traces(), {"position": 1}, NOW)
    ledger.close()
    monkeypatch.setattr(os, "fsync", real)
    again = opened(tmp_path)
    assert again.state == {"position": 1}
    assert again.booked(ids(1, 2), START).entries.num_rows == 6
    again.close()


@contextlib.contextmanager
def files_end_at(size: int) -> Iterator[None]:
    """The system refuses to let any file of this process grow beyond `size`, as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 10, 100, 1_000, 3_000, 8_000, 20_000, 30_000, 60_000])
def test_wherever_the_disk_is_full_the_same_commit_works_later(tmp_path, size):
    """Whichever file does not fit, opening and committing either come through or are
    TransientError; opened again with room, every row is there once."""
    spans, entries = two_traces()
    for known in range(2):  # a new ledger, and one that has commits already
        directory = tmp_path / str(known)
        if known:
            with opened(directory) as ledger:
                ledger.commit(spans_table([span(9)]), entries_table([entry(9)]), {"n": 1}, NOW)
        with files_end_at(size), contextlib.suppress(TransientError), opened(directory) as ledger:
            ledger.commit(spans, entries, {"n": 2}, NOW)
        with opened(directory) as ledger:
            stored = ledger.booked(ids(1, 2), START)
            missing = spans if not stored.spans.num_rows else NO_SPANS
            unbooked = entries if not stored.entries.num_rows else NO_ENTRIES
            ledger.commit(missing, unbooked, {"n": 2}, NOW)
        with opened(directory) as ledger:
            assert ledger.state == {"n": 2}
            stored = ledger.booked(ids(1, 2, 9), START)
        for table, given in ((stored.spans, spans), (stored.entries, entries)):
            found = table.column("span_id").to_pylist()
            assert sorted(found) == sorted(
                given.column("span_id").to_pylist() + [span(9)["span_id"]] * known
            )


def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    """A data file that cannot be written is removed, and the batch can be committed later."""
    ledger = opened(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("pyarrow.parquet.write_table", full)
        with pytest.raises(TransientError, match="No space left"):
            ledger.commit(*two_traces(), {"position": 1}, NOW)
    ledger.close()
    assert not list(tmp_path.glob("*/environment=*/*/*"))
    assert not list(tmp_path.glob("*/environment=*/*/.*"))
    again = opened(tmp_path)
    assert again.state == {}
    assert again.commit(*two_traces(), {"position": 1}, NOW).entries == 6
    again.close()


def test_a_checkpoint_changes_nothing_that_is_read(tmp_path):
    """Rows, counters and transaction stay over several checkpoints and reopenings."""
    ledger = opened(tmp_path, checkpoint_every=3)
    for n in range(1, 11):
        spans, entries = spans_table([span(n)]), entries_table([entry(n)])
        assert ledger.commit(spans, entries, {"position": n}, NOW + n * 10**9).batch_seq == n
    for table in ("spans", "ledger"):
        assert len(list((tmp_path / table / "_delta_log").glob("*.checkpoint.parquet"))) == 2
    ledger.close()
    again = opened(tmp_path)
    assert again.state == {"position": 10}
    assert again.booked(ids(*range(1, 11)), START).entries.num_rows == 10
    assert LedgerReader(tmp_path).snapshot().ledger_rows == 10
    again.close()


def test_counters_survive_a_cleaned_up_log(tmp_path):
    """Where the log entries that carried them are gone, the counters come from state.json."""
    ledger = opened(tmp_path)
    for n in (1, 2):
        spans, entries = spans_table([span(n)]), entries_table([entry(n)])
        ledger.commit(spans, entries, {"position": n}, NOW)
    ledger.close()
    for table in ("spans", "ledger"):
        compact(tmp_path / table)
        DeltaTable(tmp_path / table).create_checkpoint()
        for n in range(3):
            (tmp_path / table / "_delta_log" / f"{n:020d}.json").unlink()
    assert LedgerReader(tmp_path).state() == {"position": 2}
    again = opened(tmp_path)
    assert again.state == {"position": 2}
    assert again.commit(NO_SPANS, NO_ENTRIES, {"position": 3}, NOW).batch_seq == 3
    again.close()


def compact(table: Path) -> None:
    assert DeltaTable(table).optimize.compact()["numFilesAdded"] == 1


@pytest.mark.parametrize("reopen", [False, True])
def test_compaction_by_somebody_else_hides_and_doubles_nothing(tmp_path, reopen):
    """After another tool rewrote the files, stored rows are found once, running or reopened."""
    ledger = opened(tmp_path)
    for n in (1, 2):
        ledger.commit(spans_table([span(n)]), entries_table([entry(n)]), {"position": n}, NOW)
    for table in ("spans", "ledger"):
        compact(tmp_path / table)
    if reopen:
        ledger.close()
        ledger = opened(tmp_path)
    for n in (3, 4):
        ledger.commit(spans_table([span(n)]), entries_table([entry(n)]), {"position": n}, NOW)
        found = ledger.booked(ids(1, 2, 3, 4), START)
        assert sorted(found.entries["step_id"].to_pylist()) == [f"{t}/0" for t in range(1, n + 1)]
        assert found.spans.num_rows == n
    ledger.close()


def test_two_journals_share_a_ledger_without_meeting(tmp_path):
    """A new journal starts at batch 1 with its own files and counters."""
    one = Ledger.open(tmp_path, "journal-1", Config())
    one.commit(*two_traces(), {"position": 5}, NOW)
    one.close()
    other = Ledger.open(tmp_path, "journal-2", Config())
    assert other.state == {}
    late = spans_table([span(5)]), entries_table([entry(5)])
    assert other.commit(*late, {"position": 1}, NOW).batch_seq == 1
    other.close()
    back = Ledger.open(tmp_path, "journal-1", Config())
    assert back.state == {"position": 5}
    assert back.booked(ids(1, 2, 5), START).entries.num_rows == 7
    back.close()


def test_reading_beside_a_writer_and_before_there_is_one(tmp_path):
    """A missing ledger is empty; a reader needs no lock and sees each commit when it is made."""
    reader = LedgerReader(tmp_path / "nothing")
    snapshot = reader.snapshot()
    assert (snapshot.version, snapshot.ledger_files, snapshot.span_files) == (-1, [], [])
    assert reader.spans_of(["a" * 32]).equals(NO_SPANS)
    assert reader.entries_of([]).equals(NO_ENTRIES)
    assert reader.state() == {}
    ledger = opened(tmp_path / "nothing")
    assert reader.snapshot().ledger_rows == 0
    ledger.commit(*two_traces(), {}, NOW)
    assert reader.spans_of(ids(2).to_pylist()).num_rows == 3
    assert pc.sum(reader.entries_of(ids(2).to_pylist())["input_tokens"]).as_py() == 3
    assert all(Path(f).is_file() for f in reader.snapshot().ledger_files)
    ledger.close()


def test_rows_of_a_trace_lie_together_in_a_file(tmp_path):
    """Data files are sorted by trace id, whatever order the rows came in, and keep their order."""
    rows = [span(n % 7, n) for n in range(50)]
    ledger = opened(tmp_path)
    ledger.commit(spans_table(rows), NO_ENTRIES, {}, NOW)
    stored = DeltaTable(tmp_path / "spans").to_pyarrow_table()
    got = list(zip(stored["trace_id"].to_pylist(), stored["span_id"].to_pylist(), strict=True))
    wanted = [(row["trace_id"], row["span_id"]) for row in rows]
    assert got == sorted(wanted, key=lambda pair: pair[0])
    ledger.close()


def test_a_flipped_bit_in_a_data_file_is_noticed(tmp_path):
    """Page checksums are written and verified: damage raises, and names the file."""
    ledger = opened(tmp_path)
    ledger.commit(*two_traces(), {}, NOW)
    path = Path(LedgerReader(tmp_path).snapshot().ledger_files[0])
    damaged = bytearray(path.read_bytes())
    damaged[60] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(Exception, match="cannot be read"):
        ledger.booked(ids(1), START)
    ledger.close()


def test_a_path_that_delta_would_decode_is_refused(tmp_path):
    """A percent sign in the directory is one clear sentence, not a table in another place."""
    with pytest.raises(ConfigError, match="%"):
        opened(tmp_path / "a%20b")


@pytest.mark.parametrize("name", ["", "none", "Prod", "a/b", "x" * 64])
def test_environment_names_are_checked_at_start(name):
    """A configured environment must be a plain name that cannot be mistaken."""
    with pytest.raises(ValidationError, match="environment"):
        Config(environments=(name,))
