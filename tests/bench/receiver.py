"""The real receiver process, which also tells its CPU time when asked with SIGUSR1.

Run by `tests.bench.load`: python -m tests.bench.receiver DATA GRPC HTTP
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from agentcost_collector.pipeline import run_receiver
from agentcost_collector.settings import load_settings


def main(data: str, grpc: str, http: str) -> None:
    """Serves until SIGTERM. One line of CPU seconds, all threads, for every SIGUSR1."""

    def tell(*_: object) -> None:
        sys.stdout.write(f"{time.process_time():.9f}\n")
        sys.stdout.flush()

    signal.signal(signal.SIGUSR1, tell)
    run_receiver(load_settings(flags={"data": Path(data), "receive": {"grpc": grpc, "http": http}}))


if __name__ == "__main__":
    main(*sys.argv[1:])
