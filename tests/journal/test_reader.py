import sqlite3
import subprocess
import sys
import textwrap

import pytest

from agentcost_collector.journal.config import Config
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.errors import ConfigError, CorruptionError

EVERYTHING = 2**40


@pytest.fixture
def ten(journal, recorded, no_rejects):
    for spans in recorded[:10]:
        journal.append(spans, no_rejects)
    return journal


def positions(reader: JournalReader, after: int = 0, bytes_max: int = EVERYTHING) -> list[int]:
    return [batch.position for batch in reader.after(after, bytes_max)]


def test_missing_journal_is_a_config_error(tmp_path):
    """Reading where nothing was ever received says so and creates nothing."""
    with pytest.raises(ConfigError, match="no journal"):
        JournalReader.open(tmp_path / "j", Config())
    assert not (tmp_path / "j").exists()
    (tmp_path / "j").mkdir()
    (tmp_path / "j/journal.sqlite").touch()
    with pytest.raises(ConfigError, match="no journal"):
        JournalReader.open(tmp_path / "j", Config())


def test_after_starts_behind_a_position_and_stops_at_the_limit(ten, reader):
    """Reading goes on behind the given position and stops with the batch that reaches the
    limit."""
    sizes = dict(ten._db.execute("SELECT position, length(body) FROM batches"))
    assert positions(reader, after=4) == [5, 6, 7, 8, 9, 10]
    assert positions(reader, after=10) == []
    assert positions(reader, bytes_max=1) == [1]
    assert positions(reader, bytes_max=sizes[1]) == [1]
    assert positions(reader, bytes_max=sizes[1] + 1) == [1, 2]


def test_trim_hides_at_once_and_deletes_with_the_next_appends(
    tmp_path, ten, reader, recorded, no_rejects
):
    """Trimmed batches are gone for readers immediately, and from the file in small steps."""
    reader.trim(8)
    assert (reader.first(), reader.head(), positions(reader)) == (8, 10, [8, 9, 10])
    assert reader.totals().batches == 3
    ten.append(recorded[0], no_rejects)
    assert ten._db.execute("SELECT min(position) FROM batches").fetchone() == (8,)


def test_one_append_deletes_no_more_than_its_step(tmp_path, recorded, no_rejects):
    """However much was trimmed, an append deletes a bounded number of batches."""
    journal = Journal.open(tmp_path / "j", Config(trim_batches_per_step=3))
    reader = JournalReader.open(tmp_path / "j", Config())
    for _ in range(9):
        journal.append(recorded[0], no_rejects)
    reader.trim(9)
    held = []
    for _ in range(4):
        journal.append(recorded[0], no_rejects)
        held.append(journal._db.execute("SELECT min(position) FROM batches").fetchone()[0])
    assert held == [4, 7, 9, 9]
    reader.close()
    journal.close()


def test_positions_are_not_used_again_after_trim_and_reopen(tmp_path, recorded, no_rejects):
    """With everything trimmed and the journal reopened, positions and counters go on."""
    journal = Journal.open(tmp_path / "j", Config())
    for _ in range(3):
        journal.append(recorded[0], no_rejects)
    reader = JournalReader.open(tmp_path / "j", Config())
    reader.trim(4)
    assert (reader.first(), reader.head(), positions(reader)) == (4, 3, [])
    reader.close()
    journal.close()
    reopened = Journal.open(tmp_path / "j", Config())
    assert reopened.append(recorded[0], no_rejects) == 4
    again = JournalReader.open(tmp_path / "j", Config())
    assert again.journal_id == journal.journal_id == reopened.journal_id
    assert positions(again) == [4]
    assert again.totals().spans_acknowledged == 4 * recorded[0].num_rows
    again.close()
    reopened.close()


def test_spans_are_counted_up_to_any_position(ten, reader, recorded):
    """Trimmed or not, the spans of all batches up to a position are known."""
    rows = [spans.num_rows for spans in recorded[:10]]
    reader.trim(below=4)
    assert [reader.spans_through(n) for n in range(3, 11)] == [sum(rows[:n]) for n in range(3, 11)]


def test_trim_only_moves_forward_and_not_beyond_the_end(ten, reader):
    """A lower mark changes nothing; one beyond the next position is refused."""
    reader.trim(6)
    reader.trim(3)
    assert reader.first() == 6
    with pytest.raises(CorruptionError, match="beyond its end"):
        reader.trim(12)


@pytest.mark.parametrize(
    "mark", [b"", b"garbage", b"\xff\xfe\n", b"0123 8\n", b"{id} 8", b"{id} x\n"]
)
def test_a_mark_that_is_torn_or_foreign_deletes_nothing(
    tmp_path, ten, reader, recorded, no_rejects, mark
):
    """Only a whole mark of this very journal counts; without one everything is kept."""
    marked = mark.replace(b"{id}", ten.journal_id.encode())
    (tmp_path / "journal/trimmed").write_bytes(marked)
    ten.append(recorded[0], no_rejects)
    assert positions(reader) == list(range(1, 12))


def test_space_is_used_again(ten, reader, recorded, no_rejects):
    """A journal that is trimmed as fast as it is filled keeps its size."""
    for position in range(11, 400):
        ten.append(recorded[position % len(recorded)], no_rejects)
        reader.trim(position - 5)
    pages = ten._db.execute("PRAGMA page_count").fetchone()[0]
    for position in range(400, 800):
        ten.append(recorded[position % len(recorded)], no_rejects)
        reader.trim(position - 5)
    assert ten._db.execute("PRAGMA page_count").fetchone()[0] <= pages + 2


