"""The SQLite file beneath the journal: tables, connection, transaction, errors."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from agentcost_collector.journal import quarantine
from agentcost_collector.model.errors import ConfigError, CorruptionError, TransientError

FORMAT_VERSION = 1
"""Kept in PRAGMA user_version; see docs/formats/journal.md."""

FILE_NAME = "journal.sqlite"

_PAGE_BYTES = 16_384
_CHECKPOINT_PAGES = 256
_WAL_KEPT_BYTES = 64 * 1024 * 1024

_TABLES = f"""
CREATE TABLE state (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    journal_id TEXT NOT NULL,
    head INTEGER NOT NULL,
    spans_acknowledged INTEGER NOT NULL,
    spans_quarantined INTEGER NOT NULL,
    spans_released INTEGER NOT NULL,
    quarantine_repeated INTEGER NOT NULL,
    quarantine_dropped INTEGER NOT NULL,
    quarantine_bytes INTEGER NOT NULL
);
CREATE TABLE batches (
    position INTEGER PRIMARY KEY,
    spans INTEGER NOT NULL,
    codec TEXT NOT NULL,
    raw_bytes INTEGER NOT NULL,
    digest BLOB NOT NULL,
    body BLOB NOT NULL
);
{quarantine.TABLE}"""

_RETRY = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
}
_BROKEN = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


def connect(file: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    """A connection to an existing journal file, in autocommit mode.

    Raises ConfigError where there is no such file, or a newer version wrote it.
    """
    if not file.exists():
        raise _no_journal(file)
    with world_errors(file):
        db = sqlite3.connect(
            f"file:{quote(str(file.absolute()))}?mode=rw",
            uri=True,
            timeout=busy_timeout_ms / 1_000,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            _refuse_newer(db, file)
        except BaseException:
            db.close()
            raise
    return db


def create(file: Path, busy_timeout_ms: int, journal_id: str) -> None:
    """Makes an empty journal file, durably, unless there is a complete one: of which the names
    are made durable, as its maker may have been killed before that."""
    try:
        with contextlib.suppress(FileExistsError):
            os.close(os.open(file, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
        db = connect(file, busy_timeout_ms)
        with contextlib.closing(db), world_errors(file):
            if not _version(db):
                _make_tables(db, file, journal_id)
        for directory in (file.parent, file.parent.parent):
            sync_directory(directory)
        with contextlib.suppress(PermissionError):  # of the folder around a data folder
            sync_directory(file.parent.parent.parent)
    except OSError as error:
        raise TransientError(f"Cannot use the journal {file} now: {error.strerror}.") from error


def _make_tables(db: sqlite3.Connection, file: Path, journal_id: str) -> None:
    db.execute(f"PRAGMA page_size={_PAGE_BYTES}")
    db.execute("PRAGMA auto_vacuum=INCREMENTAL")
    if db.execute("PRAGMA journal_mode=WAL").fetchone()[0] != "wal":
        raise ConfigError(f"The disk of {file.parent} cannot hold a journal; use a local one.")
    db.execute("PRAGMA synchronous=FULL")
    with transaction(db):
        for statement in _TABLES.split(";")[:-1]:
            db.execute(statement)
        db.execute("INSERT INTO state VALUES (1, ?, 0, 0, 0, 0, 0, 0, 0)", (journal_id,))
        db.execute(f"PRAGMA user_version={FORMAT_VERSION}")


def prepare_writer(db: sqlite3.Connection, file: Path) -> None:
    """Makes every commit of this connection durable, and this connection the checkpointer."""
    with world_errors(file):
        db.execute("PRAGMA synchronous=FULL")
        db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        db.execute(f"PRAGMA journal_size_limit={_WAL_KEPT_BYTES}")
        # Some systems build SQLite to overwrite what is deleted: twice the work of a trim.
        db.execute("PRAGMA secure_delete=OFF")
        # What was logged before a sync that failed may read well and not be on the disk; nothing
        # is appended behind it.
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def prepare_reader(db: sqlite3.Connection, file: Path) -> None:
    """Forbids every write through this connection.

    Raises ConfigError where the writer has not yet finished creating the journal.
    """
    with world_errors(file):
        if not _version(db):
            raise _no_journal(file)
        db.execute("PRAGMA query_only=ON")


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing of what the block executes; durable when the block is left."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def world_errors(file: Path) -> Iterator[None]:
    """Turns what SQLite says about the disk and the file into our exceptions."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in _BROKEN:
            raise CorruptionError(f"The journal {file} is damaged: {error}.") from error
        if code in _RETRY:
            raise TransientError(f"The journal {file} cannot be used now: {error}.") from error
        raise


def identity(file: Path) -> tuple[tuple[int, int] | None, ...]:
    """What the names of the database and of its log stand for now; None where a name is gone."""
    return tuple(map(_identity, (file, file.with_name(f"{file.name}-wal"))))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def sync_directory(directory: Path) -> None:
    """Makes the names in a directory durable."""
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _no_journal(file: Path) -> ConfigError:
    return ConfigError(f"There is no journal in {file.parent}; start the collector first.")


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(db: sqlite3.Connection, file: Path) -> None:
    version = _version(db)
    if version > FORMAT_VERSION:
        raise ConfigError(
            f"The journal {file} has format {version}, but this version reads formats up to "
            f"{FORMAT_VERSION}; upgrade, or point --data elsewhere."
        )
