"""The real receiver process, which also tells its CPU time when asked with SIGUSR1.

Run by `tests.bench.load`: python -m tests.bench.receiver DATA
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from agentcost_collector.intake import run_receiver
from agentcost_collector.settings import load_settings


def main(data: str) -> None:
    """Serves until SIGTERM. Prints its gRPC address once, then CPU seconds for every SIGUSR1."""
    signal.signal(signal.SIGUSR1, lambda *_: _tell(f"{time.process_time():.9f}"))
    listen = {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}
    settings = load_settings(flags={"data": Path(data), "receive": listen, "health": ""})
    run_receiver(settings, lambda addresses: _tell(addresses.grpc))


def _tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
