from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from deltalake import DeltaTable

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.ledger.upkeep import Upkeep
from tests.ledger.tables import NOW, entries_table, entry, ids, span, spans_table

AUDIT = Path(__file__).parents[2] / "docs" / "audit.sql"
HOUR = 3600 * 10**9
SECOND = 10**9
LATER = NOW + 30 * HOUR
LONG_AFTER = LATER + 30 * HOUR


def opened(directory: Path, journal: str = "journal-1", **settings) -> Ledger:
    return Ledger.open(directory, journal, Config(**settings))


def commit(ledger: Ledger, number: int, traces: list[int], now_ns: int) -> None:
    """Two spans and an entry of each trace; the entries' amounts tell the commits apart."""
    spans = [span(t, 2 * number + k, start_ns=now_ns - 60 * SECOND) for t in traces for k in (0, 1)]
    entries = [entry(t, number, Decimal(number + 1).scaleb(-12)) for t in traces]
    ledger.commit(spans_table(spans), entries_table(entries), {"position": number}, now_ns)


def fill(directory: Path, commits: int = 20, **settings) -> None:
    """Commits of which each third one adds to trace 1."""
    with opened(directory, **settings) as ledger:
        for number in range(commits):
            traces = [100 + number, 1] if number % 3 == 0 else [100 + number]
            commit(ledger, number, traces, NOW + number * SECOND)


def done(ledger: Ledger, now_ns: int = LATER, before: date | None = None) -> Upkeep:
    return sum(ledger.upkeep(now_ns, before), Upkeep())


def rows_by_delta(directory: Path, table: str) -> list[dict]:
    """All rows as the Delta library reads them."""
    rows = DeltaTable(directory / table).to_pyarrow_table()
    keys = [n for n in ("trace_id", "span_id", "step_id", "batch_seq") if n in rows.column_names]
    return rows.sort_by([(key, "ascending") for key in keys]).to_pylist()


def everything(directory: Path) -> tuple[list[dict], list[dict]]:
    return rows_by_delta(directory, "spans"), rows_by_delta(directory, "ledger")


def test_small_files_of_a_closed_day_become_one_with_the_same_rows(tmp_path):
    """20 files of each table become 1; the Delta library reads the same rows as before, sorted,
    with page checksums, and DuckDB the same sum; also from a checkpoint."""
    fill(tmp_path)
    before = everything(tmp_path)
    with opened(tmp_path) as ledger:
        did = done(ledger)
        assert (did.files_merged, did.files_new, did.refused) == (40, 2, ())
        assert did.rows_merged == len(before[0]) + len(before[1])
    snapshot = LedgerReader(tmp_path).snapshot()
    assert (len(snapshot.ledger_files), len(snapshot.span_files)) == (1, 1)
    assert everything(tmp_path) == before
    for table in ("spans", "ledger"):
        DeltaTable(tmp_path / table).create_checkpoint()
    assert everything(tmp_path) == before
    ((total, rows),) = duckdb.execute(
        "SELECT sum(cost_usd), count(*) FROM read_parquet(?)", [snapshot.ledger_files]
    ).fetchall()
    assert (total, rows) == (sum(row["cost_usd"] for row in before[1]), len(before[1]))
    for file in (*snapshot.ledger_files, *snapshot.span_files):
        stored = pq.read_table(file, partitioning=None, page_checksum_verification=True)
        assert stored["trace_id"].to_pylist() == sorted(stored["trace_id"].to_pylist())


def test_seals_hold_after_a_compaction(tmp_path):
    """By the auditor's SQL file: the same batches with the same seals, every one of them right, and
    the merged files sealed too."""
    fill(tmp_path)
    before = audited(tmp_path)
    assert len(before) == 20
    assert all(ok for *_, ok in before)
    with opened(tmp_path) as ledger:
        assert done(ledger).files_merged == 40
    after = audited(tmp_path)
    assert [row for row in after if row[0] != "files"] == before
    assert [(rows, ok) for name, _, rows, _, ok in after if name == "files"] == [(0, True)] * 2


def audited(directory: Path) -> list[tuple]:
    """What docs/audit.sql says: journal, batch, rows, cost, whether it is as sealed."""
    files = LedgerReader(directory).snapshot().ledger_files
    with duckdb.connect() as connection:
        connection.execute("SET VARIABLE ledger = ?", [str(directory)])
        connection.execute("SET VARIABLE entries = ?", [files])
        return connection.execute(AUDIT.read_text()).fetchall()


def test_traces_are_found_after_a_compaction_once(tmp_path):
    """Through the index, which knows the new file: no row missing, none twice; also after opening
    again, and with a lost index."""
    fill(tmp_path, 50)
    with opened(tmp_path, compact_quiet_h=0) as ledger:
        wanted = sizes(ledger, 1, 101, 103)
        assert wanted == {1: (34, 17), 101: (2, 1), 103: (2, 1)}
        done(ledger, NOW + 60 * SECOND)
        assert all(group.sure for group in ledger._lookup._index.groups.values())
        assert sizes(ledger, 1, 101, 103) == wanted
        commit(ledger, 60, [1], NOW + 90 * SECOND)
        assert sizes(ledger, 1) == {1: (36, 18)}
    with opened(tmp_path) as ledger:
        assert sizes(ledger, 1, 101) == {1: (36, 18), 101: (2, 1)}
    for path in tmp_path.glob("index.db*"):
        path.unlink()
    with opened(tmp_path) as ledger:
        assert sizes(ledger, 1, 101) == {1: (36, 18), 101: (2, 1)}


