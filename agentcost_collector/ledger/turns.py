"""Who may commit: one process at a time, and a way to ask for the ledger.

    lock   held by the process that commits
    turn   held by one that asks, from asking until it is done

A service keeps `lock` for days; between two batches it looks whether somebody holds `turn`, and
then gives way. Who takes `lock` holds `turn` meanwhile, so nobody slips in before one that asked.
However a process ends, the kernel frees what it held.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

from agentcost_collector.model.errors import ConfigError, TransientError

LOCK = "lock"
TURN = "turn"

Wait = Callable[[str], None]
"""Called again and again, with who has the ledger, until it is free; pauses before it returns."""


class Turn:
    """The right to commit, until it is closed."""

    def __init__(self, *handles: int) -> None:
        self._handles = handles

    def close(self) -> None:
        """Give it up; the last that was taken goes first."""
        for handle in reversed(self._handles):
            os.close(handle)


def take(directory: Path, journal_id: str) -> Turn:
    """The right to commit, at once.

    ConfigError, naming the holder, where another process (or another Ledger) has it;
    TransientError where one has asked for it and will be done at some time.
    """
    turn = _locked(directory / TURN, journal_id)
    if isinstance(turn, str):
        raise TransientError(f"{directory} is in use by {turn}; try again when it is done")
    try:
        lock = _locked(directory / LOCK, journal_id)
    finally:
        os.close(turn)
    if isinstance(lock, str):
        raise ConfigError(
            f"{directory} is being written by {lock}; "
            "stop that process or use another data directory"
        )
    return Turn(lock)


def ask(directory: Path, journal_id: str, wait: Wait) -> Turn:
    """The right to commit, when whoever has it gives way or ends; only one asks at a time."""
    turn = _awaited(directory / TURN, journal_id, wait)
    try:
        return Turn(turn, _awaited(directory / LOCK, journal_id, wait))
    except BaseException:
        os.close(turn)
        raise


def is_wanted(directory: Path) -> bool:
    """Whether a process asks for the ledger, or has it because it asked."""
    try:
        handle = os.open(directory / TURN, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _awaited(path: Path, journal_id: str, wait: Wait) -> int:
    while isinstance(found := _locked(path, journal_id), str):
        wait(found)
    return found


def _locked(path: Path, journal_id: str) -> int | str:
    """A handle that holds the lock on `path`, or who holds it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(handle, 1000).decode(errors="replace").strip()
        os.close(handle)
        return holder or "another process"
    with contextlib.suppress(OSError):  # on a full disk the lock holds without a name
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} (journal {journal_id})\n".encode(), 0)
    return handle
