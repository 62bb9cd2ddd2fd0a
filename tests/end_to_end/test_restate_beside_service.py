"""History is restated while the service runs: both go on, nothing is lost or counted twice."""

from __future__ import annotations

import signal
import subprocess

import pytest

from agentcost_collector.ledger.reader import LedgerReader
from agentcost_collector.report.views import open_views
from tests.cli.command import COMMAND, agentcost, agentcost_process, environment, parse_facts
from tests.end_to_end.waiting import span_rows, until
from tests.support.cards import with_output_price
from tests.support.collector import running
from tests.support.recordings import path_of, requests_of
from tests.support.walked import decode

pytestmark = pytest.mark.slow

QUICK = {"assemble__settle_ms": "20", "assemble__idle_ms": "200", "poll_ms": "20"}
SENT = ("crewai", "strands", "openlit", "oinf_llamaindex")


def send(names: tuple[str, ...], address: str) -> int:
    """Sends recordings; how many distinct spans are in them."""
    sent = agentcost("send", *map(path_of, names), "--endpoint", address)
    assert sent.returncode == 0, sent.stderr
    return decode(body for name in names for body in requests_of(name)).num_rows


def settled(spans: int, collector) -> None:
    until(lambda: span_rows(collector.data) == spans, f"{spans} settled spans")


def test_beside_a_running_service(tmp_path):
    """The service gives way, takes the ledger back and settles what came meanwhile; a restatement
    that was killed leaves it free, and is simply run again."""
    data = tmp_path / "data"
    cards = with_output_price(tmp_path / "cards", "0.66", "2026-01-01T00:00:00Z")
    flags = ["--from", "2026-01-01", "--data", data, "--rate-cards", cards]
    with running(data, rate_cards=str(cards), **QUICK) as collector:
        spans = send(SENT[:2], collector.grpc)
        settled(spans, collector)
        nothing = agentcost_process("restate", *flags)
        assert nothing.returncode == 0, nothing.stderr
        assert parse_facts(nothing.stdout)["entries written"] == "0"
        killed_while_it_asks(data, flags)
        spans += send(SENT[2:], collector.grpc)
        settled(spans, collector)
        assert collector.stop() == 0
    log = collector.log.read_text()
    assert "ledger_taken_back" in log
    assert "restarting" not in log
    views = open_views(data)
    assert views.sql("SELECT min(sign) FROM ledger").fetchall() == [(1,)]
    sums = "SELECT (SELECT sum(cost_usd) FROM ledger) = (SELECT sum(cost_usd) FROM steps)"
    assert views.sql(sums).fetchall() == [(True,)]


def killed_while_it_asks(data, flags) -> None:
    """A restatement that ends by SIGKILL as soon as it is seen in the ledger's folder."""
    turn = data / "ledger" / "turn"
    noted = turn.stat().st_mtime_ns
    with subprocess.Popen(
        [*COMMAND, "restate", *map(str, flags)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        until(lambda: turn.stat().st_mtime_ns > noted, "asking")
        process.send_signal(signal.SIGKILL)
        process.communicate()
    assert LedgerReader(data / "ledger").snapshot().ledger_rows > 0
