import os
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap

import pyarrow as pa
import pytest

from agentcost_collector.journal.config import Config
from agentcost_collector.journal.quarantine import Wanted
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.errors import ConfigError, CorruptionError, TransientError
from agentcost_collector.model.schemas import REJECTS

EVERYTHING = 2**40


def positions(reader: JournalReader, after: int = 0) -> list[int]:
    return [batch.position for batch in reader.after(after, EVERYTHING)]


def rejects(count: int, first: int = 0) -> pa.Table:
    rows = [
        {"reason": "trace_id_invalid", "detail": f"no. {first + i}", "received_at_ns": i}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, schema=REJECTS)


def test_every_recording_comes_back_as_it_went_in(journal, reader, recorded, no_rejects):
    """What is read is what was appended, in order, with both compressions' worth of types."""
    given = [journal.append(spans, no_rejects) for spans in recorded]
    read = list(reader.after(0, EVERYTHING))
    assert given == [batch.position for batch in read] == list(range(1, len(recorded) + 1))
    for spans, batch in zip(recorded, read, strict=True):
        assert batch.spans.equals(spans)
    assert reader.totals().spans_acknowledged == sum(spans.num_rows for spans in recorded)


@pytest.mark.parametrize("codec", ["lz4", "zstd"])
def test_compression_is_chosen_by_setting_and_read_without_it(
    tmp_path, codec, recorded, no_rejects
):
    """A journal written with either compression is read by a reader that knows neither."""
    journal = Journal.open(tmp_path / "j", Config(compression=codec))
    journal.append(recorded[0], no_rejects)
    reader = JournalReader.open(tmp_path / "j", Config())
    assert next(reader.after(0, 1)).spans.equals(recorded[0])
    reader.close()
    journal.close()


def test_chunked_tables_with_other_dictionaries_are_kept_whole(
    journal, reader, recorded, no_rejects
):
    """A table in several chunks, each with a dictionary of its own, is one batch with the same
    rows."""
    spans = pa.concat_tables(recorded)
    journal.append(spans, no_rejects)
    assert next(reader.after(0, 1)).spans.to_pylist() == spans.to_pylist()


def test_nothing_to_keep_takes_no_position(journal, reader, recorded, no_rejects):
    """An append without rows writes nothing and answers with the last position."""
    empty = recorded[0].slice(0, 0)
    assert journal.append(empty, no_rejects) == 0
    assert journal.append(recorded[0], no_rejects) == 1
    assert journal.append(empty, no_rejects) == 1
    assert positions(reader) == [1]


def test_rejects_are_counted_and_kept_with_their_batch(journal, reader, recorded, no_rejects):
    """Set-aside spans are in quarantine with position and reason, newest first, and counted."""
    journal.append(recorded[0], rejects(2))
    assert journal.append(recorded[0].slice(0, 0), rejects(1, first=2)) == 2
    stored = reader.quarantined(Wanted(limit=2)).to_pylist()
    assert [(row["position"], row["detail"]) for row in stored] == [(2, "no. 2"), (1, "no. 1")]
    assert stored[0]["reason"] == "trace_id_invalid"
    assert reader.quarantined().num_rows == reader.quarantine_kept() == 3
    totals = reader.totals()
    assert (totals.spans_acknowledged, totals.spans_quarantined) == (recorded[0].num_rows, 3)
    assert [batch.spans.num_rows for batch in reader.after(1, EVERYTHING)] == [0]


def test_files_are_private(tmp_path, journal, reader, recorded, no_rejects):
    """Nobody but the owner can read the journal, whatever the umask."""
    journal.append(recorded[0], no_rejects)
    reader.trim(2)
    directory = tmp_path / "journal"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    files = {file.name: stat.S_IMODE(file.stat().st_mode) for file in directory.iterdir()}
    assert {"journal.sqlite", "journal.sqlite-wal", "trimmed", "lock"} <= set(files)
    assert set(files.values()) == {0o600}


def test_commits_are_synced(tmp_path, journal):
    """The writer's connection syncs the log at every commit."""
    assert journal._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert journal._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_second_writer_is_refused(tmp_path, journal):
    """Two collectors cannot share a journal; the second one is told so."""
    with pytest.raises(ConfigError, match=f"process {os.getpid()}"):
        Journal.open(tmp_path / "journal", Config())
    journal.close()
    Journal.open(tmp_path / "journal", Config()).close()
    reopened = Journal.open(tmp_path / "journal", Config())
    journal._lock, journal._db = reopened._lock, reopened._db


