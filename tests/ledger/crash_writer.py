"""Commits numbered batches as the pipeline does, until it is killed. Prints each acknowledged one.

python -m tests.ledger.crash_writer DIRECTORY LAST
"""

from __future__ import annotations

import sys
from pathlib import Path

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from tests.ledger.tables import NOW, START, entries_table, entry, ids, span, spans_table


def main(directory: Path, last: int) -> None:
    ledger = Ledger.open(directory, "journal", Config(checkpoint_every=5))
    for n in range(ledger.state.get("position", 0) + 1, last + 1):
        stored = ledger.booked(ids(n), START)
        spans = spans_table([span(n, k) for k in range(3)])
        entries = entries_table([entry(n, k) for k in range(2)])
        ledger.commit(
            spans.slice(0, 0) if stored.spans.num_rows else spans,
            entries.slice(0, 0) if stored.entries.num_rows else entries,
            {"position": n},
            NOW + n,
        )
        print(n, flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
