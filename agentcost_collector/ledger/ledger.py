"""The writing side of the ledger: one process, one commit at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from agentcost_collector.ledger.archive import archive
from agentcost_collector.ledger.compact import Merge, merge, plan
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.disk import make_directory
from agentcost_collector.ledger.index import Group
from agentcost_collector.ledger.layout import (
    ENTRY_ROWS,
    RETIRED_BEFORE,
    SPAN_ROWS,
    Kind,
    checked,
    short,
)
from agentcost_collector.ledger.log import Change, Log, world_errors
from agentcost_collector.ledger.lookup import Lookup, Times
from agentcost_collector.ledger.recovery import TORN, repair_log
from agentcost_collector.ledger.rows import Part, by_trace, parts, span_partitions
from agentcost_collector.ledger.seals import Chain, file_digest, file_line, seal_batch, seal_files
from agentcost_collector.ledger.state import (
    acknowledge,
    acknowledge_versions,
    acknowledged,
    settled_batches,
    state_of,
)
from agentcost_collector.ledger.turns import Turn, Wait, ask, is_wanted, take
from agentcost_collector.ledger.upkeep import Upkeep, day_or_none, expired, retirement, sweep
from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.model.partition import closed_environment
from agentcost_collector.model.schemas import ENTRIES, SPANS
from agentcost_collector.model.tables import concat, conform


@dataclass(frozen=True)
class Booked:
    """What is stored for some traces: SPANS, and ENTRIES of every sign."""

    spans: pa.Table
    entries: pa.Table


@dataclass(frozen=True)
class Commit:
    """A durable commit: its number and the rows it added."""

    batch_seq: int
    spans: int
    entries: int


class Ledger:
    """Appends to `spans` and `ledger`, and finds what is stored for a trace.

    `state` holds the counters of the last durable commit of this journal, empty before the first.
    After any exception from `commit` close the ledger and open it again: what became of the batch
    is for recovery to find.
    """

    def __init__(
        self, directory: Path, journal_id: str, turn: Turn, logs: tuple[Log, Log], config: Config
    ) -> None:
        self._directory = directory
        self._turn = turn
        self._spans, self._ledger = logs
        self._config = config
        self._failed = False
        self._chain = Chain.open(directory, short(journal_id), self._ledger)
        # of a batch that a crash cut off before its entries; sealed with the next one
        self._unsealed = [
            file_line(f"{SPAN_ROWS.name}/{path}", file_digest(self._spans.directory / path))
            for path in self._spans.files_after(self._ledger.batch_seq)
        ]
        self.state: Mapping[str, int] = state_of(directory, self._ledger)
        self._lookup = Lookup.open(directory, *logs, config)

    @classmethod
    def open(cls, directory: Path, journal_id: str, config: Config) -> Self:
        """Lock `directory`, repair what a crash left, create what is missing.

        ConfigError where another process has the ledger or wrote it in another format,
        CorruptionError where an acknowledged commit cannot be read, TransientError where the disk
        refused or another process has asked for the ledger.
        """
        return cls._open(directory, journal_id, config, lambda at: take(at, journal_id))

    @classmethod
    def open_in_turn(cls, directory: Path, journal_id: str, config: Config, wait: Wait) -> Self:
        """As `open`, but a service that has the ledger is made to give way, until `close`.

        `wait` is called with who has it, again and again; an exception from it ends the asking.
        """
        return cls._open(directory, journal_id, config, lambda at: ask(at, journal_id, wait))

    @classmethod
    def _open(
        cls, directory: Path, journal_id: str, config: Config, locked: Callable[[Path], Turn]
    ) -> Self:
        directory = checked(directory)
        with world_errors(directory):
            make_directory(directory)
            turn = locked(directory)
            try:
                logs = (
                    _open_log(directory, SPAN_ROWS, journal_id, config),
                    _open_log(directory, ENTRY_ROWS, journal_id, config),
                )
                return cls(directory, journal_id, turn, logs, config)
            except BaseException:
                turn.close()
                raise

    @property
    def wanted(self) -> bool:
        """Whether another process asks for the ledger: close it between two commits."""
        return is_wanted(self._directory)

    def close(self) -> None:
        """Give the ledger up; nothing is left to write."""
        self._lookup.close()
        self._turn.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def batch_seq(self) -> int:
        """Last batch of this journal; after a crash between the two tables, of its spans alone."""
        return max(self._spans.batch_seq, self._ledger.batch_seq)

    @property
    def index_traces(self) -> int:
        """Traces whose files are known without a look at them, links to them included."""
        return self._lookup.traces

    @property
    def spans_uncounted(self) -> int:
        """Spans of a batch that a crash cut off before its entries and `state` were written."""
        return self._spans.rows_after(self._ledger.batch_seq)

    def note(self, state: Mapping[str, int], now_ns: int) -> None:
        """Makes counters durable that changed without a row to append; a commit only where the
        spans are a batch ahead, which these counters then cover."""
        if dict(state) == self.state:
            return
        if self._spans.batch_seq > self._ledger.batch_seq:
            self.commit(SPANS.empty_table(), ENTRIES.empty_table(), state, now_ns)
            return
        with world_errors(self._directory):
            acknowledge(self._directory, self._spans, self._ledger, self._ledger.batch_seq, state)
        self.state = dict(state)

    def booked(
        self, trace_ids: pa.Array, oldest_start_ns: Times, newest_end_ns: Times | None = None
    ) -> Booked:
        """Everything stored for the given traces. Cost for new ones: about 0.5 us a trace.

        `oldest_start_ns` is the first start among the spans at hand, one value for all traces or
        one for each; `newest_end_ns` likewise the last end. They only decide how far back to
        look: a trace that started before the reach of the index is searched for in the data files
        of the days around it (of all days since, where `newest_end_ns` is not given).
        """
        with world_errors(self._directory):
            found = self._lookup.find(trace_ids, oldest_start_ns, newest_end_ns)
        return Booked(concat(found.spans, SPANS), concat(found.entries, ENTRIES))

    def linking(self, trace_ids: pa.Array) -> pa.Table:
        """trace_id, start_ns and end_ns of stored spans that link to one of the given traces.

        Of traces that had a commit within the reach of the index. Cost where nothing links: about
        0.5 us a trace.
        """
        with world_errors(self._directory):
            return self._lookup.linking(trace_ids)

    def archive_cards(self, name: str, cards: bytes) -> None:
        """Keep a set of rate cards beside the tables, durable on return; before the first commit
        of entries that it priced. A name that is known is kept as it is."""
        with world_errors(self._directory):
            archive(self._directory, name, cards)

    @property
    def spans_retired_before(self) -> date | None:
        """First day of which no evidence was retired; None where none ever was."""
        return day_or_none(self._spans.version_of(RETIRED_BEFORE))

    def upkeep(self, now_ns: int, before: date | None = None) -> Iterator[Upkeep]:
        """Merge small files, retire old evidence, delete what nobody needs: a piece a turn.

        Commits may be made between two pieces. No entry changes; what stands for `before` is said
        at `plan`. A merge that would not keep every row and sum is refused, and nothing changed.
        Cost: about a second a piece at most. TransientError where the disk refused.
        """
        for log in (self._spans, self._ledger):
            refused: set[str] = set()
            while merges := self._plan(log, refused, now_ns, before):
                for each in merges:
                    done = self._merge(log, each, now_ns)
                    refused |= {each.partition} if done.refused else set()
                    yield done
        old = expired(self._spans.files(), self._config, now_ns)
        if old:
            self._change(self._spans, retirement(self._spans, old, self._config, now_ns), now_ns)
            yield Upkeep(spans_retired=sum(file.rows for file in old))
        with world_errors(self._directory):
            acknowledge_versions(self._directory, self._spans, self._ledger)
            yield sweep(self._spans, self._config, now_ns)
            yield sweep(self._ledger, self._config, now_ns)

    def _plan(self, log: Log, refused: set[str], now_ns: int, before: date | None) -> list[Merge]:
        settled = settled_batches(self._directory)
        merges = plan(log.files(), settled, self._config, now_ns, before)
        return [each for each in merges if each.partition not in refused]

    def _merge(self, log: Log, wanted: Merge, now_ns: int) -> Upkeep:
        try:
            with world_errors(self._directory):
                added = merge(log, wanted, self._config)
        except (CorruptionError, TransientError) as fault:
            return Upkeep(refused=(str(fault),))
        with world_errors(self._directory):
            seal_files(self._directory, {added.path: added.digest}, now_ns)
        self._change(log, Change(wanted.files, [added.add], {}), now_ns)
        return Upkeep(len(wanted.files), 1, wanted.rows, wanted.size, added.add.size)

    def _change(self, log: Log, change: Change, now_ns: int) -> None:
        if self._failed:
            raise TransientError(f"{self._directory}: a commit failed; open the ledger again")
        self._failed = True
        log.change(change, now_ns)
        with world_errors(self._directory):
            acknowledge_versions(self._directory, self._spans, self._ledger)
            old = [file.path for file in change.removed]
            self._lookup.moved(log, old, [add.path for add in change.added])
        self._failed = False

    def commit(
        self,
        spans: pa.Table,
        entries: pa.Table,
        state: Mapping[str, int],
        now_ns: int,
        found: bool = True,
    ) -> Commit:
        """Append new evidence and entries, durable on return, and `state` with them.

        `spans` must hold no span that `booked` returned; `found` says that `booked` was asked for
        all these traces, so that the index knows their other files. `journal`, `batch_seq` and
        `row_no` of the entries are given here. Nothing to append and an unchanged state makes no
        commit. TransientError where the disk refused, ConfigError where another process commits
        for the same journal.
        """
        if self._failed:
            raise TransientError(f"{self._directory}: a commit failed; open the ledger again")
        batch_seq = self.batch_seq
        if not spans.num_rows and not entries.num_rows and dict(state) == self.state:
            return Commit(batch_seq, 0, 0)
        self._failed = True
        batch_seq += 1
        spans, entries = conform(spans, SPANS), conform(entries, ENTRIES)
        group = Group(
            now_ns // 10**6 * 10**6,
            found,
            self._append_spans(spans, batch_seq, now_ns),
            self._append_entries(entries, batch_seq, state, now_ns),
        )
        with world_errors(self._directory):
            acknowledge(self._directory, self._spans, self._ledger, batch_seq, state)
            if spans.num_rows or entries.num_rows:
                self._lookup.add(spans, entries, group)
        self.state = dict(state)
        self._failed = False
        return Commit(batch_seq, spans.num_rows, entries.num_rows)

    def _append_spans(self, spans: pa.Table, batch_seq: int, now_ns: int) -> tuple[str, ...]:
        """Before the entries: an entry without evidence could not be explained."""
        if not spans.num_rows:
            return ()
        environment, day = span_partitions(spans, now_ns, self._config)
        split = parts(spans, environment, day, SPAN_ROWS)
        written = self._spans.write(split, batch_seq, now_ns)
        paths = self._spans.commit(written, {"batch_seq": batch_seq}, now_ns)
        self._unsealed += (file_line(file.path, file.digest) for file in written)
        return paths

    def _append_entries(
        self, entries: pa.Table, batch_seq: int, state: Mapping[str, int], now_ns: int
    ) -> tuple[str, ...]:
        """Also without entries: the log entry carries the counters, and the seal of the spans."""
        split = list(self._numbered(entries, batch_seq)) if entries.num_rows else []
        written = self._ledger.write(split, batch_seq, now_ns)
        files = [*self._unsealed, *(file_line(file.path, file.digest) for file in written)]
        facts = {"batch_seq": batch_seq, "state": dict(state)}
        if not files:
            return self._ledger.commit(written, facts, now_ns)
        seal = seal_batch(self._chain, batch_seq, split, files, now_ns)
        paths = self._ledger.commit(written, {**facts, "seal": seal.json()}, now_ns)
        with world_errors(self._directory):
            self._chain.append(seal)
        self._unsealed = []
        return paths

    def _numbered(self, entries: pa.Table, batch_seq: int) -> Iterator[Part]:
        """By partition, with the name of each entry: numbered by trace, as they lie in files."""
        rows = entries.num_rows
        assert not entries["date"].null_count, "book dates every entry"
        entries = by_trace(entries)
        numbers = {
            "journal": pa.repeat(pa.scalar(self._chain.name), rows),
            "batch_seq": pa.array(np.full(rows, batch_seq, np.int64)),
            "row_no": pa.array(np.arange(rows, dtype=np.int32)),
        }
        for name, values in numbers.items():
            at = ENTRIES.get_field_index(name)
            entries = entries.set_column(at, ENTRIES.field(at), values)
        environment = closed_environment(entries["environment"], self._config.environments)
        return parts(entries, environment, entries["date"], ENTRY_ROWS)


def _open_log(directory: Path, kind: Kind, journal_id: str, config: Config) -> Log:
    table = directory / kind.name
    make_directory(table)
    repair_log(table, directory / TORN, acknowledged(directory, kind.name))
    return Log.open(table, kind, journal_id, config)
