"""CPU microseconds per span of every stage, and their sum against the floor.

The floor is protobuf's own parser over the same bytes: what any program pays that reads them. A
figure is the least of three runs, all threads counted. `receive` is a real receiver process that is
sent the requests over gRPC and commits them to its journal; the sender is counted apart.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.bench import load, stages
from tests.bench.floor import parse_alone
from tests.support.amplify import amplified_file
from tests.support.recordings import ROOT, read_frames

RUNS = 3
STAGES = ("receive", *dict.fromkeys(stage for *_, stage in stages.STAGES), stages.BETWEEN)
KEPT = "the same, heap kept"
NOTES = {
    "receive": "gRPC, decode, journal; its own process",
    "look up": "what is in the ledger of these traces",
    "write": "spans and entries to the ledger",
    stages.BETWEEN: "sorting, joining and cutting tables in the pipeline",
}


def main(arguments: list[str]) -> None:
    """Prints a table, or JSON with `--json`."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000, help="default: 200000")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    figures = measure(amplified_file(ROOT / "build", options.spans), options.spans)
    if options.json:
        sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    else:
        Console().print(_table(figures))


def measure(path: Path, spans: int) -> dict[str, float]:
    """CPU microseconds per span: the floor, every stage, the sum, and its ratio to the floor."""
    with path.open("rb") as file:
        bodies = list(read_frames(file))
    runs = []
    with tempfile.TemporaryDirectory(prefix="agentcost-bench-") as folder:
        for run in range(RUNS):
            data = Path(folder) / str(run)
            parsed = {"floor": parse_alone(path), KEPT: parse_alone(path, keep_memory=True)}
            sent = load.send_all(data, bodies)
            took = {"receive": sent.receiver_s, "sender": sent.sender_s, "wall": sent.wall_s}
            runs.append({**parsed, **took, **stages.settle(data, spans)})
    least = {name: min(run[name] for run in runs) / spans * 1e6 for name in runs[0]}
    received_per_s = 1e6 / least.pop("wall")
    total = sum(least[name] for name in STAGES)
    return {
        **least,
        "sum": total,
        "ratio": total / least["floor"],
        "received per second": received_per_s,
        "bytes per span": sum(map(len, bodies)) / spans,
    }


def _table(figures: dict[str, float]) -> Table:
    table = Table("stage", "CPU us/span", "", title="least of three runs, all threads")
    table.columns[1].justify = "right"
    table.add_row("floor: protobuf parse alone", f"{figures['floor']:.2f}")
    table.add_row(KEPT, f"{figures[KEPT]:.2f}", "see tests/bench/floor.py", end_section=True)
    for name in STAGES:
        table.add_row(name, f"{figures[name]:.2f}", NOTES.get(name))
    kernel = sum(figures[name] for name in ("normalise", "attribute", "price"))
    table.add_section()
    table.add_row("kernel (normalise, attribute, price)", f"{kernel:.2f}")
    table.add_row("sum of stages", f"{figures['sum']:.2f}")
    kept = f"{figures['sum'] / figures[KEPT]:.1f} x with the heap kept"
    table.add_row("sum / floor", f"{figures['ratio']:.1f} x", kept, end_section=True)
    table.add_row("sender, not in the sum", f"{figures['sender']:.2f}")
    table.add_row(
        "received spans/s, sender on the same cores", f"{figures['received per second']:,.0f}"
    )
    table.add_row("bytes per span on the wire", f"{figures['bytes per span']:,.0f}")
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
