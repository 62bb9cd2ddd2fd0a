"""Spans about the service itself: few, elsewhere, and only where they are asked for."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentcost_collector.model.errors import ConfigError
from agentcost_collector.model.payload import Outcome, Payload
from agentcost_collector.self_trace import check, self_traced, traced
from tests.cli.command import agentcost
from tests.conformance.server import Server
from tests.end_to_end.waiting import span_rows, until
from tests.support.collector import running
from tests.support.recordings import path_of, requests_of
from tests.support.walked import decode

OWN = ("127.0.0.1:4317", "0.0.0.0:4318")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Server]:
    """Another collector."""
    server = Server(tmp_path / "elsewhere")
    yield server
    server.close()


def _names(server: Server) -> Counter[str]:
    return Counter(
        name for batch in server._reader.after(0, 2**30) for name in batch.spans["name"].to_pylist()
    )


def test_one_span_for_each_group(elsewhere: Server) -> None:
    """However many requests are in it; all are sent by the end of the process."""

    def store(payloads: list[Payload]) -> list[Outcome]:
        return [Outcome()] * len(payloads)

    with self_traced(elsewhere.addresses.grpc, "receiver", OWN) as span:
        keep = traced(store, span)
        keep([Payload(b"x", 0)] * 1000)
        keep([Payload(b"x", 0)])
        with span("settle", spans=5):
            pass
    assert _names(elsewhere) == {"group_commit": 2, "settle": 1}


@pytest.mark.parametrize(
    "endpoint",
    ["127.0.0.1:4317", "http://localhost:4317", "localhost:4318", "https://127.0.0.1:4318"],
)
def test_ourselves_are_refused(endpoint: str) -> None:
    """By any name and on either port: each span would make another."""
    with pytest.raises(ConfigError, match="this collector itself"):
        check(endpoint, OWN)
    with pytest.raises(ConfigError, match="this collector itself"), self_traced(endpoint, "x", OWN):
        pass


def test_what_is_no_endpoint_is_refused() -> None:
    """With the form that is wanted; other ports of this machine are good."""
    for endpoint in ("collector", "ftp://x:1", "http://x:1/v1/traces", "x:99999"):
        with pytest.raises(ConfigError, match="HOST:PORT"):
            check(endpoint, OWN)
    check("127.0.0.1:4319", OWN)
    check("", OWN)


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one sentence; without the setting nothing is missing."""
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(ConfigError, match=r"pip install 'agentcost-collector\[selftrace\]'"):
        check("127.0.0.1:4319", OWN)
    check("", OWN)


@pytest.mark.slow
def test_a_service_traces_its_work(tmp_path: Path, elsewhere: Server) -> None:
    """Both processes do, with one span for each piece of work and none for each span."""
    data, spans = tmp_path / "data", decode(requests_of("crewai")).num_rows
    quick = {"assemble__settle_ms": "50", "assemble__idle_ms": "200"}
    with running(data, self_trace=elsewhere.addresses.grpc, **quick) as collector:
        sent = agentcost("send", path_of("crewai"), "--endpoint", collector.grpc)
        assert sent.returncode == 0
        until(lambda: span_rows(data) == spans, "settled spans")
    names = _names(elsewhere)
    assert set(names) == {"group_commit", "settle"}
    assert names.total() < spans


def test_a_service_that_traces_to_itself_does_not_start(tmp_path: Path) -> None:
    """Before anything listens, with one sentence and the exit code of a wrong setting."""
    own = "127.0.0.1:4317"
    refused = agentcost("serve", "--data", tmp_path / "data", AGENTCOST_SELF_TRACE=own)
    assert refused.returncode == 2
    assert "self_trace: 127.0.0.1:4317 is this collector itself" in refused.stderr
