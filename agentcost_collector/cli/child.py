"""A process behind `serve`, from its start to its end."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from types import TracebackType
from typing import Self


class Child:
    """A running process of ours. It imports what it needs and waits for its settings; its stdout
    ends when it does. An exception that leaves the `with` ends it."""

    def __init__(self, command: str) -> None:
        self.name = command.strip("_")
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "agentcost_collector.cli", command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the supervisor alone
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self.out = self._process.stdin, self._process.stdout

    def go_on(self, settings: str) -> None:
        """Lets it work with these settings, one line of JSON."""
        with contextlib.suppress(BrokenPipeError):  # it has ended; its exit code will tell
            self._in.write(settings.encode() + b"\n")
            self._in.flush()

    def terminate(self) -> None:
        """Asks it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """Ends it."""
        self._process.kill()

    def wait(self) -> int:
        """The exit code, negative for a signal; lets go of the pipes."""
        code = self._process.wait()
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if kind:
            self.kill()
            self.wait()
