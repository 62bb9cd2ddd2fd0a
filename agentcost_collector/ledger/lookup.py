"""Finding what is stored for a trace: by the index, else by scanning the days around it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import structlog

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.index import HOUR_NS, Group, Hits, Index
from agentcost_collector.ledger.log import Log
from agentcost_collector.ledger.rows import day_of, read_columns, read_linking, read_rows
from agentcost_collector.model.partition import AHEAD_NS, DAY_NS, EPOCH_DAY
from agentcost_collector.model.schemas import SPANS
from agentcost_collector.model.tables import concat

INDEX = "index.db"
Times: TypeAlias = int | pa.Array
"""One instant in ns for all traces, or one a trace."""

_logger = structlog.get_logger(__name__)


@dataclass
class Found:
    """Tables of rows, in no order."""

    spans: list[pa.Table] = field(default_factory=list)
    entries: list[pa.Table] = field(default_factory=list)


class Lookup:
    """Reads both tables through the index; keeps the index in step with them.

    Exact: a trace is answered from the index only if the index is sure to know all its files.
    """

    def __init__(self, index: Index, spans: Log, ledger: Log, config: Config) -> None:
        self._index = index
        self._spans = spans
        self._ledger = ledger
        self._config = config

    @classmethod
    def open(cls, directory: Path, spans: Log, ledger: Log, config: Config) -> Self:
        """Open the index and bring it up to date with the two tables."""
        index, is_new = Index.open(directory / INDEX)
        lookup = cls(index, spans, ledger, config)
        rebuilt = is_new and bool(spans.live or ledger.live)
        if rebuilt:
            _logger.info("index_rebuilt", directory=str(directory))
            lookup._promise()
        stale = lookup._stale()
        index.drop(stale)
        # traces of clocks that are ahead stay for longer than the others of their commit
        lookup._catch_up((index.since_ns or 0) - (AHEAD_NS if rebuilt or stale else 0))
        return lookup

    @property
    def traces(self) -> int:
        """Traces that are indexed, links to them included."""
        return self._index.size

    def close(self) -> None:
        """Close the index."""
        self._index.close()

    def add(self, spans: pa.Table, entries: pa.Table, group: Group) -> None:
        """Note a commit of SPANS and ENTRIES; forget what left the window, which ends with the
        oldest of these spans: they may have waited in the journal while nothing was settled."""
        ids = pa.chunked_array([*spans["trace_id"].chunks, *entries["trace_id"].chunks])
        self._note(pc.unique(ids), spans, group)
        received_ns = pc.min(spans["received_at_ns"]).as_py()
        until_ns = group.until_ns if received_ns is None else min(group.until_ns, received_ns)
        self._index.prune(
            until_ns - self._config.reopen_window_h * HOUR_NS, self._config.index_traces_max
        )

    def _note(self, trace_ids: pa.Array, spans: pa.Table, group: Group) -> None:
        """Index traces that have rows in a group, and what its spans link to.

        Traces that claim to begin after the commit make a group of their own, so that only they
        are kept for longer.
        """
        ahead = spans.filter(pc.greater(spans["start_ns"], group.until_ns))
        if ahead.num_rows:
            claimed = min(pc.max(ahead["start_ns"]).as_py(), group.until_ns + AHEAD_NS)
            these = pc.unique(ahead["trace_id"])
            self._index.add(these, replace(group, until_ns=claimed))
            trace_ids = trace_ids.filter(pc.invert(pc.is_in(trace_ids, value_set=these)))
        self._index.add(trace_ids, group, _linked(spans))

    def linking(self, trace_ids: pa.Array) -> pa.Table:
        """Stored spans that link to the given traces, as far back as the index reaches: their
        trace_id, start_ns and end_ns."""
        numbers = np.unique(self._index.find_linking(trace_ids).groups).tolist()
        paths = {path for number in numbers for path in self._index.groups[number].spans}
        if not paths <= self._spans.live.keys():  # another process has compacted
            paths = set(self._spans.live)
        return read_linking(self._spans.directory, sorted(paths), trace_ids)

    def find(self, trace_ids: pa.Array, oldest_ns: Times, newest_ns: Times | None) -> Found:
        """All rows of the given traces."""
        hits = self._index.find(trace_ids)
        scan = np.zeros(len(trace_ids), bool)
        if self._index.since_ns is not None:
            # a late span may have begun a while after what is stored
            scan = _each(oldest_ns, len(trace_ids)) < self._index.since_ns + HOUR_NS
            scan[hits.rows] = False
        new = scan.copy()
        doubtful = [n for n in np.unique(hits.groups).tolist() if not self._is_whole(n)]
        scan[hits.rows[np.isin(hits.groups, doubtful)]] = True
        found = Found()
        self._read_sure(trace_ids, hits, ~scan[hits.rows], found)
        if scan.any():
            days = self._days(_each(oldest_ns, len(scan))[scan], newest_ns, scan)
            self._scan(
                trace_ids.filter(pa.array(scan)), trace_ids.filter(pa.array(new)), days, found
            )
        return found

    def _read_sure(self, trace_ids: pa.Array, hits: Hits, sure: np.ndarray, found: Found) -> None:
        """Read the files of `sure` hits, each of them once: groups share those that were merged."""
        of_spans: dict[str, list[np.ndarray]] = {}
        of_entries: dict[str, list[np.ndarray]] = {}
        for number in np.unique(hits.groups[sure]).tolist():
            rows = hits.rows[sure & (hits.groups == number)]
            group = self._index.groups[number]
            for path in group.spans:
                of_spans.setdefault(path, []).append(rows)
            for path in group.entries:
                of_entries.setdefault(path, []).append(rows)
        for log, wanted, tables in (
            (self._spans, of_spans, found.spans),
            (self._ledger, of_entries, found.entries),
        ):
            for path, several in wanted.items():
                ids = trace_ids.take(pa.array(np.unique(np.concatenate(several)))).to_pylist()
                tables.append(read_rows(log.directory, [path], ids, log.kind))

    def moved(self, log: Log, old: Iterable[str], new: Iterable[str]) -> None:
        """Note that rows of the files `old` are in the files `new` now, or gone where none is."""
        gone, new = set(old), tuple(new)
        changed = {}
        for number, group in self._index.groups.items():
            paths = group.spans if log is self._spans else group.entries
            if not gone.isdisjoint(paths):
                left = *(path for path in paths if path not in gone), *new
                spans = log is self._spans
                changed[number] = (
                    replace(group, spans=left) if spans else replace(group, entries=left)
                )
        self._index.replace(changed)

    def _is_whole(self, number: int) -> bool:
        """Sure, and none of its files was replaced by another process's compaction."""
        group = self._index.groups[number]
        return (
            group.sure
            and all(path in self._spans.live for path in group.spans)
            and all(path in self._ledger.live for path in group.entries)
        )

    def _read(self, group: Group, trace_ids: list[str], found: Found) -> Group:
        """Read a group's files; the group of those that held a row."""
        held: list[tuple[str, ...]] = []
        for log, paths, tables in (
            (self._spans, group.spans, found.spans),
            (self._ledger, group.entries, found.entries),
        ):
            read = {path: read_rows(log.directory, [path], trace_ids, log.kind) for path in paths}
            tables.extend(read.values())
            held.append(tuple(path for path, rows in read.items() if rows.num_rows))
        return Group(group.until_ns, True, *held)

    def _scan(
        self, trace_ids: pa.Array, new: pa.Array, days: set[tuple[int, int]], found: Found
    ) -> None:
        """Read every live file of the given days; index the traces found that it did not know."""
        every = Group(
            self._index.since_ns or 0, True, _within(self._spans, days), _within(self._ledger, days)
        )
        already = len(found.spans), len(found.entries)
        held = self._read(every, trace_ids.to_pylist(), found)
        tables = found.spans[already[0] :] + found.entries[already[1] :]
        stored = pa.chunked_array([c for t in tables for c in t["trace_id"].chunks], pa.string())
        learned = new.filter(pc.is_in(new, value_set=stored.combine_chunks()))
        if len(learned):
            spans = concat(found.spans[already[0] :], SPANS)
            spans = spans.filter(pc.is_in(spans["trace_id"], value_set=learned))
            self._index.add(learned, held, _linked(spans))

    def _days(
        self, oldest_ns: np.ndarray, newest_ns: Times | None, scan: np.ndarray
    ) -> set[tuple[int, int]]:
        """Distinct ranges of days (ordinals, both ends included) around the scanned traces."""
        first = self._config.date_min.toordinal() - EPOCH_DAY
        start = np.maximum(oldest_ns // DAY_NS, first) - self._config.scan_days
        end = np.full(len(start), np.iinfo(np.int64).max)
        if newest_ns is not None:
            last = _each(newest_ns, len(scan))[scan] // DAY_NS
            end = np.maximum(last, first) + self._config.scan_days
        return set(zip(start.tolist(), end.tolist(), strict=True))

    def _promise(self) -> None:
        """Reach of a new index: the window before the newest commit, or everything if younger."""
        times = [*self._spans.live.values(), *self._ledger.live.values()]
        since = max(times) - self._config.reopen_window_h * HOUR_NS
        self._index.restart(since if min(times) < since else None)

    def _stale(self) -> set[int]:
        """Groups with files that are not live."""
        return {
            n
            for n, group in self._index.groups.items()
            if not (self._spans.live.keys() >= set(group.spans))
            or not (self._ledger.live.keys() >= set(group.entries))
        }

    def _catch_up(self, since_ns: int) -> None:
        """Index the files committed since then that are live but not known.

        Unknown files come from a crash before the index was written, a lost index or somebody
        else's compaction; which other files their traces are in is only sure if all are indexed.
        """
        index = self._index
        known_spans = {path for group in index.groups.values() for path in group.spans}
        known_entries = {path for group in index.groups.values() for path in group.entries}
        sure = index.since_ns is None
        for path in _unknown(self._spans.live, known_spans, since_ns):
            group = Group(self._spans.live[path], sure, (path,), ())
            rows = read_columns(self._spans.directory / path, ["trace_id", "start_ns", "links"])
            self._note(pc.unique(rows["trace_id"]), rows, group)
        for path in _unknown(self._ledger.live, known_entries, since_ns):
            group = Group(self._ledger.live[path], sure, (), (path,))
            rows = read_columns(self._ledger.directory / path, ["trace_id"])
            index.add(pc.unique(rows["trace_id"]), group)


def _linked(spans: pa.Table) -> pa.Array:
    """Traces that these spans link to."""
    links = spans["links"].combine_chunks().flatten()
    return pc.unique(links.field("trace_id")).drop_null()


def _each(value: Times, rows: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(value, np.int64), rows)


def _within(log: Log, days: set[tuple[int, int]]) -> tuple[str, ...]:
    """Live files of the given ranges of days."""
    ordinals = {path: day_of(path).toordinal() - EPOCH_DAY for path in log.live}
    return tuple(
        path for path, day in ordinals.items() if any(first <= day <= last for first, last in days)
    )


def _unknown(live: dict[str, int], known: set[str], since_ns: int) -> Iterator[str]:
    for path, committed_ns in live.items():
        if path not in known and committed_ns >= since_ns:
            yield path
