"""What many small commits cost: opening, committing and a query after 10, 1,000 and more commits,
with upkeep as the service does it and without; and bytes per step before and after a merge.

Times are medians of several tries, in ms of processor time of this process.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
from rich.console import Console
from rich.table import Table

from agentcost_collector.caretaker import Caretaker
from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.reader import LedgerReader
from tests.bench.restate import fill
from tests.ledger.tables import NOW, entries_table, entry, span, spans_table

TRIES = 7
DAY_NS = 86_400 * 10**9
SECOND_NS = 10**9
SPACING_NS = 8 * SECOND_NS  # 10,800 commits a day


def main(arguments: list[str]) -> None:
    """Prints two tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.commits", description=__doc__)
    parser.add_argument("--commits", type=int, default=10_000, help="default: 10000")
    parser.add_argument("--steps", type=int, default=40_000, help="default: 40000")
    options = parser.parse_args(arguments)
    points = [count for count in (10, 200, 1_000, 10_000) if count <= options.commits]
    names = ("commits", "open", "commit", "query", "data files", "log entries", "index KiB")
    for upkeep in (True, False):
        table = Table(*names, title="with upkeep" if upkeep else "without upkeep")
        with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
            done = 0
            for count in points if upkeep else points[:3]:
                grow(Path(folder), done, count, upkeep)
                done = count
                table.add_row(*(f"{value:,}" for value in figures(Path(folder), count)))
        Console(width=120).print(table)
    Console(width=120).print(bytes_per_step(options.steps))


def grow(directory: Path, first: int, last: int, upkeep: bool) -> None:
    """Commits number `first` to `last`, of two traces each, looked after as the service does."""
    with Ledger.open(directory, "bench", Config()) as ledger:
        caretaker = Caretaker(ledger, 1 if upkeep else 0)
        for number in range(first, last):
            now_ns = NOW + number * SPACING_NS
            commit(ledger, number, now_ns)
            while caretaker.step(now_ns, now_ns):
                pass


def commit(ledger: Ledger, number: int, now_ns: int) -> None:
    """Two traces of two spans and one step."""
    traces = (2 * number, 2 * number + 1)
    spans = spans_table([span(t, k, start_ns=now_ns - SECOND_NS) for t in traces for k in (0, 1)])
    ledger.commit(spans, entries_table([entry(t) for t in traces]), {"n": number}, now_ns)


def figures(directory: Path, count: int) -> list[float]:
    """Of a ledger with so many commits."""

    def opened() -> None:
        Ledger.open(directory, "bench", Config()).close()

    def asked() -> None:
        files = LedgerReader(directory).snapshot().ledger_files
        duckdb.execute("SELECT feature, sum(cost_usd) FROM read_parquet(?) GROUP BY 1", [files])

    open_ms, query_ms = timed(opened), timed(asked)
    with Ledger.open(directory, "bench", Config()) as ledger:
        numbers = iter(range(10**6, 10**6 + TRIES))
        commit_ms = timed(lambda: commit(ledger, next(numbers), NOW + count * SPACING_NS))
    reader = LedgerReader(directory)
    snapshot = reader.snapshot()
    files = len(snapshot.ledger_files) + len(snapshot.span_files)
    index = sum(path.stat().st_size for path in directory.glob("index.db*")) // 1024
    return [count, open_ms, commit_ms, query_ms, files, reader.log_entries(), index]


def timed(work: Callable[[], None]) -> float:
    """Median ms of processor time."""
    times = []
    for _ in range(TRIES):
        begin = time.process_time_ns()
        work()
        times.append(time.process_time_ns() - begin)
    return round(statistics.median(times) / 1e6, 1)


def bytes_per_step(steps: int) -> Table:
    """Of copies of the recordings, in many small commits of one day and then merged."""
    table = Table("", "ledger, bytes per step", "spans, bytes per step", "merge CPU s")
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        data = Path(folder) / "data"
        fill(data, steps, copies_per_commit=5, period_ns=DAY_NS // 2)
        table.add_row("small files", *sizes(data), "")
        begin = time.process_time()
        with Ledger.open(data / "ledger", "bench", Config()) as ledger:
            for piece in ledger.upkeep(time.time_ns() + 60 * DAY_NS):
                assert not piece.refused, piece.refused
        table.add_row("merged", *sizes(data), f"{time.process_time() - begin:.1f}")
    return table


def sizes(data: Path) -> list[str]:
    """Bytes of both tables' live files per step."""
    snapshot = LedgerReader(data / "ledger").snapshot()
    return [
        f"{sum(Path(file).stat().st_size for file in files) / snapshot.ledger_rows:.1f}"
        for files in (snapshot.ledger_files, snapshot.span_files)
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
