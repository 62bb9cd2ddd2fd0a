"""What a night and each report take on a large ledger: the first night, which sums up all of it,
and the one after a day with new entries.

Everything runs as a user runs it, in a process of its own, starting included.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agentcost_collector.report.reports import REPORTS
from tests.bench import generate_ledger
from tests.bench.generate_ledger import last_day
from tests.support.collector import environment
from tests.support.recordings import ROOT

MIB = 1024 * 1024


def main(arguments: list[str]) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.nightly", description=__doc__)
    parser.add_argument("data", type=Path, help="data folder of a ledger, which gets a day more")
    parser.add_argument("--steps", type=int, default=10_000_000, help="of 90 days, as it was made")
    options = parser.parse_args(arguments)
    table = Table("command", "wall s", "CPU s", "peak MiB")
    for column in table.columns[1:]:
        column.justify = "right"
    data: Path = options.data
    shutil.rmtree(data / "rollups", ignore_errors=True)
    month = f"{last_day(data):%Y-%m}"
    table.add_row("first nightly", *measured(data, "nightly", "--period", month))
    generate_ledger.main([str(data), "--more", "--steps", str(options.steps)])
    table.add_row("nightly a day later", *measured(data, "nightly", "--period", month))
    for name in REPORTS:
        figures = measured(data, "report", name, "--period", month)
        table.add_row(f"report {name}", *figures)
    Console(width=80).print(table)


def measured(data: Path, *command: str) -> tuple[str, str, str]:
    """Seconds by the clock, of processor time, and memory of one command."""
    begin_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "agentcost_collector.cli", *command, "--data", str(data)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        env=environment(data, {}),
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{command[0]} ended with {process.returncode}"
    return (
        f"{time.perf_counter() - begin_s:.1f}",
        f"{used.ru_utime + used.ru_stime:.1f}",
        f"{used.ru_maxrss * 1024 // MIB}",
    )


if __name__ == "__main__":
    main(sys.argv[1:])