def test_newer_format_is_refused(tmp_path):
    """A journal of a later version stops the start with one clear sentence."""
    Journal.open(tmp_path / "j", Config()).close()
    with sqlite3.connect(tmp_path / "j/journal.sqlite") as db:
        db.execute("PRAGMA user_version=99")
    db.close()
    with pytest.raises(ConfigError, match="format 99"):
        Journal.open(tmp_path / "j", Config())
    with pytest.raises(ConfigError, match="format 99"):
        JournalReader.open(tmp_path / "j", Config())


def test_unusable_directory_is_a_config_error(tmp_path):
    """A file in the place of the directory is named, not traced back."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="file"):
        Journal.open(tmp_path / "file", Config())


def test_creation_that_was_cut_short_is_completed(tmp_path, recorded, no_rejects):
    """An empty database file, as a crash during the first start leaves it, is made good."""
    (tmp_path / "j").mkdir()
    (tmp_path / "j/journal.sqlite").touch(0o600)
    journal = Journal.open(tmp_path / "j", Config())
    assert journal.append(recorded[0], no_rejects) == 1
    journal.close()


def test_a_file_that_is_no_database_is_corruption(tmp_path):
    """Foreign bytes in the database file stop the start."""
    (tmp_path / "j").mkdir()
    (tmp_path / "j/journal.sqlite").write_bytes(b"not a database" * 1000)
    with pytest.raises(CorruptionError, match="damaged"):
        Journal.open(tmp_path / "j", Config())


def test_older_copy_is_refused(tmp_path, journal, reader, recorded, no_rejects):
    """A journal restored from before what was settled would give positions out twice: refused by
    the writer and by the reader."""
    file = tmp_path / "journal/journal.sqlite"
    journal.append(recorded[0], no_rejects)
    with sqlite3.connect(tmp_path / "copy") as copy:
        journal._db.backup(copy)
    copy.close()
    for _ in range(4):
        journal.append(recorded[0], no_rejects)
    reader.trim(5)
    reader.close()
    journal.close()
    file.write_bytes((tmp_path / "copy").read_bytes())
    with pytest.raises(CorruptionError, match="older copy"):
        Journal.open(tmp_path / "journal", Config())
    restored = JournalReader.open(tmp_path / "journal", Config())
    with pytest.raises(CorruptionError, match="older copy"):
        list(restored.after(4, EVERYTHING))
    restored.close()
    (tmp_path / "journal/trimmed").unlink()
    reopened = Journal.open(tmp_path / "journal", Config())
    journal._lock, journal._db = reopened._lock, reopened._db


def test_full_database_keeps_nothing_of_the_append(tmp_path, journal, reader, recorded, no_rejects):
    """A full disk is TransientError, with counters, batches and quarantine untouched; the same
    append works when there is space, and takes the next position."""
    journal.append(recorded[0], no_rejects)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    big = pa.concat_tables(recorded * 3)
    with pytest.raises(TransientError, match="full"):
        journal.append(big, rejects(1))
    assert reader.head() == 1
    assert reader.totals().spans_acknowledged == recorded[0].num_rows
    assert reader.totals().spans_quarantined == reader.quarantined().num_rows == 0
    assert positions(reader) == [1]
    journal._db.execute("PRAGMA max_page_count=1000000")
    assert journal.append(big, rejects(1)) == 2
    assert positions(reader) == [1, 2]


def test_trim_frees_a_full_disk(tmp_path, journal, reader, recorded, no_rejects):
    """On a full disk, what the pipeline has settled makes room: the append after the trim works
    although the file may not grow."""
    big = pa.concat_tables(recorded * 3)
    for _ in range(5):
        journal.append(big, no_rejects)
    pages = journal._db.execute("PRAGMA page_count").fetchone()[0]
    journal._db.execute(f"PRAGMA max_page_count={pages}")
    with pytest.raises(TransientError):
        journal.append(big, no_rejects)
    reader.trim(4)
    assert journal.append(big, no_rejects) == 6
    assert positions(reader) == [4, 5, 6]


def test_file_size_limit_of_the_system_is_transient(tmp_path, recorded, no_rejects):
    """A write that the system refuses half way (RLIMIT_FSIZE) keeps nothing; without the limit
    the next append works and the file is sound."""
    journal = Journal.open(tmp_path / "j", Config())
    journal.append(recorded[0], no_rejects)
    big = pa.concat_tables(recorded * 12)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        with pytest.raises(TransientError):
            journal.append(big, no_rejects)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert journal.append(big, no_rejects) == 2
    reader = JournalReader.open(tmp_path / "j", Config())
    assert positions(reader) == [1, 2]
    reader.close()
    journal.close()
    assert integrity(tmp_path / "j") == "ok"


def test_locked_file_is_transient(tmp_path, recorded, no_rejects):
    """A foreign lock that lasts longer than the busy timeout fails the append, which then
    succeeds."""
    journal = Journal.open(tmp_path / "j", Config(busy_timeout_ms=1))
    foreign = sqlite3.connect(tmp_path / "j/journal.sqlite", isolation_level=None)
    foreign.execute("BEGIN IMMEDIATE")
    with pytest.raises(TransientError, match="locked"):
        journal.append(recorded[0], no_rejects)
    foreign.execute("ROLLBACK")
    assert journal.append(recorded[0], no_rejects) == 1
    foreign.close()
    journal.close()


@pytest.mark.parametrize(
    "gone", ["journal", "journal/journal.sqlite", "journal/journal.sqlite-wal"]
)
def test_files_taken_away_under_it(tmp_path, journal, recorded, no_rejects, gone):
    """Where the journal or its log is no longer in its place, nothing is acknowledged: after a
    restart nobody would find it. Put back, it goes on."""
    journal.append(recorded[0], no_rejects)
    away = (tmp_path / gone).rename(tmp_path / "away")
    with pytest.raises(TransientError, match="deleted or moved"):
        journal.append(recorded[1], no_rejects)
    away.rename(tmp_path / gone)
    journal.append(recorded[2], no_rejects)


def test_our_bugs_are_not_called_transient(journal, no_rejects):
    """A wrong table is an error of ours and nobody is told to try again."""
    with pytest.raises(pa.ArrowInvalid):
        journal.append(pa.table({"start_ns": ["yesterday"]}), no_rejects)


def test_acknowledged_positions_survive_kill_9(tmp_path, recorded, no_rejects):
    """A process killed in a loop of appends and trims leaves every acknowledged batch whole, and
    positions go on behind them."""
    sample = tmp_path / "sample.arrow"
    with pa.OSFile(str(sample), "wb") as sink, pa.ipc.new_stream(sink, recorded[0].schema) as out:
        for spans in recorded:
            out.write_table(spans)
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        import pyarrow as pa
        from agentcost_collector.journal.config import Config
        from agentcost_collector.journal.reader import JournalReader
        from agentcost_collector.journal.writer import Journal
        from agentcost_collector.model.schemas import REJECTS
        directory, sample = Path(sys.argv[1]), sys.argv[2]
        spans = pa.concat_tables([pa.ipc.open_stream(pa.OSFile(sample)).read_all()] * 3)
        journal = Journal.open(directory, Config(trim_batches_per_step=2))
        reader = JournalReader.open(directory, Config())
        while True:
            position = journal.append(spans.slice(reader.head() % 50), REJECTS.empty_table())
            print(position, flush=True)
            if position % 7 == 0:
                reader.trim(position - 3)
        """
    )
    acknowledged = 0
    for lines in (1, 10, 25):
        command = [sys.executable, "-c", program, str(tmp_path / "j"), str(sample)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            for _ in range(lines):
                line = child.stdout.readline()
                assert line, "the writer ended by itself"
            os.kill(child.pid, signal.SIGKILL)
            line = child.stdout.read().rpartition("\n")[0].rpartition("\n")[2] or line
        assert int(line) >= acknowledged + lines
        acknowledged = int(line)
        reader = JournalReader.open(tmp_path / "j", Config())
        batches = list(reader.after(0, EVERYTHING))
        whole = sum(spans.num_rows for spans in recorded) * 3
        assert [b.spans.num_rows for b in batches] == [
            whole - (b.position - 1) % 50 for b in batches
        ]
        assert reader.head() >= acknowledged
        assert {b.position for b in batches} >= set(
            range(max(1, acknowledged - 3), acknowledged + 1)
        )
        expected = sum(whole - i % 50 for i in range(reader.head()))
        assert reader.totals().spans_acknowledged == expected
        acknowledged = reader.head()
        reader.close()
        assert integrity(tmp_path / "j") == "ok"


def integrity(directory) -> str:
    db = sqlite3.connect(directory / "journal.sqlite")
    found = db.execute("PRAGMA integrity_check").fetchone()[0]
    db.close()
    return found
