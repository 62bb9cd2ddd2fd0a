"""Every stored amount worked out again from the archived rate cards that its row names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.model.schemas import CHARGES, MONEY
from agentcost_collector.price.archived import Archive
from agentcost_collector.repriced import charged_entries, priced_again

EXAMPLES_MAX = 20
_COMPARED = (*MONEY, "original_cost", "currency", "rate_id")


@dataclass(frozen=True)
class Difference:
    """A stored value that the archived cards do not give."""

    trace_id: str
    step_id: str
    column: str
    stored: str
    worked_out: str


@dataclass
class Verified:
    """What was found in a ledger."""

    entries: int = 0
    priced: int = 0
    """Entries that name a card: worked out again."""
    unpriced: int = 0
    """Entries without a card; their costs must be NULL."""
    allocated: int = 0
    """Shared costs, which come from no card; not looked at."""
    differing: int = 0
    """Entries with a value that differs."""
    examples: list[Difference] = field(default_factory=list)
    """The first EXAMPLES_MAX of them."""
    missing: Counter[str] = field(default_factory=Counter)
    """Digests of cards that are not archived: entries that name them."""
    damaged: list[str] = field(default_factory=list)
    """Archived sets of cards that are not what they were."""

    @property
    def sound(self) -> bool:
        """Whether every amount is what the cards say."""
        return not (self.differing or self.missing or self.damaged)


def verify_prices(directory: Path, progress: Callable[[int, int], None]) -> Verified:
    """Works out every entry of the ledger in `directory` again; reversals too, as what they negate.

    `progress(files done, files in all)`. Memory: one row group. Cost: reading all entries, and
    pricing them once more. CorruptionError where a data file cannot be read.
    """
    reader = LedgerReader(directory)
    archive = Archive(reader.archived())
    files = reader.snapshot().ledger_files
    found = Verified(damaged=list(archive.damaged))
    for done, file in enumerate(files, start=1):
        for entries in reader.entries(file):
            _verify(entries, archive, found)
        progress(done, len(files))
    return found


def _verify(entries: pa.Table, archive: Archive, found: Verified) -> None:
    rows = charged_entries(entries)
    found.entries += entries.num_rows
    found.allocated += entries.num_rows - rows.num_rows
    digests = pc.dictionary_encode(rows["card_digest"]).combine_chunks()
    for number, digest in enumerate(digests.dictionary.to_pylist()):
        mine = rows.filter(pc.equal(digests.indices, number))
        missing = archive.missing(digest)
        if missing:
            found.missing.update(dict.fromkeys(missing, mine.num_rows))
            continue
        found.priced += mine.num_rows
        _compare(mine, priced_again(mine, archive.book(digest)), found)
    bare = rows.filter(pc.is_null(rows["card_digest"]))
    found.unpriced += bare.num_rows
    _compare(bare, CHARGES.empty_table(), found)


def _compare(stored: pa.Table, again: pa.Table, found: Verified) -> None:
    """Values that differ; where `again` is empty all should be NULL."""
    wrong = np.zeros(stored.num_rows, bool)
    for name in _COMPARED if stored.num_rows else ():
        ours = stored[name]
        theirs = again[name] if again.num_rows else pa.nulls(stored.num_rows, ours.type)
        equal = pc.fill_null(pc.equal(ours, theirs), False)
        same = pc.or_(equal, pc.and_(pc.is_null(ours), pc.is_null(theirs)))
        bad = np.flatnonzero(~np.asarray(same.to_numpy(zero_copy_only=False), bool))
        wrong[bad] = True
        found.examples += _examples(stored, name, theirs, bad[: EXAMPLES_MAX - len(found.examples)])
    found.differing += int(wrong.sum())


def _examples(
    stored: pa.Table, name: str, again: pa.Array, rows: np.ndarray
) -> Iterator[Difference]:
    for row in rows.tolist():
        trace, step, ours = (
            stored[column][row].as_py() for column in ("trace_id", "step_id", name)
        )
        yield Difference(trace, step, name, str(ours), str(again[row].as_py()))
