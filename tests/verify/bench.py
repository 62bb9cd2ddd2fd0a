"""What it costs to seal a batch at its commit, and to check a ledger before and after its files are
merged: microseconds of processor time for each entry, one thread, least of several tries.

    python -m tests.verify.bench 200000      prints it for a ledger of so many steps
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
from rich.console import Console
from rich.table import Table

from agentcost_collector.ledger.canonical import Lines, PartHash, slices
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.layout import ENTRY_ROWS
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.ledger.rows import read_pieces
from agentcost_collector.memory import keep_freed_memory
from agentcost_collector.verify import verify_seals
from tests.bench.restate import fill

TRIES = 5
DAY_NS = 86_400 * 10**9
COPIES_PER_COMMIT = 100


def main(steps: int) -> None:
    """Prints a table."""
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    keep_freed_memory()
    table = Table("", "entries", "batches", "us/entry", "entries/s")
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        data = Path(folder) / "data"
        fill(data, steps, copies_per_commit=COPIES_PER_COMMIT, period_ns=DAY_NS // 2)
        directory = data / "ledger"
        table.add_row("seal at commit", *sealing(directory))
        table.add_row("verify, files as written", *verifying(directory))
        with Ledger.open(directory, "bench", Config()) as ledger:
            for piece in ledger.upkeep(time.time_ns() + 60 * DAY_NS):
                assert not piece.refused, piece.refused
        table.add_row("verify, files merged", *verifying(directory))
    Console(width=100).print(table)


def sealing(directory: Path) -> list[str]:
    """Of the entries of the largest file."""
    files = map(Path, LedgerReader(directory).snapshot().ledger_files)
    file = max(files, key=lambda file: file.stat().st_size)
    rows = pa.concat_tables(read_pieces(file, ENTRY_ROWS)).combine_chunks()

    def sealed() -> None:
        hashed = PartHash()
        for each in slices(rows):
            hashed.add(Lines(each), 0, each.num_rows, 0)

    return figures(rows.num_rows, 1, least_s(sealed))


def verifying(directory: Path) -> list[str]:
    """Of the whole ledger."""
    found = verify_seals(directory, [], lambda _done, _all: None)
    assert not found.findings, found.findings
    took_s = least_s(lambda: verify_seals(directory, [], lambda _done, _all: None))
    return figures(found.entries, found.batches, took_s)


def least_s(act: Callable[[], object]) -> float:
    """Seconds of processor time."""
    took = []
    for _ in range(TRIES):
        begin_s = time.process_time()
        act()
        took.append(time.process_time() - begin_s)
    return min(took)


def figures(entries: int, batches: int, took_s: float) -> list[str]:
    """A row of the table."""
    rate = round(entries / took_s)
    return [f"{entries:,}", f"{batches:,}", f"{took_s * 1e6 / entries:.2f}", f"{rate:,}"]


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 200_000)
