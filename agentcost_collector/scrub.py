"""Reads every file that the collector keeps, and reports what is damaged. Changes nothing.

In: the data folder. Out: findings that name the file, the batch that lies in it, and what to do.

    journal     SQLite's own check, and the digest of every batch
    ledger      data files against the digests in the seals, Delta log entries and checkpoints,
                seals, counters, the index and archived cards
    progress    the notes of both processes
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from agentcost_collector.journal.database import FILE_NAME
from agentcost_collector.journal.reader import JournalReader
from agentcost_collector.ledger.disk import read_json
from agentcost_collector.ledger.index import damage as index_damage
from agentcost_collector.ledger.layout import ENTRY_ROWS, SPAN_ROWS
from agentcost_collector.ledger.log import read_actions
from agentcost_collector.ledger.lookup import INDEX
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.ledger.state import STATE
from agentcost_collector.model.errors import AgentcostError
from agentcost_collector.price.archived import Archive
from agentcost_collector.settings import Settings
from agentcost_collector.verify import Finding, verify_seals

_RESTORE = "restore it from a backup"
_ALL = 1 << 62


def scrub(settings: Settings, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    """Everything that is damaged. `progress` counts the ledger's data files."""
    yield from scrub_journal(settings)
    yield from scrub_ledger(settings.ledger_path, progress)
    yield from scrub_notes(settings)


def scrub_journal(settings: Settings) -> Iterator[Finding]:
    """Every page that SQLite can check, and every batch that is still needed."""
    file = settings.journal_path / FILE_NAME
    if not file.exists():
        return
    at = "restore it from a backup, or start a new journal: spans that wait in it are lost"
    try:
        with contextlib.closing(_read_only(file)) as database:
            faults = [text for (text,) in database.execute("PRAGMA integrity_check(3)")]
    except sqlite3.Error as fault:
        faults = [str(fault)]
    if faults != ["ok"]:
        yield _damage(file, f"{'; '.join(faults)}; {at}")
        return
    try:
        journal = JournalReader.open(settings.journal_path, settings.journal)
    except (AgentcostError, sqlite3.Error) as fault:
        yield _damage(file, f"{fault}; {at}")
        return
    try:
        yield from _batches(journal, file)
    finally:
        journal.close()


def _batches(journal: JournalReader, file: Path) -> Iterator[Finding]:
    try:
        for batch in journal.after(journal.first() - 1, _ALL):
            del batch
    except (AgentcostError, sqlite3.Error, pa.ArrowException, ValueError) as fault:
        yield _damage(file, f"{fault}; {_RESTORE}")


def scrub_ledger(ledger: Path, progress: Callable[[int, int], None]) -> Iterator[Finding]:
    """Tables, logs, seals, counters, index and cards."""
    if not ledger.is_dir():
        return
    for kind in (ENTRY_ROWS, SPAN_ROWS):
        yield from scrub_log(ledger / kind.name / "_delta_log")
    try:
        yield from verify_seals(ledger, [], progress).findings
        yield from (
            _damage(ledger / "cards" / f"{name}.json", f"is not what was archived; {_RESTORE}")
            for name in Archive(LedgerReader(ledger).archived()).damaged
        )
    except (AgentcostError, OSError, pa.ArrowException) as fault:
        yield _damage(ledger, str(fault))
    yield from scrub_small(ledger)


def scrub_log(log: Path) -> Iterator[Finding]:
    """Entries and checkpoints of one Delta log."""
    for entry in sorted(log.glob("*.json")):
        if read_actions(entry) is None:
            yield _damage(entry, f"is not a whole log entry; {_RESTORE}")
    for checkpoint in sorted(log.glob("*.checkpoint.parquet")):
        try:
            pq.read_table(checkpoint)
        except (OSError, pa.ArrowException) as fault:
            sentence = f"cannot be read ({fault}); the log says the same: remove it"
            yield _damage(checkpoint, sentence)
    pointer = log / "_last_checkpoint"
    if pointer.exists() and read_json(pointer) is None:
        yield _damage(pointer, "is damaged; remove it, the log says the same")


def scrub_small(ledger: Path) -> Iterator[Finding]:
    """The counters and the index."""
    state = ledger / STATE
    if state.exists() and read_json(state) is None:
        yield _damage(state, "is damaged; remove it, the log says the same")
    index = ledger / INDEX
    if index.exists():
        try:
            with contextlib.closing(_read_only(index)) as database:
                faults = index_damage(database)
        except (sqlite3.Error, TypeError) as fault:
            faults = [str(fault)]
        if faults:
            yield _damage(index, f"{'; '.join(faults)}; remove it, it is built again")


def scrub_notes(settings: Settings) -> Iterator[Finding]:
    """What the pipeline notes for `status`."""
    file = settings.progress_path
    with contextlib.suppress(FileNotFoundError):
        try:
            json.loads(file.read_bytes())
        except ValueError:
            yield _damage(file, "is damaged; remove it, the service writes it again")


def _read_only(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True)


def _damage(file: Path, sentence: str) -> Finding:
    return Finding("damage", None, None, str(file), sentence)
