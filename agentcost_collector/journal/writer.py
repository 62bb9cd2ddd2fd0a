"""The receiver's side of the journal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import uuid
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from agentcost_collector.journal import asked, body, database, quarantine
from agentcost_collector.journal.config import Config
from agentcost_collector.journal.mark import read_mark
from agentcost_collector.model.errors import ConfigError, CorruptionError, TransientError
from agentcost_collector.model.schemas import REJECTS

_LOCK_NAME = "lock"
_SPARE_PAGES = 2_048
_SHRINK_PAGES_PER_STEP = 256
_RELEASED_PER_STEP = 5_000

ToSpans = Callable[[pa.Table, bool], tuple[pa.Table, np.ndarray]]
"""REJECTS, and whether to repair them, to SPANS and the rows that these are made of."""


class Journal:
    """The one writer. Calls may come from any thread; one waits for another."""

    def __init__(self, directory: Path, config: Config, db: sqlite3.Connection, lock: int) -> None:
        self._directory = directory
        self._file = directory / database.FILE_NAME
        self._config = config
        self._db = db
        self._lock = lock
        self._turn = threading.Lock()
        self.journal_id: str = _state(db)[0]
        self._identity = database.identity(self._file)

    @classmethod
    def open(cls, path: Path, config: Config) -> Journal:
        """The journal in the directory `path`, which is created where missing.

        Raises ConfigError where another process has it open, where the directory cannot be made,
        or where a newer version wrote it; CorruptionError where it is damaged or was replaced by
        an older copy.
        """
        lock = _lock_directory(path)
        try:
            file = path / database.FILE_NAME
            database.create(file, config.busy_timeout_ms, uuid.uuid4().hex)
            db = database.connect(file, config.busy_timeout_ms)
            try:
                database.prepare_writer(db, file)
                with database.world_errors(file):
                    journal = cls(path, config, db, lock)
                    _refuse_older_copy(db, path)
                return journal
            except BaseException:
                db.close()
                raise
        except BaseException:
            os.close(lock)
            raise

    def append(self, spans: pa.Table, rejects: pa.Table) -> int:
        """Keeps a SPANS and a REJECTS table for ever and returns their Position.

        One transaction, on disk when this returns. Without any row nothing is written and the
        last position is returned. Raises TransientError where nothing was kept (disk full, file
        locked, read-only or gone), CorruptionError where the file is damaged.
        """
        with self._turn, database.world_errors(self._file):
            if not spans.num_rows and not rejects.num_rows:
                return _state(self._db)[1]
            self._delete_trimmed()
            return self._commit(spans, lambda at: self._set_aside(at, rejects))

    def check(self) -> None:
        """Writes what is there already, to disk. Raises as `append`."""
        with self._turn, database.world_errors(self._file):
            with database.transaction(self._db):
                self._db.execute("UPDATE state SET head = head")
            self._refuse_lost_file()

    def release_asked(self, to_spans: ToSpans) -> int:
        """Carries out what `JournalReader.ask_release` asked for; returns the spans released.

        They are appended like any arrival, and their rows marked in the same transaction: each
        row is released once, however often and from wherever it is asked. A row that `to_spans`
        cannot make a span of stays. Raises as `append`; what is left then is done at the next call,
        but not the rest of a request that names a damaged row.
        """
        released = 0
        for path, request in asked.requests(self._directory, self.journal_id):
            try:
                for start in range(0, len(request.numbers), _RELEASED_PER_STEP):
                    some = request.numbers[start : start + _RELEASED_PER_STEP]
                    released += self._release(some, request.repair, to_spans)
            except CorruptionError:  # asking again would not help
                path.unlink(missing_ok=True)
                raise
            path.unlink(missing_ok=True)
        return released

    def _release(self, numbers: tuple[int, ...], repair: bool, to_spans: ToSpans) -> int:
        with self._turn, database.world_errors(self._file):
            kept = quarantine.read(self._db, quarantine.Wanted(numbers, kept_only=True))
            spans, rows = to_spans(kept.select(REJECTS.names), repair)
            if spans.num_rows:
                valid = kept.column("number").take(pa.array(rows)).to_pylist()
                self._commit(spans, lambda at: quarantine.mark_released(self._db, valid, at))
            return spans.num_rows

    def _commit(self, spans: pa.Table, beside: Callable[[int], None]) -> int:
        """One batch, and what `beside` writes for its position, in one transaction."""
        packed = body.pack(spans, self._config.compression)
        with database.transaction(self._db):
            position = _state(self._db)[1] + 1
            self._db.execute(
                "INSERT INTO batches (position, spans, codec, raw_bytes, body, digest) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (position, *packed, body.digest(position, packed)),
            )
            self._db.execute(
                "UPDATE state SET head = ?, spans_acknowledged = spans_acknowledged + ?",
                (position, spans.num_rows),
            )
            beside(position)
        self._refuse_lost_file()
        return position

    def _set_aside(self, position: int, rejects: pa.Table) -> None:
        if rejects.num_rows:
            quarantine.keep(self._db, position, rejects, self._config)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Frees the journal for another process. Nothing is lost without it."""
        self._db.close()
        os.close(self._lock)

    def _refuse_lost_file(self) -> None:
        """SQLite goes on writing to files that were deleted or moved; no restart would find them.
        Asked after the commit, so that what is acknowledged was in reach when it was durable."""
        if database.identity(self._file) != self._identity:
            raise TransientError(
                f"The journal {self._file} was deleted or moved while in use; put it back, or "
                "restart the collector to begin a new one."
            )

    def _delete_trimmed(self) -> None:
        """One step of the cleaning, in its own transaction: on a full disk it must come through
        where an append does not."""
        below = read_mark(self._directory, self.journal_id)
        first = self._db.execute("SELECT min(position) FROM batches").fetchone()[0]
        if first is None or first >= below:
            return
        until = min(below, first + self._config.trim_batches_per_step)
        with database.transaction(self._db):
            self._db.execute("DELETE FROM batches WHERE position < ?", (until,))
            # Freed pages are used again; what is far more than that goes back to the system.
            free = self._db.execute("PRAGMA freelist_count").fetchone()[0]
            for _ in range(min(free - _SPARE_PAGES, _SHRINK_PAGES_PER_STEP)):
                # Page by page: Python's cursor stops this statement after the first page.
                self._db.execute("PRAGMA incremental_vacuum(1)")


def _state(db: sqlite3.Connection) -> tuple[str, int]:
    journal_id, head = db.execute("SELECT journal_id, head FROM state").fetchone()
    return journal_id, head


def _lock_directory(directory: Path) -> int:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(directory / _LOCK_NAME, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise ConfigError(f"Cannot use {directory} as journal: {error.strerror}.") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        holder = os.read(lock, 100).decode(errors="replace").strip() or "another process"
        os.close(lock)
        raise ConfigError(
            f"The journal in {directory} is being written by {holder}; stop that process or use "
            "another data directory."
        ) from error
    with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"process {os.getpid()}\n".encode(), 0)
    return lock


def _refuse_older_copy(db: sqlite3.Connection, directory: Path) -> None:
    journal_id, head = _state(db)
    if read_mark(directory, journal_id) > head + 1:
        raise CorruptionError(
            f"The journal in {directory} ends at position {head}, before what was already "
            "settled: it was replaced by an older copy. Move it away to start a new one."
        )
