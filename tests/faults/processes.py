"""The receiver and the pipeline process of a service, forked from one that has everything loaded:
they start in a tenth of a second.

`python -m tests.faults.processes` reads settings and the name of a process, a line each; it answers
`pid N`, and `ready` once it listens or at once for the pipeline.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from typing import Self

from agentcost_collector.intake import run_receiver
from agentcost_collector.pipeline import run_pipeline
from agentcost_collector.settings import Settings
from tests.faults import store
from tests.support.recordings import ROOT

RECEIVER, PIPELINE = "receiver", "pipeline"


class Processes:
    """The warm process, and at most one of each kind."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.model_dump_json()
        self._pids: dict[str, int] = {}
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.processes"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._pids):
            self.end(name, signal.SIGKILL)
        self._warm.communicate()

    def start(self, name: str) -> None:
        """Back when it works."""
        assert self._warm.stdin
        assert self._warm.stdout
        self._warm.stdin.write(f"{self._settings}\n{name}\n")
        self._warm.stdin.flush()
        self._pids[name] = int(self._warm.stdout.readline().split()[1])
        assert self._warm.stdout.readline() == "ready\n", f"no {name}"

    def end(self, name: str, number: signal.Signals) -> None:
        """Back when it has ended."""
        pid = self._pids.pop(name)
        handle = os.pidfd_open(pid)
        signal.pidfd_send_signal(handle, number)
        select.select([handle], [], [])
        os.close(handle)


def main() -> None:
    """Forks a process for each two lines until stdin ends."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel clears them away
    store.rulebook()
    while text := sys.stdin.readline():
        name = sys.stdin.readline().strip()
        child = os.fork()
        if not child:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            settings = Settings.model_validate_json(text)
            if name == RECEIVER:
                run_receiver(settings, lambda _: _say("ready"))
            else:
                run_pipeline(settings)
            os._exit(0)
        _say(f"pid {child}")
        if name == PIPELINE:
            _say("ready")


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
