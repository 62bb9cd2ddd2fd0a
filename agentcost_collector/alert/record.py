"""What was raised, where it was sent, and what is over: `<data>/alerts.jsonl`.

One JSON object a line: `raised`, `sent` (to one door) and `resolved`. Lines are only added, until
`forget` replaces the file. The service and `agentcost nightly` may both write: a lock makes them
take turns.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from agentcost_collector.alert.rules import Alert
from agentcost_collector.model.errors import TransientError

Key = tuple[str, str, str]

_DAY_NS = 24 * 3600 * 10**9
_KEPT_DAYS = 35
_BUDGETS_KEPT_DAYS = 400
"""Longer than any period lasts in which an alert is raised only once: the year of a budget, for all
other rules a day, or as long as a trace is open."""


@dataclass
class Raised:
    """An alert that was raised."""

    number: int
    """From 1, in the order in which they were raised; kept as long as the alert is."""
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

    @property
    def kept_ns(self) -> int:
        """How long it has to be known, for it to be raised once."""
        return (_BUDGETS_KEPT_DAYS if self.alert.rule == "budget" else _KEPT_DAYS) * _DAY_NS

    def lines(self) -> Iterator[dict[str, Any]]:
        """It as in the file."""
        at = {"event": "raised", "number": self.number, "at_ns": self.at_ns}
        yield {**at, "doors": self.doors, **asdict(self.alert)}
        for door, event in sorted(self.sent):
            yield {"event": "sent", "number": self.number, "door": door, "of": event}
        if self.resolved_ns is not None:
            yield {"event": "resolved", "at_ns": self.resolved_ns, "number": self.number}


class Record:
    """The record as far as it was read. Raises TransientError where the file cannot be used."""

    def __init__(self, data: Path) -> None:
        self._path = data / "alerts.jsonl"
        self._file = 0  # its inode
        self._read_to = 0
        self._by_number: dict[int, Raised] = {}

    @property
    def raised(self) -> list[Raised]:
        """In the order in which they were raised."""
        return list(self._by_number.values())

    def refresh(self) -> None:
        """Reads what was added. A line that a crash cut or damaged is left out: what it said is
        raised or sent again."""
        try:
            with self._path.open("rb") as file:
                at = os.fstat(file.fileno())
                if at.st_ino != self._file or at.st_size < self._read_to:  # it was replaced
                    self._file, self._read_to, self._by_number = at.st_ino, 0, {}
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
            before = set(self._by_number)
            levels: dict[Key, Decimal] = {}
            for raised in self.raised:
                key, level = raised.alert.key, Decimal(raised.alert.level)
                levels[key] = max(levels.get(key, level), level)
            now_so = {alert.key for alert in alerts}
            lines: list[dict[str, Any]] = []
            for alert in alerts:
                if alert.key not in levels or Decimal(alert.level) > levels[alert.key]:
                    number = max(self._by_number, default=0) + len(lines) + 1
                    at = {"event": "raised", "number": number, "at_ns": now_ns}
                    lines.append({**at, "doors": list(doors), **asdict(alert)})
            for raised in self.raised:
                alert = raised.alert
                over = alert.rule in looked_at and alert.key not in now_so
                if over and raised.resolved_ns is None:
                    lines.append({"event": "resolved", "at_ns": now_ns, "number": raised.number})
            self._append(lines)
            self.refresh()
            return [raised for raised in self.raised if raised.number not in before]

    def forget(self, doors: Collection[str], now_ns: int) -> int:
        """Replaces the file by one without alerts that are too old to be raised again and that all
        of `doors` that should have them have; how many those were.

        The last one always stays, so that no number is given twice.
        """
        with self._locked("alerts.lock"):
            self.refresh()
            kept = [
                raised
                for raised in self.raised
                if now_ns - raised.at_ns < raised.kept_ns or any(map(raised.waiting, doors))
            ]
            kept = kept or self.raised[-1:]
            gone = len(self._by_number) - len(kept)
            if gone:
                self._replace("".join(json.dumps(x) + "\n" for r in kept for x in r.lines()))
            return gone

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
    def telling(self, door: str) -> Iterator[bool]:
        """Whether it is our turn to tell a door; False while somebody else does."""
        name = re.sub(r"[^a-z0-9]+", "-", door.lower()).strip("-")
        with self._locked(f"alerts.{name}.lock", fcntl.LOCK_EX | fcntl.LOCK_NB) as ours:
            yield ours

    def _take(self, line: dict[str, Any]) -> None:
        if line["event"] == "raised":
            alert = Alert(**{f.name: line[f.name] for f in fields(Alert)})
            Decimal(alert.level)
            number = int(line.get("number", len(self._by_number) + 1))
            self._by_number[number] = Raised(number, alert, line["at_ns"], tuple(line["doors"]))
            return
        raised = self._by_number[line["number"]]
        if line["event"] == "resolved":
            raised.resolved_ns = line["at_ns"]
        else:
            raised.sent.add((line["door"], line["of"]))

    def _replace(self, text: str) -> None:
        fresh = self._path.with_name(f".{self._path.name}.new")
        try:
            with fresh.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            self._sync_folder()
        except OSError as fault:
            raise self._unusable(fault) from fault

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
                self._sync_folder()
        except OSError as fault:
            raise self._unusable(fault) from fault

    def _sync_folder(self) -> None:
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

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
