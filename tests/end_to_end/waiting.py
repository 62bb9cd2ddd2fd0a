"""Waiting for a ledger without guessing how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from agentcost_collector.ledger.reader import LedgerReader

WAIT_S = 120
PAUSE_S = 0.05


def until(done: Callable[[], bool], what: str) -> None:
    """Polls until `done`; AssertionError naming `what` when it never is."""
    deadline = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline, f"still no {what} after {WAIT_S} s"
        time.sleep(PAUSE_S)


def span_rows(data: Path) -> int:
    """Evidence rows of the ledger in `data`; 0 where there is none yet."""
    return LedgerReader(data / "ledger").snapshot().span_rows
