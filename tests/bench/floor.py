"""The floor: protobuf's own parser alone, in a fresh process.

A process of its own, because the figure hangs on the allocator: by default glibc hands the memory
of every parsed request back and faults it in again for the next, which costs as much as the
parsing. A heap that something else has filled keeps it. Both are measured, each on purpose.

Run by `tests.bench`: python -m tests.bench.floor FILE
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.recordings import ROOT, read_frames

_KEEP_MEMORY = {"MALLOC_TRIM_THRESHOLD_": str(1 << 30)}


def parse_alone(path: Path, keep_memory: bool = False) -> float:
    """CPU seconds to parse every request of `path`, each dropped at once."""
    command = [sys.executable, "-m", "tests.bench.floor", str(path)]
    kept = _KEEP_MEMORY if keep_memory else {}
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | kept, check=True, stdout=subprocess.PIPE
    )
    return float(done.stdout)


def main(path: str) -> None:
    """Prints the CPU seconds."""
    with Path(path).open("rb") as file:
        bodies = list(read_frames(file))
    before_s = time.process_time()
    for body in bodies:
        ExportTraceServiceRequest.FromString(body)
    sys.stdout.write(f"{time.process_time() - before_s:.9f}\n")


if __name__ == "__main__":
    main(sys.argv[1])
