"""Upkeep of the ledger by the service, in the pauses of its work."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

import structlog

from agentcost_collector.ledger.ledger import Ledger
from agentcost_collector.ledger.upkeep import Upkeep

log = structlog.get_logger(__name__)

_HOUR_NS = 3600 * 10**9
_COMMITS = 500  # after so many the ledger is looked after, however little time has passed


class Caretaker:
    """Upkeep of the ledger between two turns of the follower, a bounded piece at a time."""

    def __init__(self, ledger: Ledger, every_h: float) -> None:
        self._ledger = ledger
        self._every_ns = every_h * _HOUR_NS
        self._due_ns: float = 0
        self._batch_seq = ledger.batch_seq
        self._pieces: Iterator[Upkeep] = iter(())

    def step(self, now_ns: int, steady_ns: int) -> bool:
        """Does the next piece of what is due. False when there is nothing to do."""
        committed = self._ledger.batch_seq - self._batch_seq
        if self._every_ns and (steady_ns >= self._due_ns or committed >= _COMMITS):
            self._due_ns = steady_ns + self._every_ns
            self._batch_seq = self._ledger.batch_seq
            self._pieces = self._ledger.upkeep(now_ns)
        piece = next(self._pieces, None)
        if piece is None:
            return False
        for refusal in piece.refused:
            log.error("compaction_refused", error=refusal)
        if piece.files_merged or piece.spans_retired or piece.files_deleted:
            log.info("ledger_looked_after", **_said(piece))
        return True


def _said(piece: Upkeep) -> dict[str, int]:
    """What was done, without what was not."""
    return {name: done for name, done in asdict(piece).items() if done and name != "refused"}
