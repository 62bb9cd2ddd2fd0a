"""Whether the service can take in more: what a load balancer or an orchestrator wants to know.

The receiver process is ready while its journal takes what arrives, its disk has room, and a
pipeline process lives. It asks itself twice a second; probes are told the last answer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog

from agentcost_collector.journal.writer import Journal
from agentcost_collector.model.errors import CorruptionError, TransientError
from agentcost_collector.model.payload import Outcome, Payload, Store

_log = structlog.get_logger(__name__)

FREE_BYTES_MIN = 256 * 2**20
"""Below it the disk of the journal counts as full: its log and a few large requests need that."""


class Readiness:
    """What is wrong now. One thread asks, any thread reads."""

    def __init__(self, journal: Journal, folder: Path, pipeline_lock: Path) -> None:
        """Not ready before the first `look`. `folder`: of the journal."""
        self.faults: Sequence[str] = ("The service is starting.",)
        """Sentences; none where it is ready."""
        self._journal = journal
        self._folder = folder
        self._pipeline_lock = pipeline_lock
        self._store_failed = False
        self._ceased = False

    def watched(self, store: Store) -> Store:
        """`store`, whose failures are noted until a write succeeds."""

        def watch(payloads: Sequence[Payload]) -> Sequence[Outcome]:
            try:
                outcomes = store(payloads)
            except (TransientError, CorruptionError):
                self._store_failed = True
                raise
            self._store_failed = False
            return outcomes

        return watch

    def look(self) -> bool:
        """Brings `faults` up to date; the log has when it ceased to be ready, and was again."""
        before, self.faults = self.faults, tuple(self._found())
        if self.faults and not before:
            _log.error("not_ready", faults=list(self.faults))
            self._ceased = True
        elif self._ceased and not self.faults:
            _log.info("ready_again")
            self._ceased = False
        return not self.faults

    def stopping(self) -> None:
        """From now on nothing new is taken in."""
        self.faults = ("The service is stopping.",)

    def _found(self) -> Iterator[str]:
        if self._store_failed:
            try:
                self._journal.check()
                self._store_failed = False
            except (TransientError, CorruptionError) as error:
                yield str(error)
        yield from self._of_disk()
        if not _is_held(self._pipeline_lock):
            yield "No pipeline process lives, so nothing is settled; its log says why."

    def _of_disk(self) -> Iterator[str]:
        try:
            disk = os.statvfs(self._folder)
        except OSError as error:
            yield f"{self._folder} cannot be used: {error.strerror}."
            return
        free = disk.f_bavail * disk.f_frsize
        if free < FREE_BYTES_MIN:
            yield f"The disk of {self._folder} has {free} bytes left; free some."
        if not os.access(self._folder, os.W_OK):
            yield f"{self._folder} cannot be written; make it writable."


@contextlib.contextmanager
def held(lock: Path) -> Iterator[None]:
    """Meanwhile, and while the process lives, others see that the lock is held.

    Raises TransientError where its file cannot be made.
    """
    try:
        handle = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    except OSError as error:
        raise TransientError(f"Cannot make {lock}: {error.strerror}.") from error
    try:
        # Shared: only who looks wants it alone, and nobody waits for longer than a look.
        fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _is_held(lock: Path) -> bool:
    try:
        handle = os.open(lock, os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
