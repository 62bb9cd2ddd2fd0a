from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.errors import CorruptionError
from tests.ledger.tables import NOW, START, entries_table, entry, ids, span, spans_table

TEARS = {
    "empty": lambda data: b"",
    "zeros": lambda data: b"\0" * len(data),
    "half": lambda data: data[: len(data) // 2],
    "no_last_line": lambda data: data[: data.rindex(b"\n") + 1],
    "first_line_only": lambda data: data[: data.index(b"\n") + 1],
    "zero_tail": lambda data: data[:-20] + b"\0" * 20,
}


def opened(directory: Path) -> Ledger:
    return Ledger.open(directory, "journal-1", Config(checkpoint_every=2))


def commit(ledger: Ledger, n: int) -> None:
    """As the pipeline does: append only what is not stored yet."""
    stored = ledger.booked(ids(n), START)
    spans, entries = spans_table([span(n)]), entries_table([entry(n)])
    ledger.commit(
        spans.slice(0, 0) if stored.spans.num_rows else spans,
        entries.slice(0, 0) if stored.entries.num_rows else entries,
        {"position": n},
        NOW + n,
    )


def newest(directory: Path, table: str) -> Path:
    return max((directory / table / "_delta_log").glob("*.json"))


def crash_after_log_write(directory: Path, table: str, n: int, monkeypatch) -> None:
    """Commit `n`, with the power cut when `table`'s log entry is written but not yet synced."""
    ledger = opened(directory)

    def cut(*_: object) -> None:
        raise OSError(5, "power cut")

    with monkeypatch.context() as patch:
        real = ledger._ledger._sync_log if table == "ledger" else ledger._spans._sync_log
        patch.setattr(real.__self__, "_sync_log", cut)
        with pytest.raises(Exception, match="power cut"):
            commit(ledger, n)
    ledger.close()


@pytest.mark.parametrize("table", ["spans", "ledger"])
@pytest.mark.parametrize("tear", TEARS)
def test_a_torn_newest_commit_is_moved_aside_and_made_again(tmp_path, table, tear, monkeypatch):
    """Whatever a power cut left of the last log entry: said, kept aside, and counted once."""
    ledger = opened(tmp_path)
    for n in (1, 2, 3):
        commit(ledger, n)
    ledger.close()
    crash_after_log_write(tmp_path, table, 4, monkeypatch)
    entry_file = newest(tmp_path, table)
    entry_file.write_bytes(TEARS[tear](entry_file.read_bytes()))
    with capture_logs() as logs:
        again = opened(tmp_path)
    assert [log["event"] for log in logs] == ["torn_file_moved_aside"]
    assert Path(logs[0]["now_at"]).is_file()
    assert again.state == {"position": 3}
    commit(again, 4)
    snapshot = LedgerReader(tmp_path).snapshot()
    assert (snapshot.ledger_rows, snapshot.span_rows) == (4, 4)
    assert again.state == {"position": 4}
    found = again.booked(ids(1, 2, 3, 4), START)
    assert (found.entries.num_rows, found.spans.num_rows) == (4, 4)
    again.close()


@pytest.mark.parametrize("table", ["spans", "ledger"])
def test_an_acknowledged_commit_is_never_moved_aside(tmp_path, table):
    """Damage to what was synced and trimmed from the journal stops the start and names the file."""
    ledger = opened(tmp_path)
    commit(ledger, 1)
    ledger.close()
    entry_file = newest(tmp_path, table)
    entry_file.write_bytes(b"")
    with pytest.raises(CorruptionError, match=entry_file.name):
        opened(tmp_path)
    assert entry_file.exists()


def test_a_whole_commit_that_was_not_synced_is_kept(tmp_path, monkeypatch):
    """A crash between the log entry and its sync loses nothing where the entry is whole."""
    crash_after_log_write(tmp_path, "ledger", 1, monkeypatch)
    again = opened(tmp_path)
    assert again.state == {"position": 1}
    commit(again, 1)
    assert LedgerReader(tmp_path).snapshot().ledger_rows == 1
    again.close()


def test_spans_ahead_of_the_ledger_are_seen_and_not_written_again(tmp_path, monkeypatch):
    """After a crash between the two tables the stored spans are found, the entries follow."""
    ledger = opened(tmp_path)
    with monkeypatch.context() as patch:

        def crash(*_: object) -> None:
            raise OSError(5, "power cut")

        patch.setattr(ledger._ledger, "commit", crash)
        with pytest.raises(OSError, match="power cut"):
            commit(ledger, 1)
    ledger.close()
    again = opened(tmp_path)
    assert again.state == {}
    found = again.booked(ids(1), START)
    assert (found.spans.num_rows, found.entries.num_rows) == (1, 0)
    commit(again, 1)
    snapshot = LedgerReader(tmp_path).snapshot()
    assert (snapshot.span_rows, snapshot.ledger_rows) == (1, 1)
    assert again.state == {"position": 1}
    again.close()


@pytest.mark.parametrize("table", ["spans", "ledger"])
def test_a_torn_creation_is_made_again(tmp_path, table):
    """A table whose very first log entry is torn is created anew."""
    opened(tmp_path).close()
    first = newest(tmp_path, table)
    first.write_bytes(first.read_bytes()[:100])
    again = opened(tmp_path)
    commit(again, 1)
    assert LedgerReader(tmp_path).snapshot().ledger_rows == 1
    again.close()


@pytest.mark.parametrize("damage", ["checkpoint", "pointer", "both", "checkpoint lost"])
def test_a_torn_checkpoint_is_moved_aside(tmp_path, damage):
    """The log entries say the same as the checkpoint: it goes, nothing else changes."""
    ledger = opened(tmp_path)
    for n in (1, 2, 3):
        commit(ledger, n)
    ledger.close()
    log = tmp_path / "ledger" / "_delta_log"
    if damage in ("checkpoint", "both"):
        checkpoint = max(log.glob("*.checkpoint.parquet"))
        checkpoint.write_bytes(checkpoint.read_bytes()[:-100])
    if damage in ("pointer", "both"):
        (log / "_last_checkpoint").write_bytes(b"")
    if damage == "checkpoint lost":  # its name had not reached the disk, the pointer had
        max(log.glob("*.checkpoint.parquet")).unlink()
    again = opened(tmp_path)
    assert again.state == {"position": 3}
    commit(again, 4)
    assert LedgerReader(tmp_path).snapshot().ledger_rows == 4
    again.close()


def test_files_left_by_a_crash_are_not_read(tmp_path):
    """Data files and half-written files that no commit names change no answer."""
    ledger = opened(tmp_path)
    commit(ledger, 1)
    (real,) = LedgerReader(tmp_path).snapshot().ledger_files
    Path(real).with_name("part-0123456789ab-0000000009-0.parquet").write_bytes(
        Path(real).read_bytes()
    )
    Path(real).with_name(".part-x.parquet.tmp").write_bytes(b"half")
    assert LedgerReader(tmp_path).snapshot().ledger_files == [real]
    ledger.close()
    again = opened(tmp_path)
    assert again.booked(ids(1), START).entries.num_rows == 1
    again.close()


def test_an_orphan_of_the_same_name_is_replaced(tmp_path):
    """The data file of a batch that was never committed gives way to the batch made again."""
    ledger = opened(tmp_path)
    commit(ledger, 1)
    (name,) = LedgerReader(tmp_path).snapshot().ledger_files
    Path(name.replace("-0000000001-", "-0000000002-")).write_bytes(b"rubbish of a crash")
    commit(ledger, 2)
    assert ledger.booked(ids(2), START).entries.num_rows == 1
    ledger.close()
