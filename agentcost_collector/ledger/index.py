"""Which data files hold a trace: a rebuildable index over the recent part of the ledger.

One group per commit: the files it wrote, a 64-bit key of every trace in them, and another one of
every trace that a span in them links to. Groups live in a SQLite file; the keys also in memory, in
a few sorted runs. A key is a filter and not an identity: whoever reads the files compares whole
trace ids.

`since_ns` is the promise: a stored trace with a span that began at or after it, by the clock of
its sender, is in here; None for every trace there is. No clock is ahead by more than AHEAD_NS.
A group is `sure` where a trace found in it is found with all its other groups.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa

_FORMAT = 3
_TABLES = """
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS boundary (since_ns INTEGER);
    CREATE TABLE IF NOT EXISTS groups (
        id INTEGER PRIMARY KEY, until_ns INTEGER, sure INTEGER, spans TEXT, entries TEXT,
        keys BLOB, crc INTEGER
    );
"""
_LINK = np.int64(1)  # the last bit sets the key of a linked trace apart from its own
HOUR_NS = 3600 * 10**9


@dataclass(frozen=True)
class Group:
    """Data files written by one commit (or found by one scan), relative to their tables."""

    until_ns: int
    """When it was committed, or the last start in it where the clocks of its senders are ahead."""
    sure: bool
    spans: tuple[str, ...]
    entries: tuple[str, ...]


class Hits(NamedTuple):
    """Pairs of (row of the asked traces, group that may hold it)."""

    rows: np.ndarray
    groups: np.ndarray


class _Run(NamedTuple):
    keys: np.ndarray  # sorted
    groups: np.ndarray


class Index:
    """Bounded: keeps a window of time and at most a number of traces; older ones are forgotten."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._runs: list[_Run] = []
        self.groups: dict[int, Group] = {}
        self.since_ns: int | None = None
        self._next = 1

    @classmethod
    def open(cls, path: Path) -> tuple[Self, bool]:
        """The index in `path`, and whether it had to be started anew (missing, old or damaged)."""
        if path.exists():
            try:
                return cls._load(path), False
            except sqlite3.DatabaseError:
                for suffix in ("", "-wal", "-shm"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
        database = sqlite3.connect(path, isolation_level=None)
        database.executescript(_TABLES)
        database.execute("INSERT INTO boundary VALUES (NULL)")
        database.execute(f"PRAGMA user_version = {_FORMAT}")
        return cls(database), True

    @classmethod
    def _load(cls, path: Path) -> Self:
        database = sqlite3.connect(path, isolation_level=None)
        try:
            index = cls(database)
            if database.execute("PRAGMA user_version").fetchone()[0] != _FORMAT:
                raise sqlite3.DatabaseError("not an index of this version")
            database.executescript(_TABLES)
            (index.since_ns,) = database.execute("SELECT since_ns FROM boundary").fetchone()
            for number, until, sure, spans, entries, keys, crc in database.execute(
                "SELECT id, until_ns, sure, spans, entries, keys, crc FROM groups"
            ):
                if zlib.crc32(keys) != crc:
                    raise sqlite3.DatabaseError(f"group {number} is damaged")
                files = tuple(json.loads(spans)), tuple(json.loads(entries))
                index.groups[number] = Group(until, bool(sure), *files)
                index._remember(np.frombuffer(keys, np.int64), number)
                index._next = max(index._next, number + 1)
        except BaseException:
            database.close()
            raise
        return index

    def close(self) -> None:
        """Close the file; everything is in it already."""
        self._database.close()

    @property
    def size(self) -> int:
        """Keys that are held."""
        return sum(len(run.keys) for run in self._runs)

    def find(self, trace_ids: pa.StringArray) -> Hits:
        """Groups that may hold each trace. Cost: about 0.5 us a trace."""
        return self._find(trace_keys(trace_ids))

    def find_linking(self, trace_ids: pa.StringArray) -> Hits:
        """Groups that may hold a span that links to each trace. Cost: about 0.5 us a trace."""
        return self._find(trace_keys(trace_ids) | _LINK)

    def _find(self, keys: np.ndarray) -> Hits:
        order = np.argsort(keys)
        asked = keys[order]
        rows, groups = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for run in self._runs:
            first = np.searchsorted(run.keys, asked, "left")
            there = np.flatnonzero(run.keys[np.minimum(first, len(run.keys) - 1)] == asked)
            last = np.searchsorted(run.keys, asked[there], "right")
            counts = last - first[there]
            within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
            rows.append(np.repeat(order[there], counts))
            groups.append(run.groups[np.repeat(first[there], counts) + within])
        return Hits(np.concatenate(rows), np.concatenate(groups))

    def add(
        self, trace_ids: pa.StringArray, group: Group, linked: pa.StringArray | None = None
    ) -> None:
        """Remember that these traces have rows in the files of `group`, and to which traces spans
        in them link."""
        number, self._next = self._next, self._next + 1
        keys = trace_keys(trace_ids)
        if linked is not None:
            keys = np.concatenate([keys, trace_keys(linked) | _LINK])
        keys = np.unique(keys)
        self._write(number, group, keys)
        self.groups[number] = group
        self._remember(keys, number)

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget groups."""
        dropped = set(numbers)
        if dropped:
            self._keep(~np.isin(self._merged().groups, list(dropped)), dropped)

    def replace(self, groups: Mapping[int, Group]) -> None:
        """Other files for some groups."""
        self._database.execute("BEGIN")
        for number, group in groups.items():
            self._database.execute(
                "UPDATE groups SET spans = ?, entries = ? WHERE id = ?",
                (json.dumps(group.spans), json.dumps(group.entries), number),
            )
        self._database.execute("COMMIT")
        self.groups.update(groups)

    def restart(self, since_ns: int | None) -> None:
        """Set the promise of an empty index."""
        self.since_ns = since_ns
        self._database.execute("UPDATE boundary SET since_ns = ?", (since_ns,))

    def prune(self, cut_ns: int, traces_max: int) -> None:
        """Forget groups before `cut_ns`, and the oldest beyond `traces_max`, about once an hour.

        A trace that has rows in a younger group keeps all its groups, and what spans in them
        link to.
        """
        oldest_ns = min((g.until_ns for g in self.groups.values()), default=cut_ns)
        if self.size > traces_max:
            times = sorted(group.until_ns for group in self.groups.values())
            cut_ns = max(cut_ns, times[len(times) // 2])
        elif cut_ns - (oldest_ns if self.since_ns is None else self.since_ns) < HOUR_NS:
            return
        merged = self._merged()
        old = {n for n, group in self.groups.items() if group.until_ns < cut_ns}
        is_old = np.isin(merged.groups, list(old))
        is_link = merged.keys & _LINK == _LINK
        kept = ~is_old | ~is_link & np.isin(merged.keys, merged.keys[~is_old])
        kept |= is_link & np.isin(merged.groups, np.unique(merged.groups[kept]))
        self._database.execute("BEGIN")
        self._keep(kept, old)
        self.restart(max(cut_ns, self.since_ns or cut_ns))
        self._database.execute("COMMIT")

    def _keep(self, kept: np.ndarray, touched: set[int]) -> None:
        """Reduce to the `kept` pairs; `touched` are the groups that may have lost some."""
        merged = self._merged()
        self._runs = [_Run(merged.keys[kept], merged.groups[kept])] if kept.any() else []
        alive = set(np.unique(merged.groups[kept]).tolist())
        for number in touched - alive:
            self._database.execute("DELETE FROM groups WHERE id = ?", (number,))
            del self.groups[number]
        for number in touched & alive:
            keys = merged.keys[kept & (merged.groups == number)]
            self._write(number, self.groups[number], keys)

    def _write(self, number: int, group: Group, keys: np.ndarray) -> None:
        blob = keys.tobytes()
        paths = json.dumps(group.spans), json.dumps(group.entries)
        self._database.execute(
            "INSERT OR REPLACE INTO groups VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, group.until_ns, group.sure, *paths, blob, zlib.crc32(blob)),
        )

    def _remember(self, keys: np.ndarray, number: int) -> None:
        """Runs halve in length from first to last, so there are few and each key moves seldom."""
        if not len(keys):
            return
        self._runs.append(_Run(keys, np.full(len(keys), number, np.int32)))
        while len(self._runs) > 1 and len(self._runs[-2].keys) < 2 * len(self._runs[-1].keys):
            last = self._runs.pop()
            self._runs[-1] = _merge(self._runs[-1], last)

    def _merged(self) -> _Run:
        while len(self._runs) > 1:
            last = self._runs.pop()
            self._runs[-1] = _merge(self._runs[-1], last)
        return self._runs[0] if self._runs else _Run(np.empty(0, np.int64), np.empty(0, np.int32))


def damage(database: sqlite3.Connection) -> list[str]:
    """What is wrong with an index, by SQLite's own check and by the checksums of its groups."""
    faults = [text for (text,) in database.execute("PRAGMA integrity_check(3)") if text != "ok"]
    for number, keys, crc in database.execute("SELECT id, keys, crc FROM groups"):
        if zlib.crc32(keys) != crc:
            faults.append(f"group {number} is damaged")
    return faults


def trace_keys(trace_ids: pa.StringArray) -> np.ndarray:
    """A 63-bit key of each trace id, its last bit 0: equal ids have equal keys."""
    text = np.array(trace_ids.cast(pa.binary()).to_pylist(), dtype="S32")
    words = text.view(np.uint64).reshape(len(text), 4)
    odd = np.array([1, 0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93], np.uint64)
    mixed: np.ndarray = (words * odd).sum(axis=1, dtype=np.uint64)
    return mixed.view(np.int64) << 1


def _merge(one: _Run, other: _Run) -> _Run:
    keys = np.concatenate([one.keys, other.keys])
    order = np.argsort(keys, kind="stable")  # merges two sorted halves in linear time
    return _Run(keys[order], np.concatenate([one.groups, other.groups])[order])
