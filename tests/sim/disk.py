"""Where writing can fail or a process can be killed: before and after every step of it.

The steps are the real functions, called through. A refusal is what the operating system or SQLite
would raise; a kill keeps the files as they are at that moment, whatever is unwound after it.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from deltalake import DeltaTable

from agentcost_collector.journal import database, reader, writer
from agentcost_collector.ledger import index, ledger, log
from agentcost_collector.model.errors import TransientError


class KilledError(BaseException):
    """The process ends here; no handler of it may count."""


class Disk:
    """At most one trap is set; the process that is then running falls into it."""

    def __init__(self) -> None:
        self._steps = 0
        self._kill = False
        self._keep: Callable[[], object] | None = None
        self.fell: str | None = None
        """Where the last trap was met."""

    def trap(self, steps: int, kill: bool, keep: Callable[[], object]) -> None:
        """Refuse after so many steps from now, or kill; `keep` saves the files before a kill."""
        self._steps, self._kill, self._keep, self.fell = steps, kill, keep, None

    def clear(self) -> None:
        """Set no trap."""
        self._steps = 0

    def reach(self, step: str, refusal: Callable[[], Exception]) -> None:
        """Called at every step."""
        if not self._steps:
            return
        self._steps -= 1
        if self._steps:
            return
        self.fell = f"{'killed' if self._kill else 'refused'} {step}"
        if self._kill:
            assert self._keep
            self._keep()
            raise KilledError(step)
        raise refusal()

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """While it lasts every step of writing asks `reach`."""
        with contextlib.ExitStack() as stack:
            for owner, name, refusal in _STEPS:
                stack.enter_context(
                    mock.patch.object(owner, name, self._around(owner, name, refusal))
                )
            stack.enter_context(mock.patch.object(database, "transaction", self._transaction()))
            yield

    def _around(self, owner: Any, name: str, refusal: Callable[[], Exception]) -> Any:
        original = getattr(owner, name)

        @functools.wraps(original)
        def step(*arguments: Any, **named: Any) -> Any:
            self.reach(f"before {name}", refusal)
            result = original(*arguments, **named)
            self.reach(f"after {name}", refusal)
            return result

        return step

    def _transaction(self) -> Any:
        original = database.transaction

        @contextlib.contextmanager
        def transaction(db: sqlite3.Connection) -> Iterator[None]:
            self.reach("before BEGIN", _sqlite_full)
            with original(db):
                yield
                self.reach("before COMMIT", _sqlite_full)
            self.reach("after COMMIT", _sqlite_full)

        return transaction


def _full() -> OSError:
    return OSError(errno.ENOSPC, "No space left on device")


def _sqlite_full() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    return error


def _not_now() -> TransientError:
    return TransientError("no space left")


_STEPS: tuple[tuple[Any, str, Callable[[], Exception]], ...] = (
    (log, "write_part", _full),
    (log, "sync", _full),
    (log.Log, "_checkpoint", _full),
    (DeltaTable, "create_write_transaction", _full),
    (ledger, "acknowledge", _full),
    (ledger, "archive", _full),
    (index.Index, "_write", _full),
    (index.Index, "restart", _full),
    (reader, "write_mark", _not_now),
)
assert writer.database is database  # its transactions are patched where they are looked up


def copy_of(folder: Path) -> Path:
    """Where the files of a killed process are kept until it has been unwound."""
    return folder.with_name(f"{folder.name}.killed")
