"""What people said of budgets: JSON lines, each with its own hash and that of the one before."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from agentcost_collector.budget.config import Budget
from agentcost_collector.model.errors import CorruptionError, TransientError

_FIRST = "0" * 64


class Kind(StrEnum):
    """What was said."""

    SIGNED = "signed"
    """The owner stands for the budget as it is."""
    ACKNOWLEDGED = "acknowledged"
    """It is known that a period is over its cap, and spending may go on until a day."""


@dataclass(frozen=True)
class Record:
    """Who said what, when."""

    at: str
    """ISO 8601, UTC."""
    kind: Kind
    budget: str
    digest: str
    """Of the budget as it was then."""
    by: str
    reason: str | None = None
    period: str | None = None
    """That is acknowledged."""
    until: date | None = None
    """First day on which an acknowledgement no longer holds."""

    def facts(self) -> dict[str, Any]:
        """As they stand in the file."""
        until = None if self.until is None else self.until.isoformat()
        facts = {**self.__dict__, "kind": str(self.kind), "until": until}
        return {name: value for name, value in facts.items() if value is not None}


@dataclass(frozen=True)
class Records:
    """All that was said, oldest first."""

    all: Sequence[Record]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Of a file; none where it is missing. CorruptionError, with the line, where one was
        edited, taken out or moved. A line that a crash cut short was never answered for."""
        try:
            lines = path.read_bytes().splitlines(keepends=True)
        except FileNotFoundError:
            return cls(())
        except OSError as fault:
            raise TransientError(f"{path}: cannot be read: {fault.strerror}") from fault
        return cls(tuple(_checked(path, lines)))

    def signed(self, budget: Budget) -> Record | None:
        """The last signature under the budget as it is now."""
        return self._last(budget, Kind.SIGNED)

    def acknowledged(self, budget: Budget, period: str, day: date) -> Record | None:
        """The last acknowledgement of a period that holds on `day`, of the budget as it is now."""
        last = self._last(budget, Kind.ACKNOWLEDGED, period)
        return last if last and last.until and day < last.until else None

    def _last(self, budget: Budget, kind: Kind, period: str | None = None) -> Record | None:
        wanted = (kind, budget.name, budget.digest, period)
        said = (r for r in reversed(self.all) if (r.kind, r.budget, r.digest, r.period) == wanted)
        return next(said, None)


def append(path: Path, record: Record) -> None:
    """Adds a record, durable on return. TransientError where the disk refused, CorruptionError as
    `Records.read`."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            lines = file.read().splitlines(keepends=True)
            known = _checked(path, lines)
            whole = sum(len(line) for line in lines[: len(known)])
            prev = json.loads(lines[len(known) - 1])["hash"] if known else _FIRST
            file.truncate(whole)
            facts = {**record.facts(), "prev": prev}
            file.write(json.dumps({**facts, "hash": _hash(facts)}, sort_keys=True).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as fault:
        raise TransientError(f"{path}: cannot be written: {fault.strerror}") from fault


def _checked(path: Path, lines: Sequence[bytes]) -> list[Record]:
    records = []
    prev = _FIRST
    for number, line in enumerate(lines, start=1):
        if number == len(lines) and not line.endswith(b"\n"):
            break
        try:
            facts = json.loads(line)
            digest = facts.pop("hash")
            if digest != _hash(facts) or facts.pop("prev") != prev:
                raise ValueError("not what was written")
            records.append(_record(facts))
        except (ValueError, KeyError, TypeError, AttributeError) as fault:
            raise CorruptionError(
                f"{path}:{number}: this record was changed, or one before it taken out; restore the"
                " file from a backup"
            ) from fault
        prev = digest
    return records


def _record(facts: Mapping[str, Any]) -> Record:
    until = facts.get("until")
    return Record(
        **{
            **facts,
            "kind": Kind(facts["kind"]),
            "until": None if until is None else date.fromisoformat(until),
        }
    )


def _hash(facts: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
