"""Start-up: find what a crash left half-written in a Delta log, and move it aside.

The log is written without fsync by the Delta library and synced by us afterwards, so after a
power cut its newest entry may be empty, cut or full of zeros, and the same holds for a checkpoint.
Such an entry was never acknowledged. An entry that was acknowledged and is damaged all the same
is CorruptionError: moving it aside would lose what the journal no longer holds.

An entry that is whole and was never acknowledged stays, and is written once more: its process may
have been killed before it synced the entry, or the sync failed, and the journal is trimmed by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from agentcost_collector.ledger.disk import move_aside, read_json, write_again
from agentcost_collector.ledger.layout import ENTRY_ROWS, SPAN_ROWS, checked
from agentcost_collector.ledger.log import (
    facts_of,
    log_entry,
    read_actions,
    version_of,
    world_errors,
)
from agentcost_collector.ledger.state import acknowledged
from agentcost_collector.ledger.turns import take
from agentcost_collector.model.errors import CorruptionError

TORN = "torn"
_logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Damage:
    """A file of a Delta log that is not what was written."""

    file: Path
    what: str
    """`commit`, `checkpoint` or `pointer` (to the newest checkpoint)."""
    lost: bool
    """Whether nothing else here says what it said: it was acknowledged, and only a backup helps.
    Otherwise it can go: the journal still has what a torn commit held, the log entries say what a
    checkpoint said."""
    now_at: Path | None = None
    """Where it was moved, None where it still is where it was."""


def repair_logs(directory: Path, dry_run: bool) -> list[Damage]:
    """Look through every entry and the checkpoints of both logs of a ledger, and move aside what
    can go; nothing is changed by a `dry_run`.

    ConfigError, naming who, where a process has the ledger; CorruptionError nowhere: what is lost
    is in the answer.
    """
    directory = checked(directory)
    found: list[Damage] = []
    with world_errors(directory):
        turn = take(directory, "repair")
        try:
            for kind in (SPAN_ROWS, ENTRY_ROWS):
                table = directory / kind.name
                damages = _damages(table, acknowledged(directory, kind.name))
                if not dry_run:
                    damages = [d if d.lost else _aside(d, directory / TORN) for d in damages]
                found += damages
        finally:
            turn.close()
    return found


def repair_log(table: Path, aside: Path, acknowledged: int) -> None:
    """Move a torn newest entry and a torn checkpoint of one table to `aside`, with a warning; make
    durable what was not acknowledged.

    `acknowledged` is the last version known to have been synced, -1 for none.
    """
    damages = _damages(table, acknowledged, newest=True)
    for damage in damages:
        if damage.lost:
            raise CorruptionError(
                f"{damage.file} is damaged but was acknowledged; restore this file from a backup"
            )
    for damage in damages:
        moved = _aside(damage, aside)
        _logger.warning(
            "torn_file_moved_aside",
            what=moved.what,
            file=str(moved.file),
            now_at=str(moved.now_at),
        )
    _make_durable(table / "_delta_log", acknowledged)


def _aside(damage: Damage, aside: Path) -> Damage:
    return Damage(damage.file, damage.what, False, move_aside(damage.file, aside))


def _damages(table: Path, acknowledged: int, newest: bool = False) -> list[Damage]:
    """In every entry, or in the `newest` down to the first that is whole; and in checkpoints."""
    log = table / "_delta_log"
    versions = sorted(int(path.stem) for path in log.glob("*[0-9].json"))
    torn: list[int] = []
    for version in reversed(versions):
        if not _is_whole(log_entry(table, version)):
            torn.append(version)
        elif newest:
            break
    tail = {v for v in torn if v > acknowledged and all(n in torn for n in versions if n > v)}
    found = [Damage(log_entry(table, v), "commit", v not in tail) for v in torn]
    whole = {version for version in versions if version not in torn}
    return found + _damaged_checkpoints(log, whole)


def _damaged_checkpoints(log: Path, versions: set[int]) -> list[Damage]:
    """`versions`: the entries that are there and whole. A checkpoint can go where those since the
    one before it say the same."""
    pointer = log / "_last_checkpoint"
    checkpoints = sorted(log.glob("*.checkpoint.parquet"))
    before = [path for path in checkpoints[-2:-1] if _is_readable(path)]
    first = version_of(before[0]) + 1 if before else 0
    found = [
        Damage(path, "checkpoint", not set(range(first, version_of(path) + 1)) <= versions)
        for path in checkpoints[-1:]
        if not _is_readable(path)
    ]
    if pointer.exists() and (found or not _points(pointer, checkpoints)):
        found.append(Damage(pointer, "pointer", False))
    return found


def _points(pointer: Path, checkpoints: list[Path]) -> bool:
    """Whether it can be read and names a checkpoint that is there: its name may have reached the
    disk when that of the checkpoint had not."""
    named = read_json(pointer)
    return named is not None and named.get("version") in [version_of(c) for c in checkpoints]


def _make_durable(log: Path, acknowledged: int) -> None:
    later = [path for path in log.glob("[0-9]*") if int(path.name[:20]) > acknowledged]
    for path in sorted(path for path in later if path.suffix in (".json", ".parquet")):
        write_again(path)
    pointer = log / "_last_checkpoint"
    if later and pointer.exists():
        write_again(pointer)


def _is_whole(entry: Path) -> bool:
    actions = read_actions(entry)
    if actions is None:
        return False
    if int(entry.stem) == 0:
        return {"protocol", "metaData"} <= {name for action in actions for name in action}
    facts = facts_of(actions)
    if facts is None:
        return True  # not ours: nothing more can be said about it
    adds, removes = (sum(name in action for action in actions) for name in ("add", "remove"))
    if (adds, removes) != (facts["files"], facts.get("removed", 0)):
        return False
    if "app_id" not in facts:
        return True  # a change of data files
    expected = {"appId": facts["app_id"], "version": facts["batch_seq"]}
    return any(a.get("txn", {}) | expected == a.get("txn") for a in actions)


def _is_readable(checkpoint: Path) -> bool:
    try:
        pq.read_table(checkpoint)
    except (OSError, pa.ArrowException):
        return False
    return True
