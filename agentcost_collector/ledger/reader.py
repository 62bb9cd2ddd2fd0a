"""The reading side of the ledger: any process, no lock, also while another one commits."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from agentcost_collector.ledger.archive import read_archive
from agentcost_collector.ledger.compact import plan
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.disk import read_json
from agentcost_collector.ledger.layout import (
    ENTRY_ROWS,
    RETIRED,
    RETIRED_BEFORE,
    SPAN_ROWS,
    Kind,
    checked,
    short,
)
from agentcost_collector.ledger.log import batch_rows, data_files, live_files
from agentcost_collector.ledger.rows import read_pieces, read_rows
from agentcost_collector.ledger.state import STATE, newest_facts, settled_batches
from agentcost_collector.ledger.upkeep import Upkeep, day_or_none, expired, planned
from agentcost_collector.model.errors import ConfigError, CorruptionError


@dataclass(frozen=True)
class Snapshot:
    """One version of the ledger: absolute paths of its data files, and how many rows they hold.

    `version` is that of the `ledger` log, -1 where there is none. Every entry's spans are in.
    """

    version: int
    ledger_files: list[str]
    span_files: list[str]
    ledger_rows: int
    span_rows: int


class LedgerReader:
    """Reads what is committed. A missing ledger is an empty one; one that is there and cannot be
    read raises ConfigError where access is denied, CorruptionError where its log is damaged."""

    def __init__(self, directory: Path) -> None:
        self._directory = checked(directory)

    def snapshot(self) -> Snapshot:
        """The newest version. The entries are listed before the spans, which are written first."""
        version, ledger_files, ledger_rows = self._listed(ENTRY_ROWS)
        _, span_files, span_rows = self._listed(SPAN_ROWS)
        return Snapshot(version, ledger_files, span_files, ledger_rows, span_rows)

    def spans_of(self, trace_ids: Sequence[str]) -> pa.Table:
        """SPANS of the given traces. Looks into every data file."""
        return self._rows(SPAN_ROWS, trace_ids)

    def entries_of(self, trace_ids: Sequence[str]) -> pa.Table:
        """ENTRIES of the given traces. Looks into every data file."""
        return self._rows(ENTRY_ROWS, trace_ids)

    def spans_stored(self, journal_id: str, batch_seq: int) -> int:
        """Evidence rows that a journal committed in its batches up to `batch_seq`, those that
        were retired since included."""
        delta = open_table(self._directory, SPAN_ROWS)
        if delta is None:
            return 0
        batches = batch_rows(delta, journal_id)
        stored = sum(rows for batch, rows in batches.items() if batch <= batch_seq)
        return stored + int(delta.transaction_version(f"{RETIRED}/{short(journal_id)}") or 0)

    def spans_retired(self) -> int:
        """Evidence rows that were taken out of the table because of their age, ever."""
        delta = open_table(self._directory, SPAN_ROWS)
        return int(delta.transaction_version(RETIRED) or 0) if delta else 0

    def spans_retired_before(self) -> date | None:
        """First day of which no evidence was retired; None where none ever was."""
        delta = open_table(self._directory, SPAN_ROWS)
        return day_or_none(int(delta.transaction_version(RETIRED_BEFORE) or 0)) if delta else None

    def log_entries(self) -> int:
        """Entries in the logs of both tables, checkpoints left out."""
        folders = [self._directory / kind.name / "_delta_log" for kind in (SPAN_ROWS, ENTRY_ROWS)]
        return sum(1 for folder in folders for _ in folder.glob("*[0-9].json"))

    def upkeep_due(self, config: Config, now_ns: int, before: date | None = None) -> Upkeep:
        """What `Ledger.upkeep` would do first; files that are due to be deleted are not counted."""
        settled = settled_batches(self._directory)
        due = Upkeep()
        for kind in (SPAN_ROWS, ENTRY_ROWS):
            delta = open_table(self._directory, kind)
            files = data_files(delta) if delta else []
            old = expired(files, config, now_ns) if kind is SPAN_ROWS else []
            due += planned(plan(files, settled, config, now_ns, before), old)
        return due

    def entries(self, file: str) -> Iterator[pa.Table]:
        """All ENTRIES of one of the `ledger_files` of a snapshot, in pieces."""
        return read_pieces(Path(file), ENTRY_ROWS)

    def archived(self) -> dict[str, bytes]:
        """What was archived beside the ledger, by name."""
        return read_archive(self._directory)

    def state(self) -> Mapping[str, int]:
        """Counters of the newest commit, empty before the first."""
        delta = open_table(self._directory, ENTRY_ROWS)
        if delta is None:
            return {}
        facts = newest_facts(self._directory / ENTRY_ROWS.name, delta.version())
        return dict((facts or read_json(self._directory / STATE) or {}).get("state", {}))

    def _listed(self, kind: Kind) -> tuple[int, list[str], int]:
        delta = open_table(self._directory, kind)
        if delta is None:
            return -1, [], 0
        adds = pa.table(delta.get_add_actions(flatten=True))
        files = [str(self._directory / kind.name / path) for path in adds["path"].to_pylist()]
        rows = pc.sum(adds["num_records"]).as_py() if files else 0
        return int(delta.version()), sorted(files), rows

    def _rows(self, kind: Kind, trace_ids: Sequence[str]) -> pa.Table:
        delta = open_table(self._directory, kind)
        paths = live_files(delta) if delta else []
        return read_rows(self._directory / kind.name, paths, trace_ids, kind)


def open_table(directory: Path, kind: Kind) -> DeltaTable | None:
    """One of the ledger's tables, None where it is missing; errors as of LedgerReader."""
    table = directory / kind.name
    try:
        os.listdir(table / "_delta_log")  # is_deltatable takes what it may not read for absent
        return DeltaTable(table) if DeltaTable.is_deltatable(str(table)) else None
    except FileNotFoundError:
        return None
    except OSError as fault:
        raise ConfigError(f"{table}: cannot be read: {fault.strerror}") from fault
    except DeltaError as fault:
        raise CorruptionError(f"{table}: its log cannot be read: {fault}") from fault
