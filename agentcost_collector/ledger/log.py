"""One append-only Delta table: its log, its live data files, durable commits."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, PostCommitHookProperties, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.disk import make_directory, sync, write_part
from agentcost_collector.ledger.layout import (
    FACTS,
    Kind,
    app_id,
    declared,
    origin_of,
    part_name,
    short,
)
from agentcost_collector.ledger.rows import Part, partition_of, statistics
from agentcost_collector.model.errors import ConfigError, TransientError
from agentcost_collector.model.partition import PARTITION

_CAMEL = {
    "partition_values": "partitionValues",
    "modification_time": "modificationTime",
    "data_change": "dataChange",
}
# A transaction that expires is a replay accepted; log entries hold our counters, and say until
# they are cleaned up by us which data files are to be deleted.
_PROPERTIES = {
    "delta.enableExpiredLogCleanup": "false",
    "delta.logRetentionDuration": "interval 3650 days",
    "delta.deletedFileRetentionDuration": "interval 2 days",
}


@dataclass(frozen=True)
class DataFile:
    """A live data file, as the log describes it."""

    path: str
    """Relative to the table."""
    size: int
    rows: int
    at_ns: int
    """When it was committed; of a merged file the newest of what was merged."""


@dataclass(frozen=True)
class Change:
    """A commit that adds no batch: data files that replace others, or only go."""

    removed: Sequence[DataFile]
    added: Sequence[AddAction]
    versions: Mapping[str, int]
    """New versions of Delta applications of ours; empty where all rows stay."""


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
        self._apps: dict[str, int] = {}  # versions of applications at `_apps_at`
        self._apps_at = -1
        self._folders: set[Path] = set()
        self.live = live_files(self._delta)

    @classmethod
    def open(cls, directory: Path, kind: Kind, journal_id: str, config: Config) -> Self:
        """Open the table, creating it where there is none. ConfigError for a foreign schema."""
        if not DeltaTable.is_deltatable(str(directory)):
            DeltaTable.create(
                directory,
                declared(kind),
                partition_by=list(PARTITION),
                configuration={**_PROPERTIES, "delta.appendOnly": kind.append_only},
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
        return self.version_of(self.app)

    def files_after(self, batch_seq: int) -> list[str]:
        """Relative paths of files that our journal committed here in batches after that one."""
        ours = short(self._journal_id)
        origins = {path: origin_of(path) for path in self.live}
        return sorted(
            path
            for path, origin in origins.items()
            if origin and origin.journal == ours and origin.batch_seq > batch_seq
        )

    def rows_after(self, batch_seq: int) -> int:
        """Rows that our journal committed here in batches after that one."""
        batches = batch_rows(self._delta, self._journal_id)
        return sum(rows for batch, rows in batches.items() if batch > batch_seq)

    def files(self) -> list[DataFile]:
        """Every live data file."""
        return data_files(self._delta)

    def version_of(self, app: str) -> int:
        """Version of a Delta application, 0 before its first. Asked at every turn; Delta takes more
        than a millisecond to look."""
        if self._apps_at != self.version:
            self._apps, self._apps_at = {}, self.version
        if app not in self._apps:
            self._apps[app] = int(self._delta.transaction_version(app) or 0)
        return self._apps[app]

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
                    custom_metadata={
                        FACTS: {
                            **facts,
                            "app_id": self.app,
                            "files": len(adds),
                            "at_ns": now_ns,
                        }
                    },
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

    def change(self, change: Change, now_ns: int) -> None:
        """Commit a change of data files, all of it or nothing; on disk on return.

        The Delta library has no such commit that keeps to our way of writing files, so the log
        entry is written here. What was removed stays on the disk until `swept`.
        """
        with world_errors(self.directory):
            self._delta.update_incremental()
            before = self.version
            _publish(log_entry(self.directory, before + 1), self._actions(change, now_ns))
            self._delta.update_incremental()
            self._note(list(change.added), before, now_ns)
            self.live = live_files(self._delta)
        assert self.live.keys().isdisjoint(file.path for file in change.removed)

    def _actions(self, change: Change, now_ns: int) -> Iterator[dict[str, Any]]:
        at_ms = now_ns // 10**6
        facts = {"files": len(change.added), "removed": len(change.removed), "at_ns": now_ns}
        operation = "DELETE" if change.versions else "OPTIMIZE"
        yield {"commitInfo": {"timestamp": at_ms, "operation": operation, FACTS: facts}}
        for app, version in change.versions.items():
            yield {"txn": {"appId": app, "version": version, "lastUpdated": at_ms}}
        for file in change.removed:
            yield {
                "remove": {
                    "path": file.path,
                    "deletionTimestamp": at_ms,
                    "dataChange": bool(change.versions),
                    "extendedFileMetadata": True,
                    "partitionValues": partition_of(file.path),
                    "size": file.size,
                }
            }
        for add in change.added:
            yield {"add": {_CAMEL.get(name, name): value for name, value in asdict(add).items()}}

    def _write(self, part: Part, name: str, now_ns: int) -> Written:
        return self.write_file(part, name, now_ns, self._config, data_change=True)

    def write_file(
        self, part: Part, name: str, at_ns: int, config: Config, data_change: bool
    ) -> Written:
        """Write a data file, which nobody sees before it is committed. On disk on return."""
        relative = f"{part.path}/{name}"
        assert relative not in self.live, "a committed file is never written again"
        path = self.directory / relative
        self._make_folder(path.parent)
        size, digest = write_part(part.rows, path, self.kind, config)
        add = AddAction(
            path=relative,
            size=size,
            partition_values=partition_of(relative),
            modification_time=at_ns // 10**6,
            data_change=data_change,
            stats=statistics(part),
        )
        return Written(add, f"{self.kind.name}/{relative}", digest)

    def _make_folder(self, folder: Path) -> None:
        """Durable, once for each: one that is there may be left by a crash."""
        if folder not in self._folders:
            make_directory(folder.parent)
            make_directory(folder)
            self._folders.add(folder)

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


def data_files(delta: DeltaTable) -> list[DataFile]:
    """Every live data file."""
    adds = pa.table(delta.get_add_actions(flatten=True))
    names = ("path", "size_bytes", "num_records", "modification_time")
    columns = [adds[name].to_pylist() for name in names]
    return [
        DataFile(path, size, rows, at_ms * 10**6)
        for path, size, rows, at_ms in zip(*columns, strict=True)
    ]


def batch_rows(delta: DeltaTable, journal_id: str) -> dict[int, int]:
    """Rows that a journal committed to a table and that are kept, by batch_seq; merged ones count
    as of the last of their batches."""
    rows: dict[int, int] = {}
    for file in data_files(delta):
        origin = origin_of(file.path)
        if origin and origin.journal == short(journal_id):
            rows[origin.batch_seq] = rows.get(origin.batch_seq, 0) + file.rows
    return rows


def log_entry(directory: Path, version: int) -> Path:
    """File of one version in the Delta log of a table."""
    return directory / "_delta_log" / f"{version:020d}.json"


def version_of(path: Path) -> int:
    """Version of a file in a Delta log: of an entry or a checkpoint."""
    return int(path.name.partition(".")[0])


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


def _publish(entry: Path, actions: Iterable[Mapping[str, Any]]) -> None:
    """Write a log entry where there is none, durable and whole from its first moment."""
    temporary = entry.with_name(f".{entry.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.writelines(json.dumps(action).encode() + b"\n" for action in actions)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, entry)  # refused where somebody else has committed
    finally:
        temporary.unlink(missing_ok=True)
    sync(entry.parent)


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
