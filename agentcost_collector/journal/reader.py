"""The pipeline's side of the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.journal import body, database, quarantine
from agentcost_collector.journal.asked import ask
from agentcost_collector.journal.config import Config
from agentcost_collector.journal.mark import read_mark, write_mark
from agentcost_collector.journal.quarantine import Wanted
from agentcost_collector.model.errors import CorruptionError

EVERY = Wanted()
"""All of the quarantine."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One append, read back."""

    position: int
    spans: pa.Table


@dataclass(frozen=True, slots=True)
class Totals:
    """What the journal has ever been given, and what it holds now."""

    spans_acknowledged: int
    """Valid spans ever appended."""
    spans_quarantined: int
    """Spans ever set aside: those released, repeated, dropped and still in quarantine."""
    spans_released: int
    """Spans released from quarantine; they are among `spans_acknowledged`."""
    quarantine_repeated: int
    """Arrivals of a span that was in quarantine already."""
    quarantine_dropped: int
    """Spans deleted from quarantine because it was full."""
    batches: int
    """Batches that are still needed."""
    bytes: int
    """Size on disk, write-ahead log included."""


class JournalReader:
    """Reads what the receiver process appends. Never makes it wait: no call here writes to the
    database, and no read outlives its call."""

    def __init__(self, directory: Path, db: sqlite3.Connection) -> None:
        self._directory = directory
        self._file = directory / database.FILE_NAME
        self._db = db
        self.journal_id: str = db.execute("SELECT journal_id FROM state").fetchone()[0]

    @classmethod
    def open(cls, path: Path, config: Config) -> JournalReader:
        """The journal in the directory `path`.

        Raises ConfigError where there is none or a newer version wrote it.
        """
        file = path / database.FILE_NAME
        db = database.connect(file, config.busy_timeout_ms)
        try:
            database.prepare_reader(db, file)
            with database.world_errors(file):
                return cls(path, db)
        except BaseException:
            db.close()
            raise

    def after(self, position: int, bytes_max: int) -> Iterator[Batch]:
        """The batches above `position` in order, up to the one that reaches `bytes_max` (> 0,
        as stored). Starts at `first()` where that is later.

        Raises CorruptionError naming the position of a batch that is damaged or missing, or where
        `position` was never reached.
        """
        head, expected = self.head(), max(position + 1, self.first())
        if position > head:
            raise CorruptionError(
                f"The journal {self._file} ends at position {head}, but {position} was already "
                "settled: it was replaced by an older copy. Move it away to start a new one."
            )
        size = 0
        while expected <= head and size < bytes_max:
            packed = self._stored(expected)
            yield Batch(expected, body.unpack(packed))
            size += len(packed.body)
            expected += 1

    def head(self) -> int:
        """The last position; 0 before the first append."""
        return int(self._one("SELECT head FROM state")[0])

    def first(self) -> int:
        """The lowest position that is still needed; `head() + 1` where none is."""
        stored = self._one(
            "SELECT coalesce((SELECT min(position) FROM batches), head + 1) FROM state"
        )
        return max(stored[0], read_mark(self._directory, self.journal_id))

    def received_ns(self, after: int) -> int | None:
        """When the oldest span above the position `after` was received; None where none is.

        Raises CorruptionError where the batch is damaged.
        """
        wanted = max(after + 1, self.first())
        if wanted > self.head():
            return None
        received: int | None = pc.min(body.unpack(self._stored(wanted))["received_at_ns"]).as_py()
        return received

    def totals(self) -> Totals:
        """Counters that only grow, and the present size."""
        acknowledged, quarantined, released, repeated, dropped = self._one(
            "SELECT spans_acknowledged, spans_quarantined, spans_released, quarantine_repeated,"
            " quarantine_dropped FROM state"
        )
        files = (self._file, self._file.with_name(f"{self._file.name}-wal"))
        return Totals(
            spans_acknowledged=acknowledged,
            spans_quarantined=quarantined,
            spans_released=released,
            quarantine_repeated=repeated,
            quarantine_dropped=dropped,
            batches=self.head() + 1 - self.first(),
            bytes=sum(file.stat().st_size for file in files if file.exists()),
        )

    def spans_through(self, position: int) -> int:
        """Valid spans ever appended up to `position`, which is at or above `first() - 1`."""
        return self._one(
            "SELECT spans_acknowledged - coalesce((SELECT sum(spans) FROM batches"
            " WHERE position > ?), 0) FROM state",
            position,
        )[0]

    def trim(self, below: int) -> None:
        """Says that no position `< below` is needed again. The following appends delete them in
        small steps; here they are gone at once."""
        if below > self.head() + 1:
            raise CorruptionError(f"Cannot trim {self._file} beyond its end, below {below}.")
        if below > read_mark(self._directory, self.journal_id):
            write_mark(self._directory, self.journal_id, below)

    def quarantined(self, wanted: Wanted = EVERY) -> pa.Table:
        """Set-aside spans, newest first: a table of quarantine.ROWS.

        Raises CorruptionError naming a row that is damaged.
        """
        with database.world_errors(self._file):
            return quarantine.read(self._db, wanted)

    def quarantine_kept(self) -> int:
        """Spans in quarantine now, counted there."""
        return self._one("SELECT count(*) FROM quarantine WHERE released IS NULL")[0]

    def ask_release(self, numbers: Sequence[int], repair: bool) -> Path:
        """Asks the writer to release these rows; the file returned is gone when it has."""
        return ask(self._directory, self.journal_id, numbers, repair)

    def __enter__(self) -> JournalReader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._db.close()

    def _stored(self, position: int) -> body.Packed:
        with database.world_errors(self._file):
            rows = self._db.execute(
                "SELECT digest, spans, codec, raw_bytes, body FROM batches WHERE position = ?",
                (position,),
            ).fetchall()
        if not rows:
            raise CorruptionError(f"The journal {self._file} has lost position {position}.")
        digest, *columns = rows[0]
        packed = body.Packed(*columns)
        if digest != body.digest(position, packed):
            raise CorruptionError(f"The journal {self._file} is damaged at position {position}.")
        return packed

    def _one(self, query: str, *values: int) -> tuple[int, ...]:
        # fetchall ends the read at once; an open one would keep the log from being emptied.
        with database.world_errors(self._file):
            row: tuple[int, ...] = self._db.execute(query, values).fetchall()[0]
        return row
