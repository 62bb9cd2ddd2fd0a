"""kill -9 at any moment: nothing acknowledged is lost, nothing is counted twice."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from agentcost_collector.report.views import open_views
from tests.end_to_end.waiting import until
from tests.support.collector import Collector, environment, start
from tests.support.recordings import ROOT

pytestmark = pytest.mark.slow

ROUNDS = 5
QUICK = {"assemble__settle_ms": "20", "assemble__idle_ms": "1000", "poll_ms": "20"}


def processes_of(collector: Collector) -> list[int]:
    """The supervisor and its children."""
    parent = collector.process.pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return [parent, *map(int, children)]


def run_sender(
    collector: Collector, first: int, enough: int
) -> tuple[subprocess.Popen[str], set[int]]:
    """A sender, and the first `enough` runs that it had acknowledged."""
    command = [sys.executable, "-m", "tests.end_to_end.crash_sender", collector.grpc, str(first)]
    sender = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(collector.data, {}),
    )
    assert sender.stdout
    return sender, {int(sender.stdout.readline()) for _ in range(enough)}


def counted(data: Path) -> Counter[int]:
    """Input tokens, which number the runs, of every standing step, with their net sign."""
    rows = open_views(data).sql("SELECT input_tokens * sign, sign FROM ledger").fetchall()
    net: Counter[int] = Counter()
    for number, sign in rows:
        net[number] += sign
    return net


def test_nothing_acknowledged_is_lost_or_doubled(tmp_path):
    """All processes are killed at once, again and again, while runs come in."""
    data = tmp_path / "data"
    source = random.Random(7)
    acknowledged: set[int] = set()
    sent = 1
    for _ in range(ROUNDS):
        collector = start(data, **QUICK)
        sender, known = run_sender(collector, sent, source.randint(5, 60))
        victims = processes_of(collector)
        source.shuffle(victims)
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        sender.kill()
        known |= set(map(int, sender.communicate()[0].split()))
        collector.process.wait()
        acknowledged |= known
        sent += 10_000
    collector = start(data, **QUICK)
    until(lambda: acknowledged <= counted(data).keys(), "acknowledged run in the ledger")
    assert collector.stop() == 0
    assert set(counted(data).values()) == {1}
    sums = {
        view: open_views(data).sql(f"SELECT sum(cost_usd) FROM {view}").fetchall()[0]
        for view in ("ledger", "steps", "runs")
    }
    assert len(set(sums.values())) == 1
