"""What the data files of the `ledger` table hold of each batch, whatever file it lies in now."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from agentcost_collector.ledger.canonical import Lines, PartHash, batch_hash, slices
from agentcost_collector.ledger.layout import ENTRY_ROWS
from agentcost_collector.ledger.rows import read_coded
from agentcost_collector.ledger.seals import cost_of, cost_text
from agentcost_collector.model.errors import CorruptionError
from agentcost_collector.model.tables import codes

_ROWS = 16_384  # read at once where a file has so many; more for each batch of a merged file


class BatchKey(NamedTuple):
    """Which batch."""

    journal: str
    batch_seq: int


@dataclass
class StoredBatch:
    """The entries of a batch, as they are stored."""

    parts: dict[str, PartHash] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)
    costs: list[Decimal | None] = field(default_factory=list)

    @property
    def rows(self) -> int:
        """How many there are."""
        return sum(part.rows for part in self.parts.values())

    @property
    def cost_usd(self) -> str | None:
        """Their sum, as a seal has it."""
        return cost_text(self.costs)

    def digest(self) -> str:
        """As a seal has it."""
        return batch_hash(self.parts)


class StoredBatches:
    """Adds up files one partition at a time; memory: some row groups, a digest a batch."""

    def __init__(self) -> None:
        self.batches: dict[BatchKey, StoredBatch] = defaultdict(StoredBatch)
        self.entries = 0
        self.damaged: dict[str, str] = {}
        """Files that cannot be read, and why; their rows are missing above."""

    def add(self, part: str, files: list[Path]) -> None:
        """All live data files of one partition, named like `environment=prod/date=2026-05-28`."""
        if not self._add_in_order(part, files):
            self._add_sorted(part, files)

    def _add_in_order(self, part: str, files: list[Path]) -> bool:
        """As they come; False, and nothing done, where a batch does not come in its order."""
        found: dict[BatchKey, StoredBatch] = defaultdict(StoredBatch)
        damaged = {}
        for file in files:
            try:
                for piece in read_coded(file, ENTRY_ROWS, _ROWS):
                    if not all(_count(found, part, rows, file) for rows in slices(piece)):
                        return False
            except CorruptionError as error:
                damaged[str(file)] = str(error)
        self._keep(found, damaged)
        return True

    def _add_sorted(self, part: str, files: list[Path]) -> None:
        """All of the partition at once in memory: somebody else has rewritten it."""
        tables, holders, damaged = [], defaultdict[BatchKey, set[str]](set), {}
        for file in files:
            try:
                for piece in read_coded(file, ENTRY_ROWS, _ROWS):
                    tables.append(piece)
                    for key, _, _ in _by_batch(piece)[1]:
                        holders[key].add(str(file))
            except CorruptionError as error:
                damaged[str(file)] = str(error)
        found: dict[BatchKey, StoredBatch] = defaultdict(StoredBatch)
        rows = pa.concat_tables(tables).unify_dictionaries()
        rows = rows.take(pa.array(np.lexsort((rows["row_no"], rows["batch_seq"]))))
        for each in slices(rows.combine_chunks()):
            _count(found, part, each)
        for key, batch in found.items():
            batch.files |= holders[key]
        self._keep(found, damaged)

    def _keep(self, found: dict[BatchKey, StoredBatch], damaged: dict[str, str]) -> None:
        for key, batch in found.items():
            kept = self.batches[key]
            kept.parts |= batch.parts
            kept.files |= batch.files
            kept.costs += batch.costs
            self.entries += batch.rows
        self.damaged |= damaged


def _count(
    found: dict[BatchKey, StoredBatch], part: str, rows: pa.Table, file: Path | None = None
) -> bool:
    """Adds `rows` of a partition to their batches; False where they are not in their order.

    Rows of one number are in order where `file` is not given, as they are then sorted.
    """
    rows, runs = _by_batch(rows)
    lines = Lines(rows)
    numbers = rows["row_no"].to_numpy()
    falls = numbers[1:] <= numbers[:-1]
    # a loop per batch: about 8 us each
    for key, begin, end in runs:
        batch = found[key]
        hashed = batch.parts.setdefault(part, PartHash())
        if file:
            if numbers[begin] <= hashed.last_row_no or falls[begin : end - 1].any():
                return False
            batch.files.add(str(file))
        hashed.add(lines, begin, end, int(numbers[end - 1]))
        batch.costs.append(cost_of(rows.slice(begin, end - begin)))
    return True


def _by_batch(rows: pa.Table) -> tuple[pa.Table, list[tuple[BatchKey, int, int]]]:
    """`rows` batch by batch, else in the order given, and where each batch begins and ends."""
    if not rows.num_rows:
        return rows, []
    journals = codes(rows["journal"])
    sequence, code = rows["batch_seq"].to_numpy(), journals.indices.to_numpy()
    mixed = (sequence[1:] != sequence[:-1]) | (code[1:] != code[:-1])
    if mixed.any():
        order = np.lexsort((sequence, code))
        rows = rows.take(pa.array(order)).combine_chunks()
        sequence, code = sequence[order], code[order]
        mixed = (sequence[1:] != sequence[:-1]) | (code[1:] != code[:-1])
    begins = np.flatnonzero(np.append(True, mixed)).tolist()
    return rows, [
        (BatchKey(journals.dictionary[int(code[at])].as_py(), int(sequence[at])), at, end)
        for at, end in zip(begins, [*begins[1:], len(code)], strict=True)
    ]
