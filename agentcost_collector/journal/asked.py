"""Requests to release rows of the quarantine: small files, written by whoever asks, carried out and
removed by the one writer.

They are files for the reason that the mark is one: the database has a single writer. A request
that is lost or carried out twice does no harm: a row is released once, or is still kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from agentcost_collector.model.errors import TransientError

_PREFIX = "release-"


@dataclass(frozen=True, slots=True)
class Asked:
    """Which rows to release, and whether to repair their spans."""

    numbers: tuple[int, ...]
    repair: bool


def ask(directory: Path, journal_id: str, numbers: Sequence[int], repair: bool) -> Path:
    """Writes a request; its file is gone when it has been carried out."""
    path = directory / f"{_PREFIX}{uuid.uuid4().hex}.json"
    temporary = path.with_suffix(".new")
    asked = {"journal_id": journal_id, "numbers": list(numbers), "repair": repair}
    try:
        handle = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(asked, file)
        temporary.replace(path)
    except OSError as error:
        raise TransientError(f"Cannot write {path}: {error.strerror}.") from error
    return path


def requests(directory: Path, journal_id: str) -> Iterator[tuple[Path, Asked]]:
    """The requests that are there. One that is torn, or of another journal, asks for nothing."""
    for path in sorted(directory.glob(f"{_PREFIX}*.json")):
        asked = Asked((), False)
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            read = json.loads(path.read_bytes())
            if read["journal_id"] == journal_id:
                asked = Asked(tuple(map(int, read["numbers"])), read["repair"] is True)
        yield path, asked
