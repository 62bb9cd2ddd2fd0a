"""Start-up: find what a crash left half-written in a Delta log, and move it aside.

The log is written without fsync by the Delta library and synced by us afterwards, so after a
power cut its newest entry may be empty, cut or full of zeros, and the same holds for a checkpoint.
Such an entry was never acknowledged. An entry that was acknowledged and is damaged all the same
is CorruptionError: moving it aside would lose what the journal no longer holds.

An entry that is whole and was never acknowledged stays, and is written once more: its process may
have been killed before it synced the entry, or the sync failed, and the journal is trimmed by it.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import structlog

from agentcost_collector.ledger.disk import move_aside, read_json, write_again
from agentcost_collector.ledger.log import facts_of, log_entry, read_actions, version_of
from agentcost_collector.model.errors import CorruptionError

_logger = structlog.get_logger(__name__)


def repair_log(directory: Path, aside: Path, acknowledged: int) -> None:
    """Move a torn newest entry and a torn checkpoint of one table to `aside`, with a warning; make
    durable what was not acknowledged.

    `acknowledged` is the last version known to have been synced, -1 for none.
    """
    versions = sorted(int(path.stem) for path in (directory / "_delta_log").glob("*[0-9].json"))
    while versions and not _is_whole(log_entry(directory, versions[-1])):
        version = versions.pop()
        entry = log_entry(directory, version)
        if version <= acknowledged:
            raise CorruptionError(
                f"{entry} is damaged but was acknowledged; restore this file from a backup"
            )
        _logger.warning(
            "torn ledger commit moved aside", entry=str(entry), now_at=str(move_aside(entry, aside))
        )
    _repair_checkpoint(directory, aside, versions)
    _make_durable(directory / "_delta_log", acknowledged)


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


def _repair_checkpoint(directory: Path, aside: Path, versions: list[int]) -> None:
    log = directory / "_delta_log"
    pointer = log / "_last_checkpoint"
    checkpoints = sorted(log.glob("*.checkpoint.parquet"))
    torn = [path for path in checkpoints[-1:] if not _is_readable(path)]
    whole = [path for path in checkpoints[-2:-1] if _is_readable(path)]
    first = version_of(whole[0]) + 1 if whole else 0
    if torn and not set(range(first, version_of(torn[0]) + 1)) <= set(versions):
        raise CorruptionError(f"{torn[0]} is damaged and the log before it was cleaned up")
    if pointer.exists() and (torn or read_json(pointer) is None):
        torn.append(pointer)
    for path in torn:
        _logger.warning(
            "torn checkpoint moved aside", file=str(path), now_at=str(move_aside(path, aside))
        )


def _is_readable(checkpoint: Path) -> bool:
    try:
        pq.read_table(checkpoint)
    except (OSError, pa.ArrowException):
        return False
    return True
