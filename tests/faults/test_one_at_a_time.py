"""One data folder has one receiver and one pipeline; who comes second is told who is there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcost_collector.settings import Settings
from tests.support.collector import Collector, environment, free_ports, running
from tests.support.recordings import ROOT

pytestmark = pytest.mark.slow

RECORDING = ROOT / "tests" / "fixtures" / "crewai"


@pytest.fixture(scope="module")
def collector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Collector]:
    with running(tmp_path_factory.mktemp("served") / "data") as collector:
        yield collector


def command(collector: Collector, *words: str, settings: str = "") -> tuple[int, str]:
    """Exit code and stderr of `agentcost` beside the collector. Its stdin stays open meanwhile: to
    a child of the service the end of it is the end of the supervisor."""
    with subprocess.Popen(
        [sys.executable, "-m", "agentcost_collector.cli", *words],
        cwd=ROOT,
        env=environment(collector.data, {}),
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(settings)
        process.stdin.flush()
        said = process.stderr.read()
        return process.wait(), said


def named(said: str) -> set[int]:
    return {int(number) for number in re.findall(r"process (\d+)", said)}


def children_of(collector: Collector) -> set[int]:
    parent = collector.process.pid
    return set(map(int, Path(f"/proc/{parent}/task/{parent}/children").read_text().split()))


def settings(collector: Collector) -> str:
    grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    receive = {"grpc": grpc, "http": http}
    return (
        Settings(data=collector.data, receive=receive, metrics="", health="").model_dump_json()
        + "\n"
    )


def test_a_second_service_is_refused(collector):
    """`serve` on the same folder ends with exit code 2 and names the receiver that is there."""
    grpc, http = (f"127.0.0.1:{port}" for port in free_ports(2))
    words = ("serve", "--data", str(collector.data), "--grpc", grpc, "--http", http)
    code, said = command(collector, *words)
    assert code == 2, said
    assert named(said) <= children_of(collector)
    assert named(said), said


@pytest.mark.parametrize("child", ["_receiver", "_pipeline"])
def test_a_second_child_is_refused(collector, child):
    """A receiver or a pipeline alone, as a supervisor elsewhere would start it: likewise."""
    code, said = command(collector, child, settings=settings(collector))
    assert code == 2, said
    assert named(said) <= children_of(collector)
    assert named(said), said


@pytest.mark.parametrize("words", [("replay", str(RECORDING)), ("ledger", "repair")])
def test_nobody_commits_beside_a_service(collector, words):
    """What would change the ledger is refused while the service has it."""
    code, said = command(collector, *words, "--data", str(collector.data))
    assert code == 2, said
    assert named(said) <= children_of(collector)
    assert named(said), said
    assert said.count("\n") == 1
