"""Deliveries in processes of their own under strace, forked from one that has everything loaded.

`python -m tests.faults.crew` reads a line of JSON for each: the folder and the numbers to deliver.
It answers `pid N`, starts at the next line, then tells `ack N` as a sender is told, and `exit N`.
"""

from __future__ import annotations

import functools
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from agentcost_collector.model.errors import AgentcostError, TransientError
from tests.faults import store
from tests.support.recordings import ROOT

NUMBERS = 40
"""Deliveries that a fresh process knows without working them out again."""
_ATTEMPTS = 4

Result = TypeVar("Result")


@dataclass(frozen=True)
class Run:
    """How one process went: what it acknowledged, its exit code (-9: killed), what it complained
    of, and what strace wrote."""

    acknowledged: list[int]
    code: int
    complaint: str
    trace: str


class Crew:
    """The warm process and its children."""

    def __init__(self) -> None:
        self._warm = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.crew"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._warm.communicate()

    def run(self, data: Path, numbers: Sequence[int], *strace: str) -> Run:
        """Delivers the numbers one after the other, under strace with these arguments if any."""
        pid = int(self._ask(json.dumps({"data": str(data), "numbers": list(numbers)})).split()[1])
        trace = data.with_name(data.name + ".trace")
        watcher = _watch(pid, trace, strace) if strace else None
        acknowledged, complaint = [], ""
        word, _, rest = self._ask("go").partition(" ")
        while word != "exit":
            if word == "ack":
                acknowledged.append(int(rest))
            else:
                complaint += f"{json.loads(rest)}\n"
            word, _, rest = self._answer().partition(" ")
        if watcher:
            watcher.communicate()
        return Run(acknowledged, int(rest), complaint, trace.read_text() if strace else "")

    def _ask(self, line: str) -> str:
        assert self._warm.stdin
        self._warm.stdin.write(line + "\n")
        self._warm.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._warm.stdout
        return self._warm.stdout.readline()


def _watch(pid: int, trace: Path, arguments: Sequence[str]) -> subprocess.Popen[str]:
    """strace, attached to a process that waits for us."""
    command = ["strace", "-f", "-y", "-o", str(trace), *arguments, "-p", str(pid)]
    watcher = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert watcher.stderr
    said = watcher.stderr.readline()
    assert "attached" in said, said + watcher.stderr.read()
    return watcher


# --- the warm process, and its children ----------------------------------------------------------


def main() -> None:
    """Forks a child for each line until stdin ends."""
    store.warm(range(1, NUMBERS + 1))
    while line := sys.stdin.readline():
        wanted = json.loads(line)
        gate, opened = os.pipe()
        child = os.fork()
        if not child:
            os.close(opened)
            os.read(gate, 1)
            os._exit(_child(Path(wanted["data"]), wanted["numbers"]))
        os.close(gate)
        _say(f"pid {child}")
        sys.stdin.readline()
        os.write(opened, b".")
        os.close(opened)
        _, status = os.waitpid(child, 0)
        _say(f"exit {os.waitstatus_to_exitcode(status)}")


def _child(data: Path, numbers: Sequence[int]) -> int:
    """As the two processes of the service do it: what may succeed later is tried again, anything
    else ends them. 0, 1 after an error of ours, 70 after any other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        service = _again(lambda: store.Service(data))
        for number in numbers:
            _again(functools.partial(service.receive, number))
            _say(f"ack {number}")
            _again(service.settle)
        service.close()
    except AgentcostError as error:
        _say("error " + json.dumps(f"{type(error).__name__}: {error}"))
        return 1
    except BaseException:
        _say("error " + json.dumps(traceback.format_exc()))
        return 70
    return 0


def _again(step: Callable[[], Result]) -> Result:
    for _ in range(_ATTEMPTS - 1):
        try:
            return step()
        except TransientError as error:
            _say("error " + json.dumps(f"again: {error}"))
    return step()


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())


if __name__ == "__main__":
    main()
