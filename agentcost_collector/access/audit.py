"""The audit log: JSON lines of who read or changed what, appended whole, mode 0600."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

_log = structlog.get_logger(__name__)

BYTES_MAX = 64 * 2**20
"""Beyond it the file is set aside under the time of its end, and a new one begun. None is removed:
how long they are kept is for those to say whom they are kept for."""

TEXT_CHARS_MAX = 8192
"""A longer text is cut; its length is noted."""


class AuditLog:
    """Appends to one file, beside other processes that do the same."""

    def __init__(self, path: Path, bytes_max: int = BYTES_MAX) -> None:
        self.path = path
        self._bytes_max = bytes_max

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds `entry` and the time. Raises OSError where it cannot be written."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, **_short(entry)}).encode() + b"\n"  # ASCII, nothing raw
        handle = self._opened()
        try:
            self._whole(handle)
            written = os.write(handle, line)
            if written < len(line):
                raise OSError(28, "only part of a line could be written", str(self.path))
        finally:
            os.close(handle)

    def try_append(self, entry: Mapping[str, Any]) -> None:
        """As `append`; where that fails, says so in the service's log."""
        try:
            self.append(entry)
        except OSError as fault:
            _log.error("audit_not_written", path=str(self.path), error=fault.strerror)

    def _opened(self) -> int:
        """The file, locked; one that is full is set aside first."""
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while True:
            handle = os.open(self.path, flags, 0o600)
            fcntl.flock(handle, fcntl.LOCK_EX)
            now = os.fstat(handle)
            with contextlib.suppress(FileNotFoundError):
                if os.stat(self.path).st_ino == now.st_ino:
                    if now.st_size < self._bytes_max:
                        return handle
                    ended = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
                    self.path.rename(self.path.with_stem(f"{self.path.stem}-{ended}"))
            os.close(handle)  # it was set aside, by us or by another process

    @staticmethod
    def _whole(handle: int) -> None:
        """Ends a line that was cut by a full disk or a crash, so that the next is a line."""
        size = os.fstat(handle).st_size
        if size and os.pread(handle, 1, size - 1) != b"\n":
            os.write(handle, b"\n")


def _short(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _short(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_short(inner) for inner in value]
    if isinstance(value, str) and len(value) > TEXT_CHARS_MAX:
        return f"{value[:TEXT_CHARS_MAX]}... ({len(value)} characters)"
    return value