def sizes(ledger: Ledger, *traces: int) -> dict[int, tuple[int, int]]:
    """Spans and entries found for each trace, each looked for alone and all together."""
    alone = {t: ledger.booked(ids(t), NOW - HOUR) for t in traces}
    together = ledger.booked(ids(*traces), NOW - HOUR)
    assert together.spans.num_rows == sum(found.spans.num_rows for found in alone.values())
    assert together.entries.num_rows == sum(found.entries.num_rows for found in alone.values())
    for found in alone.values():
        assert len(pc.unique(found.spans["span_id"])) == found.spans.num_rows
        assert len(pc.unique(found.entries["step_id"])) == found.entries.num_rows
    return {t: (found.spans.num_rows, found.entries.num_rows) for t, found in alone.items()}


def test_commits_and_counters_go_on_after_a_compaction(tmp_path):
    """The batch number and the counters are as before, whoever compacted; the next commit is
    read back, and what was stored of a journal is counted as before."""
    fill(tmp_path)
    stored = LedgerReader(tmp_path).spans_stored("journal-1", 20)
    with opened(tmp_path, "another") as ledger:
        done(ledger)
    reader = LedgerReader(tmp_path)
    assert reader.state() == {"position": 19}
    assert reader.spans_stored("journal-1", 20) == stored == 54
    with opened(tmp_path) as ledger:
        assert (ledger.batch_seq, ledger.state, ledger.spans_uncounted) == (20, {"position": 19}, 0)
        commit(ledger, 20, [1], LATER)
        assert sizes(ledger, 1) == {1: (16, 8)}


def test_a_day_that_is_written_to_is_left_alone(tmp_path):
    """Before the quiet hours have passed nothing is merged, unless there are very many files; a
    later day than `before` names is left too."""
    fill(tmp_path, 20)
    with opened(tmp_path) as ledger:
        assert done(ledger, NOW + HOUR).files_merged == 0
        assert done(ledger, LATER, date(2026, 5, 28)).files_merged == 0
        assert done(ledger, NOW + HOUR, date(2026, 5, 29)).files_merged == 40
    fill(tmp_path / "crowded", 101)
    with opened(tmp_path / "crowded") as ledger:
        assert done(ledger, NOW + HOUR).files_merged == 202
        assert done(ledger, NOW + HOUR).files_merged == 0


def test_large_files_are_left_and_merged_ones_are_bounded(tmp_path):
    """No merged file has more rows than allowed, and no row is lost or doubled on the way."""
    fill(tmp_path, 30)
    before = everything(tmp_path)
    with opened(tmp_path, compact_rows=20) as ledger:
        done(ledger)
        again = done(ledger)
        assert again.files_merged == 0
        assert all(file.rows <= 20 for file in ledger._spans.files())
        assert len(ledger._spans.files()) < 10
    assert everything(tmp_path) == before


def test_a_reader_that_had_its_list_can_finish(tmp_path):
    """Replaced files stay for the time that is set, then they are deleted, and nothing else is."""
    fill(tmp_path)
    old = LedgerReader(tmp_path).snapshot()
    with opened(tmp_path) as ledger:
        done(ledger)
        assert done(ledger, LATER + 23 * HOUR).files_deleted == 0
        assert pa.concat_tables([pq.read_table(f) for f in old.ledger_files]).num_rows == 27
        assert done(ledger, LATER + 25 * HOUR).files_deleted == 40
    assert not any(Path(file).exists() for file in (*old.ledger_files, *old.span_files))
    new = LedgerReader(tmp_path).snapshot()
    listed = {str(path) for path in tmp_path.glob("*/environment=*/**/*.parquet")}
    assert listed == {*new.ledger_files, *new.span_files}


def test_files_of_crashed_commits_are_deleted_when_they_are_old(tmp_path):
    """Parts and temporary files that no log entry names; a young one and a foreign one stay."""
    fill(tmp_path)
    folder = tmp_path / "spans/environment=prod/date=2026-05-28"
    live = next(folder.glob("part-*.parquet"))
    young = folder / "part-0123456789ab-0000000099-0.parquet"
    names = (live.name.replace("-0.parquet", "-7.parquet"), f".{live.name}.tmp", "notes.txt")
    for path in (young, *(folder / name for name in names)):
        path.write_bytes(b"")
    mtime_ns = young.stat().st_mtime_ns
    with opened(tmp_path, replaced_kept_h=1) as ledger:
        assert done(ledger, mtime_ns + HOUR - SECOND).refused == ()
        assert young.exists()
        done(ledger, mtime_ns + HOUR + SECOND)
    assert not young.exists()
    assert [name for name in names if (folder / name).exists()] == ["notes.txt"]


def test_the_log_is_cleaned_up_to_the_checkpoint_before_the_last(tmp_path):
    """Old entries go once two checkpoints repeat them; the ledger opens with its counters, also
    without state.json and when the last checkpoint is damaged; young entries stay."""
    fill(tmp_path, 40, checkpoint_every=10)
    before = everything(tmp_path)
    with opened(tmp_path, checkpoint_every=10) as ledger:
        assert done(ledger, NOW + HOUR).log_entries_deleted == 2  # that of the creation
        assert done(ledger, LATER).log_entries_deleted == 58
    assert everything(tmp_path) == before
    (tmp_path / "state.json").unlink()
    with opened(tmp_path, checkpoint_every=10) as ledger:
        assert ledger.state == {"position": 39}
        assert sizes(ledger, 1, 139) == {1: (28, 14), 139: (2, 1)}
    last = sorted((tmp_path / "spans/_delta_log").glob("*.checkpoint.parquet"))[-1]
    last.write_bytes(last.read_bytes()[:100])
    with opened(tmp_path) as ledger:
        assert sizes(ledger, 1) == {1: (28, 14)}
    assert everything(tmp_path) == before
