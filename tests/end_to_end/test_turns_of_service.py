"""A running service gives the ledger away when it is asked, and loses nothing meanwhile."""

from __future__ import annotations

import time

import pytest

from agentcost_collector.ledger.config import Config
from agentcost_collector.ledger.ledger import Ledger
from tests.cli.command import agentcost, parse_facts
from tests.end_to_end.waiting import PAUSE_S, span_rows, until
from tests.support.collector import running
from tests.support.recordings import path_of

pytestmark = pytest.mark.slow

QUICK = {"assemble__settle_ms": "20", "assemble__idle_ms": "200", "poll_ms": "20"}


def send(name: str, address: str) -> None:
    assert agentcost("send", path_of(name), "--endpoint", address).returncode == 0


def test_a_service_gives_way_and_goes_on(tmp_path):
    """What is sent while another process has the ledger is taken in, and settled afterwards; the
    same process of the service goes on."""
    data = tmp_path / "data"
    with running(data, **QUICK) as collector:
        send("crewai", collector.grpc)
        until(lambda: span_rows(data) == 9, "spans of the first recording")
        held = Ledger.open_in_turn(
            data / "ledger", "asker", Config(), lambda holder: time.sleep(PAUSE_S)
        )
        send("strands", collector.grpc)
        assert span_rows(data) == 9
        waiting = parse_facts(agentcost("status", "--data", data).stdout)["spans waiting"]
        assert int(waiting) > 0
        held.close()
        until(lambda: span_rows(data) == 9 + int(waiting), "spans of the second recording")
        assert collector.stop() == 0
    log = collector.log.read_text()
    assert "ledger_given_away" in log
    assert "restarting" not in log


def test_a_service_that_starts_meanwhile_waits(tmp_path):
    """Started while another process has the ledger it does not fail: it settles afterwards."""
    data = tmp_path / "data"
    held = Ledger.open_in_turn(data / "ledger", "asker", Config(), lambda holder: None)
    with running(data, **QUICK) as collector:
        send("crewai", collector.grpc)
        until(lambda: "ledger_given_away" in collector.log.read_text(), "giving way")
        assert span_rows(data) == 0
        held.close()
        until(lambda: span_rows(data) == 9, "spans")
        assert collector.stop() == 0
