"""The running service's metrics are the ledger's sums, also after a restart."""

from __future__ import annotations

from pathlib import Path

import pytest

from agentcost_collector.report.views import open_views
from tests.cli.command import agentcost
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import LOOPBACK, free_ports, running
from tests.support.recordings import path_of, requests_of
from tests.support.scrape import scrape
from tests.support.walked import decode

pytestmark = pytest.mark.slow


def test_scrapes_follow_the_ledger(tmp_path: Path) -> None:
    """Money and steps are those of SQL, open traces end at none; a new process starts from the
    ledger, not from nothing."""
    data = tmp_path / "data"
    address, health = (f"{LOOPBACK}:{port}" for port in free_ports(2))
    quick = {
        "metrics": address,
        "health": health,
        "assemble__settle_ms": "50",
        "assemble__idle_ms": "200",
    }
    with running(data, **quick) as collector:
        sent = bytes_sent = 0
        for name in ("mcp_two_processes", "crewai"):
            assert agentcost("send", path_of(name), "--endpoint", collector.grpc).returncode == 0
            sent += decode(requests_of(name)).num_rows
            bytes_sent += sum(map(len, requests_of(name)))
            until(lambda total=sent: span_rows(data) == total, "settled spans")
            until(lambda: scrape(address)["agentcost_spans_open"] == 0, "rest of open traces")
        samples = scrape(address)
        assert samples["agentcost_entries_written_total"] > 0
        assert samples["agentcost_commit_seconds_count"] == samples["agentcost_ledger_batch"] > 0
        assert samples["agentcost_index_traces"] > 0
        until(lambda: scrape(address)["agentcost_lag_seconds"] == 0, "end of the lag")
        arrived = scrape(health)
        assert arrived["agentcost_spans_acknowledged_total"] == sent
        assert arrived["agentcost_spans_quarantined_total"] == 0
        assert arrived["agentcost_unread_age_seconds"] == 0
        assert arrived["agentcost_receive_bytes_total"] == bytes_sent
        assert _of(samples) == _in(data)
    with running(data, **quick):
        until(lambda: "agentcost_journal_position" in _answer(address), "answer after the start")
        samples = scrape(address)
        assert samples["agentcost_entries_written_total"] == 0
        assert _of(samples) == _in(data)


def _answer(address: str) -> dict[str, float]:
    try:
        return scrape(address)
    except OSError:
        return {}


def _of(samples: dict[str, float]) -> list[float]:
    spend = [samples[f'agentcost_spend_usd{{attributed="{a}"}}'] for a in ("true", "false")]
    steps = [value for name, value in samples.items() if name.startswith("agentcost_steps{")]
    return [*spend, sum(steps)]


def _in(data: Path) -> list[float]:
    query = (
        "SELECT coalesce(sum(cost_usd) FILTER (feature IS NOT NULL), 0),"
        " coalesce(sum(cost_usd) FILTER (feature IS NULL), 0), count(*) FROM steps"
    )
    return [float(value) for value in open_views(data).execute(query).fetchall()[0]]
