"""Flame graphs of the running service under the load of the benchmark, one per process.

py-spy looks at both processes while requests are sent to them, which needs the right to trace
processes (root, or kernel.yama.ptrace_scope=0).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from agentcost_collector.cli.children import PIPELINE, RECEIVER
from tests.bench.load import connected, export_all
from tests.support.amplify import amplified_file
from tests.support.collector import running
from tests.support.recordings import ROOT, read_frames

PLACE = ROOT / "build" / "profile"
_PY_SPY = Path(sys.executable).with_name("py-spy")


def main(arguments: list[str]) -> None:
    """Writes build/profile/receiver.svg and build/profile/pipeline.svg."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.profile", description=__doc__)
    parser.add_argument("--spans", type=int, default=200_000, help="default: 200000")
    parser.add_argument("--seconds", type=int, default=20, help="looked at, default: 20")
    options = parser.parse_args(arguments)
    with amplified_file(ROOT / "build", options.spans).open("rb") as file:
        bodies = list(read_frames(file))
    PLACE.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix="agentcost-profile-") as folder,
        running(Path(folder) / "data", assemble__settle_ms="1000") as service,
        connected(service.grpc) as exports,
    ):
        children = children_of(service.process.pid)
        spies = [spy(children[name], name, options.seconds) for name in (RECEIVER, PIPELINE)]
        export_all(exports, bodies)
        failed = [said for said in map(_finished, spies) if said]
    if failed:
        sys.exit(f"py-spy could not look at the service: {failed[0]}")
    for path in sorted(PLACE.glob("*.svg")):
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")


def children_of(pid: int) -> dict[str, int]:
    """Process ids of the children of `pid`, by the name of the command that each one runs."""
    task = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
    found = {}
    for child in map(int, task.split()):
        words = Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
        found |= {word: child for word in words if word in (RECEIVER, PIPELINE)}
    return found


def spy(pid: int, name: str, seconds: int) -> subprocess.Popen[str]:
    """py-spy on all threads of `pid`, those that wait left out, native code included."""
    output = PLACE / f"{name.strip('_')}.svg"
    output.unlink(missing_ok=True)
    record: Sequence[str | Path] = [_PY_SPY, "record", "--pid", str(pid), "--output", output]
    how = ["--duration", str(seconds), "--rate", "200", "--nonblocking"]
    return subprocess.Popen(
        [*record, *how], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def _finished(process: subprocess.Popen[str]) -> str:
    """What it said where it failed, in one line."""
    said = process.communicate()[1]
    return " ".join(said.split())[-300:] if process.returncode else ""


if __name__ == "__main__":
    main(sys.argv[1:])
