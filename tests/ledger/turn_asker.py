"""Asks for a ledger, says so, and keeps it until it is killed or its stdin ends.

python -m tests.ledger.turn_asker DIRECTORY
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger


def main(directory: Path) -> None:
    def wait(holder: str) -> None:
        print("waiting for", holder, flush=True)  # noqa: T201
        time.sleep(0.01)

    ledger = Ledger.open_in_turn(directory, "asker", Config(), wait)
    print("has it", flush=True)  # noqa: T201
    sys.stdin.read()
    ledger.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
