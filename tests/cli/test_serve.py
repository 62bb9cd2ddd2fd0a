"""`agentcost serve`: two processes that are started, watched and stopped as one."""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from tests.cli.command import COMMAND, FIXTURES, agentcost, environment, parse_facts

pytestmark = pytest.mark.slow

T = TypeVar("T")

WAIT_S = 120
QUICK = {"AGENTCOST_ASSEMBLE__SETTLE_MS": "50", "AGENTCOST_ASSEMBLE__IDLE_MS": "200"}


@dataclass
class Service:
    """A running `serve` and what it said."""

    process: subprocess.Popen[str]
    data: Path
    grpc: str
    greeting: str

    def child(self, name: str) -> int:
        """Process id of the receiver or the pipeline; waits until there is one."""
        return _until(lambda: next(iter(_children(self.process.pid, name)), None))

    def facts(self) -> dict[str, str]:
        """What `agentcost status` says."""
        return parse_facts(agentcost("status", "--data", self.data).stdout)

    def end(self) -> tuple[int, str]:
        """Exit code and stderr, when it has ended by itself or by a signal."""
        _, errors = self.process.communicate(timeout=WAIT_S)
        return self.process.returncode, errors


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """`serve` on free ports."""
    process = _start(tmp_path / "data", "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    assert process.stdout is not None
    lines: list[str] = []
    while "Ctrl-C" not in "".join(lines[-1:]):
        lines.append(process.stdout.readline())
        assert lines[-1], process.communicate()
    grpc = next(line.split()[1] for line in lines if "OTLP/gRPC" in line)
    yield Service(process, tmp_path / "data", grpc, "".join(lines))
    if process.poll() is None:
        process.terminate()
        process.communicate(timeout=WAIT_S)


def _start(data: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, "serve", "--data", str(data), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**QUICK),
    )


def _children(parent: int, name: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            command = (entry / "cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            continue
        if int(fields[1]) == parent and f"_{name}".encode() in command:
            found.append(int(entry.name))
    return found


def _until(look: Callable[[], T | None]) -> T:
    """The first answer that is not None or False; fails after WAIT_S."""
    deadline = time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        answer = look()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError("it never came")


def _wait_for_end(handles: list[int]) -> None:
    """Waits until the processes behind these pidfds are gone."""
    for handle in handles:
        assert select.select([handle], [], [], WAIT_S)[0], "a process lives on"
        os.close(handle)


def test_from_greeting_to_goodbye(service: Service) -> None:
    """It says where it listens and what to set; SIGTERM ends it with 0; what came is settled."""
    assert f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{service.grpc} " in service.greeting
    assert str(service.data) in service.greeting
    sent = agentcost("send", FIXTURES / "crewai", "--endpoint", service.grpc)
    assert sent.returncode == 0
    _until(lambda: service.facts().get("spans settled") == "9")  # the recording has 9 spans
    children = [os.pidfd_open(service.child(name)) for name in ("receiver", "pipeline")]
    service.process.terminate()
    assert service.end() == (0, "")
    _wait_for_end(children)
    facts = service.facts()
    assert (facts["spans acknowledged"], facts["evidence spans"]) == ("9", "9")
    assert facts["totals"] == "agree"


def test_interrupt_ends_it_too(service: Service) -> None:
    """Ctrl-C is a clean stop, not an error."""
    service.process.send_signal(signal.SIGINT)
    assert service.end() == (0, "")


def test_a_dead_pipeline_is_replaced(service: Service) -> None:
    """While it is down spans are taken in; the next one settles them."""
    first = service.child("pipeline")
    os.kill(first, signal.SIGKILL)
    sent = agentcost("send", FIXTURES / "crewai", "--endpoint", service.grpc)
    assert sent.returncode == 0
    _until(lambda: set(_children(service.process.pid, "pipeline")) - {first})
    _until(lambda: service.facts().get("spans settled") == "9")
    service.process.terminate()
    code, errors = service.end()
    assert code == 0
    assert '"process": "pipeline"' in errors
    assert '"restarting"' in errors


def test_a_dead_receiver_ends_all(service: Service) -> None:
    """Without its receiver the service is nothing: it stops the rest, says why, exit code 1."""
    receiver, pipeline = service.child("receiver"), os.pidfd_open(service.child("pipeline"))
    os.kill(receiver, signal.SIGKILL)
    code, errors = service.end()
    assert code == 1
    assert '"process": "receiver"' in errors
    _wait_for_end([pipeline])


def test_no_orphans(service: Service) -> None:
    """Where the supervisor is killed, receiver and pipeline end by themselves."""
    children = [os.pidfd_open(service.child(name)) for name in ("receiver", "pipeline")]
    service.process.kill()
    _wait_for_end(children)
    service.process.communicate(timeout=WAIT_S)


def test_an_address_in_use(tmp_path: Path) -> None:
    """It ends with exit code 2 and one sentence that names the address and the setting."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        process = _start(tmp_path / "data", "--grpc", "127.0.0.1:0", "--http", address)
        output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, output) == (2, "")
    assert errors.count("\n") == 1
    assert errors.startswith("agentcost: ")
    assert address in errors


def test_one_ledger_has_one_writer(service: Service) -> None:
    """A second service on the same data refuses to start and names the data; the first goes on."""
    _until(lambda: "0" in service.facts().get("ledger version", ""))
    second = _start(service.data, "--grpc", "127.0.0.1:0", "--http", "127.0.0.1:0")
    _, errors = second.communicate(timeout=WAIT_S)
    assert second.returncode == 2
    assert str(service.data) in errors
    assert service.process.poll() is None


def test_a_wrong_file_of_budgets_is_told_before_anything_listens(tmp_path: Path) -> None:
    """One line with file and line, exit code 2; nothing was started."""
    (tmp_path / "budgets.yaml").write_text("budgets:\n  - name: all\n    per: fortnight\n")
    settings = tmp_path / "agentcost.yaml"
    settings.write_text(f"budgets: {tmp_path / 'budgets.yaml'}\n")
    done = agentcost("serve", "--config", settings, "--data", tmp_path / "data")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{tmp_path / 'budgets.yaml'}:" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "data" / "journal").exists()


@pytest.mark.parametrize("what", ["policy", "rate-cards"])
def test_a_wrong_file_leaves_nothing_behind(tmp_path: Path, what: str) -> None:
    """The receiver, which starts beside the reading of files, is gone with the sentence."""
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "wrong.yaml").write_text("wrong: [")
    named = folder if what == "rate-cards" else folder / "wrong.yaml"
    mark = f"MARK_{os.getpid()}_{what.upper()}"
    process = subprocess.run(
        [*COMMAND, "serve", "--data", str(tmp_path / "data"), f"--{what}", str(named)],
        capture_output=True,
        text=True,
        env=environment(**{mark: "1"}),
        timeout=WAIT_S,
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("agentcost: ")
    assert process.stderr.count("\n") == 1
    assert not [pid for pid, marks in _environments() if mark.encode() in marks]


def _environments() -> Iterator[tuple[int, bytes]]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                yield int(entry.name), (entry / "environ").read_bytes()
            except OSError:
                continue
