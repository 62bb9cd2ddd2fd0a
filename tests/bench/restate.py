"""CPU time and peak memory of `agentcost restate` over a large ledger.

The ledger holds copies of the recordings under fresh ids, spread over a week and committed in
pieces, as a service would have. Each restatement runs as a user runs it, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from agentcost_collector.kernel import Rulebook, in_order
from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.memory import keep_freed_memory
from agentcost_collector.settings import Settings
from agentcost_collector.settle import Settler
from tests.support.cards import with_output_price
from tests.support.collector import environment
from tests.support.copies import copies
from tests.support.recordings import MEASURED, ROOT, requests_of
from tests.support.walked import decode

START_NS = 1_793_000_000_000_000_000
WEEK_NS = 7 * 86_400 * 10**9
COPIES_PER_COMMIT = 250
COMMAND = [sys.executable, "-m", "agentcost_collector.cli", "restate", "--from", "2026-10-01"]
MIB = 1024 * 1024


def main(arguments: list[str]) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.restate", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="default: 1000000")
    options = parser.parse_args(arguments)
    table = Table("restatement", "CPU s", "wall s", "peak MiB", "spans", "steps", "entries")
    for column in table.columns[1:]:
        column.justify = "right"
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        data = Path(folder) / "data"
        fill(data, options.steps)
        for title, settings in scenarios(Path(folder)):
            for run in (title, "  the same again"):
                figures = measure(data, settings)
                table.add_row(run, *(f"{value:,}" for value in figures))
    Console(width=120).print(table)


def fill(
    data: Path,
    steps: int,
    copies_per_commit: int = COPIES_PER_COMMIT,
    period_ns: int = WEEK_NS,
) -> None:
    """Settles enough copies of the recordings for `steps` steps."""
    keep_freed_memory()
    spans = decode(body for name in MEASURED for body in requests_of(name))
    settings = Settings(data=data)
    with Ledger.open(settings.ledger_path, "bench", settings.ledger) as ledger:
        settler = Settler(ledger, Rulebook.of(settings), settings)
        _, of_one = settler.settle(copies(spans, 1, 0, START_NS, 0), {}, START_NS)
        count = -(-steps // of_one)
        for first in range(1, count, copies_per_commit):
            many = min(copies_per_commit, count - first)
            part = in_order(copies(spans, many, first, START_NS, period_ns // count))
            settler.settle(part, {}, START_NS + period_ns)


def scenarios(folder: Path) -> list[tuple[str, list[str]]]:
    """Title and flags: nothing changed, one price corrected, a default for untagged steps."""
    cards = with_output_price(folder / "cards", "0.55", "2026-10-10T00:00:00Z")
    policy = folder / "policy.yaml"
    policy.write_text("schema: agentcost.policy/v1\ntags:\n  tenant: {default: acme}\n")
    return [
        ("nothing changed", []),
        ("one price corrected", ["--rate-cards", str(cards)]),
        ("a tag of every step", ["--rate-cards", str(cards), "--policy", str(policy)]),
    ]


def measure(data: Path, flags: list[str]) -> tuple[float, float, int, int, int, int]:
    """CPU seconds, seconds by the clock, peak MiB; spans, steps and entries of one restatement."""
    begin_s = time.perf_counter()
    process = subprocess.Popen(
        [*COMMAND, "--data", str(data), *flags, "--format", "json"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(data, {}),
    )
    assert process.stdout is not None
    facts: dict[str, Any] = json.load(process.stdout)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"restate ended with {process.returncode}"
    return (
        round(used.ru_utime + used.ru_stime, 1),
        round(time.perf_counter() - begin_s, 1),
        used.ru_maxrss * 1024 // MIB,
        facts["spans"],
        facts["steps"],
        facts["entries"],
    )


if __name__ == "__main__":
    main(sys.argv[1:])
