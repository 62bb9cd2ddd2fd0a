"""Sends what was raised and not yet sent: to all doors at once, so that none waits for another."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Sequence
from pathlib import Path

from agentcost_collector.alert.doors import Door
from agentcost_collector.alert.record import Raised, Record
from agentcost_collector.model.errors import TransientError


class Sender:
    """Tells doors what they were not told, each in a thread of its own.

    A crash between the answer of a door and its note sends it again. A door is not told while
    another process tells it.
    """

    def __init__(self, data: Path, doors: Sequence[Door], timeout_s: float) -> None:
        self._data = data
        self._doors = doors
        self._timeout_s = timeout_s
        self._record = Record(data)
        self._telling: dict[str, _Telling] = {}

    def send(self, now_ns: int, due: Collection[str] | None = None) -> dict[str, str]:
        """Tells each door, or those whose names are `due`; why those that did not take it did not,
        by name.

        Takes at most `timeout_s`: what has not answered by then stays noted as not sent, and is
        told nothing more before it has given up.
        """
        self._record.refresh()
        asked = [door for door in self._doors if due is None or door.name in due]
        for door in asked:
            if not self._is_busy(door) and any(_untold(self._record, door)):
                self._telling[door.name] = _Telling(self._data, door, now_ns)
                self._telling[door.name].start()
        end_s = time.monotonic() + self._timeout_s
        for door in asked:
            if self._is_busy(door):
                self._telling[door.name].join(max(0, end_s - time.monotonic()))
        return {door.name: fault for door in asked if (fault := self._fault(door))}

    def _is_busy(self, door: Door) -> bool:
        return door.name in self._telling and self._telling[door.name].is_alive()

    def _fault(self, door: Door) -> str | None:
        if self._is_busy(door):
            return f"{door.name}: no answer within {self._timeout_s:g} s"
        done = self._telling.pop(door.name, None)
        return done.fault if done else None


class _Telling(threading.Thread):
    """Tells one door, and notes what it took."""

    def __init__(self, data: Path, door: Door, now_ns: int) -> None:
        super().__init__(name="alert door", daemon=True)
        self._record = Record(data)
        self._door = door
        self._now_ns = now_ns
        self.fault: str | None = None

    def run(self) -> None:
        try:
            with self._record.telling(self._door.name) as ours:
                if ours:
                    self._tell()
        except TransientError as error:
            self.fault = str(error)
        except Exception as error:  # its words could hold the address of the door
            self.fault = f"{self._door.name}: {type(error).__name__}"

    def _tell(self) -> None:
        self._record.refresh()
        raised, over = _untold(self._record, self._door)
        for told, event in ((raised, "raised"), (over, "resolved")):
            if told:
                self._door.tell(told)
                self._record.note_sent(told, self._door.name, event, self._now_ns)


def _untold(record: Record, door: Door) -> tuple[list[Raised], list[Raised]]:
    """What the door has still to be told: what was raised, what is over."""
    raised = [r for r in record.raised if r.waiting(door.name)]
    over = [r for r in record.raised if door.takes_resolved and _is_over(r, door.name)]
    return raised, over


def _is_over(raised: Raised, door: str) -> bool:
    told = {event for name, event in raised.sent if name == door}
    return raised.resolved_ns is not None and told == {"raised"}
