"""One append-only Delta table: its log, its live data files, durable commits."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.disk import make_directory, sync, write_part
from agentcost_collector.ledger.layout import FACTS, Kind, app_id, batch_of, declared, part_name
from agentcost_collector.ledger.rows import Part, statistics
from agentcost_collector.model.errors import ConfigError, TransientError
from agentcost_collector.model.partition import PARTITION

# A transaction that expires is a replay accepted; log entries hold our counters.
_PROPERTIES = {
    "delta.appendOnly": "true",
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 3650 days",
}


class Written(NamedTuple):
    """A data file that is on disk and not yet in the log."""

    add: AddAction
    path: str
    """Below the ledger's directory."""
    digest: str
    """SHA-256."""


class Log:
    """Writing side of one table. `live` maps each data file's relative path to its commit, in ns.

    Every commit is checked and made on the same DeltaTable object: any other order accepts a
    replay twice.
    """

    def __init__(self, directory: Path, kind: Kind, journal_id: str, config: Config) -> None:
        self.directory = directory
        self.kind = kind
        self.app = app_id(journal_id)
        self._journal_id = journal_id
        self._config = config
        self._delta = DeltaTable(directory)
        self.live = live_files(self._delta)

    @classmethod
    def open(cls, directory: Path, kind: Kind, journal_id: str, config: Config) -> Self:
        """Open the table, creating it where there is none. ConfigError for a foreign schema."""
        make_directory(directory)
        if not DeltaTable.is_deltatable(str(directory)):
            DeltaTable.create(
                directory,
                declared(kind),
                partition_by=list(PARTITION),
                configuration=_PROPERTIES,
            )
            sync(log_entry(directory, 0))
            sync(directory / "_delta_log")
            sync(directory)
        log = cls(directory, kind, journal_id, config)
        if pa.schema(log._delta.schema()) != declared(kind):
            raise ConfigError(
                f"{directory} was written by another version of agentcost; use that version"
            )
        return log

    @property
    def version(self) -> int:
        """Version of the Delta log as last read."""
        return int(self._delta.version())

    @property
    def batch_seq(self) -> int:
        """Number of the last batch that our journal committed here, 0 before the first."""
        return int(self._delta.transaction_version(self.app) or 0)

    def files_after(self, batch_seq: int) -> list[str]:
        """Relative paths of files that our journal committed here in batches after that one."""
        numbers = {path: batch_of(path, self._journal_id) for path in self.live}
        return sorted(path for path, number in numbers.items() if number and number > batch_seq)

    def rows_after(self, batch_seq: int) -> int:
        """Rows that our journal committed here in batches after that one."""
        batches = batch_rows(self._delta, self._journal_id)
        return sum(rows for batch, rows in batches.items() if batch > batch_seq)

    def write(self, parts: Iterable[Part], batch_seq: int, now_ns: int) -> list[Written]:
        """Write the data files of a batch, which nobody sees before `commit`. On disk on return;
        TransientError where the disk refused."""
        assert batch_seq > self.batch_seq, "a batch is committed once"
        with world_errors(self.directory):
            return [
                self._write(part, part_name(self._journal_id, batch_seq, number), now_ns)
                for number, part in enumerate(parts)
            ]

    def commit(
        self, written: Sequence[Written], facts: Mapping[str, Any], now_ns: int
    ) -> tuple[str, ...]:
        """Commit these files as batch `facts["batch_seq"]`; their relative paths.

        Everything is on disk on return. ConfigError where another process committed for the same
        journal, TransientError where the disk or the log refused.
        """
        batch_seq = facts["batch_seq"]
        assert batch_seq > self.batch_seq, "a batch is committed once"
        adds = [file.add for file in written]
        with world_errors(self.directory):
            before = self.version
            self._delta.create_write_transaction(
                adds,
                mode="append",
                schema=declared(self.kind),
                partition_by=list(PARTITION),
                commit_properties=CommitProperties(
                    custom_metadata={FACTS: {**facts, "app_id": self.app, "files": len(adds)}},
                    app_transactions=[Transaction(self.app, batch_seq)],
                ),
                post_commithook_properties=PostCommitHookProperties(
                    create_checkpoint=False, cleanup_expired_logs=False
                ),
            )
            self._delta.update_incremental()
            self._sync_log(before)
            self._note(adds, before, now_ns)
        return tuple(add.path for add in adds)

    def _write(self, part: Part, name: str, now_ns: int) -> Written:
        relative = f"{part.path}/{name}"
        assert relative not in self.live, "a committed file is never written again"
        size, digest = write_part(part.rows, self.directory / relative, self.kind, self._config)
        add = AddAction(
            path=relative,
            size=size,
            partition_values={"environment": part.environment, "date": part.date.isoformat()},
            modification_time=now_ns // 10**6,
            data_change=True,
            stats=statistics(part),
        )
        return Written(add, f"{self.kind.name}/{relative}", digest)

    def _sync_log(self, before: int) -> None:
        for version in range(before + 1, self.version + 1):
            sync(log_entry(self.directory, version))
        sync(self.directory / "_delta_log")

    def _note(self, adds: list[AddAction], before: int, now_ns: int) -> None:
        """Bring `live` up to date; checkpoint when due."""
        every = self._config.checkpoint_every
        if self.version // every > before // every:
            self._checkpoint()
        elif self.version == before + 1:
            self.live.update({add.path: now_ns // 10**6 * 10**6 for add in adds})
            return
        self.live = live_files(self._delta)  # somebody else compacted, or a fresh object

    def _checkpoint(self) -> None:
        self._delta.create_checkpoint()
        log = self.directory / "_delta_log"
        sync(log / f"{self.version:020d}.checkpoint.parquet")
        sync(log / "_last_checkpoint")
        sync(log)
        # superseded ones repeat the whole table; one is kept for readers that have begun
        for superseded in sorted(log.glob("*.checkpoint.parquet"))[:-2]:
            superseded.unlink()
        # the object's memory and commit time grow with every commit since it was opened
        self._delta = DeltaTable(self.directory)


def live_files(delta: DeltaTable) -> dict[str, int]:
    """Relative path of every live data file, and when it was committed in ns."""
    adds = pa.table(delta.get_add_actions(flatten=True))
    at_ms = adds["modification_time"].to_pylist()
    return {path: ms * 10**6 for path, ms in zip(adds["path"].to_pylist(), at_ms, strict=True)}


def batch_rows(delta: DeltaTable, journal_id: str) -> dict[int, int]:
    """Rows of each batch that a journal committed to a table, by batch_seq."""
    adds = pa.table(delta.get_add_actions(flatten=True))
    rows: dict[int, int] = {}
    for path, count in zip(adds["path"].to_pylist(), adds["num_records"].to_pylist(), strict=True):
        batch = batch_of(path, journal_id)
        if batch is not None:
            rows[batch] = rows.get(batch, 0) + count
    return rows


def log_entry(directory: Path, version: int) -> Path:
    """File of one version in the Delta log of a table."""
    return directory / "_delta_log" / f"{version:020d}.json"


def read_actions(entry: Path) -> list[dict[str, Any]] | None:
    """Actions of a log entry; None where it is empty, cut inside a line or not JSON."""
    try:
        actions = [json.loads(line) for line in entry.read_bytes().splitlines() if line.strip()]
    except ValueError:
        return None
    return actions if actions and all(isinstance(action, dict) for action in actions) else None


def facts_of(actions: list[dict[str, Any]]) -> dict[str, Any] | None:
    """What we wrote into a commit of ours; None for anybody else's."""
    for action in actions:
        facts = action.get("commitInfo", {}).get(FACTS)
        if isinstance(facts, dict):
            return facts
    return None


@contextlib.contextmanager
def world_errors(directory: Path) -> Iterator[None]:
    """Turns what disk, Delta, Parquet and SQLite say into our exceptions."""
    try:
        yield
    except CommitFailedError as error:
        if "Concurrent transaction" not in str(error):
            raise TransientError(f"{directory}: the commit was refused: {error}") from error
        raise ConfigError(
            f"{directory}: another process commits for the same journal; stop one of them"
        ) from error
    except (OSError, DeltaError, pa.ArrowException, sqlite3.OperationalError) as error:
        raise TransientError(f"{directory} cannot be used now: {error}") from error
