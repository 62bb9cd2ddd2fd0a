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
from agentcost_collector.ledger import Config, Ledger, LedgerReader
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
    parser.add_argument("--steps", type=int, default=200_000, help="default: 200000")
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
    """Of copies of the recordings, by table and compression of what is merged."""
    table = Table("zstd level", "ledger, bytes per step", "spans, bytes per step", "merge CPU s")
    for level in (0, 1, 3, 9, 15):
        with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
            data = Path(folder) / "data"
            fill(data, steps)
            config = Config(compact_zstd_level=max(level, 1), compact_rows=10**6)
            begin = time.process_time()
            if level:
                with Ledger.open(data / "ledger", "bench", config) as ledger:
                    for piece in ledger.upkeep(time.time_ns() + 60 * DAY_NS):
                        assert not piece.refused, piece.refused
            used_s = time.process_time() - begin
            snapshot = LedgerReader(data / "ledger").snapshot()
            sizes = (
                sum(Path(file).stat().st_size for file in files) / snapshot.ledger_rows
                for files in (snapshot.ledger_files, snapshot.span_files)
            )
            title = str(level) if level else "not merged"
            table.add_row(title, *(f"{size:.1f}" for size in sizes), f"{used_s:.1f}")
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
