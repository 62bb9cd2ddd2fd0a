"""Whether a span costs the same however much there is: CPU of all processes per span while more and
more is taken in, on an empty folder or on top of a copy of a ledger, and with many spans open.

    python -m tests.bench.flat 2000000                         spans that are taken in
    python -m tests.bench.flat 400000 --on build/ledger-10m    on top of a copy of this data folder
    python -m tests.bench.flat 1000000 --open                  spans that are open
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentcost_collector.ledger.reader import LedgerReader
from tests.bench.service import SOON, Service, serving
from tests.support.amplify import GAP_NS, amplify
from tests.support.recordings import MEASURED

CHUNK = 200_000
NEVER_CLOSED = {"assemble__idle_ms": str(24 * 3600 * 1000), "assemble__age_ms_max": "86400000"}
_BEGIN_NS = time.time_ns()
_CHUNK_NS = CHUNK * GAP_NS // 10  # runs have more than ten spans


def main(arguments: list[str]) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.flat", description=__doc__)
    parser.add_argument("spans", type=int, nargs="?", default=2_000_000, help="default: 2000000")
    parser.add_argument("--on", type=Path, help="data folder, which is copied, not changed")
    parser.add_argument("--open", action="store_true", help="so many spans that stay open")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        data = Path(folder) / "data"
        if options.on:
            copy(options.on, data)
        table = with_open(data, options.spans) if options.open else taken_in(data, options.spans)
    Console(width=120).print(table)


def copy(source: Path, target: Path) -> None:
    """Of a data folder; what is written once shares its bytes with the original."""

    def each(file: str, to: str) -> None:
        once = file.endswith(".parquet") or Path(file).parent.name == "_delta_log"
        (os.link if once else shutil.copy2)(file, to)

    shutil.copytree(source, target, copy_function=each)


def taken_in(data: Path, spans: int) -> Table:
    """Row = a point on the way, with what the last CHUNK spans before it cost."""
    table = _table("spans taken in", "CPU us/span", "steps", "data files", "log entries")
    for name in ("index MiB", "journal MiB"):
        table.add_column(name, justify="right")
    points = [p for p in (1, 2, 5, 10, 20, 50, 100) if p * CHUNK <= spans]
    with serving(data, **SOON) as service:
        for number in range(1, points[-1] + 1):
            cost_us = _took_us(service, MEASURED, number)
            if number in points:
                table.add_row(f"{number * CHUNK:,}", f"{cost_us:.1f}", *_sizes(data))
    return table


def with_open(data: Path, spans: int) -> Table:
    """Row = so many spans open, with what CHUNK spans of other runs cost."""
    table = _table("open spans", "CPU us/span of others", "CPU us/span to open them")
    points = [p for p in (0, 1, 5) if p * CHUNK <= spans]
    with serving(data, **NEVER_CLOSED | {"assemble__settle_ms": "1000"}) as service:
        opened, opening_us, number = 0, 0.0, 0
        for point in points:
            while opened < point:
                opened, number = opened + 1, number + 1
                opening_us = _took_us(service, _NEVER_COMPLETE, number)
            number += 1
            cost_us = _took_us(service, _COMPLETE, number)
            table.add_row(f"{opened * CHUNK:,}", f"{cost_us:.1f}", f"{opening_us:.1f}")
    return table


_NEVER_COMPLETE = ("crash_root_never_arrives",)
_COMPLETE = tuple(name for name in MEASURED if name not in _NEVER_COMPLETE)


def _took_us(service: Service, recordings: tuple[str, ...], number: int) -> float:
    start_ns = _BEGIN_NS + number * _CHUNK_NS
    bodies = list(amplify(recordings, CHUNK, seed=number, start_ns=start_ns))
    begin_s = time.monotonic()
    cost = service.take(bodies)
    read = service.spans_read()
    assert read == number * CHUNK, f"{number * CHUNK:,} spans were sent, {read:,} came through"
    took_us = cost.cpu_s / CHUNK * 1e6
    sys.stderr.write(f"chunk {number}: {took_us:.1f} us/span, {time.monotonic() - begin_s:.0f} s\n")
    return took_us


def _sizes(data: Path) -> list[str]:
    reader = LedgerReader(data / "ledger")
    snapshot = reader.snapshot()
    files = len(snapshot.ledger_files) + len(snapshot.span_files)
    counts = [f"{n:,}" for n in (snapshot.ledger_rows, files, reader.log_entries())]
    folders = [(data / "ledger").glob("index.db*"), (data / "journal").rglob("*")]
    return counts + [f"{sum(f.stat().st_size for f in each) / 2**20:.1f}" for each in folders]


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, justify="right")
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
