"""Runs of `agentcost` that die by kill -9 at a change of a file, forked from one that is warm.

`python -m tests.cli.dying` reads a line of JSON for each: arguments, environment, the folder that
counts and at which change to die (0: never). It answers with the exit code (-9: killed) and how
many changes there were. A change is what Python opens for writing, makes, renames or removes.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from agentcost_collector import alerting, prices_file
from agentcost_collector.cli import app, formats, nightly
from agentcost_collector.report import reports
from agentcost_collector.variance import variance
from tests.cli.command import environment

_WARM = (alerting, prices_file, formats, nightly, reports, variance)
_ROOT = Path(__file__).parents[2]


class Mortals:
    """The warm process and its children."""

    def __enter__(self) -> Self:
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.cli.dying"],
            cwd=_ROOT,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._warm.communicate()

    def run(
        self, *arguments: object, folder: Path, dies_at: int = 0, **more: str
    ) -> tuple[int, int]:
        """Exit code, and changes in the folder."""
        assert self._warm.stdin
        assert self._warm.stdout
        asked = {"arguments": [*map(str, arguments)], "environment": more}
        line = json.dumps({**asked, "folder": str(folder), "dies_at": dies_at})
        self._warm.stdin.write(line + "\n")
        self._warm.stdin.flush()
        code, changes = json.loads(self._warm.stdout.readline())
        return code, changes


def main() -> None:
    """Forks a child for each line until stdin ends."""
    assert _WARM
    while line := sys.stdin.readline():
        counted, counting = os.pipe()
        child = os.fork()
        if not child:
            os.close(counted)
            _child(json.loads(line), counting)
        os.close(counting)
        _, status = os.waitpid(child, 0)
        with os.fdopen(counted, "rb") as changes:
            answer = [os.waitstatus_to_exitcode(status), len(changes.read())]
        os.write(1, json.dumps(answer).encode() + b"\n")


def _child(asked: Mapping[str, Any], counting: int) -> None:
    os.environ.update(asked["environment"])
    left = [asked["dies_at"]]

    def see(event: str, given: tuple[Any, ...]) -> None:
        if not _changes(event, given, asked["folder"]):
            return
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        os.write(counting, b".")

    sys.addaudithook(see)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    try:
        code = app(asked["arguments"], standalone_mode=False)
    except SystemExit as ended:
        code = ended.code
    os._exit(int(code or 0))


def _changes(event: str, given: tuple[Any, ...], folder: str) -> bool:
    if event not in ("open", "os.rename", "os.link", "os.mkdir", "os.remove"):
        return False
    reads = event == "open" and not given[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    return not reads and str(given[0]).startswith(folder)


if __name__ == "__main__":
    main()
