"""What was raised, where it was sent, and what is over: `<data>/alerts.jsonl`.

One JSON object a line, only ever added to: `raised`, `sent` (to one door) and `resolved`. The
service and `agentcost nightly` may both write: a lock makes them take turns.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from agentcost_collector.alert.rules import Alert
from agentcost_collector.model.errors import TransientError

Key = tuple[str, str, str]


@dataclass
class Raised:
    """An alert that was raised."""

    number: int
    """From 1, in the order in which they were raised."""
    alert: Alert
    at_ns: int
    doors: tuple[str, ...]
    """Where it should go."""
    resolved_ns: int | None = None
    sent: set[tuple[str, str]] = field(default_factory=set)
    """Door and what it was told: raised or resolved."""

    def waiting(self, door: str) -> bool:
        """Whether the door has still to be told of it."""
        return door in self.doors and (door, "raised") not in self.sent


class Record:
    """The record as far as it was read. Raises TransientError where the file cannot be used."""

    def __init__(self, data: Path) -> None:
        self._path = data / "alerts.jsonl"
        self._read_to = 0
        self.raised: list[Raised] = []

    def refresh(self) -> None:
        """Reads what was added. A line that a crash cut or damaged is left out: what it said is
        raised or sent again."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._read_to)
                added = file.read()
        except FileNotFoundError:
            return
        except OSError as fault:
            raise self._unusable(fault) from fault
        whole = added[: added.rfind(b"\n") + 1]
        self._read_to += len(whole)
        for line in whole.splitlines():
            try:
                self._take(json.loads(line))
            except (ValueError, TypeError, KeyError, IndexError):
                continue

    def raise_new(
        self, alerts: Sequence[Alert], looked_at: Collection[str], doors: Sequence[str], now_ns: int
    ) -> list[Raised]:
        """Notes those of `alerts` that are new, to be sent to `doors`, and as resolved what was
        raised by one of the rules `looked_at` and is no longer among them. What is new."""
        with self._locked("alerts.lock"):
            self.refresh()
            before = len(self.raised)
            levels: dict[Key, Decimal] = {}
            for raised in self.raised:
                key, level = raised.alert.key, Decimal(raised.alert.level)
                levels[key] = max(levels.get(key, level), level)
            now_so = {alert.key for alert in alerts}
            lines: list[dict[str, Any]] = []
            for alert in alerts:
                if alert.key not in levels or Decimal(alert.level) > levels[alert.key]:
                    lines.append(
                        {"event": "raised", "at_ns": now_ns, "doors": list(doors), **asdict(alert)}
                    )
            for raised in self.raised:
                alert = raised.alert
                over = alert.rule in looked_at and alert.key not in now_so
                if over and raised.resolved_ns is None:
                    lines.append({"event": "resolved", "at_ns": now_ns, "number": raised.number})
            self._append(lines)
            self.refresh()
            return self.raised[before:]

    def note_sent(self, told: Sequence[Raised], door: str, event: str, now_ns: int) -> None:
        """The door has answered that it has them."""
        with self._locked("alerts.lock"):
            self._append(
                [
                    {
                        "event": "sent",
                        "at_ns": now_ns,
                        "number": r.number,
                        "door": door,
                        "of": event,
                    }
                    for r in told
                ]
            )
        self.refresh()

    @contextmanager
    def sending(self) -> Iterator[bool]:
        """Whether it is our turn to send; False while another process does."""
        with self._locked("alerts.sending.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as ours:
            yield ours

    def _take(self, line: dict[str, Any]) -> None:
        if line["event"] == "raised":
            alert = Alert(**{f.name: line[f.name] for f in fields(Alert)})
            Decimal(alert.level)
            number = len(self.raised) + 1
            self.raised.append(Raised(number, alert, line["at_ns"], tuple(line["doors"])))
            return
        raised = self.raised[line["number"] - 1]
        if line["event"] == "resolved":
            raised.resolved_ns = line["at_ns"]
        else:
            raised.sent.add((line["door"], line["of"]))

    def _append(self, lines: Sequence[dict[str, Any]]) -> None:
        if not lines:
            return
        text = "".join(json.dumps(line) + "\n" for line in lines).encode()
        try:
            new = not self._path.exists()
            with self._path.open("a+b") as file:
                if file.tell():
                    file.seek(-1, os.SEEK_END)
                    text = (b"" if file.read(1) == b"\n" else b"\n") + text
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            if new:
                folder = os.open(self._path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as fault:
            raise self._unusable(fault) from fault

    @contextmanager
    def _locked(self, name: str, how: int = fcntl.LOCK_EX) -> Iterator[bool]:
        try:
            lock = os.open(self._path.with_name(name), os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as fault:
            raise self._unusable(fault) from fault
        try:
            try:
                fcntl.flock(lock, how)
            except BlockingIOError:
                yield False
                return
            yield True
        finally:
            os.close(lock)

    def _unusable(self, fault: OSError) -> TransientError:
        return TransientError(f"{self._path}: cannot be used: {fault.strerror}")
