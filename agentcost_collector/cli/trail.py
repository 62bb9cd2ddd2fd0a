"""The trail of a command in the audit log: one line when it takes up data, one at its end."""

from __future__ import annotations

import contextlib
import os
import pwd
import secrets
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import typer

from agentcost_collector.cli.text import printable
from agentcost_collector.model.errors import ConfigError

if TYPE_CHECKING:
    from agentcost_collector.access.audit import AuditLog
    from agentcost_collector.settings import Settings

_INTERRUPTED = 130


class _Trail:
    """What one command leaves behind."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.facts: dict[str, Any] = {}
        self._arguments = list(arguments)
        self._run = secrets.token_hex(8)
        self._log: AuditLog | None = None
        self._fault: OSError | None = None

    def begin(self, settings: Settings, changes: bool) -> None:
        """The first line. Where it cannot be written a command that changes anything is refused
        with ConfigError, and one that reads says so on stderr."""
        if self._log is None and self._fault is None:
            self._begin(settings)
            if self._fault and not changes:
                where = f"{settings.audit_path}: {self._fault.strerror}"
                text = f"agentcost: this is not in the audit log: {where}"
                typer.echo(printable(text), err=True)
        if self._fault and changes:
            raise ConfigError(
                f"{settings.audit_path}: the audit log cannot be written:"
                f" {self._fault.strerror}; nothing was done"
            ) from self._fault

    def end(self, code: int) -> None:
        """The last line, for a command that had a first one."""
        if self._log:
            with contextlib.suppress(OSError):  # the first line is there
                self._log.append({"event": "end", "run": self._run, "exit": code, **self.facts})

    def _begin(self, settings: Settings) -> None:
        from agentcost_collector.access.audit import AuditLog

        log = AuditLog(settings.audit_path)
        entry = {"event": "begin", "run": self._run, "who": _who(), "command": self._arguments}
        try:
            log.append(entry)
        except OSError as fault:
            self._fault = fault
        else:
            self._log = log


_current: ContextVar[_Trail | None] = ContextVar("trail", default=None)


@contextlib.contextmanager
def recorded(arguments: Sequence[str]) -> Iterator[None]:
    """Around one command, which was called with `arguments`."""
    trail = _Trail(arguments)
    before = _current.set(trail)
    code = 0
    try:
        yield
    except KeyboardInterrupt:
        code = _INTERRUPTED
        raise
    except BaseException as error:
        code = getattr(error, "exit_code", 1)
        raise
    finally:
        _current.reset(before)
        trail.end(code)


def begin(settings: Settings, changes: bool) -> None:
    """The command takes up data now: to read it, or to change it."""
    trail = _current.get()
    if trail:
        trail.begin(settings, changes)


def note(**facts: Any) -> None:
    """Facts for the last line, such as how many rows were read."""
    trail = _current.get()
    if trail:
        trail.facts.update(facts)


def _who() -> dict[str, Any]:
    uid = os.getuid()
    who: dict[str, Any] = {"uid": uid}
    with contextlib.suppress(KeyError):  # a container may not know its user's name
        who["user"] = pwd.getpwuid(uid).pw_name
    for name, key in (("SUDO_USER", "sudo_user"), ("SSH_CONNECTION", "ssh")):
        if os.environ.get(name):
            who[key] = os.environ[name]
    return who
