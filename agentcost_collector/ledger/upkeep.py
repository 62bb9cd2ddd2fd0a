"""What is done to a ledger besides commits: old evidence goes, dead files go, and the log of them.

A data file that no version needs any more is deleted `Config.replaced_kept_h` after it was
replaced, so that readers that took their list before can finish. Which these are is read from the
log entries that removed them; an entry is deleted only after its files, and only when two
checkpoints repeat it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass
from datetime import date
from pathlib import Path
from typing import Any

from agentcost_collector.ledger.compact import Merge
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.index import HOUR_NS
from agentcost_collector.ledger.layout import RETIRED, RETIRED_BEFORE, origin_of
from agentcost_collector.ledger.log import Change, DataFile, Log, facts_of, read_actions, version_of
from agentcost_collector.ledger.rows import day_of
from agentcost_collector.model.partition import DAY_NS, EPOCH_DAY


@dataclass(frozen=True)
class Upkeep:
    """What was done, or is to be done."""

    files_merged: int = 0
    files_new: int = 0
    rows_merged: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    spans_retired: int = 0
    """Rows of evidence older than `Config.spans_kept_days`, taken out of the table."""
    files_deleted: int = 0
    log_entries_deleted: int = 0
    refused: tuple[str, ...] = ()
    """Why files were left as they are, a sentence each."""

    def __add__(self, other: Upkeep) -> Upkeep:
        pairs = zip(astuple(self), astuple(other), strict=True)
        return Upkeep(*(one + two for one, two in pairs))


def planned(merges: Iterable[Merge], expired: Iterable[DataFile]) -> Upkeep:
    """What the next upkeep would do first; sizes afterwards are not known."""
    merges = list(merges)
    return Upkeep(
        files_merged=sum(len(each.files) for each in merges),
        files_new=len(merges),
        rows_merged=sum(each.rows for each in merges),
        bytes_before=sum(each.size for each in merges),
        spans_retired=sum(file.rows for file in expired),
    )


def expired(files: Iterable[DataFile], config: Config, now_ns: int) -> list[DataFile]:
    """Evidence of days that are kept no longer; whole days, by the partition."""
    first = _first_day(config, now_ns)
    return [file for file in files if day_of(file.path).toordinal() - EPOCH_DAY < first]


def retirement(log: Log, files: list[DataFile], config: Config, now_ns: int) -> Change:
    """Takes these files out of the table, and counts their rows, in all and for each journal."""
    gone: Counter[str] = Counter()
    for file in files:
        origin = origin_of(file.path)
        gone[RETIRED] += file.rows
        gone[f"{RETIRED}/{origin.journal if origin else ''}"] += file.rows
    versions = {app: log.version_of(app) + rows for app, rows in gone.items()}
    first = max(_first_day(config, now_ns), log.version_of(RETIRED_BEFORE))
    return Change(files, (), {**versions, RETIRED_BEFORE: first})


def _first_day(config: Config, now_ns: int) -> int:
    """First day of which evidence is kept, in days since 1970."""
    return now_ns // DAY_NS - config.spans_kept_days if config.spans_kept_days else 0


def day_or_none(number: int) -> date | None:
    """The day that RETIRED_BEFORE counts to; None for its beginning."""
    return date.fromordinal(EPOCH_DAY + number) if number else None


def sweep(log: Log, config: Config, now_ns: int) -> Upkeep:
    """Delete what nobody needs any more.

    That is: files that the log says were removed long enough ago, the log entries up to the
    checkpoint before the last that are as old, and files of crashed commits. Of those the log knows
    nothing: they go by their name, which must be one of ours, and their age.
    """
    until_ns = now_ns - int(config.replaced_kept_h * HOUR_NS)
    folder = log.directory / "_delta_log"
    checkpoints = sorted(folder.glob("*.checkpoint.parquet"))
    floor = version_of(checkpoints[-2]) if len(checkpoints) > 1 else 0
    files, entries, waiting, is_old = 0, 0, set[str](), True
    for entry in sorted(folder.glob("*[0-9].json")):
        actions = read_actions(entry) or []
        is_old = is_old and _at_ns(actions) < until_ns
        removed = {action["remove"]["path"] for action in actions if "remove" in action}
        removed -= log.live.keys()
        if not is_old:
            waiting |= removed
            continue
        files += sum(_deleted(log.directory / path) for path in removed)
        if version_of(entry) < floor:
            entries += _deleted(entry)
    for orphan in _orphans(log, waiting, until_ns):
        files += _deleted(orphan)
    return Upkeep(files_deleted=files, log_entries_deleted=entries)


def _at_ns(actions: list[dict[str, Any]]) -> int:
    """When a log entry was written; of another program's that removed files when it says so."""
    facts = facts_of(actions)
    if facts:
        return int(facts.get("at_ns", 0))
    removed = (action["remove"] for action in actions if "remove" in action)
    return max((each.get("deletionTimestamp", 0) for each in removed), default=0) * 10**6


def _orphans(log: Log, waiting: set[str], until_ns: int) -> Iterator[Path]:
    """Files of ours that are neither live nor waiting to be deleted, and old."""
    for path in log.directory.glob("environment=*/date=*/*"):
        of = path.name.removeprefix(".").removesuffix(".tmp")
        name = str(path.relative_to(log.directory))
        if origin_of(of) is None or name in log.live or name in waiting:
            continue
        if path.stat().st_mtime_ns < until_ns:
            yield path


def _deleted(path: Path) -> bool:
    """Delete a file that may be gone already; whether it was there."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True
