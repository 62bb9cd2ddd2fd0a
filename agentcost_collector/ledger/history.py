"""What is stored of the traces that began in a period, in slices of whole traces.

The trace ids of the data files are read first: inside a file they are sorted, so the rows of a
trace lie together in a run, and a slice then reads exactly the row groups that hold its runs. A
trace is known here by a 64-bit key; two that share one are read together, which does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.index import trace_keys
from agentcost_collector.ledger.layout import ENTRY_ROWS, SPAN_ROWS, Kind, checked
from agentcost_collector.ledger.log import live_files
from agentcost_collector.ledger.reader import LedgerReader, open_table
from agentcost_collector.ledger.rows import day_of, read_at, trace_runs
from agentcost_collector.model.partition import DAY_NS, EPOCH_DAY
from agentcost_collector.model.tables import concat


@dataclass(frozen=True)
class Period:
    """Half-open, in Unix nanoseconds."""

    since_ns: int
    until_ns: int

    def holds(self, at_ns: np.ndarray) -> np.ndarray:
        """Which instants lie in it."""
        inside: np.ndarray = (at_ns >= self.since_ns) & (at_ns < self.until_ns)
        return inside


@dataclass(frozen=True)
class Slice:
    """Everything stored for some traces: SPANS, and ENTRIES of every sign."""

    spans: pa.Table
    entries: pa.Table


class _Runs(NamedTuple):
    """Row = rows of one trace that lie together in a data file; in the order of files and rows."""

    keys: np.ndarray
    files: np.ndarray
    first: np.ndarray
    rows: np.ndarray
    begins_ns: np.ndarray

    def at(self, which: np.ndarray) -> _Runs:
        """Some of them, by number or mask."""
        return _Runs(*(column[which] for column in self))


class History:
    """Traces whose first span starts in `period`, as the ledger holds them now. Takes no lock.

    `traces` and `spans` count them; evidence of days before `spans_retired_before` was
    retired, None for nowhere; `entries_alone` counts the entries that start in the period
    while no span of their trace is kept. Memory: about 100 bytes a run, those of the period and
    the days around it. Not found is what is filed more than `Config.scan_days` before the first
    day of the period (it would end before it begins), and what is filed later than as many days
    after it and belongs to a trace of which nothing is filed before and nothing starts in it.
    """

    def __init__(self, directory: Path, period: Period, config: Config) -> None:
        directory = checked(directory)
        # entries first: their spans are written before them
        self._entry_files = _Files(directory, ENTRY_ROWS, period, config)
        self._span_files = _Files(directory, SPAN_ROWS, period, config)
        self.spans_retired_before = LedgerReader(directory).spans_retired_before()
        self._spans = self._span_files.runs("start_ns", np.empty(0, np.int64))
        self._keys, first, trace = np.unique(
            self._spans.keys, return_index=True, return_inverse=True
        )
        entries = self._entry_files.runs("started_at", self._keys)
        begins_ns = np.full(len(self._keys), np.iinfo(np.int64).max)
        np.minimum.at(begins_ns, trace, self._spans.begins_ns)
        self._chosen = np.flatnonzero(period.holds(begins_ns))
        self._chosen = self._chosen[np.argsort(first[self._chosen])]  # as they lie on the disk
        known = np.isin(entries.keys, self._keys)
        alone = entries.at(~known & period.holds(entries.begins_ns))
        self._entries = entries.at(known)
        self.entries_alone = int(alone.rows.sum())
        spans = np.bincount(trace, self._spans.rows, len(self._keys)).astype(np.int64)
        of = np.searchsorted(self._keys, self._entries.keys)
        rows = spans + np.bincount(of, self._entries.rows, len(self._keys)).astype(np.int64)
        self._sizes = rows[self._chosen]
        self._homes = self._spans.files[first[self._chosen]]
        self.traces, self.spans = len(self._chosen), int(spans[self._chosen].sum())

    def slices(self, rows_max: int) -> Iterator[Slice]:
        """All of it in pieces of about `rows_max` spans and entries; a larger trace is a piece."""
        if not self.traces:
            return
        number = _slice_numbers(self._sizes, self._homes, rows_max)
        slice_of = np.full(len(self._keys), -1)
        slice_of[self._chosen] = number
        spans = _by_slice(self._spans, slice_of[np.searchsorted(self._keys, self._spans.keys)])
        of_entries = slice_of[np.searchsorted(self._keys, self._entries.keys)]
        entries = _by_slice(self._entries, of_entries)
        none = self._spans.at(np.empty(0, np.int64))
        for each in np.unique(number).tolist():
            yield Slice(
                self._span_files.read(spans[each]),
                self._entry_files.read(entries.get(each, none)),
            )

    def spans_of(self, trace_ids: pa.Array) -> pa.Table:
        """SPANS of other traces, as far as they lie within the days that were looked at."""
        runs = self._spans.at(np.isin(self._spans.keys, trace_keys(trace_ids)))
        spans = self._span_files.read(runs)
        return spans.filter(pc.is_in(spans["trace_id"], value_set=trace_ids))


class _Files:
    """Data files of one table that may hold traces of a period, oldest day first."""

    def __init__(self, directory: Path, kind: Kind, period: Period, config: Config) -> None:
        self._table = directory / kind.name
        self._kind = kind
        self._period = period
        delta = open_table(directory, kind)
        live = live_files(delta) if delta else {}
        since = period.since_ns // DAY_NS - config.scan_days
        first = config.date_min.toordinal() - EPOCH_DAY  # the day of what has no time
        days = {path: day_of(path).toordinal() - EPOCH_DAY for path in live}
        paths = [path for path in live if days[path] >= since or days[path] <= first]
        self._paths = sorted(paths, key=lambda path: (days[path], live[path], path))
        self._days = [days[path] for path in self._paths]
        self._last_day = period.until_ns // DAY_NS + config.scan_days

    def runs(self, begin: str, known: np.ndarray) -> _Runs:
        """Runs of all traces; of days long after the period only those of traces that are `known`,
        or have been met, or begin in the period. Column `begin` says when a row does."""
        found = [_Runs(*(np.empty(0, np.int64) for _ in _Runs._fields))]
        for number, (path, day) in enumerate(zip(self._paths, self._days, strict=True)):
            ids, first, rows, begins_ns = trace_runs(self._table / path, begin)
            keys = trace_keys(ids)
            runs = _Runs(keys, np.full(len(keys), number), first, rows, begins_ns)
            if day > self._last_day:
                if not len(known):
                    known = np.unique(np.concatenate([each.keys for each in found]))
                runs = runs.at(np.isin(keys, known) | self._period.holds(begins_ns))
            found.append(runs)
        return _Runs(*(np.concatenate(columns) for columns in zip(*found, strict=True)))

    def read(self, runs: _Runs) -> pa.Table:
        """The rows of `runs`, which are in the order of files and rows."""
        tables = []
        for number in np.unique(runs.files).tolist():
            here = runs.at(runs.files == number)
            shift = np.repeat(here.first - (np.cumsum(here.rows) - here.rows), here.rows)
            at = shift + np.arange(len(shift))
            tables.append(read_at(self._table / self._paths[number], at, self._kind))
        return concat(tables, self._kind.rows)


def _slice_numbers(sizes: np.ndarray, homes: np.ndarray, rows_max: int) -> np.ndarray:
    """Which slice each trace falls in, by its size and the file in which it begins.

    Small files are read together; a large one alone, for then its rows are in order already.
    """
    number = np.zeros(len(sizes), np.int64)
    last, held = 0, 0
    starts = [0, *(np.flatnonzero(homes[1:] != homes[:-1]) + 1).tolist()]
    for start, end in pairwise([*starts, len(homes)]):  # a loop per file
        before = np.cumsum(sizes[start:end]) - sizes[start:end]
        rows = int(sizes[start:end].sum())
        if held + rows > rows_max:
            last, held = last + 1, 0
        number[start:end] = last + before // rows_max
        last, held = int(number[end - 1]), held + rows
    return number


def _by_slice(runs: _Runs, slices: np.ndarray) -> dict[int, _Runs]:
    """The runs of each slice, in their order; -1 is left out."""
    order = np.argsort(slices, kind="stable")
    order = order[np.searchsorted(slices[order], 0) :]
    numbers, starts = np.unique(slices[order], return_index=True)
    pieces = np.split(order, starts)[1:]  # before the first lies nothing
    return {n: runs.at(piece) for n, piece in zip(numbers.tolist(), pieces, strict=True)}