def test_a_backlog_gives_its_space_back(tmp_path, recorded, no_rejects, monkeypatch):
    """After a large backlog was trimmed the file shrinks to its spare pages, in bounded steps."""
    monkeypatch.setattr("agentcost_collector.journal.writer._SPARE_PAGES", 8)
    monkeypatch.setattr("agentcost_collector.journal.writer._SHRINK_PAGES_PER_STEP", 16)
    journal = Journal.open(tmp_path / "j", Config())
    reader = JournalReader.open(tmp_path / "j", Config())
    for _ in range(300):
        journal.append(recorded[0], no_rejects)
    full = journal._db.execute("PRAGMA page_count").fetchone()[0]
    sizes = []
    for position in range(300, 330):
        reader.trim(position)
        journal.append(recorded[0], no_rejects)
        sizes.append(journal._db.execute("PRAGMA page_count").fetchone()[0])
    assert all(earlier - later <= 16 for earlier, later in zip([full, *sizes], sizes, strict=False))
    assert sizes[-1] < 25 < full
    assert positions(reader) == list(range(329, 331))
    reader.close()
    journal.close()


def test_a_flipped_bit_is_found_and_its_position_named(ten, reader):
    """A changed bit anywhere in a stored body stops the reading at that position."""
    good = positions(reader, after=4, bytes_max=1)
    assert good == [5]
    (stored,) = ten._db.execute("SELECT body FROM batches WHERE position = 5").fetchone()
    for at in (0, len(stored) // 2, len(stored) - 1):
        flipped = bytearray(stored)
        flipped[at] ^= 1
        ten._db.execute("UPDATE batches SET body = ? WHERE position = 5", (flipped,))
        with pytest.raises(CorruptionError, match="position 5"):
            positions(reader)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE batches SET codec = 'zstd' WHERE position = 5",
        "UPDATE batches SET raw_bytes = raw_bytes + 1 WHERE position = 5",
        "UPDATE batches SET spans = spans + 1 WHERE position = 5",
        "DELETE FROM batches WHERE position = 5",
    ],
)
def test_changed_columns_and_lost_rows_are_found(ten, reader, change):
    """The digest covers the columns beside the body, and a gap is a loss."""
    ten._db.execute(change)
    with pytest.raises(CorruptionError, match="position 5"):
        positions(reader)


def test_exchanged_batches_are_found(ten, reader):
    """A whole batch in another batch's place has the wrong digest."""
    ten._db.execute(
        "UPDATE batches SET (spans, codec, raw_bytes, digest, body) ="
        " (SELECT spans, codec, raw_bytes, digest, body FROM batches WHERE position = 4)"
        " WHERE position = 5"
    )
    with pytest.raises(CorruptionError, match="position 5"):
        positions(reader)


def test_flipped_bytes_in_the_file_never_change_what_is_read(tmp_path, recorded, no_rejects):
    """Whatever byte of the file is changed, reading gives the original batches or an error."""
    journal = Journal.open(tmp_path / "j", Config())
    for spans in recorded[:10]:
        journal.append(spans, no_rejects)
    journal.close()
    file = tmp_path / "j/journal.sqlite"
    sound = file.read_bytes()
    found = 0
    for at in range(16_384, len(sound), 3_001):
        file.write_bytes(sound[:at] + bytes([sound[at] ^ 0x10]) + sound[at + 1 :])
        try:
            reader = JournalReader.open(tmp_path / "j", Config())
            read = list(reader.after(0, EVERYTHING))
        except CorruptionError:
            found += 1
            continue
        finally:
            reader.close()
        assert len(read) == 10
        assert all(b.spans.equals(s) for b, s in zip(read, recorded, strict=False))
    assert found > 3


def test_reading_leaves_no_lock_behind(ten, reader, recorded, no_rejects):
    """A reader that stops in the middle does not keep the log from being emptied."""
    unfinished = reader.after(0, EVERYTHING)
    next(unfinished)
    ten.append(recorded[0], no_rejects)
    busy, in_log, moved = ten._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    assert (busy, in_log, moved) == (0, 0, 0)
    assert next(unfinished).position == 2


def test_both_sides_close_with_their_block(tmp_path, recorded, no_rejects):
    """Leaving the block closes the files and frees the journal for the next writer."""
    with Journal.open(tmp_path / "j", Config()) as journal:
        journal.append(recorded[0], no_rejects)
    Journal.open(tmp_path / "j", Config()).close()
    with JournalReader.open(tmp_path / "j", Config()) as reader:
        assert positions(reader) == [1]
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        reader.head()


def test_reader_cannot_write(ten, reader):
    """The reading side is not able to change the database."""
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader._db.execute("DELETE FROM batches")


def test_another_process_reads_while_this_one_writes(tmp_path, recorded, no_rejects):
    """A reader process sees every batch in order and without a gap while the writer goes on, and
    trims behind itself."""
    program = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from agentcost_collector.journal.config import Config
        from agentcost_collector.journal.reader import JournalReader
        reader = JournalReader.open(Path(sys.argv[1]), Config())
        position = spans = 0
        print("ready", flush=True)
        while position < 200:
            for batch in reader.after(position, 100_000):
                assert batch.position == position + 1
                position, spans = batch.position, spans + batch.spans.num_rows
            reader.trim(position + 1)
        print(position, spans)
        """
    )
    journal = Journal.open(tmp_path / "j", Config(trim_batches_per_step=5))
    command = [sys.executable, "-c", program, str(tmp_path / "j")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        tables = [recorded[i % len(recorded)] for i in range(200)]
        for spans in tables:
            journal.append(spans, no_rejects)
        out = child.stdout.read()
    assert out == f"200 {sum(spans.num_rows for spans in tables)}\n"
    journal.close()
    db = sqlite3.connect(tmp_path / "j/journal.sqlite")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
