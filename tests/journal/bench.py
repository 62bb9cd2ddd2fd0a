"""What a large backlog costs: the time to the first answer after kill -9 with a large journal, and
the memory of the pipeline with many spans open.

    python -m tests.journal.bench start 1      with a journal of 1 GiB
    python -m tests.journal.bench open 1000000 with so many spans of runs whose root never came
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa

from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.schemas import REJECTS
from agentcost_collector.model.tables import empty
from agentcost_collector.settings import Settings
from tests.support.amplify import START_NS
from tests.support.collector import Collector, running
from tests.support.copies import copies
from tests.support.recordings import MEASURED, requests_of
from tests.support.walked import decode

GIB = 2**30
SPANS_PER_BATCH = 20_000
PERIOD_NS = 3600 * 10**9
LONG_MS = str(24 * 3600 * 1000)


def start_s(data: Path, gibibytes: float) -> tuple[float, float, float]:
    """GiB of a journal whose writer was killed, and seconds from the start of the service until it
    answers: with it, and with an empty one."""
    begin_s = time.monotonic()
    with running(data.with_name("empty")):
        empty_s = time.monotonic() - begin_s
    writer = multiprocessing.get_context("spawn").Process(
        target=_write_and_die, args=(data, int(gibibytes * GIB))
    )
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL, writer.exitcode
    size = _size(Settings(data=data).journal_path)
    begin_s = time.monotonic()
    with running(data):
        return size / GIB, time.monotonic() - begin_s, empty_s


def open_mib(data: Path, spans: int) -> tuple[int, float]:
    """Most spans that were open at once, and the most MiB that the pipeline process held."""
    settings = Settings(data=data)
    recorded = decode(requests_of("crash_root_never_arrives"))
    with Journal.open(settings.journal_path, settings.journal) as journal:
        written, first = 0, 0
        many = SPANS_PER_BATCH // recorded.num_rows
        while written < spans:
            batch = copies(recorded, many, first, START_NS, PERIOD_NS // 10**6)
            journal.append(batch, empty(REJECTS))
            written, first = written + batch.num_rows, first + many
    waiting = {"assemble__idle_ms": LONG_MS, "assemble__age_ms_max": LONG_MS}
    with running(data, **waiting) as collector:
        most, read = 0, 0
        while read < written:
            time.sleep(0.5)
            progress = _progress(data)
            read = progress.get("spans_read", 0)
            most = max(most, progress.get("spans_open", 0))
        return most, _held_mib(collector)


def _write_and_die(data: Path, size: int) -> None:
    settings = Settings(data=data)
    spans = decode(body for name in MEASURED for body in requests_of(name))
    journal = Journal.open(settings.journal_path, settings.journal)
    number = 0
    many = SPANS_PER_BATCH // spans.num_rows
    while _size(settings.journal_path) < size:
        batch = copies(spans, many, number * many, START_NS, PERIOD_NS // 10**6)
        journal.append(batch, empty(REJECTS))
        number += 1
    os.kill(os.getpid(), signal.SIGKILL)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir()) if folder.is_dir() else 0


def _progress(data: Path) -> dict[str, int]:
    try:
        return dict(json.loads((data / "progress.json").read_bytes()))
    except (OSError, ValueError):
        return {}


def _held_mib(collector: Collector) -> float:
    """The largest of the processes that the collector has started."""
    pid = collector.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    status = [Path(f"/proc/{child}/status").read_text() for child in [*children, str(pid)]]
    held = [line.split()[1] for text in status for line in text.splitlines() if "VmHWM" in line]
    return max(map(int, held)) / 1024


def main(what: str, much: float) -> None:
    """Prints the figure."""
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        data = Path(folder) / "data"
        if what == "start":
            size, took_s, empty_s = start_s(data, much)
            sys.stdout.write(
                f"a journal of {size:.2f} GiB, killed: answers after {took_s:.2f} s,"
                f" with an empty one after {empty_s:.2f} s\n"
            )
        else:
            most, held = open_mib(data, int(much))
            sys.stdout.write(f"{most:,} spans open: {held:,.0f} MiB resident at most\n")


if __name__ == "__main__":
    pa.set_cpu_count(1)
    main(sys.argv[1], float(sys.argv[2]))
