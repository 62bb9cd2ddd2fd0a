"""Commits numbered batches and looks after the ledger between them, until it is killed. Prints each
acknowledged batch; whatever compaction replaced is deleted at once.

python -m tests.ledger.compact_writer DIRECTORY LAST
"""

from __future__ import annotations

import sys
from pathlib import Path

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from tests.ledger.tables import NOW, START, entries_table, entry, ids, span, spans_table

SETTINGS = Config(checkpoint_every=5, compact_quiet_h=0, replaced_kept_h=0, compact_rows=100)


def main(directory: Path, last: int) -> None:
    with Ledger.open(directory, "journal", SETTINGS) as ledger:
        for n in range(ledger.state.get("position", 0) + 1, last + 1):
            commit(ledger, n)
            print(n, flush=True)  # noqa: T201
            if n % 4 == 0:
                for piece in ledger.upkeep(NOW + n):
                    assert not piece.refused, piece.refused


def commit(ledger: Ledger, n: int) -> None:
    """What is not stored yet of trace `n`: three spans, two entries."""
    stored = ledger.booked(ids(n), START)
    spans = spans_table([span(n, k) for k in range(0 if stored.spans.num_rows else 3)])
    entries = entries_table([entry(n, k) for k in range(0 if stored.entries.num_rows else 2)])
    ledger.commit(spans, entries, {"position": n}, NOW + n)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
