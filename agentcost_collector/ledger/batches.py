"""What the data files of the `ledger` table hold of each batch, whatever file it lies in now."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from agentcost_collector.ledger.canonical import PartHash, batch_hash
from agentcost_collector.ledger.layout import ENTRY_ROWS
from agentcost_collector.ledger.rows import read_pieces
from agentcost_collector.ledger.seals import cost_of, cost_text
from agentcost_collector.model.errors import CorruptionError


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
    """Adds up files one partition at a time; memory: a row group, and a digest for each batch."""

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
                for piece in read_pieces(file, ENTRY_ROWS):
                    for key, rows in _by_batch(piece):
                        batch = found[key]
                        hashed = batch.parts.setdefault(part, PartHash())
                        numbers = rows["row_no"].to_numpy()
                        if numbers[0] <= hashed.last_row_no or (numbers[1:] <= numbers[:-1]).any():
                            return False
                        _count(batch, hashed, rows, file)
            except CorruptionError as error:
                damaged[str(file)] = str(error)
        self._keep(found, damaged)
        return True

    def _add_sorted(self, part: str, files: list[Path]) -> None:
        """All of the partition at once in memory: somebody else has rewritten it."""
        tables, damaged = defaultdict(list), {}
        for file in files:
            try:
                for piece in read_pieces(file, ENTRY_ROWS):
                    for key, rows in _by_batch(piece):
                        tables[key].append((rows, file))
            except CorruptionError as error:
                damaged[str(file)] = str(error)
        found: dict[BatchKey, StoredBatch] = defaultdict(StoredBatch)
        for key, pieces in tables.items():
            batch, hashed = found[key], PartHash()
            batch.parts[part] = hashed
            rows = pa.concat_tables([rows for rows, _ in pieces]).sort_by("row_no")
            _count(batch, hashed, rows, *(file for _, file in pieces))
        self._keep(found, damaged)

    def _keep(self, found: dict[BatchKey, StoredBatch], damaged: dict[str, str]) -> None:
        for key, batch in found.items():
            kept = self.batches[key]
            kept.parts |= batch.parts
            kept.files |= batch.files
            kept.costs += batch.costs
            self.entries += batch.rows
        self.damaged |= damaged


def _count(batch: StoredBatch, hashed: PartHash, rows: pa.Table, *files: Path) -> None:
    hashed.add(rows)
    batch.files |= {str(file) for file in files}
    batch.costs.append(cost_of(rows))


def _by_batch(rows: pa.Table) -> Iterator[tuple[BatchKey, pa.Table]]:
    """Rows of each batch, in the order of row_no where the file has them so."""
    if not rows.num_rows:
        return
    journals = rows["journal"].combine_chunks().dictionary_encode()
    sequence = rows["batch_seq"].to_numpy()
    code = journals.indices.to_numpy()
    if len(journals.dictionary) == 1 and (sequence == sequence[0]).all():
        yield BatchKey(journals.dictionary[0].as_py(), int(sequence[0])), rows
        return
    order = np.lexsort((rows["row_no"].to_numpy(), sequence, code))
    rows = rows.take(pa.array(order))
    sequence, code = sequence[order], code[order]
    begins = np.flatnonzero(
        np.append(True, (sequence[1:] != sequence[:-1]) | (code[1:] != code[:-1]))
    )
    for begin, end in zip(begins.tolist(), [*begins[1:].tolist(), len(order)], strict=True):
        key = BatchKey(journals.dictionary[int(code[begin])].as_py(), int(sequence[begin]))
        yield key, rows.slice(begin, end - begin)
